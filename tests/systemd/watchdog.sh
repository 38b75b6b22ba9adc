#!/usr/bin/env bash
# A mount whose requests wait without an answer is started anew, and who waited gets the answer from the next process.
. "$SAMPLEFS_CHECKOUT/tests/systemd/common"

# A web server that, while /run/hangs is there, answers nothing but the manifest.
cat >/run/server.py <<'END'
import http.server, os, sys, time
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        while os.path.exists("/run/hangs") and "zarr" in self.path:
            time.sleep(0.1)
        body = open(self.directory + self.path, "rb").read() if os.path.isfile(self.directory + self.path) else None
        if body is None:
            return self.send_error(404)
        size, asked = len(body), self.headers.get("Range")
        if asked:
            first, last = asked.removeprefix("bytes=").split("-")
            start = int(first) if first else size - int(last)
            end = min(int(last) + 1, size) if first and last else size
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            body = body[start:end]
        else:
            self.send_response(200)
        self.send_header("ETag", f'"{size}"')
        self.send_header("Last-Modified", "Sat, 01 Nov 2025 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
    do_HEAD = do_GET
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory="/srv/store"))
open("/run/port", "w").write(str(server.server_port))
server.serve_forever()
END
python3 /run/server.py 2>/dev/null &
eventually test -s /run/port
sum=$(samplefs cat $store ${file#"$mountpoint/"} | sha256sum)
printf 'store = "http://127.0.0.1:%s"\nallow-http = true\nmountpoint = "%s"\n' "$(cat /run/port)" $mountpoint \
    >/etc/samplefs/samples.toml
mkdir -p /etc/systemd/system/$unit.d
printf '[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n' >/etc/systemd/system/$unit.d/watchdog.conf
systemctl daemon-reload

holds systemctl start $unit
# Nobody asks: that is no fault.
first=$(property MainPID)
sleep 5
is "$(property MainPID)" "$first" "the process after 5 s of nothing"

touch /run/hangs
sha256sum <$file >/run/read &
reader=$!
restarted() { [[ $(property NRestarts) -ge 1 ]]; }
eventually restarted
journalctl -u $unit --no-pager | grep -q 'requests wait and none was answered' || fail "the journal does not tell"
rm /run/hangs
holds wait $reader
is "$(cat /run/read)" "$sum" "what the reader got"

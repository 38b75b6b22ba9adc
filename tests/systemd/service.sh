#!/usr/bin/env bash
# A service is started when its mount answers, is stopped with it, and carries others with it.
. "$SAMPLEFS_CHECKOUT/tests/systemd/common"

holds systemd-analyze verify --man=no "/lib/systemd/system/samplefs@.service" "$SAMPLEFS_CHECKOUT/systemd/mnt-example.mount"

holds systemctl start $unit
# Not a moment later.
holds test -f $file
is "$(property StatusText)" "3 samples of 7 fields at $mountpoint" "the status"
is "$(findmnt -n -o FSTYPE $mountpoint)" fuse.samplefs "the type on the host's side"

# Another unit reads it, and goes when it goes.
cat >/etc/systemd/system/reader.service <<END
[Unit]
Requires=$unit
After=$unit
[Service]
ExecStart=/bin/sh -c 'exec 3<$file; echo \$\$ >/run/reader; exec sleep 1000'
END
systemctl stop $unit
is "$(device)" "" "after a stop"
is "$(property ActiveState)" inactive "after a stop"
is "$(property Result)" success "after a stop"
holds systemctl start reader
is "$(property ActiveState)" active "what the reader requires"
eventually test -s /run/reader
holds systemctl stop $unit
is "$(systemctl is-active reader)" inactive "the reader"
is "$(device)" "" "after a stop with a reader"

# What cannot be mounted fails, and does not start again and again for good.
rm $store/manifest.json
if systemctl start $unit 2>/dev/null; then fail "started without a store"; fi
is "$(device)" "" "after a failure"
eventually test "$(property Result)" != success
cp "$SAMPLEFS_CHECKOUT/tests/golden/shapenet_store/manifest.json" $store
systemctl stop $unit
systemctl reset-failed $unit 2>/dev/null || true

# An option that is not known is told in the journal.
echo 'memory_target = 1' >>/etc/samplefs/samples.toml
if systemctl start $unit 2>/dev/null; then fail "started with an unknown option"; fi
journalctl -u $unit --no-pager | grep -q 'did you mean memory-target?' || fail "the journal does not tell"

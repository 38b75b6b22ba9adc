#!/usr/bin/env bash
# The mount outlives the process that serves it: readers notice nothing of a restart or a kill.
. "$SAMPLEFS_CHECKOUT/tests/systemd/common"
needs_linux 6.9

view=$mountpoint/subsample_100_7/param1/b792fcacb00e3078e3b8fe5c46ee5c6e/volume_velocity.pt
other_view=$mountpoint/param1/b792fcacb00e3078e3b8fe5c46ee5c6e/subsample_volume=50_3/volume_velocity.pt
sums=$(mktemp)
now() { cat <&3 | sha256sum; cat <&4 | sha256sum; }
open() { exec 3<$file 4<$view; }
process() { property MainPID; }
drop_caches() { echo 3 >/proc/sys/vm/drop_caches; }

holds systemctl start $unit
find $mountpoint -name '*.pt' -exec sha256sum {} + | sort >"$sums"
open
before=$(now)
cat $other_view | sha256sum >/run/other
device=$(device)

# Restart: files stay open, names stay known, through views too. Nothing comes from the kernel's cache.
for round in 1 2; do
    open
    head -c 100 <&3 >/dev/null
    head -c 100 <&4 >/dev/null
    first=$(process)
    began=$(date +%s%N)
    holds systemctl restart $unit
    systemctl reset-failed $unit
    echo "restart $round: $((($(date +%s%N) - began) / 1000000)) ms"
    [[ $(process) != "$first" ]] || fail "the process is the same"
    is "$(device)" "$device" "the mount after a restart"
    drop_caches
    is "$({ head -c 100 $file; cat <&3; } | sha256sum; { head -c 100 $view; cat <&4; } | sha256sum)" "$before" "open files"
    is "$(cat $other_view | sha256sum)" "$(cat /run/other)" "a view"
done

# A process that is killed is followed by one that goes on, also when requests were with it.
for round in 1 2; do
    drop_caches
    open
    touch /run/reading
    (while [[ -e /run/reading ]]; do
        drop_caches
        { cat $file $view || echo failed; } | sha256sum
    done >/run/through) &
    reader=$!
    for _ in 1 2 3; do
        first=$(process)
        kill -KILL "$first"
        changed() { local p; p=$(process); [[ $p != 0 && $p != "$first" && $(property ActiveState) == active ]]; }
        eventually changed
        # Three in a row are no loop here.
        systemctl reset-failed $unit
    done
    rm /run/reading
    holds wait $reader
    is "$(sort -u /run/through)" "$(cat $file $view | sha256sum)" "what was read through three kills"
    is "$(now)" "$before" "open files after a kill"
    is "$(device)" "$device" "the mount after a kill"
done
exec 3<&- 4<&-
find $mountpoint -name '*.pt' -exec sha256sum {} + | sort | cmp - "$sums" || fail "other bytes after all that"

# A store whose index was written anew is mounted anew: numbers may mean other nodes.
exec 3<$file
touch $store/manifest.json
holds systemctl restart $unit
[[ $(device) != "$device" ]] || fail "the mount of a store that is not the same was kept"
is "$(grep -c " $mountpoint " /proc/self/mountinfo)" 1 "mounts"
if drop_caches && cat <&3 >/dev/null 2>&1; then fail "a file of the old mount is still read"; fi
exec 3<&-
holds cmp $file $file

# A stop is a stop, also after a restart.
device=$(device)
holds systemctl restart $unit
is "$(device)" "$device" "the mount after a restart"
holds systemctl stop $unit
is "$(device)" "" "after a stop"
is "$(property NFileDescriptorStore)" 0 "descriptors that systemd keeps after a stop"

#!/usr/bin/env bash
# A user without root has the same of systemd's manager for users.
. "$SAMPLEFS_CHECKOUT/tests/systemd/common"
needs_linux 6.9

useradd --create-home tester
id=$(id -u tester)
home=/home/tester
install -d -o tester $home/mnt $home/.config $home/.config/samplefs
printf 'store = "%s"\nmountpoint = "%s"\n' $store $home/mnt >$home/.config/samplefs/samples.toml
chmod -R a+rX $store
holds systemctl start "user@$id.service"
as_tester() { setpriv --reuid=tester --regid=tester --clear-groups env HOME=$home XDG_RUNTIME_DIR="/run/user/$id" "$@"; }
mountpoint=$home/mnt
file=$mountpoint/param1/b792fcacb00e3078e3b8fe5c46ee5c6e/volume_velocity.pt

holds as_tester systemctl --user start $unit
sum=$(as_tester sha256sum $file)
device=$(device)
[[ -n $device ]] || fail "not mounted"
holds as_tester systemctl --user restart $unit
is "$(device)" "$device" "the mount after a restart"
is "$(as_tester sha256sum $file)" "$sum" "a file after a restart"
holds as_tester systemctl --user stop $unit
is "$(device)" "" "after a stop"

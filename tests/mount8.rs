//! `mount`, `umount` and fstab work with samplefs as with any filesystem. Run in a mount namespace
//! of the test's own, where /sbin has the links that a package installs.

mod common;

use std::fs;
use std::process::{Command, Output};

use common::{data, stderr};
use tempfile::TempDir;

const STORE: &str = "golden/shapenet_store";

/// A directory, and a shell script run in it as root with `mount.samplefs` and `samplefs` in /usr/sbin
/// and a private /etc/fstab.
fn shell(script: &str) -> (TempDir, Output) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["private", "mnt"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let set_up = r#"
        trap 'umount -l mnt 2>/dev/null || true' EXIT
        mount -t tmpfs none private
        mkdir private/upper private/work
        mount -t overlay none -o lowerdir=/usr/sbin,upperdir=private/upper,workdir=private/work /usr/sbin
        cp "$SAMPLEFS" /usr/sbin/samplefs
        ln -s samplefs /usr/sbin/mount.samplefs
        : > fstab; mount --bind fstab /etc/fstab
        code() { "$@" && echo 0 || echo $?; }
    "#;
    let script = format!("set -eu; {set_up}\n{script}");
    let output = Command::new("unshare")
        .args(["--mount", "bash", "-c", &script])
        .env("SAMPLEFS", env!("CARGO_BIN_EXE_samplefs"))
        .env("STORE", data(STORE))
        .current_dir(dir.path())
        .output()
        .unwrap();
    (dir, output)
}

fn said(script: &str) -> String {
    let (_dir, output) = shell(script);
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn mount_t_samplefs_and_fuse_samplefs_return_when_the_mount_answers() {
    for kind in ["samplefs", "fuse.samplefs"] {
        let said = said(&format!(
            "mount -t {kind} $STORE mnt -o format=both,uid=1234,_netdev,nofail,x-systemd.automount,allow_other 2>/dev/null
            find mnt -name '*.npy' | wc -l; stat -c %u mnt
            findmnt -n -o FSTYPE,SOURCE mnt
            umount mnt; findmnt -n mnt || echo gone"
        ));
        let source = data(STORE);
        let found = format!("fuse.samplefs {}", source.display());
        assert_eq!(said.lines().collect::<Vec<_>>(), ["21", "1234", &found, "gone"], "{kind}");
    }
}

#[test]
fn a_line_of_fstab_is_mounted_once_by_mount_a() {
    let said = said(
        "echo \"$STORE $PWD/mnt samplefs ro,nofail,_netdev,noauto,user,threads=2 0 0\" > fstab
        mount -a; findmnt -n mnt || echo 'not with noauto'
        line=$(sed s/noauto,// fstab); echo $line > fstab
        mount -a; mount -a; grep -c \" $PWD/mnt \" /proc/self/mountinfo
        umount mnt; mount mnt; ls mnt | wc -l; umount mnt",
    );
    assert_eq!(said.lines().collect::<Vec<_>>()[..2], ["not with noauto", "1"], "{said}");
}

#[test]
fn exit_codes_are_those_of_mount8() {
    let said = said(
        "code mount -t samplefs $STORE mnt -o no-such-option 2>&1
        code mount -t samplefs $STORE mnt -o threads=many 2>&1
        code mount -t samplefs /nowhere mnt 2>&1
        code mount -t samplefs $STORE /nowhere 2>/dev/null
        mount -t samplefs $STORE mnt; code mount.samplefs $STORE mnt 2>/dev/null; umount mnt
        code mount -t samplefs -s $STORE mnt -o no-such-option 2>/dev/null; umount mnt",
    );
    let lines: Vec<&str> = said.lines().collect();
    let codes: Vec<&str> = lines.iter().filter(|line| line.parse::<u8>().is_ok()).copied().collect();
    assert_eq!(codes, ["1", "1", "32", "32", "32", "0"], "{said}");
    assert!(said.contains("error: -o no-such-option: unknown option"), "{said}");
    assert!(said.contains("/nowhere"), "{said}");
}

#[test]
fn a_fake_mount_checks_everything_and_mounts_nothing() {
    let said = said(
        "code mount -f -t samplefs $STORE mnt -o threads=2; findmnt -n mnt || echo nothing
        code mount -f -n -v -t samplefs $STORE mnt -o threads=0 2>/dev/null",
    );
    assert_eq!(said.lines().collect::<Vec<_>>(), ["0", "nothing", "1"]);
}

#[test]
fn a_configuration_is_given_as_an_option_and_the_others_go_before_it() {
    let said = said(
        "printf 'uid = 77\\ngid = 78\\n' > c.toml
        mount -t samplefs $STORE mnt -o config=$PWD/c.toml,gid=79; stat -c '%u %g' mnt; umount mnt",
    );
    assert_eq!(said, "77 79\n");
}

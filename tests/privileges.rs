//! A mount's process has only the privileges that it needs.

mod common;

use std::fs;
use std::process::Command;

use common::{Mount, data};

#[test]
fn no_thread_of_a_mount_has_more_capabilities_than_mounting_and_reading_need() {
    // By their numbers in <linux/capability.h>: DAC_OVERRIDE, DAC_READ_SEARCH, SYS_ADMIN.
    let needed = 1u64 << 1 | 1 << 2 | 1 << 21;
    let mount = Mount::new(&data("golden/shapenet_store"), &[]);
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", mount.pid())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
            let set = u64::from_str_radix(value(set), 16).unwrap();
            assert_eq!(set & !needed, 0, "{status}");
        }
        assert_eq!(value("NoNewPrivs:"), "1");
        threads += 1;
    }
    assert!(threads > 2);
    mount.unmount();
}

#[test]
fn other_processes_of_the_same_user_cannot_look_into_a_mounts_process() {
    let mount = Mount::new(&data("golden/shapenet_store"), &[]);
    let look = |pid: u32| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_ptrace", "readlink"]).arg(format!("/proc/{pid}/fd/0"));
        command.output().unwrap().status.success()
    };
    let mut other = Command::new("setpriv");
    let mut other = other.args(["--bounding-set=-sys_ptrace", "tail", "-f", "/dev/null"]).spawn().unwrap();
    // Before it is itself it is a copy of this process, with all that this one may.
    let name = format!("/proc/{}/comm", other.id());
    while fs::read_to_string(&name).unwrap() != "tail\n" {
        std::thread::yield_now();
    }
    let others = look(other.id());
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(others, "this test cannot tell");
    assert!(!look(mount.pid()));
    mount.unmount();
}

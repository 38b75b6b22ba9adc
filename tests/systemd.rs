//! The units of systemd do what they say, on a systemd that is booted for it in a container of its own:
//! see `tests/systemd/boot`. Where that cannot be, these tests say so and pass.

mod common;

use std::process::Command;

use common::{data, stderr};

/// What `boot` exits with where no systemd can be booted.
const IMPOSSIBLE: i32 = 77;

fn runs(script: &str) {
    let mut boot = Command::new("timeout");
    boot.arg("290").arg(data("systemd/boot")).arg(env!("CARGO_BIN_EXE_samplefs")).arg(data(script));
    let output = boot.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => {}
        Some(IMPOSSIBLE) => samplefs::output::say(format_args!("not tested: {}", stderr(&output))),
        _ => panic!("{script}: {}\n{said}{}", output.status, stderr(&output)),
    }
}

#[test]
fn a_service_is_started_when_its_mount_answers_and_others_can_depend_on_it() {
    runs("systemd/service.sh");
}

#[test]
fn the_mount_outlives_restarts_and_kills_of_its_process() {
    runs("systemd/restart.sh");
}

#[test]
fn the_watchdog_starts_anew_what_does_not_serve() {
    runs("systemd/watchdog.sh");
}

#[test]
fn a_user_has_the_same_without_root() {
    runs("systemd/user.sh");
}

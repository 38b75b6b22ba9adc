//! The Debian package installs, works and is removed without a trace. It is installed above a layer in memory, so
//! that the machine stays as it is.

mod common;

use std::process::Command;

use common::{data, run, samplefs, stderr};

/// What is done with the package, with `$PACKAGE` and an empty `$WORK`, and / as it would be afterwards.
const INSTALL: &str = r#"
    set -eu
    cd "$WORK"
    mount -t tmpfs none .
    mkdir upper work root
    mount -t overlay none -o lowerdir=/,upperdir=upper,workdir=work root
    for place in proc dev sys; do mount --rbind /$place root/$place; done
    for place in tmp run; do mount -t tmpfs none root/$place; done
    cp "$PACKAGE" root/tmp/samplefs.deb
    cp -r "$STORE" root/tmp/store
    chroot root bash -euc '
        dpkg -i /tmp/samplefs.deb >/dev/null
        samplefs --version
        mkdir /tmp/m
        trap "umount -l /tmp/m 2>/dev/null || true" EXIT
        mount -t samplefs /tmp/store /tmp/m -o threads=2
        ls /tmp/m
        umount /tmp/m
        systemd-analyze verify --man=no samplefs@example.service && echo verified
        samplefs config check /etc/samplefs/example.toml 2>&1
        bash -c ". /usr/share/bash-completion/completions/samplefs && complete -p samplefs"
        zcat /usr/share/man/man1/mount.samplefs.1.gz | grep -c memory.-target
        dpkg -r samplefs >/dev/null
        test -e /etc/samplefs/example.toml && echo "the configuration stays"
        dpkg -P samplefs >/dev/null
    '
    # dpkg and man-db keep books of their own below /var.
    left=$(cd upper; find . -not -type d -not -path "./var/*")
    test -z "$left" && echo "nothing is left" || echo "left: $left"
"#;

#[test]
fn the_package_installs_works_and_is_removed_without_a_trace() {
    let package =
        run(Command::new(data("../scripts/package")).arg("--binary").arg(env!("CARGO_BIN_EXE_samplefs")));
    let work = tempfile::tempdir().unwrap();
    let mut install = Command::new("unshare");
    install.args(["--mount", "bash", "-c", INSTALL]).env("WORK", work.path());
    install
        .env("PACKAGE", std::fs::canonicalize(package.trim()).unwrap())
        .env("STORE", data("golden/shapenet_store"));
    let output = install.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", stderr(&output));
    for line in [
        "samplefs 0.1.0",
        "param0",
        "verified",
        "/etc/samplefs/example.toml: 4 settings, all right",
        "the configuration stays",
        "nothing is left",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in\n{said}\n{}", stderr(&output));
    }
    assert!(said.contains("-F _samplefs samplefs"), "{said}");
}

#[test]
fn completions_and_man_pages_know_every_command() {
    let pages = tempfile::tempdir().unwrap();
    run(samplefs(["man"]).arg(pages.path()));
    let help = run(&mut samplefs(["--help"]));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let commands: Vec<&str> = commands.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(commands.len() > 8, "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let completions = run(&mut samplefs(["completions", shell]));
        for command in &commands {
            assert!(completions.contains(command), "{shell} does not know {command}");
        }
    }
    for command in commands.iter().filter(|command| **command != "help") {
        let page = pages.path().join(format!("samplefs-{command}.1"));
        assert!(page.is_file(), "{} is missing", page.display());
    }
}

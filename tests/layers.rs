//! The arrows between the rooms of `src` point down.

use std::fs;
use std::path::Path;

/// The rooms of each layer, the lowest first. A room may import from its own layer and from below.
const LAYERS: [&[&str]; 8] = [
    &[
        "error",
        "dtype",
        "rows",
        "format",
        "filemap",
        "subsample",
        "memory",
        "metrics",
        "output",
        "parallel",
        "progress",
        "systemd",
        "privileges",
    ],
    &["catalog", "tree"],
    &["store", "layout"],
    &["read"],
    &["fs"],
    &["fuse"],
    &["convert", "demo"],
    &[
        "telemetry",
        "cli",
        "config",
        "mount",
        "mount8",
        "service",
        "manual",
        "stats",
        "inspect",
        "list",
        "verify",
        "status",
        "lib",
        "main",
    ],
];

/// Crates that one room alone may name.
const ONLY: [(&str, &[&str]); 5] = [
    ("fuser", &["fuse"]),
    ("zarrs", &["store"]),
    ("object_store", &["store"]),
    ("tokio", &["store"]),
    ("prometheus_client", &["metrics"]),
];

fn layer(room: &str) -> usize {
    let found = LAYERS.iter().position(|rooms| rooms.contains(&room));
    found.unwrap_or_else(|| panic!("{room} has no place in the layers"))
}

fn sources(dir: &Path, out: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else {
            let below =
                path.strip_prefix("src").unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let room = below.split('/').next().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            out.push((room, code.collect::<Vec<_>>().join("\n")));
        }
    }
}

#[test]
fn rooms_import_only_from_their_own_layer_and_from_below() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    assert!(files.len() > 20, "the sources were not found");
    for (room, code) in &files {
        for import in code.split("crate::").skip(1) {
            let used = import.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            // `use crate::{a, b}` would hide from this test.
            assert!(!used.is_empty(), "{room} groups its imports at the root");
            assert!(layer(used) <= layer(room), "{room} imports {used}, which stands above it");
        }
        for (name, rooms) in ONLY {
            let named = code.contains(&format!("use {name}::")) || code.contains(&format!(" {name}::"));
            assert!(!named || rooms.contains(&room.as_str()), "{room} names {name}");
        }
    }
}

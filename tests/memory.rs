//! A mount of a distant store stays within the memory that it was given, whatever is read at once.

mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use common::{Mount, edit, samplefs, stderr, web};
use samplefs::dtype::DType;
use samplefs::format::npy;

/// Rows of the field: 4.8 MB of values that do not compress.
const ROWS: u64 = 400_000;

/// Readers at once, each of a field of its own: 307 MB in all.
const READERS: usize = 64;

/// What a mount may hold beside its target: 32 threads with a reply of 1 MiB, a chunk as it came and one as
/// it is decoded each, the runtime, and what the allocator keeps.
const BESIDE: u64 = 128 << 20;

#[test]
fn many_readers_of_large_fields_share_the_memory_target_and_all_come_through() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, store) = (dir.path().join("tree"), dir.path().join("store"));
    fs::create_dir_all(tree.join("one")).unwrap();
    let mut state = 1u64;
    let mut values = npy::frame(&[ROWS, 3], DType::F32).prefix;
    for _ in 0..ROWS * 3 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        values.extend((((state >> 40) as f32) / 16_777_216.0).to_le_bytes());
    }
    fs::write(tree.join("one/points.npy"), values).unwrap();
    let filemap = dir.path().join("filemap.json");
    fs::write(&filemap, r#"{"volume_position": "points.pt"}"#).unwrap();
    let mut convert = samplefs(["convert"]);
    convert.arg(&tree).arg(&store).arg("--filemap").arg(&filemap).args(["--compression-level", "1"]);
    let output = convert.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    // One group under many names: to the mount they are as many fields.
    edit(&store.join("manifest.json"), |json| {
        let entry = json["samples"]["one"].clone();
        json["samples"] = (0..READERS).map(|n| (format!("sample{n}"), entry.clone())).collect();
    });

    let server = web::Server::new(&store, Duration::from_millis(5));
    let target = 48 << 20;
    let options = [format!("--memory-target={target}")];
    let mount = Mount::of(format!("http://{}", server.address()), &options);
    let first = fs::read(mount.path().join("sample0/points.pt")).unwrap();
    thread::scope(|scope| {
        for reader in 0..READERS {
            let (mount, first) = (&mount, &first);
            scope.spawn(move || {
                let path = mount.path().join(format!("sample{reader}/points.pt"));
                assert!(fs::read(&path).unwrap() == *first, "{}", path.display());
            });
        }
    });
    let status = fs::read_to_string(format!("/proc/{}/status", mount.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024;
    assert!(peak < target + BESIDE, "the mount held {} MiB", peak >> 20);
    mount.unmount();
}

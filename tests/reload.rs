//! SIGHUP: a running mount shows the store as it is now. What is the same stays as it was, down to the
//! kernel's caches; what is not is never mixed with what was.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Mount, convert, copy_tree, data, edit, shapenet, tree};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use samplefs::convert::Run;
use samplefs::convert::recipe::Recipe;
use samplefs::error::ErrorKind;
use samplefs::format::Format;
use samplefs::fs::ROOT;
use serde_json::Value;
use tempfile::TempDir;

const FIRST: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";
const SECOND: &str = "param1/b792fcacb00e3078e3b8fe5c46ee5c6e";
const THIRD: &str = "param2/0fa9edcd6a8eca1bf0381d3879d3429a";

/// A store to be changed.
struct Store {
    dir: TempDir,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_tree(&data("golden/shapenet_store"), &dir.path().join("store"));
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Changes the manifest as writers do: a new file takes the old one's place.
    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let (manifest, new) = (self.path().join("manifest.json"), self.path().join(".new"));
        fs::copy(&manifest, &new).unwrap();
        edit(&new, change);
        fs::rename(new, manifest).unwrap();
    }

    fn group(&self, sample: &str) -> PathBuf {
        self.path().join(format!("{sample}.zarr"))
    }

    /// Puts the points of a sample into another order: the same index, the same sizes, other bytes.
    fn shuffle(&self, sample: &str, seed: i64) {
        let other = self.dir.path().join(format!("seed_{seed}"));
        if !other.exists() {
            let recipe = Recipe { shuffle_seed: seed, plain: true, ..shapenet() };
            convert(&data("golden/shapenet_pt"), &other, &recipe, None, &Run::default()).unwrap();
        }
        let made = self.dir.path().join("made");
        copy_tree(&other.join(format!("{sample}.zarr")), &made);
        // At one stroke: a reader must not find half of it.
        renameat_with(CWD, &made, CWD, self.group(sample), RenameFlags::EXCHANGE).unwrap();
        fs::remove_dir_all(made).unwrap();
    }
}

/// Removes a sample from a manifest and gives its entry.
fn take(manifest: &mut Value, sample: &str) -> Value {
    manifest["samples"].as_object_mut().unwrap().shift_remove(sample).unwrap()
}

fn reload(mount: &Mount) -> String {
    mount.signal("-HUP");
    mount.hear("reloaded")
}

/// Inode numbers of everything below a directory of a mount.
fn inodes(root: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.insert(path, metadata.ino());
    }
    found
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<i32> {
    result.unwrap_err().raw_os_error()
}

/// A file in memory, as the kernel maps it.
struct Mapped(*const u8, usize);

impl Mapped {
    fn new(file: &File) -> Self {
        let size = file.metadata().unwrap().len() as usize;
        // SAFETY: a fresh mapping, at an address of the kernel's choice, of a file that is never written.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(start, libc::MAP_FAILED);
        Self(start.cast(), size)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has that size and lives as long as this.
        unsafe { std::slice::from_raw_parts(self.0, self.1) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and nothing borrows from it any more.
        unsafe { libc::munmap(self.0.cast_mut().cast(), self.1) };
    }
}

#[test]
fn an_appended_sample_appears_and_the_rest_stays_as_it_was_down_to_the_kernels_cache() {
    let store = Store::new();
    let mut entry = Value::Null;
    store.edit(|manifest| entry = take(manifest, SECOND));
    let mount = Mount::new(&store.path(), &[]);
    let at = |path: &str| mount.path().join(path);
    let (before, numbers) = (tree(mount.path()), inodes(mount.path()));
    let mut held = File::open(at(FIRST).join("volume_points.pt")).unwrap();
    let mapped = Mapped::new(&held);
    let view = at("subsample_100_1");
    let seen = tree(&view);
    assert_eq!(errno(fs::metadata(at(SECOND))), Some(libc::ENOENT));
    assert_eq!(errno(fs::metadata(view.join(SECOND))), Some(libc::ENOENT));

    // It comes between the two that were there, and a plain file comes too.
    store.edit(|manifest| manifest["samples"][SECOND] = entry);
    fs::write(store.path().join("new_ids.txt"), "new").unwrap();
    let said = reload(&mount);
    assert!(said.contains("added=1 changed=0 removed=0"), "{said}");

    let listed: Vec<_> =
        inodes(mount.path()).into_iter().filter(|(path, _)| !numbers.contains_key(path)).collect();
    assert_eq!(listed.len(), 1 + 1 + 1 + 7, "a plain file, param1, the sample, its files: {listed:?}");
    assert_eq!(fs::read(at("new_ids.txt")).unwrap(), b"new");
    for (path, number) in &numbers {
        assert_eq!(fs::metadata(path).unwrap().ino(), *number, "{}", path.display());
    }
    for (path, bytes) in &before {
        assert!(fs::read(mount.path().join(path)).unwrap() == *bytes, "{}", path.display());
    }
    for (path, bytes) in &seen {
        assert!(fs::read(view.join(path)).unwrap() == *bytes, "{}", path.display());
    }
    assert_eq!(fs::read_dir(view.join(SECOND)).unwrap().count(), 7);
    let mut again = Vec::new();
    held.read_to_end(&mut again).unwrap();
    assert!(again == mapped.bytes());
    assert!(again == before[&Path::new(FIRST).join("volume_points.pt")]);

    // All of it was read twice and served once: the second time it came from the kernel's cache.
    let rows = |path: &PathBuf| {
        let width =
            if path.ends_with("surface_pressure.pt") || path.ends_with("volume_sdf.pt") { 1 } else { 3 };
        let sample = path.to_str().unwrap();
        let points = match (sample.contains(FIRST), sample.contains("/surface_")) {
            (true, true) => 479,
            (true, false) => 2396,
            (false, true) => 463,
            (false, false) => 2506,
        };
        (points, width)
    };
    let whole: u64 = before.keys().map(|path| rows(path).0 * rows(path).1 * 4).sum();
    let part: u64 = seen.keys().map(|path| 100 * rows(path).1 * 4).sum();
    // A mount that is taken away ends when its last file is closed.
    drop((held, mapped));
    let log = mount.unmount();
    assert!(log.contains(&format!("bytes_served={} ", whole + part)), "{whole} + {part}: {log}");
}

#[test]
fn a_sample_that_was_written_anew_in_its_place_is_served_anew_and_never_mixed_with_what_was() {
    let store = Store::new();
    let mount = Mount::new(&store.path(), &[]);
    let file = mount.path().join(SECOND).join("volume_points.pt");
    let seen = mount.path().join("subsample_300_1").join(SECOND).join("volume_points.pt");
    let (before, seen_before) = (fs::read(&file).unwrap(), fs::read(&seen).unwrap());
    let number = fs::metadata(&file).unwrap().ino();
    let other = fs::read(mount.path().join(FIRST).join("volume_points.pt")).unwrap();
    let mut unread = File::open(mount.path().join(SECOND).join("surface_points.pt")).unwrap();
    let mut read = File::open(&file).unwrap();
    // Inside the sample and the view, as a process stands that was started there.
    let inside = File::open(mount.path().join(SECOND)).unwrap();

    store.shuffle(SECOND, 5);
    let said = reload(&mount);
    assert!(said.contains("added=0 changed=1 removed=0"), "{said}");

    let (after, seen_after) = (fs::read(&file).unwrap(), fs::read(&seen).unwrap());
    assert_eq!(after.len(), before.len());
    assert!(after != before && seen_after != seen_before);
    assert_ne!(fs::metadata(&file).unwrap().ino(), number);
    let fresh = Mount::new(&store.path(), &[]);
    assert!(after == fs::read(fresh.path().join(SECOND).join("volume_points.pt")).unwrap());
    fresh.unmount();
    assert!(other == fs::read(mount.path().join(FIRST).join("volume_points.pt")).unwrap());
    // What the kernel had of the old version it may go on to show; the rest of it is gone.
    assert_eq!(errno(unread.read(&mut [0; 16])), Some(libc::ESTALE));
    let mut again = Vec::new();
    match read.read_to_end(&mut again) {
        Ok(_) => assert!(again == before),
        Err(e) => assert_eq!(e.raw_os_error(), Some(libc::ESTALE)),
    }
    let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}/volume_points.pt", inside.as_raw_fd()));
    match fs::read(by_descriptor) {
        Ok(bytes) => assert!(bytes == before),
        Err(e) => assert_eq!(e.raw_os_error(), Some(libc::ESTALE)),
    }
    drop((unread, read, inside));
    mount.unmount();
}

#[test]
fn other_points_another_place_and_another_type_are_other_samples() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 3] = [
        (|m| m["samples"][SECOND] = m["samples"][FIRST].clone(), "added=0 changed=1 removed=0"),
        (|m| m["samples"][SECOND]["relpath"] = format!("{THIRD}.zarr").into(), "added=0 changed=1 removed=0"),
        (
            |m| m["domains"]["volume"]["arrays"]["volume_sdf"]["dtype"] = "float32".into(),
            "added=0 changed=3 removed=0",
        ),
    ];
    for (change, said) in changes {
        let store = Store::new();
        let mount = Mount::new(&store.path(), &[]);
        let before = inodes(&mount.path().join(SECOND));
        store.edit(change);
        let log = reload(&mount);
        assert!(log.contains(said), "{log}");
        let after = inodes(&mount.path().join(SECOND));
        assert!(before.values().all(|number| !after.values().any(|other| other == number)), "{said}");
        mount.unmount();
    }
}

#[test]
fn a_removed_sample_vanishes_and_who_holds_a_file_of_it_is_told() {
    let store = Store::new();
    let mount = Mount::new(&store.path(), &[]);
    let view = mount.path().join("subsample_100_1");
    let mut held = File::open(mount.path().join(SECOND).join("volume_sdf.pt")).unwrap();
    let mut seen = File::open(view.join(SECOND).join("volume_sdf.pt")).unwrap();
    assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 3);
    store.edit(|manifest| drop(take(manifest, SECOND)));
    let said = reload(&mount);
    assert!(said.contains("added=0 changed=0 removed=1"), "{said}");
    for root in [mount.path(), &view] {
        assert_eq!(errno(fs::metadata(root.join(SECOND))), Some(libc::ENOENT));
        assert_eq!(errno(fs::metadata(root.join("param1"))), Some(libc::ENOENT));
        assert_eq!(fs::read_dir(root).unwrap().count(), 2);
    }
    assert_eq!(errno(held.read(&mut [0; 16])), Some(libc::ESTALE));
    assert_eq!(errno(seen.read(&mut [0; 16])), Some(libc::ESTALE));
    drop((held, seen));
    mount.unmount();
}

#[test]
fn a_plain_file_that_was_replaced_is_served_anew() {
    let store = Store::new();
    fs::write(store.path().join("ids.txt"), "one").unwrap();
    fs::write(store.path().join("other.txt"), "stays").unwrap();
    let mount = Mount::new(&store.path(), &[]);
    let at = |name: &str| mount.path().join(name);
    assert_eq!(fs::read(at("ids.txt")).unwrap(), b"one");
    let kept = fs::metadata(at("other.txt")).unwrap().ino();
    fs::write(store.path().join(".ids"), "one and two").unwrap();
    fs::rename(store.path().join(".ids"), store.path().join("ids.txt")).unwrap();
    reload(&mount);
    assert_eq!(fs::read(at("ids.txt")).unwrap(), b"one and two");
    assert_eq!(fs::metadata(at("other.txt")).unwrap().ino(), kept);
    mount.unmount();
}

#[test]
fn an_index_that_cannot_be_read_leaves_the_mount_as_it_was_with_one_warning() {
    let store = Store::new();
    let mount = Mount::new(&store.path(), &[]);
    let before = tree(mount.path());
    let manifest = fs::read(store.path().join("manifest.json")).unwrap();
    let breaks: [(&dyn Fn(), &str); 3] = [
        (&|| fs::write(store.path().join("manifest.json"), &manifest[..900]).unwrap(), "EOF while parsing"),
        (&|| fs::remove_file(store.path().join("manifest.json")).unwrap(), "no such file"),
        (
            &|| {
                fs::write(store.path().join("manifest.json"), &manifest).unwrap();
                store.edit(|m| m["domains"]["wake"] = serde_json::json!({"position": "p", "arrays": {}}));
            },
            "no array for its position",
        ),
    ];
    for (damage, why) in breaks {
        damage();
        mount.signal("-HUP");
        let said = mount.hear("cannot reload");
        assert!(said.contains("WARN") && said.contains("manifest.json") && said.contains(why), "{said}");
        assert!(tree(mount.path()) == before);
    }
    fs::write(store.path().join("manifest.json"), &manifest).unwrap();
    store.edit(|manifest| drop(take(manifest, SECOND)));
    reload(&mount);
    assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 2);
    let log = mount.unmount();
    assert_eq!(log.matches("WARN").count(), 3, "{log}");
}

#[test]
fn readers_during_reloads_see_one_version_or_the_other_or_estale() {
    let store = Store::new();
    let mount = Mount::new(&store.path(), &[]);
    let paths: Vec<PathBuf> = ["volume_points.pt", "volume_velocity.pt"]
        .iter()
        .flat_map(|file| ["", "subsample_2000_3"].map(|view| mount.path().join(view).join(SECOND).join(file)))
        .collect();
    // The two versions of each file, from mounts of their own.
    let mut versions: Vec<Vec<Vec<u8>>> = vec![Vec::new(); paths.len()];
    for seed in [5, 6] {
        store.shuffle(SECOND, seed);
        let fresh = Mount::new(&store.path(), &[]);
        for (path, versions) in paths.iter().zip(&mut versions) {
            let path = fresh.path().join(path.strip_prefix(mount.path()).unwrap());
            versions.push(fs::read(path).unwrap());
        }
        fresh.unmount();
    }
    reload(&mount);
    let over = AtomicBool::new(false);
    let served: usize = std::thread::scope(|scope| {
        let readers: Vec<_> = paths
            .iter()
            .zip(&versions)
            .map(|(path, versions)| {
                let over = &over;
                scope.spawn(move || {
                    let mut served = 0;
                    while !over.load(Ordering::Relaxed) {
                        match read_in_pieces(path) {
                            Ok(bytes) => {
                                assert!(versions.contains(&bytes), "{}", path.display());
                                served += 1;
                            }
                            Err(e) => assert_eq!(e.raw_os_error(), Some(libc::ESTALE), "{e}"),
                        }
                    }
                    served
                })
            })
            .collect();
        for round in 0..20 {
            store.shuffle(SECOND, 5 + round % 2);
            reload(&mount);
        }
        over.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert!(served > 0);
    // When all is quiet the last version stands.
    for (path, versions) in paths.iter().zip(&versions) {
        assert!(fs::read(path).unwrap() == versions[1]);
    }
    mount.unmount();
}

/// Reads a file from its end to its start, past what the kernel reads ahead.
fn read_in_pieces(path: &Path) -> std::io::Result<Vec<u8>> {
    const PIECE: u64 = 8192;
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = vec![0; size as usize];
    for start in (0..size).step_by(PIECE as usize).collect::<Vec<_>>().into_iter().rev() {
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut bytes[start as usize..size.min(start + PIECE) as usize])?;
    }
    Ok(bytes)
}

#[test]
fn a_single_shard_that_was_replaced_is_stale_until_a_reload_even_when_its_index_was_forgotten() {
    let store = Store::new();
    // Nothing is kept in memory: every read reads the index again.
    let (fs, _) = common::open(&store.path(), &[Format::Pt], 0).unwrap();
    let path = format!("{SECOND}/volume_points.pt");
    let before = common::read(&fs, &path).unwrap();
    let number = common::walk(&fs, &path).unwrap().number;
    let shard = |store: &Store| store.group(SECOND).join("volume/position/c/0/0");
    let kept = fs::read(shard(&store)).unwrap();
    let other = Store::new();
    other.shuffle(SECOND, 5);
    fs::write(shard(&store), fs::read(shard(&other)).unwrap()).unwrap();
    assert_eq!(common::read(&fs, &path).unwrap_err().kind(), ErrorKind::Changed);

    let changes = fs.reload().unwrap();
    assert_eq!((changes.added, changes.changed, changes.removed), (0, 1, 0));
    assert_ne!(common::walk(&fs, &path).unwrap().number, number);
    assert_eq!(fs.getattr(number).unwrap_err().kind(), ErrorKind::Changed);
    let after = common::read(&fs, &path).unwrap();
    assert!(after.len() == before.len() && after != before);
    assert!(kept != fs::read(shard(&store)).unwrap());
}

#[test]
fn a_reload_of_what_has_not_changed_changes_nothing_and_asks_only_for_what_was_used() {
    let store = Store::new();
    let (fs, counted) = common::open(&store.path(), &[Format::Pt], 1 << 20).unwrap();
    common::read(&fs, &format!("{FIRST}/volume_points.pt")).unwrap();
    common::read(&fs, &format!("{FIRST}/volume_sdf.pt")).unwrap();
    let before = counted.requests();
    let changes = fs.reload().unwrap();
    assert!(changes.is_empty());
    // The manifest, the root's listing, the metadata of the one sample that was read.
    assert_eq!(counted.requests() - before, 3);
    common::read(&fs, &format!("{FIRST}/volume_points.pt")).unwrap();
    assert_eq!(counted.requests() - before, 3, "what was decoded is still there");
}

#[test]
fn views_are_counted_through_reloads_and_return_to_the_base_line() {
    let store = Store::new();
    let (fs, _) = common::open(&store.path(), &[Format::Pt], 0).unwrap();
    let view = fs.lookup(ROOT, b"subsample_100_1").unwrap().number;
    let parent = fs.lookup(view, b"param1").unwrap().number;
    let sample = fs.lookup(parent, SECOND.strip_prefix("param1/").unwrap().as_bytes()).unwrap().number;
    store.edit(|manifest| drop(take(manifest, SECOND)));
    fs.reload().unwrap();
    for number in [view, parent, sample] {
        fs.forget(number, 1);
    }
    assert_eq!(fs.views(), 0);
}

#[test]
fn times_tell_since_when_a_sample_is_what_it_is() {
    let store = Store::new();
    let (fs, _) = common::open(&store.path(), &[Format::Pt], 0).unwrap();
    let modified = |path: &str| common::walk(&fs, path).unwrap().modified;
    let (first, root) = (modified(FIRST), fs.getattr(ROOT).unwrap().modified);
    store.edit(|manifest| manifest["samples"][SECOND] = manifest["samples"][THIRD].clone());
    fs.reload().unwrap();
    assert_eq!(modified(FIRST), first);
    assert!(modified(SECOND) > first && fs.getattr(ROOT).unwrap().modified > root);
    store.edit(|manifest| drop(take(manifest, THIRD)));
    let second = modified(SECOND);
    fs.reload().unwrap();
    assert_eq!((modified(FIRST), modified(SECOND)), (first, second));
}

#[test]
fn a_next_process_does_not_take_over_numbers_that_a_reload_has_given() {
    let store = Store::new();
    let journal = tempfile::tempfile().unwrap();
    let again = || journal.try_clone().unwrap();
    let (fs, _) = common::open(&store.path(), &[Format::Pt], 0).unwrap();
    let title = fs.identity();
    fs.journal_views(again(), &title);
    assert!(fs.reload().unwrap().is_empty());
    let next = || common::open(&store.path(), &[Format::Pt], 0).unwrap().0;
    assert!(next().resume_views(again(), &title).unwrap(), "nothing has changed");
    // Away and back: the index is as it was, and the second sample's numbers are not.
    let mut entry = Value::Null;
    store.edit(|manifest| entry = take(manifest, SECOND));
    fs.reload().unwrap();
    store.edit(|manifest| manifest["samples"][SECOND] = entry);
    fs.reload().unwrap();
    assert!(!next().resume_views(again(), &title).unwrap());
}

//! What several tests need: the golden data, stores in a directory of one's own, real mounts, Python.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod fuzz;
pub mod proxy;
pub mod s3;
pub mod web;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use samplefs::convert::recipe::Recipe;
use samplefs::convert::{Run, Summary};
use samplefs::dtype::DType;
use samplefs::error::Result;
use samplefs::filemap::FileMap;
use samplefs::format::Format;
use samplefs::fs::{Attributes, Filesystem, Options, Prefetch, ROOT};
use samplefs::layout::names::FileNames;
use samplefs::read::{Payload, Reader};
use samplefs::store::Objects;
use samplefs::store::counted::Counted;
use samplefs::store::local::Local;
use serde_json::Value;
use tempfile::TempDir;

/// The golden data, or another directory below `tests`.
pub fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// A JSON file below `tests`.
pub fn json(path: &str) -> Value {
    serde_json::from_slice(&fs::read(data(path)).unwrap()).unwrap()
}

/// A copy of a directory below `tests`, to be changed and thrown away.
pub fn copy(path: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    copy_tree(&data(path), &store);
    (dir, store)
}

/// Copies a directory tree.
pub fn copy_tree(from: &Path, to: &Path) {
    for (path, bytes) in tree(from) {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Every file below a directory, by its path from there.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Panics with the first file in which two directories differ.
pub fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (tree(one), tree(other));
    assert!(one.keys().eq(other.keys()), "{:?} and {:?}", one.keys(), other.keys());
    for (path, bytes) in &one {
        assert!(bytes == &other[path], "{} differs", path.display());
    }
}

/// The options that the golden shapenet store was made with.
pub fn shapenet() -> Recipe {
    Recipe {
        chunk_points: NonZeroU64::new(256).unwrap(),
        ..Recipe::new("ShapeNetCarDataset", FileMap::known("shapenet-car").unwrap())
    }
}

/// The options that the golden drivaer store was made with.
pub fn drivaer() -> Recipe {
    Recipe {
        chunk_points: NonZeroU64::new(512).unwrap(),
        shard_points: NonZeroU64::new(1100),
        shuffle_seed: 3,
        field_dtypes: vec![("volume_vorticity".to_owned(), DType::F32)],
        ..Recipe::new("DrivAerNetDataset", FileMap::known("drivaernet").unwrap())
    }
}

/// Converts a directory tree into a store in a directory.
pub fn convert(
    source: &Path,
    store: &Path,
    recipe: &Recipe,
    limit: Option<usize>,
    how: &Run,
) -> Result<Summary> {
    samplefs::convert::convert(&source.to_owned().into(), &store.to_owned().into(), recipe, limit, how)
}

/// Changes the JSON in a file.
pub fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

/// The `samplefs` command.
pub fn samplefs(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samplefs"));
    command.args(args).stdin(Stdio::null());
    command
}

/// What a command said on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A real mount, which ends with the test.
pub struct Mount {
    child: Child,
    dir: TempDir,
    /// Lines that are still to be heard, and what was.
    log: Mutex<(Receiver<String>, String)>,
}

impl Mount {
    /// Mounts a store and waits until it answers.
    pub fn new(store: &Path, options: &[&str]) -> Self {
        Self::of(store, options)
    }

    /// Mounts the store at a path or URL, with the test server's key in the environment.
    pub fn of(store: impl AsRef<OsStr>, options: &[impl AsRef<OsStr>]) -> Self {
        let dir = tempfile::Builder::new().prefix("samplefs-test-").tempdir().unwrap();
        let mut command = samplefs(["mount"]);
        command.arg(store).arg(dir.path()).args(options).envs(s3::environment());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        while !first.contains("is mounted at") {
            let before = first.len();
            said.read_line(&mut first).unwrap();
            assert!(first.len() > before, "the mount ended before it answered: {first}");
        }
        let (sender, log) = mpsc::channel();
        // Nobody hears the rest when the test is over.
        std::thread::spawn(move || said.lines().try_for_each(|line| sender.send(line.unwrap() + "\n")));
        Self { child, dir, log: Mutex::new((log, String::new())) }
    }

    /// Waits for the next line of the log that holds this text.
    pub fn hear(&self, text: &str) -> String {
        let mut log = self.log.lock().unwrap();
        let (lines, heard) = &mut *log;
        loop {
            let line = lines.recv_timeout(Duration::from_secs(60));
            let line = line.unwrap_or_else(|e| panic!("{text}: {e}; the log: {heard}"));
            *heard += &line;
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends its process a signal, such as `-HUP`.
    pub fn signal(&self, signal: &str) {
        run(Command::new("kill").args([signal, &self.pid().to_string()]));
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The process that serves it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills its process, which leaves a dead mount behind.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: how it ended, and what it logged.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        assert!(!is_mounted(self.path()), "the mount outlived its process");
        let (lines, heard) = self.log.get_mut().unwrap();
        heard.extend(lines.iter());
        (status, std::mem::take(heard))
    }

    /// Unmounts it: what it logged.
    pub fn unmount(self) -> String {
        let output = samplefs(["unmount"]).arg(self.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let (status, log) = self.ended();
        assert!(status.success(), "{status}: {log}");
        log
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Nothing is left when the test has ended it; when the test failed, this cleans up.
        if is_mounted(self.path()) {
            _ = samplefs(["unmount"]).arg(self.path()).stderr(Stdio::null()).status();
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Whether the kernel's table has a mount at that path.
pub fn is_mounted(path: &Path) -> bool {
    samplefs::fuse::mounts::at(path).unwrap().is_some()
}

/// Runs a command; its stdout, or a failure with its stderr.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A Python with torch, numpy and zarr: the one of `SAMPLEFS_TEST_PYTHON`, else that of `scripts/python-env`.
pub fn python(script: &str) -> Command {
    let interpreter = std::env::var("SAMPLEFS_TEST_PYTHON").unwrap_or_else(|_| {
        let made = run(&mut Command::new(data("../scripts/python-env")));
        made.trim_end().to_owned()
    });
    let mut command = Command::new(interpreter);
    command.arg("-B").arg(data("python").join(script));
    command
}

/// A store opened in this process, and the count of what is asked of it.
pub fn open(store: &Path, formats: &'static [Format], cache: usize) -> Result<(Filesystem, Arc<Counted>)> {
    let counted = Arc::new(Counted::new(Arc::new(Local::open(store)?)));
    let options =
        Options { names: FileNames::Auto, formats, cache, prefetch: Prefetch::Auto, metrics: Arc::default() };
    let fs = Filesystem::open(Arc::clone(&counted) as Arc<dyn Objects>, &options)?;
    Ok((fs, counted))
}

/// The node at a path from the root.
pub fn walk(fs: &Filesystem, path: &str) -> Result<Attributes> {
    path.split('/').try_fold(fs.getattr(ROOT)?, |at, name| fs.lookup(at.number, name.as_bytes()))
}

/// All bytes of the file at a path from the root.
pub fn read(fs: &Filesystem, path: &str) -> Result<Vec<u8>> {
    let file = walk(fs, path)?;
    let mut bytes = Vec::new();
    fs.read(file.number, 0, file.size as usize, &mut bytes)?;
    Ok(bytes)
}

/// Paths of all files from the root, views not among them.
pub fn files(fs: &Filesystem) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(ROOT, String::new())];
    while let Some((dir, prefix)) = open.pop() {
        fs.readdir(dir, 0, |entry| {
            if entry.name != "." && entry.name != ".." {
                let path = format!("{prefix}{}", entry.name);
                if entry.attributes.is_dir {
                    open.push((entry.attributes.number, path + "/"));
                } else {
                    found.push(path);
                }
            }
            true
        })
        .unwrap();
    }
    found.sort();
    found
}

/// Records the checksums of all chunks as they are, in the arrays' metadata and the samples' copies.
pub fn record_checksums(store: &Path) {
    let objects: Arc<dyn Objects> = Arc::new(Local::open(store).unwrap());
    let layout = samplefs::layout::open(&*objects, &FileNames::Canonical).unwrap().layout;
    let reader = Reader::new(objects, 1 << 20);
    let catalog = layout.catalog();
    for sample in catalog.samples() {
        for field in catalog.fields_of(sample) {
            let payload = Payload::served_whole(layout.extent(sample, field));
            let mut values = vec![0; payload.size() as usize];
            reader.read(&payload, 0, &mut values).unwrap();
            let array = reader.explain(&payload, 0..0).unwrap().array;
            let chunk = array.chunk_rows as usize * array.dim as usize * 4;
            let sums: Vec<u32> = values.chunks(chunk).map(crc32fast::hash).collect();
            let attributes = serde_json::json!({ "samplefs": { "crc32": sums } });
            let group = store.join(&payload.array.group);
            edit(&group.join("zarr.json"), |json| {
                let copies = json.pointer_mut("/consolidated_metadata/metadata");
                if let Some(copy) = copies.and_then(|copies| copies.get_mut(&payload.array.name)) {
                    copy["attributes"] = attributes.clone();
                }
            });
            edit(&group.join(&payload.array.name).join("zarr.json"), |json| json["attributes"] = attributes);
        }
    }
}

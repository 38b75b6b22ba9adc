//! A store around a distant one that keeps what was fetched on a local disk, from one mount to the next.
//!
//! ```text
//! DIR/
//!   objects/<object>-<part>   one answer; both names are digests
//!   new/                      answers that are being written
//!   lock                      held by the process that removes the oldest
//! ```
//!
//! | bytes of an entry | what |
//! |---|---|
//! | 8 | `sfscach1` |
//! | 4 | length of the head, u32 little-endian |
//! | | the head, JSON: what was asked (a key) and what was found |
//! | | the bytes of the answer |
//! | 4 | CRC-32C of all before, little-endian |
//!
//! An entry is used only if all of it holds, so it does not matter how it came to be damaged: a
//! killed process, a full disk, a flipped bit. No state is kept but the files, so any number of
//! mounts share a directory. What goes wrong here is said once and never fails a read. That an object
//! is not there is not kept: it may be put back.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Found, Objects, Part, PlainFile, Version, Wanted, manifest};
use crate::error::{Error, ErrorKind, Result};

/// What every entry begins with: the name and version of its form.
const MAGIC: &[u8; 8] = b"sfscach1";

/// An entry is marked as used when it was last marked so long ago: marking costs a write.
const MARKED: Duration = Duration::from_secs(60);

/// What a killed process left half-written is removed when it is this old.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Room is made when this part of all of it was written since last time.
const SWEEP: u64 = 16;

/// Keeps answers of the store inside.
pub struct DiskCache {
    inner: Arc<dyn Objects>,
    directory: PathBuf,
    limit: u64,
    /// Which version of the index the mount goes by. Answers to requests without a version hold for it.
    epoch: Mutex<Option<Version>>,
    /// Bytes written since room was made.
    written: AtomicU64,
    names: AtomicU64,
    complained: AtomicBool,
    /// Answers that came from the disk.
    pub hits: AtomicU64,
}

/// What an entry answers. A request without a version is one of the index's version.
#[derive(Serialize, Deserialize, PartialEq)]
struct Key {
    store: String,
    path: String,
    part: String,
    version: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    key: Key,
    size: u64,
    tag: String,
    /// Nanoseconds since 1970.
    modified: u64,
}

impl DiskCache {
    /// Keeps at most `limit` bytes in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// A directory that cannot be made or written, or that others can enter.
    pub fn open(inner: Arc<dyn Objects>, directory: &Path, limit: u64) -> Result<Self> {
        let failed = |e: &io::Error| Error::io(format_args!("use the cache {}", directory.display()), e);
        let private = |path: &Path| match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Ok(()) => fs::metadata(path),
            Err(e) => Err(e),
        };
        let meta = private(directory).map_err(|e| failed(&e))?;
        if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
            return Err(Error::usage(format!("the cache {} is not private", directory.display()))
                .hint("give a directory of one's own with mode 0700, or one that does not exist"));
        }
        for below in ["objects", "new"] {
            private(&directory.join(below)).map_err(|e| failed(&e))?;
        }
        let cache = Self {
            inner,
            directory: directory.to_owned(),
            limit,
            epoch: Mutex::default(),
            written: AtomicU64::new(0),
            names: AtomicU64::new(0),
            complained: AtomicBool::new(false),
            hits: AtomicU64::new(0),
        };
        cache.try_to(|| cache.make_room());
        Ok(cache)
    }

    /// What a request is kept under; `None` for one that is not kept.
    fn key(&self, path: &str, part: &Part, expected: Option<&Version>) -> Option<Key> {
        if path == manifest::NAME {
            return None;
        }
        let epoch = || self.epoch.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let version = match expected {
            Some(Version::Tag(tag)) => format!("object {tag}"),
            None => match epoch()? {
                Version::Tag(tag) => format!("index {tag}"),
                Version::File(..) => return None,
            },
            Some(Version::File(..)) => return None,
        };
        let part = match part {
            Part::Whole { .. } => "whole".to_owned(),
            Part::Span(range) => format!("{}..{}", range.start, range.end),
            Part::Last(count) => format!("last {count}"),
        };
        Some(Key { store: self.inner.location(), path: path.to_owned(), part, version })
    }

    fn file(&self, key: &Key) -> PathBuf {
        let part = digest(&[&key.part, &key.version]);
        self.directory.join("objects").join(format!("{}-{part}", digest(&[&key.store, &key.path])))
    }

    /// Puts the answer into `buffer`, if it is there and whole.
    fn load(&self, key: &Key, part: &Part, buffer: &mut Vec<u8>) -> Option<Found> {
        let path = self.file(key);
        let mut file = File::open(&path).ok()?;
        let meta = file.metadata().ok()?;
        let mut entry = Vec::with_capacity(usize::try_from(meta.len()).ok()?);
        file.read_to_end(&mut entry).ok()?;
        let Some((found, bytes)) = parse(&entry, key, part) else {
            tracing::warn!("{}: a damaged entry of the cache is fetched anew", path.display());
            _ = fs::remove_file(&path);
            return None;
        };
        buffer.clear();
        buffer.extend_from_slice(bytes);
        self.hits.fetch_add(1, Ordering::Relaxed);
        mark(&file, &meta);
        Some(found)
    }

    fn store(&self, key: Key, found: &Found, bytes: &[u8]) -> io::Result<()> {
        let Version::Tag(tag) = &found.version else { return Ok(()) };
        let modified = found.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let path = self.file(&key);
        let head = Head { key, size: found.size, tag: tag.to_string(), modified: modified.as_nanos() as u64 };
        let head = serde_json::to_vec(&head)?;
        let mut entry = Vec::with_capacity(MAGIC.len() + head.len() + bytes.len() + 8);
        entry.extend_from_slice(MAGIC);
        entry.extend_from_slice(&(head.len() as u32).to_le_bytes());
        entry.extend_from_slice(&head);
        entry.extend_from_slice(bytes);
        let sum = crc32c::crc32c(&entry);
        entry.extend_from_slice(&sum.to_le_bytes());

        let name = format!("{}-{}", std::process::id(), self.names.fetch_add(1, Ordering::Relaxed));
        let new = self.directory.join("new").join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let placed = file.write_all(&entry).and_then(|()| fs::rename(&new, &path));
        if placed.is_err() {
            _ = fs::remove_file(&new);
        }
        placed?;
        let size = entry.len() as u64;
        if self.written.fetch_add(size, Ordering::Relaxed) + size > self.limit / SWEEP {
            self.written.store(0, Ordering::Relaxed);
            self.make_room()?;
        }
        Ok(())
    }

    /// Removes what has not been used for longest until there is some room again.
    fn make_room(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(self.directory.join("lock"))?;
        if lock.try_lock().is_err() {
            // Another mount is at it.
            return Ok(());
        }
        let now = SystemTime::now();
        for (path, meta) in entries(&self.directory.join("new"))? {
            if meta.modified().is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > ABANDONED)) {
                _ = fs::remove_file(path);
            }
        }
        let mut kept = entries(&self.directory.join("objects"))?;
        let mut total: u64 = kept.iter().map(|(_, meta)| meta.len()).sum();
        if total <= self.limit {
            return Ok(());
        }
        kept.sort_by_key(|(_, meta)| meta.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        for (path, meta) in kept {
            if total <= self.limit - self.limit / SWEEP {
                break;
            }
            _ = fs::remove_file(path);
            total -= meta.len();
        }
        Ok(())
    }

    /// Forgets the answers about an object that has changed, so that the next mount asks anew.
    fn forget(&self, path: &str) -> io::Result<()> {
        let object = digest(&[&self.inner.location(), path]);
        for (path, _) in entries(&self.directory.join("objects"))? {
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&object)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Does what may fail; the first failure is told.
    fn try_to(&self, run: impl FnOnce() -> io::Result<()>) {
        if let Err(e) = run()
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            let directory = self.directory.display();
            tracing::warn!("the cache {directory} does not work: {e}; reads go on without it");
        }
    }
}

impl Objects for DiskCache {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn read(
        &self,
        path: &str,
        part: Part,
        expected: Option<&Version>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let key = self.key(path, &part, expected);
        if let Some(found) = key.as_ref().and_then(|key| self.load(key, &part, buffer)) {
            return Ok(Some(found));
        }
        let answer = self.inner.read(path, part, expected, buffer);
        match &answer {
            Ok(Some(found)) if path == manifest::NAME => {
                *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.version.clone());
            }
            Ok(Some(found)) => {
                if let Some(key) = key {
                    self.try_to(|| self.store(key, found, buffer));
                }
            }
            Err(e) if e.kind() == ErrorKind::Changed => self.try_to(|| self.forget(path)),
            _ => {}
        }
        answer
    }

    fn expect(&self, wanted: &[Wanted], ahead: bool) -> bool {
        let kept = |wanted: &Wanted| {
            let part = wanted.first.as_ref().unwrap_or(&wanted.part);
            let key = self.key(&wanted.path, part, wanted.version.as_ref());
            key.is_some_and(|key| self.file(&key).exists())
        };
        let missing: Vec<Wanted> = wanted.iter().filter(|wanted| !kept(wanted)).cloned().collect();
        self.inner.expect(&missing, ahead)
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    fn list(&self) -> Result<Vec<PlainFile>> {
        self.inner.list()
    }
}

/// The answer in an entry; `None` unless everything about it holds.
fn parse<'a>(entry: &'a [u8], key: &Key, part: &Part) -> Option<(Found, &'a [u8])> {
    let (body, sum) = entry.split_last_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != crc32c::crc32c(body) {
        return None;
    }
    let (length, rest) = body.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    let (head, bytes) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    let range = part.of(head.size).ok()?;
    if head.key != *key || range.end - range.start != bytes.len() as u64 {
        return None;
    }
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(head.modified);
    Some((Found { size: head.size, version: Version::Tag(head.tag.into()), modified }, bytes))
}

/// Marks an entry as used: its time of modification is its place in the order of leaving.
fn mark(file: &File, meta: &Metadata) {
    let now = SystemTime::now();
    let old = meta.modified().is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > MARKED));
    if old {
        // An entry that cannot be marked only leaves sooner.
        _ = file.set_modified(now);
    }
}

/// The files of a directory. One that is gone by the time it is looked at is none.
fn entries(directory: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let entries = fs::read_dir(directory)?.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.path(), entry.metadata().ok()?))
    });
    Ok(entries.collect())
}

/// 128 bits of SHA-256 over the texts, each ended by a byte that none has, in hexadecimal.
fn digest(texts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text.as_bytes());
        hasher.update([0xff]);
    }
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

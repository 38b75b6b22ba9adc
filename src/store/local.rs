//! A store on a local disk: positioned reads on descriptors that are kept open.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lru::LruCache;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{Found, Objects, Part, PlainFile, RELOAD, Version, manifest};
use crate::error::{Error, ErrorKind, Result};

/// Descriptors kept open. Opening costs several times a small read; most systems allow 1,024 a process.
const KEPT: NonZeroUsize = NonZeroUsize::new(512).unwrap();

/// A directory that holds a store.
pub struct Local {
    root: OwnedFd,
    path: PathBuf,
    /// Guards only the table: reads go on outside, on a shared descriptor.
    open: Mutex<LruCache<String, Arc<OwnedFd>>>,
}

impl Local {
    /// Opens the directory.
    ///
    /// # Errors
    /// When it is none, or cannot be entered.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|e| Error::io(format_args!("open the store {}", path.display()), &e.into()))?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { root, path, open: Mutex::new(LruCache::new(KEPT)) })
    }

    /// Opens a file below the root. The kernel itself refuses a path or link that leads out
    /// (`RESOLVE_BENEATH`), so that a hostile store cannot show the daemon's other files.
    fn open_below(&self, path: &str) -> Result<Option<OwnedFd>> {
        // Without NONBLOCK, opening a FIFO would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::XDEV | Errno::LOOP) => Err(Error::new(
                ErrorKind::Denied,
                format!("{}: a link leads out of the store", self.full(path)),
            )
            .hint("replace the link by the file, or mount the store from where the files are")),
            Err(e) => Err(Error::io(format_args!("open {}", self.full(path)), &e.into())),
        }
    }

    /// The file that was last opened at a path.
    fn kept(&self, path: &str) -> Result<Option<Arc<OwnedFd>>> {
        if let Some(fd) = self.table().get(path) {
            return Ok(Some(Arc::clone(fd)));
        }
        self.fresh(path)
    }

    /// The file that is at a path now.
    fn fresh(&self, path: &str) -> Result<Option<Arc<OwnedFd>>> {
        let Some(fd) = self.open_below(path)?.map(Arc::new) else { return Ok(None) };
        let dropped = self.table().push(path.to_owned(), Arc::clone(&fd));
        // Closing happens here, outside the lock.
        drop(dropped);
        Ok(Some(fd))
    }

    fn table(&self) -> std::sync::MutexGuard<'_, LruCache<String, Arc<OwnedFd>>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn full(&self, path: &str) -> String {
        self.path.join(path).display().to_string()
    }

    fn stat(&self, fd: &OwnedFd, path: &str) -> Result<Stat> {
        rustix::fs::fstat(fd).map_err(|e| Error::io(format_args!("stat {}", self.full(path)), &e.into()))
    }
}

impl Objects for Local {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn read(
        &self,
        path: &str,
        part: Part,
        expected: Option<&Version>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let fd = if expected.is_some() { self.kept(path)? } else { self.fresh(path)? };
        let Some(fd) = fd else { return Ok(None) };
        let stat = self.stat(&fd, path)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::invalid(format!("{} is not a regular file", self.full(path))));
        }
        let found = Found { size: stat.st_size as u64, version: version(&stat), modified: modified(&stat) };
        // No links left: the file was deleted or another was renamed over it.
        if expected.is_some_and(|expected| *expected != found.version || stat.st_nlink == 0) {
            self.table().pop(path);
            return Err(changed(&self.full(path)));
        }
        let range = part.of(found.size).map_err(|e| e.within(self.full(path)))?;
        // The range lies within the file, so this is no allocation from a mere claim. What was in the
        // buffer is overwritten: clearing it first would only write zeros for nothing.
        buffer.resize((range.end - range.start) as usize, 0);
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::io::pread(&*fd, &mut buffer[filled..], range.start + filled as u64) {
                Ok(0) => return Err(changed(&self.full(path))),
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::io(format_args!("read {}", self.full(path)), &e.into())),
            }
        }
        Ok(Some(found))
    }

    fn list(&self) -> Result<Vec<PlainFile>> {
        let failed = |e: Errno| Error::io(format_args!("list {}", self.path.display()), &e.into());
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let candidate =
                matches!(entry.file_type(), FileType::RegularFile | FileType::Symlink | FileType::Unknown);
            if !candidate || name == manifest::NAME {
                continue;
            }
            // A link that leads nowhere or out of the store is not shown.
            let Ok(Some(fd)) = self.open_below(name) else { continue };
            let stat = self.stat(&fd, name)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                files.push(PlainFile {
                    name: name.to_owned(),
                    size: stat.st_size as u64,
                    version: version(&stat),
                    modified: modified(&stat),
                });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

fn changed(path: &str) -> Error {
    Error::new(ErrorKind::Changed, format!("{path} changed since it was first read")).hint(RELOAD)
}

fn version(stat: &Stat) -> Version {
    let nanoseconds = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    Version::File(stat.st_dev, stat.st_ino, stat.st_size as u64, nanoseconds)
}

fn modified(stat: &Stat) -> SystemTime {
    let nanoseconds = Duration::from_nanos(stat.st_mtime_nsec);
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let whole = if stat.st_mtime < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole.and_then(|t| t.checked_add(nanoseconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn store() -> (tempfile::TempDir, Local) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        fs::write(dir.path().join("secret"), "outside").unwrap();
        fs::write(dir.path().join("store/a"), "0123456789").unwrap();
        let local = Local::open(&dir.path().join("store")).unwrap();
        (dir, local)
    }

    fn read(local: &Local, path: &str, part: Part, expected: Option<&Version>) -> Result<Option<Vec<u8>>> {
        let mut buffer = b"old content".to_vec();
        let found = local.read(path, part, expected, &mut buffer)?;
        Ok(found.map(|_| buffer))
    }

    #[test]
    fn parts_are_read_and_what_the_file_lacks_is_an_error() {
        let (_dir, local) = store();
        let ok = |part| read(&local, "a", part, None).unwrap().unwrap();
        assert_eq!(ok(Part::Whole { limit: 10 }), b"0123456789");
        assert_eq!(ok(Part::Span(3..5)), b"34");
        assert_eq!(ok(Part::Last(2)), b"89");
        assert_eq!(read(&local, "b", Part::Last(1), None).unwrap(), None);
        assert_eq!(read(&local, "a/b", Part::Last(1), None).unwrap(), None);
        for part in [Part::Whole { limit: 9 }, Part::Span(3..11), Part::Last(11)] {
            assert_eq!(read(&local, "a", part, None).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn nothing_outside_the_root_can_be_read() {
        let (dir, local) = store();
        symlink("../secret", dir.path().join("store/link")).unwrap();
        symlink(dir.path().join("secret"), dir.path().join("store/absolute")).unwrap();
        symlink("a", dir.path().join("store/inside")).unwrap();
        for path in ["../secret", "link", "absolute"] {
            let error = read(&local, path, Part::Last(1), None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{path}: {error}");
        }
        assert_eq!(read(&local, "inside", Part::Last(1), None).unwrap().unwrap(), b"9");
        let listed: Vec<_> = local.list().unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(listed, ["a", "inside"]);
    }

    #[test]
    fn a_file_that_was_replaced_rewritten_or_deleted_is_told() {
        let changes: [fn(&Path); 3] = [
            |path| {
                fs::write(path.with_extension("new"), "0123456789").unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
            },
            |path| fs::write(path, "01234567890").unwrap(),
            |path| fs::remove_file(path).unwrap(),
        ];
        for change in changes {
            let (dir, local) = store();
            let found = local.read("a", Part::Last(1), None, &mut Vec::new()).unwrap().unwrap();
            change(&dir.path().join("store/a"));
            let error = read(&local, "a", Part::Span(0..1), Some(&found.version)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Changed);
        }
    }
}

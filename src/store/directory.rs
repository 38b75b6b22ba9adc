//! A directory that a store is written into.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::destination::{Batch, Destination, ObjectWriter};
use crate::error::{self, Error, Result};

/// Objects are files; writing one makes the directories above it, removing it those that it leaves empty.
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The directory at that path, which need not exist.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes the directories above a file.
    fn place(&self, path: &str) -> Result<PathBuf> {
        let path = self.root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| unwritable(parent, &e))?;
        }
        Ok(path)
    }

    /// Writes a file beside its place and renames it there; a `lasting` one is on disk before it has its name.
    fn put_whole(&self, path: &str, content: &[u8], lasting: bool) -> Result<()> {
        let path = self.place(path)?;
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let write = |partial: &OsString| {
            let mut file = File::create(partial)?;
            file.write_all(content)?;
            if lasting { file.sync_data() } else { Ok(()) }
        };
        write(&partial).and_then(|()| fs::rename(&partial, &path)).map_err(|e| unwritable(&path, &e))
    }
}

impl Destination for Directory {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let path = self.root.join(path);
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(Error::io(format_args!("read {}", path.display()), &e)),
        }
    }

    fn exists(&self, path: &str) -> Result<bool> {
        let path = self.root.join(path);
        path.try_exists().map_err(|e| Error::io(format_args!("look at {}", path.display()), &e))
    }

    fn put(&self, path: &str, content: &[u8]) -> Result<()> {
        self.put_whole(path, content, true)
    }

    /// Looks before it writes: who writes holds the lock.
    fn put_new(&self, path: &str, content: &[u8]) -> Result<bool> {
        match self.get(path)? {
            Some(there) => Ok(there == content),
            None => self.put(path, content).map(|()| true),
        }
    }

    fn batch(&self) -> Box<dyn Batch + '_> {
        Box::new(Files { directory: self })
    }

    fn batch_holds(&self) -> u64 {
        0
    }

    /// One call for the whole file system, however many files there are.
    fn settle(&self) -> Result<()> {
        let synced = File::open(&self.root).and_then(|root| Ok(rustix::fs::syncfs(root)?));
        synced.map_err(|e| unwritable(&self.root, &e))
    }

    fn list(&self, below: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<()> {
        let mut open = vec![below.to_owned()];
        while let Some(directory) = open.pop() {
            let path = self.root.join(&directory);
            let failed = |e: io::Error| Error::io(format_args!("list {}", path.display()), &e);
            let entries = match fs::read_dir(&path) {
                Err(e) if is_absent(&e) => continue,
                entries => entries.map_err(failed)?,
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                let name = name.to_str().ok_or_else(|| {
                    Error::invalid(format!("{}: its name is not UTF-8", entry.path().display()))
                })?;
                let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
                if entry.file_type().map_err(failed)?.is_dir() {
                    open.push(path);
                } else if visit(&path).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn remove(&self, paths: &[String]) -> Result<()> {
        for path in paths {
            let path = self.root.join(path);
            match fs::remove_file(&path) {
                Err(e) if !is_absent(&e) => return Err(unwritable(&path, &e)),
                _ => {}
            }
            let above = path.ancestors().skip(1).take_while(|above| *above != self.root);
            // A directory that is not empty stays, and so do those above it.
            _ = above.map(fs::remove_dir).find(io::Result::is_err);
        }
        Ok(())
    }

    fn lock(&self, path: &str) -> Result<Option<File>> {
        let path = self.place(path)?;
        let file = File::create(&path).map_err(|e| unwritable(&path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Err(Error::new(
                error::ErrorKind::Unavailable,
                format!("another process writes {}", self.root.display()),
            )
            .hint("wait for its end")),
            Err(fs::TryLockError::Error(e)) => Err(unwritable(&path, &e)),
        }
    }
}

/// Files, each written at once: the page cache is what is on its way.
struct Files<'a> {
    directory: &'a Directory,
}

impl Batch for Files<'_> {
    fn put(&mut self, path: &str, content: Vec<u8>) -> Result<()> {
        self.directory.put_whole(path, &content, false)
    }

    fn create(&mut self, path: &str, _longest: u64) -> Result<Box<dyn ObjectWriter + '_>> {
        let path = self.directory.place(path)?;
        let file = File::create(&path).map_err(|e| unwritable(&path, &e))?;
        Ok(Box::new(OpenFile { path, file }))
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

struct OpenFile {
    path: PathBuf,
    file: File,
}

impl ObjectWriter for OpenFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| unwritable(&self.path, &e))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::io(format_args!("write {}", path.display()), error)
}

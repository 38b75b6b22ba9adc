//! A directory tree of this machine. Links to files are followed wherever they lead, those to
//! directories are not.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Files;
use crate::convert::failure::at;
use crate::convert::file::Input;
use crate::error::{Error, Result};

/// The files below a directory.
pub struct LocalFiles {
    root: PathBuf,
}

impl LocalFiles {
    /// The files below a directory that exists.
    ///
    /// # Errors
    /// One that cannot be found.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { root: at(root, "find", root.canonicalize())? })
    }
}

impl Files for LocalFiles {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn walk(
        &self,
        enter: &dyn Fn(&str) -> bool,
        visit: &mut dyn FnMut(&str, &str, Option<u64>),
    ) -> Result<()> {
        let mut open = vec![String::new()];
        while let Some(directory) = open.pop() {
            let path = self.root.join(&directory);
            for entry in at(&path, "list", fs::read_dir(&path))? {
                let entry = at(&path, "list", entry)?;
                let name = entry.file_name();
                if !at(&entry.path(), "look at", entry.file_type())?.is_dir() {
                    // A name that is not UTF-8 is none of the FileMap's.
                    visit(&directory, &name.to_string_lossy(), None);
                    continue;
                }
                let name = name.to_str().ok_or_else(|| {
                    Error::invalid(format!("{}: its name is not UTF-8", entry.path().display()))
                })?;
                let below =
                    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
                if enter(&below) {
                    open.push(below);
                }
            }
        }
        Ok(())
    }

    fn size(&self, path: &str) -> Option<u64> {
        let metadata = fs::metadata(self.root.join(path)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    fn open(&self, path: &str, _size: u64) -> Result<Box<dyn Input + '_>> {
        let file = File::open(self.root.join(path)).map_err(|e| Error::io("open it", &e))?;
        let metadata = file.metadata().map_err(|e| Error::io("look at it", &e))?;
        if !metadata.is_file() {
            return Err(Error::invalid("not a file"));
        }
        Ok(Box::new(OpenFile { file, length: metadata.len() }))
    }

    /// What was there when the tree was looked through and is gone, without so much as a dangling link,
    /// was taken away.
    fn is_going(&self, path: &str, _error: &Error) -> bool {
        self.root.join(path).symlink_metadata().is_err() || fs::read_dir(&self.root).is_err()
    }
}

struct OpenFile {
    file: File,
    length: u64,
}

impl Input for OpenFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn append(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        let length = range.end - range.start;
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.take(length).read_to_end(out));
        match read.map_err(|e| Error::io("read it", &e))? as u64 {
            read if read < length => Err(Error::invalid(format!("{read} of {length} bytes are left"))),
            _ => Ok(()),
        }
    }
}

//! Where samples come from: a directory tree of per-field files.

use std::fs;
use std::path::{Path, PathBuf};

use super::failure::{Attempt, Failure, at};
use super::file::FieldFile;
use super::tensor::Tensor;
use crate::error::{Error, ErrorKind, Result};
use crate::filemap::{FieldSpec, FileMap};
use crate::store::manifest;

/// Samples with a tensor for every field of a FileMap.
pub trait Source: Sync {
    /// What tells this source from another.
    fn name(&self) -> String;

    /// Ids, ascending.
    fn samples(&self) -> &[String];

    /// The bytes of a sample's files; 0 when it has none.
    fn bytes(&self, sample: usize) -> u64;

    /// The bytes of the largest field of all samples, as it is held in memory.
    fn largest(&self) -> u64;

    /// One field of one sample, read into `buffer`.
    ///
    /// # Errors
    /// The sample's failure, or the run's when the source is going away.
    fn load(&self, sample: usize, field: &FieldSpec, buffer: Vec<u8>) -> Attempt<Tensor>;
}

/// A directory tree: every directory that holds all files of the FileMap is a sample, its path
/// below the root the id. A `.npy` file may stand for the `.pt` of the same stem.
pub struct Tree {
    root: PathBuf,
    filemap: FileMap,
    limit: Option<usize>,
    ids: Vec<String>,
    bytes: Vec<u64>,
    largest: u64,
    /// Directories that hold some but not all files of the FileMap.
    pub incomplete: u64,
    /// Files in samples that the FileMap does not name: how many, and one of them.
    pub unnamed: Option<(u64, PathBuf)>,
    /// Plain files in the root, by name.
    pub root_files: Vec<PathBuf>,
}

impl Tree {
    /// Looks through the tree below `root`. Links to directories are not followed, and neither
    /// are Zarr groups, hidden directories and `store` entered. Of the samples the first `limit`
    /// are taken.
    ///
    /// # Errors
    /// A directory that cannot be listed, or a tree without a sample.
    pub fn discover(root: &Path, store: &Path, filemap: &FileMap, limit: Option<usize>) -> Result<Self> {
        let root = at(root, "find", root.canonicalize())?;
        let mut tree = Self {
            filemap: filemap.clone(),
            limit,
            ids: Vec::new(),
            bytes: Vec::new(),
            largest: 0,
            incomplete: 0,
            unnamed: None,
            root_files: Vec::new(),
            root,
        };
        let store = store.canonicalize().ok();
        tree.walk(&tree.root.clone(), "", store.as_deref())?;
        if tree.ids.is_empty() {
            let files: Vec<_> = filemap.files().map(|(_, file)| file).collect();
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("no sample in {}: no directory has every file of the FileMap", tree.root.display()),
            )
            .hint(format!("a sample has {}", files.join(", "))));
        }
        tree.ids.sort_unstable();
        tree.ids.truncate(limit.unwrap_or(usize::MAX));
        tree.measure();
        Ok(tree)
    }

    fn walk(&mut self, directory: &Path, id: &str, store: Option<&Path>) -> Result<()> {
        let (mut files, mut below) = (Vec::new(), Vec::new());
        for entry in at(directory, "list", fs::read_dir(directory))? {
            let entry = at(directory, "list", entry)?;
            let path = entry.path();
            if at(&path, "look at", entry.file_type())?.is_dir() {
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                let group = path.extension().is_some_and(|extension| extension == "zarr");
                if !hidden && !group && store != Some(&path) {
                    below.push(path);
                }
            } else {
                files.push(path);
            }
        }
        self.sort_out(directory, id, files)?;
        for path in below {
            let id = match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if id.is_empty() => name.to_owned(),
                Some(name) => format!("{id}/{name}"),
                None => return Err(Error::invalid(format!("{}: its name is not UTF-8", path.display()))),
            };
            self.walk(&path, &id, store)?;
        }
        Ok(())
    }

    /// Takes in the files of one directory.
    fn sort_out(&mut self, directory: &Path, id: &str, files: Vec<PathBuf>) -> Result<()> {
        let named = self.filemap.files().map(|(_, file)| file);
        let wanted = named.chain(self.filemap.unstored().iter().map(String::as_str));
        let wanted: Vec<_> = wanted.map(|file| [PathBuf::from(file), npy(file)]).collect();
        let stands_for = |path: &Path, [pt, npy]: &[PathBuf; 2]| {
            path.file_name().is_some_and(|name| name == pt.as_os_str() || name == npy.as_os_str())
        };
        let is_wanted = |path: &Path| wanted.iter().any(|file| stands_for(path, file));
        let found = wanted.iter().filter(|file| files.iter().any(|path| stands_for(path, file))).count();
        if id.is_empty() {
            if found == wanted.len() {
                return Err(Error::usage(format!("{} is itself a sample", directory.display()))
                    .hint("give the directory above it"));
            }
            self.root_files = files.into_iter().filter(|path| is_beside_manifest(path)).collect();
            self.root_files.sort_unstable();
        } else if found == wanted.len() {
            self.ids.push(id.to_owned());
            for path in files.into_iter().filter(|path| !is_wanted(path)) {
                let (count, example) = self.unnamed.take().unwrap_or((0, path.clone()));
                self.unnamed = Some((count + 1, example.min(path)));
            }
        } else if found > 0 {
            self.incomplete += 1;
        }
        Ok(())
    }

    /// The sizes of the files of the samples that are taken.
    fn measure(&mut self) {
        for sample in 0..self.ids.len() {
            let mut bytes = 0;
            for (_, file) in self.filemap.files() {
                // A file that cannot be looked at is told when it is read.
                let size = fs::metadata(self.path(sample, file)).map_or(0, |metadata| metadata.len());
                bytes += size;
                self.largest = self.largest.max(size);
            }
            self.bytes.push(bytes);
        }
    }

    fn path(&self, sample: usize, file: &str) -> PathBuf {
        let path = self.root.join(&self.ids[sample]).join(file);
        if path.symlink_metadata().is_ok() { path } else { path.with_file_name(npy(file)) }
    }
}

/// The name of the `.npy` file that may stand for a `.pt` file.
fn npy(file: &str) -> PathBuf {
    Path::new(file).with_extension("npy")
}

/// Whether a file of the source's root is one to copy: split lists, blacklists, statistics.
fn is_beside_manifest(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    path.is_file() && name != manifest::NAME && !name.as_encoded_bytes().starts_with(b".")
}

impl Source for Tree {
    fn name(&self) -> String {
        let root = self.root.display();
        self.limit.map_or_else(|| root.to_string(), |limit| format!("the first {limit} of {root}"))
    }

    fn samples(&self) -> &[String] {
        &self.ids
    }

    fn bytes(&self, sample: usize) -> u64 {
        self.bytes[sample]
    }

    fn largest(&self) -> u64 {
        self.largest
    }

    fn load(&self, sample: usize, field: &FieldSpec, buffer: Vec<u8>) -> Attempt<Tensor> {
        let file = self.filemap.file(&field.canonical()).unwrap_or_default();
        let path = self.path(sample, file);
        let tensor =
            FieldFile::open(&path).and_then(|file| file.read(buffer).map_err(|e| e.within(path.display())));
        tensor.map_err(|error| {
            // What was there when the tree was looked through and is gone, without so much as a
            // dangling link, was taken away: nothing can be relied on now.
            let vanished = path.symlink_metadata().is_err() || fs::read_dir(&self.root).is_err();
            if vanished {
                Failure::Run(error.hint("the source went away; the same command goes on where it stopped"))
            } else {
                Failure::field(field, error)
            }
        })
    }
}

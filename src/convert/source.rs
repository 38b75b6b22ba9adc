//! Where samples come from: a directory tree of per-field files.

use std::collections::HashMap;
use std::path::Path;

use super::failure::{Attempt, Failure, resumable};
use super::file::{self, Input};
use super::files::Files;
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

    /// Says that a sample's fields will be loaded soon.
    fn expect(&self, _sample: usize) {}

    /// Shows the files that are to stand beside the manifest.
    ///
    /// # Errors
    /// Those of `visit`, and a file that cannot be opened.
    fn beside(&self, _visit: &mut dyn FnMut(&str, &dyn Input) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

/// A tree of files: every directory that holds all files of the FileMap is a sample, its path
/// below the root the id. A `.npy` file may stand for the `.pt` of the same stem.
pub struct Tree {
    files: Box<dyn Files>,
    filemap: FileMap,
    limit: Option<usize>,
    ids: Vec<String>,
    /// For each sample the file of each field, in the FileMap's order.
    found: Vec<Box<[Found]>>,
    /// Directories that hold some but not all files of the FileMap.
    pub incomplete: u64,
    /// Files in samples that the FileMap does not name: how many, and one of them.
    pub unnamed: Option<(u64, String)>,
    /// Plain files in the root, by name, and their sizes.
    root_files: Vec<(String, u64)>,
}

/// A file that is there.
#[derive(Clone, Copy)]
struct Found {
    is_npy: bool,
    /// In bytes; `None` before it was asked for, or when it is no plain file.
    size: Option<u64>,
}

/// What a directory holds.
#[derive(Default)]
struct Directory {
    /// For each file of the FileMap the one that is there.
    found: Vec<Option<Found>>,
    /// How many other files, and the first of them.
    others: u64,
    other: String,
}

impl Tree {
    /// Looks through a tree. Links to directories are not followed, and neither are Zarr groups, hidden
    /// directories and the one at `store` entered. Of the samples the first `limit` are taken.
    ///
    /// # Errors
    /// A directory that cannot be listed, or a tree without a sample.
    pub fn discover(
        files: Box<dyn Files>,
        store: Option<&str>,
        filemap: &FileMap,
        limit: Option<usize>,
    ) -> Result<Self> {
        let wanted = Wanted::new(filemap);
        let mut directories: HashMap<String, Directory> = HashMap::new();
        let mut in_root = Vec::new();
        let enter = |directory: &str| {
            let name = directory.rsplit('/').next().unwrap_or(directory);
            !name.starts_with('.') && !name.ends_with(".zarr") && store != Some(directory)
        };
        files.walk(&enter, &mut |directory, name, size| {
            if directory.is_empty() && is_beside_manifest(name) {
                in_root.push((name.to_owned(), size));
            }
            match directories.get_mut(directory) {
                Some(directory) => directory.add(&wanted, name, size),
                None => directories.entry(directory.to_owned()).or_default().add(&wanted, name, size),
            }
        })?;

        let mut tree = Self {
            filemap: filemap.clone(),
            limit,
            ids: Vec::new(),
            found: Vec::new(),
            incomplete: 0,
            unnamed: None,
            root_files: Vec::new(),
            files,
        };
        tree.sort_out(directories, wanted.count)?;
        tree.root_files = in_root.into_iter().filter_map(|file| tree.plain_file(file)).collect();
        tree.root_files.sort_unstable();
        Ok(tree)
    }

    /// Takes the samples among the directories.
    fn sort_out(&mut self, directories: HashMap<String, Directory>, wanted: usize) -> Result<()> {
        let mut samples = Vec::new();
        for (id, Directory { found, others, other }) in directories {
            let is_whole = found.len() == wanted && found.iter().all(Option::is_some);
            if is_whole && id.is_empty() {
                return Err(Error::usage(format!("{} is itself a sample", self.files.location()))
                    .hint("give the directory above it"));
            } else if is_whole {
                if others > 0 {
                    let other = format!("{id}/{other}");
                    let (count, first) = self.unnamed.take().unwrap_or_else(|| (0, other.clone()));
                    self.unnamed = Some((count + others, first.min(other)));
                }
                let stored = found.into_iter().flatten().take(self.filemap.files().count());
                samples.push((id, stored.collect::<Box<[_]>>()));
            } else if !id.is_empty() && found.iter().any(Option::is_some) {
                self.incomplete += 1;
            }
        }
        if samples.is_empty() {
            let files: Vec<_> = self.filemap.files().map(|(_, file)| file).collect();
            let root = self.files.location();
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("no sample in {root}: no directory has every file of the FileMap"),
            )
            .hint(format!("a sample has {}", files.join(", "))));
        }
        samples.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        samples.truncate(self.limit.unwrap_or(usize::MAX));
        (self.ids, self.found) = samples.into_iter().unzip();
        for sample in 0..self.ids.len() {
            for field in 0..self.found[sample].len() {
                if self.found[sample][field].size.is_none() {
                    // A file that cannot be looked at is told when it is read.
                    self.found[sample][field].size = self.files.size(&self.path(sample, field));
                }
            }
        }
        Ok(())
    }

    fn plain_file(&self, (name, size): (String, Option<u64>)) -> Option<(String, u64)> {
        let size = size.or_else(|| self.files.size(&name))?;
        Some((name, size))
    }

    /// The path of a field's file.
    fn path(&self, sample: usize, field: usize) -> String {
        let name = self.filemap.files().nth(field).map_or("", |(_, file)| file);
        let id = &self.ids[sample];
        if self.found[sample][field].is_npy { format!("{id}/{}", npy(name)) } else { format!("{id}/{name}") }
    }

    fn size(&self, sample: usize, field: usize) -> u64 {
        self.found[sample][field].size.unwrap_or(0)
    }
}

impl Directory {
    fn add(&mut self, wanted: &Wanted, name: &str, size: Option<u64>) {
        let Some(stands_for) = wanted.names.get(name) else {
            if self.others == 0 || name < self.other.as_str() {
                name.clone_into(&mut self.other);
            }
            self.others += 1;
            return;
        };
        self.found.resize(wanted.count, None);
        for (file, is_npy) in stands_for {
            // The file that the FileMap names comes before the one that may stand for it.
            if !is_npy || self.found[*file].is_none() {
                self.found[*file] = Some(Found { is_npy: *is_npy, size });
            }
        }
    }
}

/// The files that a sample has.
struct Wanted {
    /// Name of a file → the files of the FileMap that it is or stands for as `.npy`.
    names: HashMap<String, Vec<(usize, bool)>>,
    count: usize,
}

impl Wanted {
    fn new(filemap: &FileMap) -> Self {
        let files = filemap.files().map(|(_, file)| file);
        let files = files.chain(filemap.unstored().iter().map(String::as_str));
        let mut wanted = Self { names: HashMap::new(), count: 0 };
        for file in files {
            for (name, is_npy) in [(file.to_owned(), false), (npy(file), true)] {
                wanted.names.entry(name).or_default().push((wanted.count, is_npy));
            }
            wanted.count += 1;
        }
        wanted
    }
}

/// The name of the `.npy` file that may stand for a `.pt` file.
fn npy(file: &str) -> String {
    Path::new(file).with_extension("npy").to_string_lossy().into_owned()
}

/// Whether a file of the source's root is one to copy: split lists, blacklists, statistics.
fn is_beside_manifest(name: &str) -> bool {
    name != manifest::NAME && !name.starts_with('.')
}

impl Source for Tree {
    fn name(&self) -> String {
        let root = self.files.location();
        self.limit.map_or_else(|| root.clone(), |limit| format!("the first {limit} of {root}"))
    }

    fn samples(&self) -> &[String] {
        &self.ids
    }

    fn bytes(&self, sample: usize) -> u64 {
        (0..self.found[sample].len()).map(|field| self.size(sample, field)).sum()
    }

    fn largest(&self) -> u64 {
        self.found.iter().flatten().filter_map(|found| found.size).max().unwrap_or(0)
    }

    fn load(&self, sample: usize, field: &FieldSpec, buffer: Vec<u8>) -> Attempt<Tensor> {
        let Some(at) = self.filemap.files().position(|(spec, _)| spec == field) else {
            return Err(Failure::field(field, Error::new(ErrorKind::Internal, "not a field of the FileMap")));
        };
        let path = self.path(sample, at);
        file::read(&*self.files, &path, self.size(sample, at), buffer).map_err(|error| {
            if self.files.is_going(&path, &error) {
                Failure::Run(resumable(error))
            } else {
                Failure::field(field, error)
            }
        })
    }

    fn expect(&self, sample: usize) {
        let fields = 0..self.found[sample].len();
        self.files.expect(&mut fields.map(|field| (self.path(sample, field), self.size(sample, field))));
    }

    fn beside(&self, visit: &mut dyn FnMut(&str, &dyn Input) -> Result<()>) -> Result<()> {
        for (name, size) in &self.root_files {
            match self.files.open(name, *size) {
                Ok(file) => visit(name, &*file)?,
                // An empty object that stands for a directory has a name that no listing shows whole.
                Err(error) if error.kind() == ErrorKind::NotFound && *size == 0 => {}
                Err(error) => return Err(error.within(format_args!("{}/{name}", self.files.location()))),
            }
        }
        Ok(())
    }
}

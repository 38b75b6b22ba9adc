//! A store in the making: samples appear whole, the manifest last, and what a killed run left
//! behind is taken up again.
//!
//! Until the manifest is in place, the hidden directory [`NAME`] stands in the store's root:
//!
//! | entry | what |
//! |---|---|
//! | `options.json` | what the store is made with; a run with anything else is refused |
//! | `new/<n>` | groups that are not whole yet; a later run removes them |
//! | `replaced.json` | `--overwrite` is removing the former store's groups |
//! | `lock` | held while a run is at work |
//!
//! A group that has its final name was on disk before it got it (one `syncfs` for all that became
//! ready in the meantime), so a sample that is there is done, even after a power failure.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::failure::{at, unwritable};
use super::recipe::relpath;
use crate::error::{Error, ErrorKind, Result};
use crate::store::manifest;

/// The directory's name.
pub const NAME: &str = ".samplefs-convert";

/// A half-made store, locked.
pub struct Staging {
    store: PathBuf,
    directory: PathBuf,
    _lock: File,
}

impl Staging {
    /// Starts a store or goes on with one. `options` is a flat object; `validate` is asked before
    /// anything of a former store is removed.
    ///
    /// # Errors
    /// A finished store or one made with other options without `overwrite`, a directory that is no
    /// store, a store that another run works on, and failed writes.
    pub fn open(
        store: &Path,
        options: &Value,
        overwrite: bool,
        validate: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let directory = store.join(NAME);
        let fresh = !directory.exists();
        let manifest = store.join(manifest::NAME);
        if fresh && manifest.exists() && !overwrite {
            return Err(finished(store));
        }
        if fresh && !manifest.exists() && !is_empty(store)? {
            return Err(refused(format!("{} is not empty and is not a store", store.display()))
                .hint("give a directory that is empty or does not exist"));
        }
        fs::create_dir_all(&directory).map_err(|e| unwritable(&directory, &e))?;
        let lock = lock(&directory)?;
        let staging = Self { store: store.to_owned(), directory, _lock: lock };

        let recorded = staging.recorded()?;
        let differences = recorded.as_ref().map(|old| differences(old, options)).unwrap_or_default();
        // With a manifest and the same options the last run was killed while it cleaned up: its
        // samples are all found, and the manifest comes out the same.
        let cleaning_up = recorded.is_some() && differences.is_empty() && !overwrite;
        if manifest.exists() && !cleaning_up {
            let replace = if overwrite { validate() } else { Err(finished(store)) };
            if let Err(error) = replace {
                staging.remove()?;
                return Err(error);
            }
            staging.forget_options()?;
            staging.rename(&manifest, &staging.replaced())?;
        } else if !differences.is_empty() {
            if !overwrite {
                return Err(refused(format!(
                    "{} is half made with other options: {}",
                    store.display(),
                    differences.join("; ")
                ))
                .hint("use the former options, or --overwrite to start again"));
            }
            validate()?;
            staging.rename(&staging.options(), &staging.replaced())?;
        }
        staging.clear()?;
        staging.write(&staging.options(), format!("{options:#}").as_bytes())?;
        Ok(staging)
    }

    /// The final place of a sample's group.
    fn place(&self, sample: &str) -> PathBuf {
        self.store.join(relpath(sample))
    }

    /// The text of a sample's `zarr.json` where the sample is done.
    pub fn done(&self, sample: &str) -> Option<Vec<u8>> {
        fs::read(self.place(sample).join("zarr.json")).ok()
    }

    /// An empty directory for the group of sample number `number`, until it is whole.
    ///
    /// # Errors
    /// A failed write.
    pub fn new_group(&self, number: usize) -> Result<PathBuf> {
        let path = self.new_groups().join(number.to_string());
        fs::create_dir_all(&path).map_err(|e| unwritable(&path, &e))?;
        Ok(path)
    }

    /// Gives whole groups their final names.
    ///
    /// # Errors
    /// A failed write.
    pub fn publish(&self, groups: &[(PathBuf, &str)]) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        self.sync()?;
        for (group, sample) in groups {
            let place = self.place(sample);
            let parent = place.parent().unwrap_or(&self.store);
            fs::create_dir_all(parent).map_err(|e| unwritable(parent, &e))?;
            self.rename(group, &place)?;
        }
        Ok(())
    }

    /// Copies a file of the source's root beside the manifest.
    ///
    /// # Errors
    /// A failed read or write.
    pub fn copy(&self, file: &Path) -> Result<()> {
        let Some(name) = file.file_name() else { return Ok(()) };
        let copy = self.directory.join("copy");
        let mut from = at(file, "read", File::open(file))?;
        let mut to = File::create(&copy).map_err(|e| unwritable(&copy, &e))?;
        std::io::copy(&mut from, &mut to).map_err(|e| unwritable(&copy, &e))?;
        self.rename(&copy, &self.store.join(name))
    }

    /// Puts the manifest in place: the store is finished.
    ///
    /// # Errors
    /// A failed write.
    pub fn finish(self, manifest: &str) -> Result<()> {
        let new = self.directory.join(manifest::NAME);
        self.write(&new, manifest.as_bytes())?;
        self.sync()?;
        self.rename(&new, &self.store.join(manifest::NAME))?;
        self.sync()?;
        self.remove()
    }

    /// Gives up a store that has no sample.
    ///
    /// # Errors
    /// A failed write.
    pub fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.directory).map_err(|e| unwritable(&self.directory, &e))
    }

    fn options(&self) -> PathBuf {
        self.directory.join("options.json")
    }

    fn replaced(&self) -> PathBuf {
        self.directory.join("replaced.json")
    }

    fn new_groups(&self) -> PathBuf {
        self.directory.join("new")
    }

    /// The options of the run that began this store.
    fn recorded(&self) -> Result<Option<Value>> {
        match fs::read(self.options()) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|e| Error::invalid(format!("{}: {e}", self.options().display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(format_args!("read {}", self.options().display()), &e)),
        }
    }

    fn forget_options(&self) -> Result<()> {
        match fs::remove_file(self.options()) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(unwritable(&self.options(), &e)),
            _ => Ok(()),
        }
    }

    /// Removes what earlier runs left: groups that are not whole, and a replaced store's.
    fn clear(&self) -> Result<()> {
        let new = self.new_groups();
        if new.exists() {
            fs::remove_dir_all(&new).map_err(|e| unwritable(&new, &e))?;
        }
        let replaced = self.replaced();
        if replaced.exists() {
            remove_groups(&self.store)?;
            fs::remove_file(&replaced).map_err(|e| unwritable(&replaced, &e))?;
        }
        Ok(())
    }

    /// Writes a file that appears whole.
    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        let partial = path.with_extension("partial");
        fs::write(&partial, content).map_err(|e| unwritable(&partial, &e))?;
        self.rename(&partial, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|e| unwritable(to, &e))
    }

    fn sync(&self) -> Result<()> {
        let directory = File::open(&self.directory).map_err(|e| unwritable(&self.directory, &e))?;
        rustix::fs::syncfs(directory).map_err(|e| unwritable(&self.directory, &e.into()))
    }
}

fn finished(store: &Path) -> Error {
    refused(format!("{} is a finished store", store.display())).hint("--overwrite replaces it")
}

/// The command line can be meant, but not for what is there.
fn refused(message: String) -> Error {
    Error::new(ErrorKind::Denied, message)
}

fn is_empty(directory: &Path) -> Result<bool> {
    match fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(Error::io(format_args!("list {}", directory.display()), &e)),
    }
}

fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    let file = File::create(&path).map_err(|e| unwritable(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(Error::new(ErrorKind::Unavailable, "another convert works on this store"))
        }
        Err(fs::TryLockError::Error(e)) => Err(unwritable(&path, &e)),
    }
}

/// What changed between two flat objects, in words.
fn differences(old: &Value, new: &Value) -> Vec<String> {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return vec!["its record cannot be read".to_owned()];
    };
    let text = |value: Option<&Value>| value.map_or("not set".to_owned(), Value::to_string);
    let all = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    all.filter(|key| old.get(*key) != new.get(*key))
        .map(|key| format!("{key} was {}, is now {}", text(old.get(key)), text(new.get(key))))
        .collect()
}

/// Removes every Zarr group below a store's root.
fn remove_groups(directory: &Path) -> Result<()> {
    for entry in at(directory, "list", fs::read_dir(directory))? {
        let entry = at(directory, "list", entry)?;
        let path = entry.path();
        if !at(&path, "look at", entry.file_type())?.is_dir() || entry.file_name() == NAME {
            continue;
        }
        if path.extension().is_some_and(|extension| extension == "zarr") {
            fs::remove_dir_all(&path).map_err(|e| unwritable(&path, &e))?;
        } else {
            remove_groups(&path)?;
        }
    }
    Ok(())
}

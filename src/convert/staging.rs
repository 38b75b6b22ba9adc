//! A store in the making: a sample is found through its `zarr.json`, which is put after all else of it; a
//! store through its manifest, which comes last; and what a killed run left behind is taken up again.
//!
//! Until the manifest is in place, these stand below the hidden name [`NAME`] in the store's root:
//!
//! | object | what |
//! |---|---|
//! | `options.json` | what the store is made with; a run with anything else is refused |
//! | `replaced.json` | `--overwrite` is removing the former store's groups |
//! | `lock` | held while a run is at work, where the medium knows locks |
//!
//! Where it knows none, two runs of the same command write the same bytes under the same names, and
//! remove nothing that the other writes. A run whose options have been replaced notices before it
//! finishes another sample.

use std::collections::HashSet;
use std::fs::File;
use std::ops::ControlFlow;

use serde_json::Value;

use super::failure::{Attempt, Failure, resumable};
use super::file::Input;
use super::recipe::relpath;
use crate::error::{Error, ErrorKind, Result};
use crate::store::destination::{Batch, Destination, ObjectWriter};
use crate::store::manifest;

/// The name below which a run keeps its own objects.
pub const NAME: &str = ".samplefs-convert";

/// Copied at a time.
const PIECE: u64 = 8 << 20;

/// Names that are removed together.
const TOGETHER: usize = 1000;

/// A half-made store, locked where that is possible.
pub struct Staging<'a> {
    store: &'a dyn Destination,
    options: Vec<u8>,
    /// An earlier run with the same options began this store.
    resumed: bool,
    /// That run was stopped after it had put the manifest.
    cleaning_up: bool,
    _lock: Option<File>,
}

/// What stands in a store's root.
struct State {
    recorded: Option<Value>,
    replaced: bool,
    manifest: bool,
}

impl State {
    fn of(store: &dyn Destination) -> Result<Self> {
        let options = options();
        let parsed = |text: Vec<u8>| {
            serde_json::from_slice(&text)
                .map_err(|e| Error::invalid(format!("{}/{options}: {e}", store.location())))
        };
        Ok(Self {
            recorded: store.get(&options)?.map(parsed).transpose()?,
            replaced: store.exists(&replaced())?,
            manifest: store.exists(manifest::NAME)?,
        })
    }

    /// No run has begun a store here and not ended it.
    fn is_fresh(&self) -> bool {
        self.recorded.is_none() && !self.replaced
    }
}

impl<'a> Staging<'a> {
    /// Starts a store or goes on with one. `options` is a flat object; `validate` is asked before
    /// anything of a former store is removed.
    ///
    /// # Errors
    /// A finished store or one made with other options without `overwrite`, a place that holds something
    /// else, a store that another run works on, and failed writes.
    pub fn open(
        store: &'a dyn Destination,
        options: &Value,
        overwrite: bool,
        validate: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let state = State::of(store)?;
        if state.is_fresh() && state.manifest && !overwrite {
            return Err(finished(store));
        }
        if state.is_fresh() && !state.manifest && !is_empty(store)? {
            return Err(refused(format!("{} is not empty and is not a store", store.location()))
                .hint("give a place that is empty or does not exist"));
        }
        let lock = store.lock(&format!("{NAME}/lock")).map_err(resumable)?;
        // What was seen without the lock may be gone.
        let State { recorded, replaced: mut replacing, manifest } = State::of(store)?;
        let differences = recorded.as_ref().map(|old| differences(old, options)).unwrap_or_default();
        // With a manifest and the same options the last run was killed while it cleaned up: its
        // samples are all found, and the manifest comes out the same.
        let cleaning_up = manifest && recorded.is_some() && differences.is_empty() && !overwrite;
        let resumed = recorded.is_some() && differences.is_empty() && (!manifest || cleaning_up);
        let staging = Self {
            store,
            options: format!("{options:#}").into_bytes(),
            resumed: resumed && !replacing,
            cleaning_up,
            _lock: lock,
        };

        if manifest && !cleaning_up {
            let replace = if overwrite { validate() } else { Err(finished(store)) };
            if let Err(error) = replace {
                staging.remove()?;
                return Err(error);
            }
            // In this order a run that is stopped leaves either a finished store or one to be replaced.
            staging.forget(&self::options())?;
            staging.put(&replaced(), b"{}")?;
            staging.forget(manifest::NAME)?;
            replacing = true;
        } else if !differences.is_empty() {
            if !overwrite {
                return Err(refused(format!(
                    "{} is half made with other options: {}",
                    store.location(),
                    differences.join("; ")
                ))
                .hint("use the former options, or --overwrite to start again"));
            }
            validate()?;
            staging.put(&replaced(), b"{}")?;
            staging.forget(&self::options())?;
            replacing = true;
        }
        if replacing {
            staging.remove_groups()?;
            staging.forget(&replaced())?;
        }
        if !store.put_new(&self::options(), &staging.options).map_err(resumable)? {
            return Err(staging.taken());
        }
        Ok(staging)
    }

    /// Whether an earlier run may have left something.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The text of a sample's `zarr.json` where the sample is done.
    ///
    /// # Errors
    /// What keeps it from being told.
    pub fn done(&self, sample: &str) -> Result<Option<Vec<u8>>> {
        self.store.get(&metadata(sample))
    }

    /// The group of a sample, of which nothing has been written.
    pub fn group(&self, sample: &str) -> Group<'a> {
        // The metadata comes later, or from another run by now.
        let written = HashSet::from([metadata(sample)]);
        Group { path: relpath(sample), batch: self.store.batch(), written }
    }

    /// Waits until all of a group is there. What an earlier run wrote under other names is removed: when a
    /// source has changed it may be chunks that are now left out.
    ///
    /// # Errors
    /// A failed write.
    pub fn complete(&self, mut group: Group<'a>) -> Attempt<()> {
        group.batch.finish().map_err(Failure::write)?;
        if self.resumed {
            self.remove_below(&group.path, &group.written).map_err(Failure::Run)
        } else {
            Ok(())
        }
    }

    /// Removes what was written of a group.
    ///
    /// # Errors
    /// A failed write.
    pub fn abandon(&self, mut group: Group<'a>) -> Attempt<()> {
        group.batch.finish().map_err(Failure::write)?;
        self.remove_below(&group.path, &HashSet::new()).map_err(Failure::Run)
    }

    /// Makes samples of complete groups: each with the text of its `zarr.json`.
    ///
    /// # Errors
    /// A failed write, and options that another run has replaced.
    pub fn publish(&self, groups: &mut Vec<(&str, String)>) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        self.store.settle().map_err(resumable)?;
        self.check_options()?;
        let mut batch = self.store.batch();
        for (sample, metadata) in groups.drain(..) {
            batch.put(&self::metadata(sample), metadata.into_bytes()).map_err(resumable)?;
        }
        batch.finish().map_err(resumable)
    }

    /// Copies a file of the source's root beside the manifest.
    ///
    /// # Errors
    /// A failed read or write.
    pub fn copy(&self, name: &str, file: &dyn Input) -> Result<()> {
        let length = file.length();
        let mut batch = self.store.batch();
        let mut copy = batch.create(name, length).map_err(resumable)?;
        let mut piece = Vec::new();
        for start in (0..length).step_by(PIECE as usize) {
            piece.clear();
            file.append(start..length.min(start + PIECE), &mut piece)?;
            copy.append(&piece).map_err(resumable)?;
        }
        copy.finish().map_err(resumable)?;
        batch.finish().map_err(resumable)
    }

    /// Puts the manifest in place: the store is finished.
    ///
    /// # Errors
    /// A failed write, and a store that another run has finished otherwise.
    pub fn finish(self, manifest: &str) -> Result<()> {
        self.store.settle().map_err(resumable)?;
        self.check_options()?;
        if self.cleaning_up {
            self.put(manifest::NAME, manifest.as_bytes())?;
        } else if !self.store.put_new(manifest::NAME, manifest.as_bytes()).map_err(resumable)? {
            return Err(self.taken());
        }
        self.store.settle().map_err(resumable)?;
        self.remove()
    }

    /// Gives up a store that has no sample.
    ///
    /// # Errors
    /// A failed write.
    pub fn remove(&self) -> Result<()> {
        self.remove_below(NAME, &HashSet::new())
    }

    /// Whether this is still the run whose store it is.
    fn check_options(&self) -> Result<()> {
        match self.store.get(&options())? {
            Some(options) if options == self.options => Ok(()),
            _ => Err(self.taken()),
        }
    }

    fn taken(&self) -> Error {
        refused(format!("another convert has begun or finished {}", self.store.location()))
            .hint("wait for its end; what it finished is whole")
    }

    fn put(&self, path: &str, content: &[u8]) -> Result<()> {
        self.store.put(path, content).map_err(resumable)
    }

    fn forget(&self, path: &str) -> Result<()> {
        self.store.remove(&[path.to_owned()]).map_err(resumable)
    }

    /// Removes every Zarr group below the root.
    fn remove_groups(&self) -> Result<()> {
        let in_group = |path: &str| {
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            directory.split('/').any(|name| name.ends_with(".zarr"))
        };
        self.remove_where("", in_group)
    }

    fn remove_below(&self, path: &str, keep: &HashSet<String>) -> Result<()> {
        self.remove_where(path, |path| !keep.contains(path))
    }

    fn remove_where(&self, below: &str, is_removed: impl Fn(&str) -> bool) -> Result<()> {
        loop {
            let mut paths = Vec::new();
            self.store.list(below, &mut |path| {
                paths.extend(is_removed(path).then(|| path.to_owned()));
                if paths.len() < TOGETHER { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if paths.is_empty() {
                return Ok(());
            }
            self.store.remove(&paths).map_err(resumable)?;
        }
    }
}

/// A sample's group while it is written.
pub struct Group<'a> {
    path: String,
    batch: Box<dyn Batch + 'a>,
    /// Paths from the store's root.
    written: HashSet<String>,
}

impl Group<'_> {
    /// Puts an object of the group.
    ///
    /// # Errors
    /// A failed write ends the run.
    pub fn put(&mut self, path: &str, content: Vec<u8>) -> Attempt<()> {
        let path = self.place(path);
        self.batch.put(&path, content).map_err(Failure::write)
    }

    /// Begins an object of the group that will have at most `longest` bytes.
    ///
    /// # Errors
    /// A failed write ends the run.
    pub fn create(&mut self, path: &str, longest: u64) -> Attempt<Box<dyn ObjectWriter + '_>> {
        let path = self.place(path);
        self.batch.create(&path, longest).map_err(Failure::write)
    }

    fn place(&mut self, path: &str) -> String {
        let path = format!("{}/{path}", self.path);
        self.written.insert(path.clone());
        path
    }
}

/// What makes a sample of a group.
fn metadata(sample: &str) -> String {
    format!("{}/zarr.json", relpath(sample))
}

fn options() -> String {
    format!("{NAME}/options.json")
}

fn replaced() -> String {
    format!("{NAME}/replaced.json")
}

fn finished(store: &dyn Destination) -> Error {
    refused(format!("{} is a finished store", store.location())).hint("--overwrite replaces it")
}

/// The command line can be meant, but not for what is there.
fn refused(message: String) -> Error {
    Error::new(ErrorKind::Denied, message)
}

/// Whether there is nothing, but for what a run of ours may have left.
fn is_empty(store: &dyn Destination) -> Result<bool> {
    let mut empty = true;
    store.list("", &mut |path| {
        empty = path.split('/').next() == Some(NAME);
        if empty { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(empty)
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

//! Converting samples into a store: the run from discovery to manifest.
//!
//! Workers take samples in order of id and write each into a group of its own, field by field;
//! the calling thread makes samples of whole groups, tells what happens, and writes the manifest
//! at the end. No sample's bytes depend on another's, so they do not depend on the workers.

pub mod cast;
pub mod cli;
pub mod failure;
pub mod file;
pub mod files;
mod metadata;
mod read_npy;
mod read_pt;
pub mod recipe;
mod sample;
mod shuffle;
pub mod source;
mod staging;
pub mod tensor;
mod write;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::memory;
use crate::output;
use crate::parallel;
use crate::progress::Progress;
use crate::store::access::Access;
use crate::store::address::Address;
use crate::store::destination::{self, Destination};
use crate::store::manifest::{DomainGrid, Entries};
use failure::{Attempt, Failure, Skipped};
use recipe::{Domain, Recipe};
use sample::{Scratch, Written};
use source::{Source, Tree};
use staging::Staging;

/// Whole samples wait for others until making the last ones durable has cost no more than one
/// part in so many of the time: where the disk is slow, more of them share one wait for it.
const PUBLISH_SHARE: u32 = 10;

/// Samples of an earlier run that are looked at together: each is one small request.
const LOOKED_AT: usize = 16;

/// How a run is carried out; none of it changes a sample's bytes.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Threads; 0 for as many as there are cores.
    pub workers: usize,
    /// Stop at the first broken sample instead of leaving it out.
    pub stop_at_failure: bool,
    /// Replace a finished store, or one half made with other options.
    pub overwrite: bool,
    /// How to reach a source or store that is not on this machine.
    pub access: Access,
}

/// How a run ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Samples that the source has.
    pub samples: usize,
    /// Samples that this run wrote.
    pub written: usize,
    /// Samples that an earlier run had written.
    pub found_done: usize,
    /// Points in all samples of the store, over all domains.
    pub points: u64,
    /// Bytes of the storages that this run read.
    pub bytes_in: u64,
    /// Bytes of the shards that this run wrote.
    pub bytes_out: u64,
    /// Wall time.
    pub seconds: f64,
    /// Samples that were left out.
    pub skipped: Vec<Skipped>,
}

impl Summary {
    /// Whether there is a store.
    pub fn any(&self) -> bool {
        self.written + self.found_done > 0
    }
}

/// Converts a tree of per-field files.
///
/// # Errors
/// As [`run`], and a tree without samples.
pub fn convert(
    source: &Address,
    store: &Address,
    recipe: &Recipe,
    limit: Option<usize>,
    how: &Run,
) -> Result<Summary> {
    let destination = destination::open(store, &how.access)?;
    let files = files::open(source, &how.access)?;
    let tree = Tree::discover(files, files::below(source, store).as_deref(), &recipe.filemap, limit)?;
    if tree.incomplete > 0 {
        output::say(format_args!(
            "warning: {} directories lack files of the FileMap and are passed over",
            tree.incomplete
        ));
    }
    if let Some((count, example)) = &tree.unnamed {
        output::say(format_args!(
            "warning: {count} files in samples are not in the FileMap, such as {example}"
        ));
    }
    run(&tree, &*destination, recipe, how)
}

/// Writes the samples of a source into a store, and beside the manifest what the source has for that.
///
/// A run in which every sample failed leaves no store; its summary says so.
///
/// # Errors
/// What ends the run: a store that is finished, or half made with other options, or cannot be
/// written; a source that goes away; with `stop_at_failure` the first broken sample.
pub fn run(source: &dyn Source, store: &dyn Destination, recipe: &Recipe, how: &Run) -> Result<Summary> {
    let started = Instant::now();
    let domains = recipe.domains()?;
    let mut options = recipe.to_json();
    options["source"] = source.name().into();
    options["samplefs"] = env!("CARGO_PKG_VERSION").into();
    let mut summary = Summary { samples: source.samples().len(), ..Summary::default() };
    let validate = || readable(source, &domains);
    let staging = Staging::open(store, &options, how.overwrite, validate)?;

    let job = Job { source, recipe, domains: &domains, staging: &staging, uploads: store.batch_holds() };
    let grids = job.write_samples(how, &mut summary)?;
    summary.points = grids.iter().flat_map(|(_, g)| g.iter()).map(|(_, grid)| grid.n_points).sum();
    if grids.is_empty() {
        staging.remove()?;
    } else {
        source.beside(&mut |name, file| staging.copy(name, file))?;
        staging.finish(&recipe.manifest(grids)?.to_json())?;
    }
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

/// Whether some sample can be read: a former store is not given up for a source that has none.
fn readable(source: &dyn Source, domains: &[Domain]) -> Result<()> {
    let mut first = None;
    for sample in 0..source.samples().len() {
        let mut fields = domains.iter().flat_map(|domain| &domain.fields);
        match fields.try_for_each(|field| source.load(sample, field, Vec::new()).map(|_| ())) {
            Ok(()) => return Ok(()),
            Err(Failure::Run(error) | Failure::Sample { error, .. }) => _ = first.get_or_insert(error),
        }
    }
    let error = first.unwrap_or_else(|| Error::invalid("the source has no samples"));
    Err(error.within("the store is kept, for no sample of the source can be read"))
}

/// What all workers share.
struct Job<'a> {
    source: &'a dyn Source,
    recipe: &'a Recipe,
    domains: &'a [Domain],
    staging: &'a Staging<'a>,
    /// The most bytes that a worker's uploads hold.
    uploads: u64,
}

/// A sample that a worker is through with: its number, and what its group became.
type Outcome = (usize, Attempt<Written>);

/// A sample's id and grids, for the manifest.
type Grids = Vec<(String, Entries<DomainGrid>)>;

impl Job<'_> {
    /// Writes all samples that are not done; the grids of those that now are, in order of id.
    fn write_samples(&self, how: &Run, summary: &mut Summary) -> Result<Grids> {
        let ids = self.source.samples();
        let mut grids = self.all_done()?;
        let todo: Vec<usize> = (0..ids.len()).filter(|sample| grids[*sample].is_none()).collect();
        summary.found_done = ids.len() - todo.len();
        let bytes = todo.iter().map(|sample| self.source.bytes(*sample)).sum();
        let progress = Progress::new(todo.len(), bytes);
        if summary.found_done > 0 {
            progress.say(&format!("{} samples are there from an earlier run", summary.found_done));
        }

        let workers = self.workers(how.workers, &progress).min(todo.len());
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let (sender, outcomes) = mpsc::channel();
            for _ in 0..workers {
                let (sender, todo, next, stop) = (sender.clone(), &todo, &next, &stop);
                scope.spawn(move || self.work(todo, next, stop, &sender));
            }
            drop(sender);
            let result = self.collect(&outcomes, how, &mut grids, &progress, summary);
            stop.store(true, Ordering::Relaxed);
            result
        })?;
        let done = ids.iter().zip(grids);
        Ok(done.filter_map(|(id, grids)| Some((id.clone(), grids?))).collect())
    }

    fn workers(&self, wanted: usize, progress: &Progress) -> usize {
        let wanted =
            if wanted == 0 { thread::available_parallelism().map_or(1, usize::from) } else { wanted };
        let fitting = memory::workers(wanted, self.source.largest(), self.uploads, memory::available());
        if fitting < wanted {
            progress.say(&format!(
                "{fitting} workers instead of {wanted}: each may need three times the largest field's memory"
            ));
        }
        fitting
    }

    /// One worker: sample after sample until there are no more or the run ends.
    fn work(&self, todo: &[usize], next: &AtomicUsize, stop: &AtomicBool, outcomes: &Sender<Outcome>) {
        let mut scratch = Scratch::default();
        while !stop.load(Ordering::Relaxed) {
            let Some(sample) = todo.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let outcome = self.write_sample(*sample, &mut scratch);
            if outcomes.send((*sample, outcome)).is_err() {
                return;
            }
        }
    }

    fn write_sample(&self, sample: usize, scratch: &mut Scratch) -> Attempt<Written> {
        let id = &self.source.samples()[sample];
        self.source.expect(sample);
        let mut group = self.staging.group(id);
        let mut load = |field: &_, buffer| self.source.load(sample, field, buffer);
        match sample::write(self.recipe, self.domains, id, &mut group, scratch, &mut load) {
            Ok(written) => self.staging.complete(group).map(|()| written),
            Err(failure @ Failure::Sample { .. }) => {
                self.staging.abandon(group)?;
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Takes what the workers finish until they are through or the run must end.
    fn collect(
        &self,
        outcomes: &Receiver<Outcome>,
        how: &Run,
        grids: &mut [Option<Entries<DomainGrid>>],
        progress: &Progress,
        summary: &mut Summary,
    ) -> Result<()> {
        let ids = self.source.samples();
        let mut whole = Vec::new();
        let (mut published, mut cost) = (Instant::now(), Duration::ZERO);
        let ended = loop {
            let due = published + cost * PUBLISH_SHARE;
            let outcome = if whole.is_empty() {
                outcomes.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                outcomes.recv_timeout(due.saturating_duration_since(Instant::now()))
            };
            match outcome {
                Ok((sample, Ok(written))) => {
                    whole.push((ids[sample].as_str(), written.metadata));
                    grids[sample] = Some(written.grids);
                    summary.written += 1;
                    summary.bytes_in += written.bytes_in;
                    summary.bytes_out += written.bytes_out;
                    progress.samples(summary.written + summary.skipped.len(), summary.skipped.len());
                    progress.advance(self.source.bytes(sample));
                }
                Ok((sample, Err(Failure::Sample { field, error }))) => {
                    let skipped = Skipped::new(&ids[sample], field, &error);
                    if how.stop_at_failure {
                        break Err(skipped.error());
                    }
                    progress.say(&format!("skipped: {}", told(&skipped.error())));
                    summary.skipped.push(skipped);
                    progress.samples(summary.written + summary.skipped.len(), summary.skipped.len());
                    progress.advance(self.source.bytes(sample));
                }
                Ok((_, Err(Failure::Run(error)))) => break Err(error),
                Err(RecvTimeoutError::Timeout) => {
                    let started = Instant::now();
                    self.staging.publish(&mut whole)?;
                    published = Instant::now();
                    cost = published - started;
                }
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            }
        };
        // Also when the run ends early: what is whole need not be done again.
        let last = self.staging.publish(&mut whole);
        summary.skipped.sort_by(|one, other| one.sample.cmp(&other.sample));
        ended.and(last)
    }

    /// For each sample its grids where it is in the store already.
    fn all_done(&self) -> Result<Vec<Option<Entries<DomainGrid>>>> {
        let ids = self.source.samples();
        let mut grids = vec![None; ids.len()];
        if self.staging.is_resumed() {
            parallel::in_order(
                ids.len(),
                LOOKED_AT,
                |sample| self.done(&ids[sample]),
                |sample, done| {
                    grids[sample] = done?;
                    Ok(())
                },
            )?;
        }
        Ok(grids)
    }

    /// The grids of a sample that is in the store. They follow from its numbers of points, for the
    /// options are those that it was made with.
    fn done(&self, id: &str) -> Result<Option<Entries<DomainGrid>>> {
        let Some(metadata) = self.staging.done(id)? else { return Ok(None) };
        // Where the power failed it may be cut: then the sample is not done.
        let Ok(metadata) = serde_json::from_slice::<Value>(&metadata) else { return Ok(None) };
        let nodes = &metadata["consolidated_metadata"]["metadata"];
        let grid = |domain: &Domain| {
            let points = nodes[format!("{}/{}", domain.name, domain.position.name)]["shape"][0].as_u64()?;
            Some((domain.name.to_owned(), self.recipe.grid(points)))
        };
        Ok(self.domains.iter().map(grid).collect::<Option<_>>().map(Entries))
    }
}

/// An error and its remedy on one line.
fn told(error: &Error) -> String {
    match error.remedy() {
        Some(hint) => format!("{error} (hint: {hint})"),
        None => error.to_string(),
    }
}

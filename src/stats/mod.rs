//! The `stats` command: what the reference's statistics tell of every field, in one pass.
//!
//! A task is one field of one sample, read chunk by chunk. Tasks run on any number of threads;
//! their moments are merged in the order of the samples' ids, so that the result is the same bits
//! whoever did what.

mod choice;
pub mod dd;
pub mod field;
mod lanes;
pub mod log;
pub mod moments;
mod partial;
mod report;

use std::sync::Arc;

use crate::catalog::{Catalog, FieldId, SampleId};
use crate::cli::StatsArgs;
use crate::config;
use crate::error::Result;
use crate::layout::names::FileNames;
use crate::layout::{self, StoreLayout};
use crate::output;
use crate::parallel;
use crate::progress::Progress;
use crate::read::{Payload, Reader};
use crate::rows::SERVED;
use crate::store;
use choice::{Choice, Wanted};
use field::FieldMoments;
use partial::{Partial, Shard};
use report::Flat;

/// Bytes that metadata and chunks may take in memory between reads. Every chunk is read once, so
/// only metadata gains from more.
const CACHE: usize = 64 << 20;

/// Makes the statistics of a store, of a shard of its samples, or out of such shards.
///
/// # Errors
/// A choice that is empty or names what is not there, whatever keeps a chunk from being read, an
/// output that cannot be written.
pub fn stats(args: &StatsArgs) -> Result<()> {
    let (totals, partial) = match &args.store {
        Some(store) => of_store(store, args)?,
        None => (partial::merge(&args.merge)?, None),
    };
    totals.warn();
    let json = match partial {
        Some(partial) => partial.json(),
        None => output::json(&Flat::of(&totals)),
    };
    if let Some(path) = &args.output_json {
        output::file(path, &json)?;
    }
    if let Some(path) = &args.output_yaml {
        output::file(path, &Flat::of(&totals).yaml())?;
    }
    let shown = if args.json { json + "\n" } else { report::table(&totals) };
    output::write(shown.as_bytes()).map(|_| ())
}

/// The statistics of a store and, of a shard, its partial.
fn of_store(store: &str, args: &StatsArgs) -> Result<(Totals, Option<Partial>)> {
    let access = config::access(&args.access);
    let objects = store::open(store, &access)?;
    let layout = layout::open(&*objects, &FileNames::Canonical)?.layout;
    let catalog = layout.catalog();
    let ids =
        args.split_file.as_ref().map(|file| choice::read_split(&*objects, file, &access)).transpose()?;
    let wanted =
        Wanted { fields: args.fields.clone(), excluded: args.exclude_fields.clone(), ids, limit: args.limit };
    let mut choice = Choice::of(catalog, &wanted)?;
    if choice.missing > 0 {
        tracing::warn!("{} ids of the split file are not in the store and are skipped", choice.missing);
    }
    let fields: Vec<_> = choice.fields.iter().map(|field| catalog.field(*field)).collect();
    let fields = || fields.iter().map(|field| (field.canonical.as_str(), field.dim));
    let shard = args.shard.as_deref().map(Shard::parse).transpose()?;
    let mut partial =
        shard.map(|shard| Partial::new(&catalog.dataset, shard, choice.samples.len(), fields()));
    if let Some(Shard { index, of }) = shard {
        choice.keep_shard(index, of);
    }

    let mut totals = Totals::new(fields());
    let reader = Reader::new(Arc::clone(&objects), CACHE);
    let progress = Progress::new(choice.samples.len(), served_bytes(catalog, &choice));
    let task = |task: usize| {
        let (sample, field) = (task / choice.fields.len(), task % choice.fields.len());
        (choice.samples[sample], choice.fields[field], sample, field)
    };
    let work = |index| {
        let (sample, field, ..) = task(index);
        one_field(&*layout, &reader, sample, field, &progress)
    };
    let tasks = choice.samples.len() * choice.fields.len();
    parallel::in_order(tasks, config::workers(args.workers), work, |index, moments| {
        let (sample, _, done, field) = task(index);
        let (id, moments) = (catalog.id(sample), moments?);
        totals.add(id, field, moments.as_ref());
        if let Some(partial) = &mut partial {
            partial.add(id, moments);
        }
        progress.samples(done + usize::from(field + 1 == choice.fields.len()), 0);
        Ok(())
    })?;
    Ok((totals, partial))
}

/// The moments of one field of one sample; `None` when the sample does not have it.
fn one_field(
    layout: &dyn StoreLayout,
    reader: &Reader,
    sample: SampleId,
    field: FieldId,
    progress: &Progress,
) -> Result<Option<FieldMoments>> {
    let catalog = layout.catalog();
    let Some(grid) = catalog.grid(sample, field) else { return Ok(None) };
    let described = catalog.field(field);
    let payload = Payload::served_whole(layout.extent(sample, field));
    let row = described.dim as usize * SERVED;
    let mut moments = FieldMoments::new(described.dim);
    let mut served = Vec::new();
    for first in (0..grid.points).step_by(grid.chunk.get() as usize) {
        let rows = grid.chunk.get().min(grid.points - first);
        served.resize(rows as usize * row, 0);
        reader
            .read(&payload, first * row as u64, &mut served)
            .map_err(|e| e.within(format!("sample {}, field {}", catalog.id(sample), described.canonical)))?;
        moments.add(&served);
        progress.advance(served.len() as u64);
    }
    Ok(Some(moments))
}

/// Bytes of all values as served: what progress is counted in.
fn served_bytes(catalog: &Catalog, choice: &Choice) -> u64 {
    let each = choice.samples.iter().flat_map(|s| choice.fields.iter().map(move |f| (*s, *f)));
    each.filter_map(|(sample, field)| {
        let rows = catalog.grid(sample, field)?.points;
        Some(rows * u64::from(catalog.field(field).dim) * SERVED as u64)
    })
    .sum()
}

/// The moments of all samples, field by field.
pub struct Totals(Vec<Total>);

struct Total {
    name: String,
    moments: FieldMoments,
    /// The first sample with values that are not finite.
    nonfinite_in: Option<String>,
}

impl Totals {
    /// Of no samples yet; `fields` are names and numbers of components.
    pub fn new<'a>(fields: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let total = |(name, dim): (&str, u32)| Total {
            name: name.to_owned(),
            moments: FieldMoments::new(dim),
            nonfinite_in: None,
        };
        Self(fields.map(total).collect())
    }

    /// Takes in the next sample's moments of the field at that position.
    pub fn add(&mut self, id: &str, field: usize, moments: Option<&FieldMoments>) {
        let Some(moments) = moments else { return };
        let total = &mut self.0[field];
        total.moments.merge(moments);
        if moments.nonfinite > 0 && total.nonfinite_in.is_none() {
            total.nonfinite_in = Some(id.to_owned());
        }
    }

    /// Names and moments, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &FieldMoments)> {
        self.0.iter().map(|total| (total.name.as_str(), &total.moments))
    }

    /// Says what a reader of the numbers should know and would not see.
    fn warn(&self) {
        for Total { name, moments, nonfinite_in } in &self.0 {
            if let Some(id) = nonfinite_in {
                let count = moments.nonfinite;
                tracing::warn!("{name}: {count} values are NaN or infinite and left out, first in {id}");
            }
            if moments.components.iter().any(|component| component.linear.count < 2) {
                tracing::warn!("{name}: fewer than two finite values in a component have no std: null");
            }
        }
    }
}

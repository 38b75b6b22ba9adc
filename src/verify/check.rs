//! One array of one sample, chunk by chunk.

use super::Finding;
use super::against::{self, CastError};
use crate::catalog::{FieldId, SampleId};
use crate::convert::files::Files;
use crate::error::{Error, Result};
use crate::layout::StoreLayout;
use crate::progress::Progress;
use crate::read::explain::Fetch;
use crate::read::plan::Rows;
use crate::read::{Payload, Reader};
use crate::store::array::Array;
use crate::store::manifest::Manifest;
use crate::subsample::{Counts, ViewSpec, select};

/// Points of the view whose cost is held against that of a full read.
const VIEW: u64 = 4096;

/// What an array is held against, and how it is read.
pub struct Subject<'a> {
    pub layout: &'a dyn StoreLayout,
    pub manifest: &'a Manifest,
    pub reader: &'a Reader,
    pub progress: &'a Progress,
    /// The tree that the store was made from.
    pub against: Option<&'a dyn Files>,
}

/// Counts of what was gone through.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    pub arrays: u64,
    pub with_checksums: u64,
    pub chunks: u64,
    pub not_stored: u64,
    /// Bytes of objects that a full read fetches, and payload bytes that it serves.
    pub fetched: u64,
    pub served: u64,
    /// The same of a view.
    pub view_fetched: u64,
    pub view_served: u64,
    /// How far stored values lie from their sources.
    pub cast: CastError,
}

impl Checked {
    /// Adds the counts of another; cast errors are kept apart by field.
    pub fn add(&mut self, other: &Self) {
        self.arrays += other.arrays;
        self.with_checksums += other.with_checksums;
        self.chunks += other.chunks;
        self.not_stored += other.not_stored;
        self.fetched += other.fetched;
        self.served += other.served;
        self.view_fetched += other.view_fetched;
        self.view_served += other.view_served;
    }
}

/// Goes through one array. After a finding it goes on with what can still be checked.
pub fn array(subject: &Subject<'_>, sample: SampleId, field: FieldId) -> (Checked, Vec<Finding>) {
    let Subject { layout, reader, progress, .. } = subject;
    let payload = Payload::served_whole(layout.extent(sample, field));
    let mut checked = Checked { arrays: 1, ..Checked::default() };
    let mut findings = Findings::default();

    match reader.explain(&payload, 0..0) {
        Err(e) => {
            findings.push(None, &e);
            progress.advance(payload.size());
        }
        Ok(plan) => {
            let array = &*plan.array;
            checked.with_checksums += u64::from(array.crc32.is_some());
            for wrong in [reader.check_metadata(&payload), check_grid(subject, sample, field, array)] {
                wrong.unwrap_or_else(|e| findings.push(None, &e));
            }
            for chunk in 0..array.chunks() {
                check_chunk(reader, &payload, array, chunk, &mut checked)
                    .unwrap_or_else(|e| findings.push(Some(chunk), &e));
                progress.advance(array.rows_in(chunk) * payload.size() / array.rows);
            }
            if let Some(tree) = subject.against {
                checked.cast = against::compare(subject, tree, sample, field, &mut findings);
            }
            // What is wrong with a view's chunks has been found by now.
            if let Ok((fetched, served)) = cost_of_view(subject, sample, field) {
                checked.view_fetched += fetched;
                checked.view_served += served;
            }
        }
    }
    let catalog = layout.catalog();
    for finding in &mut findings.0 {
        finding.sample = Some(catalog.id(sample).to_owned());
        finding.field = Some(catalog.field(field).canonical.clone());
    }
    (checked, findings.0)
}

fn check_chunk(
    reader: &Reader,
    payload: &Payload,
    array: &Array,
    chunk: u64,
    checked: &mut Checked,
) -> Result<()> {
    checked.chunks += 1;
    let row = payload.size() / array.rows;
    let start = chunk * array.chunk_rows * row;
    let range = start..start + array.rows_in(chunk) * row;
    let plan = reader.explain(payload, range.clone())?;
    checked.not_stored += plan.chunks.iter().filter(|step| step.fetch.is_none()).count() as u64;
    let chunks = plan.chunks.iter().filter_map(|step| step.fetch.as_ref());
    checked.fetched += chunks.map(Fetch::size).sum::<u64>();
    let first_of_shard = array.place(chunk).slot == Some(0);
    checked.fetched += plan.indexes.iter().filter(|_| first_of_shard).map(Fetch::size).sum::<u64>();
    checked.served += range.end - range.start;
    let mut served = vec![0; (range.end - range.start) as usize];
    reader.read(payload, range.start, &mut served)
}

/// Holds the manifest's grid against the array's.
fn check_grid(subject: &Subject<'_>, sample: SampleId, field: FieldId, array: &Array) -> Result<()> {
    let catalog = subject.layout.catalog();
    let domain = &catalog.domains[catalog.field(field).domain].name;
    let entry = subject.manifest.samples.0.get(sample.0 as usize);
    let Some(grid) = entry.and_then(|(_, sample)| sample.domains.get(domain)) else { return Ok(()) };
    let differ = |what: &str, said: u64, is: u64| {
        let message = format!("the manifest says {what} of {said} rows, the array has {what} of {is}");
        let hint = "restore the manifest or convert anew: views draw by the manifest";
        if said == is { Ok(()) } else { Err(Error::invalid(message).hint(hint)) }
    };
    match array.shards() {
        // An empty domain has no chunks to speak of.
        _ if grid.n_points == 0 => Ok(()),
        Some(shards) => {
            differ("chunks", grid.chunk_points, array.chunk_rows)?;
            differ("shards", grid.shard_points, shards.chunks * array.chunk_rows)
        }
        // Shards of a form that is read whole look like chunks.
        None if array.chunk_rows == grid.shard_points => Ok(()),
        None => differ("chunks", grid.chunk_points, array.chunk_rows),
    }
}

/// Bytes fetched and served by a view of [`VIEW`] points.
fn cost_of_view(subject: &Subject<'_>, sample: SampleId, field: FieldId) -> Result<(u64, u64)> {
    let catalog = subject.layout.catalog();
    let view = ViewSpec { counts: Counts::Every(VIEW), seed: 0 };
    let runs = select(&view, catalog.grids(sample), catalog.field(field).domain)?;
    let whole = Payload::served_whole(subject.layout.extent(sample, field));
    let payload = Payload { rows: Rows::new(runs), ..whole };
    let plan = subject.reader.explain(&payload, 0..payload.size())?;
    Ok((plan.fetched(), payload.size()))
}

/// Findings of one array. A shard that is broken breaks all its chunks in the same words: neighbours
/// become one finding.
#[derive(Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Takes in what is wrong with the array, or one chunk of it.
    pub fn push(&mut self, chunk: Option<u64>, error: &Error) {
        let mut new = Finding::new(error);
        if let Some(chunk) = chunk {
            new.chunks = Some((chunk, chunk));
            // The number has its own place, and without it neighbours say the same.
            new.what = new.what.replace(&format!("chunk {chunk}: "), "");
        }
        if let (Some(last), Some(chunk)) = (self.0.last_mut(), chunk)
            && last.what == new.what
            && let Some((_, end)) = &mut last.chunks
            && *end + 1 == chunk
        {
            *end = chunk;
        } else {
            self.0.push(new);
        }
    }
}

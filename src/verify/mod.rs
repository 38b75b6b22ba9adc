//! The `verify` command: reads everything and holds it against all that is recorded.
//!
//! | found | by |
//! |---|---|
//! | a manifest that contradicts itself | opening the store |
//! | counts, types and grids that are not the arrays' | the arrays' metadata |
//! | an array whose own metadata is not the sample's copy of it | both `zarr.json` |
//! | a damaged shard index, a truncated shard | its CRC-32C, the object's size |
//! | a chunk that does not decode to its size | its codecs |
//! | a chunk with other values, or missing | its recorded checksum, where there is one |
//! | a value that is not the cast of its source | the tree that the store was made from, if given |
//!
//! Not found, where no checksums are recorded: other values that decode, a missing chunk or shard
//! (legal: all its values are the fill value), two arrays of one shape, type and grid in each other's
//! place. Not found at all: two whole samples of equal shapes in each other's place.

mod against;
mod check;

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::cli::VerifyArgs;
use crate::config;
use crate::convert::files;
use crate::error::{Error, ErrorKind, Result};
use crate::inspect::ratio;
use crate::layout;
use crate::layout::names::FileNames;
use crate::output;
use crate::parallel;
use crate::progress::Progress;
use crate::read::{Payload, Reader};
use crate::store;
use crate::store::Objects;
use crate::store::address::Address;
use crate::store::manifest::{self, Manifest};
use against::CastError;
use check::{Checked, Subject};

/// The exit code of a run that found something.
pub const FINDINGS: u8 = 4;

/// Memory for metadata and shard indexes; chunks are read once.
const CACHE: usize = 64 << 20;

/// Something that is not as it is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The sample; `None` when it is the manifest.
    pub sample: Option<String>,
    /// The field; `None` when it is the whole sample.
    pub field: Option<String>,
    /// The first and the last chunk that it concerns; `None` when it is the whole array.
    pub chunks: Option<(u64, u64)>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    fn new(error: &Error) -> Self {
        let remedy = error.remedy().unwrap_or("restore the object, or convert the sample anew").to_owned();
        Self { what: error.to_string(), remedy, ..Self::default() }
    }

    /// One line: sample, field, chunks, what, remedy.
    fn line(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.sample.as_ref().map(|id| format!("sample {id}")));
        parts.extend(self.field.as_ref().map(|name| format!("field {name}")));
        parts.extend(self.chunks.map(|(first, last)| match last - first {
            0 => format!("chunk {first}"),
            _ => format!("chunks {first} to {last}"),
        }));
        let place = if parts.is_empty() { "manifest".to_owned() } else { parts.join(", ") };
        format!("{place}: {} ({})\n", self.what, self.remedy)
    }
}

/// Verifies a store; true when nothing was found. Findings are printed as they are made, in the order
/// of the samples.
///
/// # Errors
/// What keeps it from running: no store, no such sample, stdout that cannot be written.
pub fn verify(args: &VerifyArgs) -> Result<bool> {
    let access = config::access(&args.access);
    let objects = store::open(&args.store, &access)?;
    let tree =
        args.against.as_ref().map(|typed| files::open(&Address::parse(typed)?, &access)).transpose()?;
    let layout = match layout::open(&*objects, &FileNames::Auto) {
        Ok(opened) => opened.layout,
        // A manifest that is there and wrong is what this command looks for.
        Err(e) if e.kind() == ErrorKind::Invalid => {
            return report(args, vec![Finding::new(&e)], &Checked::default(), 0, &[]);
        }
        Err(e) => return Err(e),
    };
    let catalog = layout.catalog();
    for id in &args.samples {
        if !catalog.ids.iter().any(|known| *known == **id) {
            return Err(Error::usage(format!("the store has no sample {id}")));
        }
    }
    let samples = catalog
        .samples()
        .filter(|sample| args.samples.is_empty() || args.samples.iter().any(|id| id == catalog.id(*sample)));
    let samples: Vec<_> = samples.collect();
    let each = samples.iter().flat_map(|sample| catalog.fields_of(*sample).map(|field| (*sample, field)));
    let arrays: Vec<_> = each.collect();
    let bytes = arrays.iter().map(|(s, f)| Payload::served_whole(layout.extent(*s, *f)).size()).sum();

    let manifest = read_manifest(&*objects)?;
    let reader = Reader::new(Arc::clone(&objects), CACHE);
    let progress = Progress::new(samples.len(), bytes);
    let against = tree.as_deref();
    let subject =
        Subject { layout: &*layout, manifest: &manifest, reader: &reader, progress: &progress, against };
    let mut all = Checked::default();
    let names = catalog.fields.iter().filter(|_| against.is_some());
    let mut casts: Vec<_> = names.map(|field| (field.canonical.clone(), CastError::default())).collect();
    let (mut findings, mut done) = (Vec::new(), 0);
    let check = |index: usize| {
        let (sample, field) = arrays[index];
        check::array(&subject, sample, field)
    };
    parallel::in_order(arrays.len(), config::workers(args.workers), check, |index, (checked, found)| {
        all.add(&checked);
        if let Some((_, worst)) = casts.get_mut(arrays[index].1.0 as usize) {
            worst.add(checked.cast);
        }
        if !args.json {
            let lines: String = found.iter().map(Finding::line).collect();
            progress.aside(|| output::write(lines.as_bytes()))?;
        }
        findings.extend(found);
        if arrays.get(index + 1).is_none_or(|next| next.0 != arrays[index].0) {
            done += 1;
            progress.samples(done, 0);
        }
        Ok(())
    })?;
    drop(progress);
    report(args, findings, &all, samples.len(), &casts)
}

/// The manifest once more: grids of shards stand nowhere else.
fn read_manifest(objects: &dyn Objects) -> Result<Manifest> {
    let mut json = Vec::new();
    objects.read(manifest::NAME, store::Part::Whole { limit: u64::MAX }, None, &mut json)?;
    Manifest::parse(&json)
}

/// Prints what was not printed yet; true when nothing was found.
fn report(
    args: &VerifyArgs,
    findings: Vec<Finding>,
    all: &Checked,
    samples: usize,
    casts: &[(String, CastError)],
) -> Result<bool> {
    let (full, view) = (ratio(all.fetched, all.served), ratio(all.view_fetched, all.view_served));
    let shown = if args.json {
        let summary = json!({
            "findings": findings,
            "samples": samples,
            "arrays": all.arrays,
            "chunks": all.chunks,
            "chunks_not_stored": all.not_stored,
            "arrays_with_checksums": all.with_checksums,
            "bytes_fetched": all.fetched,
            "bytes_served": all.served,
            "cast_errors": casts.iter().map(|(field, cast)| json!({
                "field": field, "absolute": cast.absolute, "relative": cast.relative,
            })).collect::<Vec<_>>(),
            "read_amplification": { "full": full, "view_of_4096_points": view },
        });
        output::json(&summary) + "\n"
    } else {
        let number = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |r| r.to_string());
        let casts: String = casts
            .iter()
            .map(|(field, CastError { absolute, relative })| {
                format!("field {field}: off its source by at most {absolute:e}, {relative:e} of the value\n")
            })
            .collect();
        let manifest = findings.iter().filter(|f| f.sample.is_none()).map(Finding::line).collect::<String>();
        format!(
            "{manifest}{samples} samples, {} arrays ({} with checksums), {} chunks ({} not stored), {} bytes: {} findings\n\
             read amplification (bytes fetched for a byte served): full {}, a view of 4096 points {}\n{casts}",
            all.arrays,
            all.with_checksums,
            all.chunks,
            all.not_stored,
            all.fetched,
            findings.len(),
            number(full),
            number(view),
        )
    };
    output::write(shown.as_bytes())?;
    Ok(findings.is_empty())
}

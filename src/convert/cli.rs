//! `samplefs convert`: what is typed, what it means, and how it ends.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::recipe::Recipe;
use super::{Run, Summary};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::filemap::FileMap;
use crate::output;
use crate::store::access::Access;
use crate::store::address::Address;

/// Options of `convert`.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// The tree of samples: a path or a URL (s3://, gs://, az://, abfs://, oci://, file://)
    source: String,
    /// The store to write: a path or a URL, of a place that is empty or does not exist
    store: String,
    /// A known FileMap (shapenet-car, caeml, drivaernet, emmi-wing) or a JSON file of attribute and file name
    #[arg(long, value_name = "NAME|FILE")]
    filemap: String,
    /// The dataset class for the manifest [default: the FileMap's; for a FILE SOURCE's last component]
    #[arg(long, value_name = "NAME")]
    dataset_name: Option<String>,
    /// Rows a chunk: what a reader fetches at least
    #[arg(long, value_name = "N", default_value = "4096")]
    chunk_points: NonZeroU64,
    /// At most so many rows a shard object [default: one shard an array]
    #[arg(long, value_name = "N")]
    shard_points: Option<NonZeroU64>,
    /// Seed of the permutations that points are shuffled with
    #[arg(long, value_name = "SEED", default_value_t = 0, allow_negative_numbers = true)]
    shuffle_seed: i64,
    /// Type of positions
    #[arg(long, value_name = "DTYPE", default_value = "float32", value_parser = dtype)]
    coords_dtype: DType,
    /// Type of the other fields
    #[arg(long, value_name = "DTYPE", default_value = "float16", value_parser = dtype)]
    values_dtype: DType,
    /// Type of one field, such as volume_vorticity=float32; may be given more than once
    #[arg(long, value_name = "FIELD=DTYPE", value_parser = field_dtype)]
    field_dtype: Vec<(String, DType)>,
    /// Compression: 0 (none) to 9
    #[arg(long, value_name = "LEVEL", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=9))]
    compression_level: u8,
    /// Threads; 0 for as many as there are cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    workers: usize,
    /// Take only the first samples
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// What a broken sample does: be left out, or end the run
    #[arg(long, value_enum, default_value_t = OnError::Skip)]
    on_error: OnError,
    /// Replace a finished store, or one half made with other options
    #[arg(long)]
    overwrite: bool,
    /// Write no extensions (file names, checksums): exactly what noether's converter writes
    #[arg(long)]
    plain: bool,
    /// Write the outcome to this file as JSON
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
}

/// What a broken sample does to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// It is left out.
    Skip,
    /// It ends the run.
    Fail,
}

/// Every sample is in the store.
const COMPLETE: u8 = 0;
/// There is no store.
const FAILED: u8 = 1;
/// Samples were left out.
const SKIPPED: u8 = 3;

/// Runs the command; its exit code.
///
/// # Errors
/// What ended the run: exit code 1, or 2 for a command line that cannot be meant.
pub fn run(args: &ConvertArgs, access: Access) -> Result<u8> {
    let (source, store) = (Address::parse(&args.source)?, Address::parse(&args.store)?);
    let recipe = args.recipe(&source)?;
    let how = Run {
        workers: args.workers,
        stop_at_failure: args.on_error == OnError::Fail,
        overwrite: args.overwrite,
        access,
    };
    let outcome = super::convert(&source, &store, &recipe, args.limit, &how);
    if let Some(path) = &args.report {
        report(path, &outcome)?;
    }
    let summary = outcome?;
    tell(&summary, &store);
    Ok(match (summary.any(), summary.skipped.is_empty()) {
        (false, _) => FAILED,
        (true, true) => COMPLETE,
        (true, false) => SKIPPED,
    })
}

impl ConvertArgs {
    fn recipe(&self, source: &Address) -> Result<Recipe> {
        let (filemap, dataset) = self.filemap(source)?;
        Ok(Recipe {
            chunk_points: self.chunk_points,
            shard_points: self.shard_points,
            shuffle_seed: self.shuffle_seed,
            coords_dtype: self.coords_dtype,
            values_dtype: self.values_dtype,
            field_dtypes: self.field_dtype.clone(),
            compression_level: self.compression_level,
            plain: self.plain,
            ..Recipe::new(self.dataset_name.clone().unwrap_or(dataset), filemap)
        })
    }

    /// The FileMap, and the dataset's name where none is given.
    fn filemap(&self, source: &Address) -> Result<(FileMap, String)> {
        if let (Some(known), Some(dataset)) = (FileMap::known(&self.filemap), FileMap::dataset(&self.filemap))
        {
            return Ok((known, dataset.to_owned()));
        }
        let text = fs::read(&self.filemap).map_err(|e| {
            let known: Vec<_> = FileMap::names().collect();
            Error::usage(format!("{:?} is no known FileMap and cannot be read: {e}", self.filemap))
                .hint(format!("known: {}", known.join(", ")))
        })?;
        let filemap = FileMap::from_json(&text).map_err(|e| e.within(&self.filemap))?;
        Ok((filemap, source.name()))
    }
}

fn dtype(name: &str) -> std::result::Result<DType, String> {
    DType::stored(name).ok_or_else(|| {
        let known: Vec<_> = DType::STORED.iter().map(|dtype| dtype.name()).collect();
        format!("no type that is stored; known: {}", known.join(", "))
    })
}

fn field_dtype(text: &str) -> std::result::Result<(String, DType), String> {
    let (field, name) = text.split_once('=').ok_or("not FIELD=DTYPE")?;
    Ok((field.to_owned(), dtype(name)?))
}

/// The outcome as JSON: the summary, or the error that ended the run.
fn report(path: &Path, outcome: &Result<Summary>) -> Result<()> {
    let json = match outcome {
        Ok(summary) => json!({"error": Value::Null, "summary": summary}),
        Err(error) => json!({"error": error.to_string(), "hint": error.remedy(), "summary": Value::Null}),
    };
    output::file(path, &format!("{json:#}\n"))
}

/// The summary, on standard error.
fn tell(summary: &Summary, store: &Address) {
    let Summary { samples, written, found_done, points, bytes_in, bytes_out, seconds, skipped } = summary;
    output::say(format_args!(
        "{} of {samples} samples, {points} points in {store}: {written} written, {found_done} there before, {} skipped",
        written + found_done,
        skipped.len(),
    ));
    let ratio = *bytes_in as f64 / (*bytes_out).max(1) as f64;
    let rate = HumanBytes((*bytes_in as f64 / seconds.max(1e-9)) as u64);
    let (bytes_in, bytes_out) = (HumanBytes(*bytes_in), HumanBytes(*bytes_out));
    output::say(format_args!("{bytes_in} in, {bytes_out} out, ratio {ratio:.2}, {seconds:.1} s, {rate}/s"));
    if !summary.any() {
        output::say("every sample failed: there is no store");
    }
}

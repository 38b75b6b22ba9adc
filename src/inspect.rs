//! The `inspect` command: what a store holds, what a virtual file consists of, and what reading a
//! range of it would ask of the store. One document, printed as JSON or as an outline.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value, json};

use crate::catalog::{Catalog, FieldId, SampleId};
use crate::cli::InspectArgs;
use crate::config;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::fs::{Described, Filesystem, Shown};
use crate::layout::{self, StoreLayout};
use crate::list;
use crate::output;
use crate::read::explain::{Fetch, Plan};
use crate::read::{Payload, Reader};
use crate::rows::SERVED;
use crate::store;

/// How many samples are looked at to tell what the store's objects hold: each costs a request for its
/// metadata and one a field.
const MEASURED: usize = 64;

/// Memory for metadata and shard indexes.
const CACHE: usize = 64 << 20;

/// Describes a store or a node of it.
///
/// # Errors
/// No store, a path that is not there, a range beyond the file, metadata that cannot be read.
pub fn inspect(args: &InspectArgs) -> Result<()> {
    let document = match &args.path {
        None => describe_store(args)?,
        Some(path) => {
            describe_node(&list::open(&args.store, &args.view, &args.access)?, path, args.range.as_ref())?
        }
    };
    let shown = if args.json { output::json(&document) + "\n" } else { output::outline(&document) };
    output::write(shown.as_bytes()).map(|_| ())
}

fn describe_store(args: &InspectArgs) -> Result<Value> {
    let view = config::view_of_store(&args.view, CACHE)?;
    let objects = store::open(&args.store, &config::access(&args.access))?;
    let layout = layout::open(&*objects, &view.names)?.layout;
    let catalog = layout.catalog();
    let reader = Reader::new(objects.clone(), CACHE);

    let step = catalog.ids.len().div_ceil(MEASURED).max(1);
    let measured: Vec<SampleId> = catalog.samples().step_by(step).collect();
    let mut sums = Measured::default();
    let mut grids = HashMap::new();
    for sample in &measured {
        for field in catalog.fields_of(*sample) {
            let plan = sums.add(&*layout, &reader, *sample, field)?;
            grids.entry(field).or_insert_with(|| (plan.array.chunk_rows, shard_rows(&plan)));
        }
    }
    let fields: Vec<_> = (0..catalog.fields.len() as u16)
        .map(|index| describe_field(catalog, FieldId(index), &view.formats[0], &grids))
        .collect();
    let domains: Map<_, _> = (0..catalog.domains.len())
        .map(|domain| (catalog.domains[domain].name.clone(), describe_domain(catalog, domain)))
        .collect();
    Ok(json!({
        "store": objects.location(),
        "dataset": catalog.dataset,
        "samples": catalog.ids.len(),
        "domains": domains,
        "fields": fields,
        "file_names_from": catalog.names_from,
        "bytes": sums.describe(served_bytes(catalog), measured.len()),
        "checksums": sums.checksums(),
    }))
}

/// Sums over the samples that were looked at.
#[derive(Default)]
struct Measured {
    arrays: u64,
    with_checksums: u64,
    stored: u64,
    decoded: u64,
    served: u64,
}

impl Measured {
    fn add(
        &mut self,
        layout: &dyn StoreLayout,
        reader: &Reader,
        sample: SampleId,
        field: FieldId,
    ) -> Result<Plan> {
        let payload = Payload::served_whole(layout.extent(sample, field));
        let plan = reader
            .explain(&payload, 0..payload.size())
            .map_err(|e| e.within(format!("sample {}", layout.catalog().id(sample))))?;
        self.arrays += 1;
        self.with_checksums += u64::from(plan.array.crc32.is_some());
        self.stored += plan.fetched();
        self.decoded += plan.array.rows * plan.array.row_size() as u64;
        self.served += payload.size();
        Ok(plan)
    }

    fn describe(&self, served: u64, samples: usize) -> Value {
        json!({
            "served": served,
            "of_samples_measured": {
                "samples": samples,
                "stored": self.stored,
                "decoded": self.decoded,
                "served": self.served,
                "compression": ratio(self.decoded, self.stored),
                "served_a_stored_byte": ratio(self.served, self.stored),
            },
        })
    }

    fn checksums(&self) -> &'static str {
        match self.with_checksums {
            0 => "none recorded",
            n if n == self.arrays => "recorded for every chunk",
            _ => "recorded in some samples",
        }
    }
}

/// A field; its grid is that of the first sample that was looked at and has it.
fn describe_field(
    catalog: &Catalog,
    field: FieldId,
    format: &Format,
    grids: &HashMap<FieldId, (u64, Option<u64>)>,
) -> Value {
    let (grid, field) = (grids.get(&field), catalog.field(field));
    json!({
        "name": field.canonical,
        "file": format.file_name(&field.stem),
        "stored": field.dtype.name(),
        "served": format.served(field.dtype).name(),
        "width": field.dim,
        "chunk_rows": grid.map(|(chunk, _)| chunk),
        "shard_rows": grid.and_then(|(_, shard)| *shard),
    })
}

fn describe_domain(catalog: &Catalog, domain: usize) -> Value {
    let grids = catalog.samples().filter_map(|sample| catalog.grids(sample)[domain]);
    let (mut points, chunks): (Vec<u64>, Vec<u64>) = grids.map(|g| (g.points, g.chunk.get())).unzip();
    points.sort_unstable();
    json!({
        "samples": points.len(),
        "points": points.iter().sum::<u64>(),
        "points_a_sample": {
            "min": points.first(),
            "median": points.get(points.len() / 2),
            "max": points.last(),
        },
        "chunk_rows": { "min": chunks.iter().min(), "max": chunks.iter().max() },
    })
}

fn served_bytes(catalog: &Catalog) -> u64 {
    let fields = catalog.samples().flat_map(|s| catalog.fields_of(s).map(move |f| (s, f)));
    let rows = fields.filter_map(|(s, f)| Some(catalog.grid(s, f)?.points * u64::from(catalog.field(f).dim)));
    rows.sum::<u64>() * SERVED as u64
}

fn describe_node(fs: &Filesystem, path: &str, range: Option<&Range<u64>>) -> Result<Value> {
    let node = list::walk(fs, path)?;
    let mut document = json!({ "path": path, "inode": node.number });
    let more = match fs.describe(node.number)? {
        Described::File(shown) => describe_file(fs, &shown, range)?,
        _ if range.is_some() => {
            return Err(Error::usage(format!("{path}: only files of samples are read by a plan")));
        }
        Described::Dir(view) => json!({ "kind": "directory", "view": view }),
        Described::Plain => json!({ "kind": "plain file", "size": node.size }),
    };
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    Ok(document)
}

fn describe_file(fs: &Filesystem, shown: &Shown, range: Option<&Range<u64>>) -> Result<Value> {
    let Shown { sample, field, format, view, file } = shown;
    let (frame, payload) = (file.frame(), file.payload());
    // Without a range the plan only tells of the array: no chunk is looked up.
    let wanted = range.cloned().unwrap_or(0..0);
    if wanted.end > file.size() {
        return Err(Error::usage(format!("bytes {wanted:?} of a file of {} bytes", file.size())));
    }
    let plan = file.explain(fs.reader(), &wanted)?;
    let array = &plan.array;
    let rows = payload.rows.total();
    let mut document = json!({
        "kind": "file",
        "sample": sample,
        "field": field.canonical,
        "view": view,
        "format": format.file_name("").trim_start_matches('.'),
        "shape": if field.dim == 1 { vec![rows] } else { vec![rows, u64::from(field.dim)] },
        "type": payload.served.name(),
        "size": file.size(),
        "bytes": { "prefix": frame.prefix.len(), "payload": frame.payload, "suffix": frame.suffix },
        "array": {
            "path": array.path,
            "rows": array.rows,
            "stored": array.dtype.name(),
            "chunks": array.chunks(),
            "chunk_rows": array.chunk_rows,
            "shard_rows": shard_rows(&plan),
            "checksums": array.crc32.is_some(),
        },
    });
    if range.is_some() {
        document["plan"] = describe_plan(&plan, &wanted);
    }
    Ok(document)
}

fn describe_plan(plan: &Plan, range: &Range<u64>) -> Value {
    let part = |fetch: &Fetch| json!([fetch.range.start, fetch.range.end]);
    let indexes: Vec<_> = plan
        .indexes
        .iter()
        .map(|index| json!({ "object": index.object, "range": part(index), "fetch": index.size() }))
        .collect();
    let chunks: Vec<_> = plan
        .chunks
        .iter()
        .map(|step| {
            let (used, fetch) = (step.piece.within.len() as u64, step.fetch.as_ref());
            json!({
                "chunk": step.piece.chunk,
                "object": fetch.map(|fetch| &fetch.object),
                "range": fetch.map(part),
                "fetch": fetch.map_or(0, Fetch::size),
                "used": used,
                "amplification": ratio(fetch.map_or(0, Fetch::size), used),
            })
        })
        .collect();
    json!({
        "range": [range.start, range.end],
        "shard_indexes": indexes,
        "chunks": chunks,
        "requests": plan.requests(),
        "fetch": plan.fetched(),
        "used": plan.used(),
        "amplification": ratio(plan.fetched(), plan.used()),
    })
}

fn shard_rows(plan: &Plan) -> Option<u64> {
    plan.array.shards().map(|shards| shards.chunks * plan.array.chunk_rows)
}

/// A ratio to three places; `None` over nothing.
pub fn ratio(over: u64, under: u64) -> Option<f64> {
    (under > 0).then(|| (over as f64 / under as f64 * 1000.0).round() / 1000.0)
}

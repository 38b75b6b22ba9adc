//! One sample: its fields, one after another, into a Zarr group.

use std::mem;
use std::ops::Range;

use super::cast::{self, OutOfRange};
use super::failure::{Attempt, Failure};
use super::metadata;
use super::recipe::{Domain, Recipe};
use super::shuffle::{Bands, Shuffle};
use super::staging::Group;
use super::tensor::Tensor;
use super::write::{Array, Shards, Writer};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::filemap::FieldSpec;
use crate::store::manifest::{DomainGrid, Entries};

/// What a sample became.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The grids for the manifest.
    pub grids: Entries<DomainGrid>,
    /// The text of the group's `zarr.json`, which makes a sample of it.
    pub metadata: String,
    /// Bytes of source storages.
    pub bytes_in: u64,
    /// Bytes of shards.
    pub bytes_out: u64,
}

/// Rows cast at a time: few enough to stay in the first-level cache.
const BLOCK: usize = 1024;

/// Memory that a worker uses again from field to field.
#[derive(Default)]
pub struct Scratch {
    /// The storage as it was read.
    storage: Vec<u8>,
    /// All rows, on their way to their stored order.
    bands: Vec<u8>,
    /// A block of rows before their cast.
    rows: Vec<u8>,
    /// A block of rows after their cast.
    cast: Vec<u8>,
    writer: Writer,
}

/// Writes all of the group of sample `id` but its own `zarr.json`. `load` reads a field into the
/// buffer that it is given.
///
/// # Errors
/// A field that cannot be read or does not fit is the sample's failure, a failed write the run's.
pub fn write(
    recipe: &Recipe,
    domains: &[Domain],
    id: &str,
    group: &mut Group<'_>,
    scratch: &mut Scratch,
    load: &mut dyn FnMut(&FieldSpec, Vec<u8>) -> Attempt<Tensor>,
) -> Attempt<Written> {
    let mut written = Written::default();
    let mut arrays = Vec::new();
    for domain in domains {
        put_metadata(group, domain.name, &metadata::group())?;
        let mut shuffle = Shuffle::default();
        // The position comes first: it says how many points there are.
        for field in by_position_first(domain) {
            let tensor = load(field, mem::take(&mut scratch.storage))?;
            let broken = |e| Failure::field(field, e);
            if field.is_position() {
                let points = points(&tensor).map_err(broken)?;
                written.grids.0.push((domain.name.to_owned(), recipe.grid(points)));
                shuffle = Shuffle::new(&recipe.order(id, domain.name, points).map_err(broken)?);
            }
            check(&tensor, field, shuffle.rows()).map_err(broken)?;
            let array = Array {
                dtype: recipe.dtype(field),
                dim: field.dim,
                grid: recipe.grid(shuffle.rows() as u64),
                compression_level: recipe.compression_level,
            };
            let name = format!("{}/{}", field.domain, field.name);
            let shards = write_field(&tensor, &array, &shuffle, group, &name, scratch, |OutOfRange| {
                broken(too_large(&tensor, field, array.dtype))
            })?;
            written.bytes_in += tensor.values() as u64 * tensor.layout().dtype.size() as u64;
            written.bytes_out += shards.bytes;
            let node = metadata::array(&array, (!recipe.plain).then_some(&shards.crc32));
            put_metadata(group, &name, &node)?;
            arrays.push((name, node));
            scratch.storage = tensor.into_storage();
        }
    }
    let names: Vec<_> = domains.iter().map(|domain| domain.name).collect();
    written.metadata = metadata::text(&metadata::sample(&names, arrays));
    Ok(written)
}

/// Shuffles and casts a field and writes its array.
fn write_field(
    tensor: &Tensor,
    array: &Array,
    shuffle: &Shuffle,
    group: &mut Group<'_>,
    path: &str,
    scratch: &mut Scratch,
    too_large: impl Fn(OutOfRange) -> Failure,
) -> Attempt<Shards> {
    let Scratch { bands, rows, cast: values, writer, .. } = scratch;
    let (from, columns) = (tensor.layout().dtype, array.dim as usize);
    // The whole field is shuffled in the shorter of both types: no more memory than the source takes.
    let between = if array.dtype.size() <= from.size() { array.dtype } else { from };
    let mut dealt = Bands::new(shuffle, columns * between.size(), mem::take(bands));
    for first in (0..shuffle.rows()).step_by(BLOCK) {
        let block = tensor.rows(first..shuffle.rows().min(first + BLOCK), columns, rows);
        if from == between {
            dealt.deal(block);
            continue;
        }
        values.clear();
        cast::cast(from, between, block, values).map_err(&too_large)?;
        dealt.deal(values);
    }
    let stored = |block: Range<usize>, out: &mut [u8]| {
        if between == array.dtype {
            dealt.take(block, out);
            return Ok(());
        }
        rows.resize(block.len() * columns * between.size(), 0);
        dealt.take(block, rows);
        values.clear();
        cast::cast(between, array.dtype, rows, values).map_err(&too_large)?;
        out.copy_from_slice(values);
        Ok(())
    };
    let shards = writer.write(array, group, path, stored)?;
    *bands = dealt.into_buffer();
    Ok(shards)
}

fn by_position_first(domain: &Domain) -> impl Iterator<Item = &'static FieldSpec> {
    let others = domain.fields.iter().copied().filter(|field| !field.is_position());
    std::iter::once(domain.position).chain(others)
}

/// How many points a position field has. A view may repeat a row without end; each point costs
/// memory here, so there must be a stored value for each.
fn points(position: &Tensor) -> Result<u64> {
    match position.layout().rows {
        0 => Err(Error::invalid("it has no points")),
        rows if rows > position.values() => {
            Err(Error::invalid(format!("{rows} points of a storage of {} values", position.values())))
        }
        rows => Ok(rows as u64),
    }
}

fn check(tensor: &Tensor, field: &FieldSpec, points: usize) -> Result<()> {
    let layout = tensor.layout();
    if layout.rows != points {
        return Err(Error::invalid(format!(
            "it has {} rows, {}_position has {points}",
            layout.rows, field.domain
        )));
    }
    if layout.columns < field.dim as usize {
        return Err(Error::invalid(format!("its shape is {layout}, expected {} columns", field.dim)));
    }
    Ok(())
}

/// The error of a value that the stored type cannot hold; looks at the whole field for the peak.
fn too_large(tensor: &Tensor, field: &FieldSpec, to: DType) -> Error {
    let from = tensor.layout().dtype;
    let (mut peak, mut rows) = (0f64, Vec::new());
    for first in (0..tensor.layout().rows).step_by(BLOCK) {
        let block = first..tensor.layout().rows.min(first + BLOCK);
        peak = peak.max(cast::peak(from, tensor.rows(block, field.dim as usize, &mut rows)));
    }
    let limit = cast::limit(to);
    let what = if peak > limit {
        format!("its peak magnitude {peak} exceeds {}'s limit {limit}", to.name())
    } else {
        format!("it has values that {} cannot hold (peak magnitude {peak})", to.name())
    };
    // A float32 source is whole as float32, infinities included.
    let wide = if from == DType::F64 && peak > cast::limit(DType::F32) { from } else { DType::F32 };
    let (canonical, wide) = (field.canonical(), wide.name());
    Error::invalid(what).hint(format!("store it as {wide}: --field-dtype {canonical}={wide}"))
}

fn put_metadata(group: &mut Group<'_>, node: &str, metadata: &serde_json::Value) -> Attempt<()> {
    group.put(&format!("{node}/zarr.json"), metadata::text(metadata).into_bytes())
}

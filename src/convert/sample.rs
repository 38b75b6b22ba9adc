//! One sample: its fields, one after another, into a Zarr group.

use std::fs;
use std::ops::Range;
use std::path::Path;

use super::cast::{self, OutOfRange};
use super::failure::{Attempt, Failure};
use super::metadata;
use super::recipe::{Domain, Recipe};
use super::tensor::Tensor;
use super::write::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::filemap::FieldSpec;
use crate::store::manifest::{DomainGrid, Entries};

/// What a sample became.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The grids for the manifest.
    pub grids: Entries<DomainGrid>,
    /// Bytes of source storages.
    pub bytes_in: u64,
    /// Bytes of shards.
    pub bytes_out: u64,
}

/// Rows gathered before they are cast: few enough to stay in the second-level cache.
const BLOCK: usize = 2048;

/// Memory that a worker uses again from field to field: the storage as it was read, and a block
/// of rows in the source's type.
#[derive(Default)]
pub struct Scratch {
    storage: Vec<u8>,
    rows: Vec<u8>,
}

/// Writes the group of sample `id` into the new directory `group`. `load` reads a field into the
/// buffer that it is given.
///
/// # Errors
/// A field that cannot be read or does not fit is the sample's failure, a failed write the run's.
pub fn write(
    recipe: &Recipe,
    domains: &[Domain],
    id: &str,
    group: &Path,
    scratch: &mut Scratch,
    load: &mut dyn FnMut(&FieldSpec, Vec<u8>) -> Attempt<Tensor>,
) -> Attempt<Written> {
    let mut written = Written::default();
    let mut arrays = Vec::new();
    for domain in domains {
        make_group(&group.join(domain.name))?;
        let mut order = Vec::new();
        // The position comes first: it says how many points there are.
        for field in by_position_first(domain) {
            let tensor = load(field, std::mem::take(&mut scratch.storage))?;
            if field.is_position() {
                let points = points(&tensor).map_err(|e| Failure::field(field, e))?;
                written.grids.0.push((domain.name.to_owned(), recipe.grid(points)));
                order = recipe.order(id, domain.name, points);
            }
            check(&tensor, field, order.len()).map_err(|e| Failure::field(field, e))?;
            let array = Array {
                dtype: recipe.dtype(field),
                dim: field.dim,
                grid: recipe.grid(order.len() as u64),
                compression_level: recipe.compression_level,
            };
            let name = format!("{}/{}", field.domain, field.name);
            let directory = group.join(&name);
            fs::create_dir(&directory).map_err(|e| Failure::write(&directory, &e))?;
            let rows = |range: Range<usize>, out: &mut Vec<u8>| {
                for rows in order[range].chunks(BLOCK) {
                    tensor.gather(rows, field.dim as usize, &mut scratch.rows);
                    cast::cast(tensor.layout().dtype, array.dtype, &scratch.rows, out).map_err(
                        |OutOfRange| Failure::field(field, too_large(&tensor, field, array.dtype)),
                    )?;
                }
                Ok(())
            };
            let shards = array.write(&directory, rows)?;
            written.bytes_in += tensor.values() as u64 * tensor.layout().dtype.size() as u64;
            written.bytes_out += shards.bytes;
            let node = metadata::array(&array, (!recipe.plain).then_some(&shards.crc32));
            write_metadata(&directory, &node)?;
            arrays.push((name, node));
            scratch.storage = tensor.into_storage();
        }
    }
    let names: Vec<_> = domains.iter().map(|domain| domain.name).collect();
    write_metadata(group, &metadata::sample(&names, arrays))?;
    Ok(written)
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
    let all: Vec<u64> = (0..tensor.layout().rows as u64).collect();
    for block in all.chunks(BLOCK) {
        tensor.gather(block, field.dim as usize, &mut rows);
        peak = peak.max(cast::peak(from, &rows));
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

fn make_group(directory: &Path) -> Attempt<()> {
    fs::create_dir_all(directory).map_err(|e| Failure::write(directory, &e))?;
    write_metadata(directory, &metadata::group())
}

fn write_metadata(directory: &Path, node: &serde_json::Value) -> Attempt<()> {
    let path = directory.join("zarr.json");
    fs::write(&path, metadata::text(node)).map_err(|e| Failure::write(&path, &e))
}

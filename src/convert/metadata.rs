//! `zarr.json` of arrays and groups (Zarr v3 core specification), key for key as zarr-python
//! writes it for the reference.

use serde_json::{Map, Value, json};

use super::write::Array;
use crate::dtype::DType;

/// Metadata of one array. `crc32`: the extension, a checksum for each chunk's rows as a `.pt`
/// serves them.
pub fn array(array: &Array, crc32: Option<&[u32]>) -> Value {
    let (dtype, dim) = (array.dtype, array.dim);
    let attributes = match crc32 {
        Some(crc32) => json!({"samplefs": {"crc32": crc32}}),
        None => json!({}),
    };
    json!({
        "shape": [array.grid.n_points, dim],
        "data_type": dtype.name(),
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [array.grid.shard_points, dim]}
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_value(dtype),
        "codecs": [{
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": [array.grid.chunk_points, dim],
                "codecs": [
                    bytes(dtype),
                    {
                        "name": "blosc",
                        "configuration": {
                            "typesize": dtype.size(),
                            "cname": "zstd",
                            "clevel": array.compression_level,
                            "shuffle": "shuffle",
                            "blocksize": 0
                        }
                    }
                ],
                "index_codecs": [bytes(DType::U64), {"name": "crc32c"}],
                "index_location": "end"
            }
        }],
        "attributes": attributes,
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": []
    })
}

fn fill_value(dtype: DType) -> Value {
    match dtype {
        DType::Bool => json!(false),
        _ if dtype.is_float() => json!(0.0),
        _ => json!(0),
    }
}

/// The codec that lays values out; single bytes have no order.
fn bytes(dtype: DType) -> Value {
    match dtype.size() {
        1 => json!({"name": "bytes"}),
        _ => json!({"name": "bytes", "configuration": {"endian": "little"}}),
    }
}

/// Metadata of a domain's group.
pub fn group() -> Value {
    json!({"attributes": {}, "zarr_format": 3, "node_type": "group"})
}

/// Metadata of a sample's group, with that of everything below it: groups before arrays, each in
/// the order of their names.
pub fn sample(domains: &[&str], mut arrays: Vec<(String, Value)>) -> Value {
    arrays.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut nodes = Map::new();
    for domain in domains {
        nodes.insert((*domain).to_owned(), consolidated(Map::new()));
    }
    nodes.extend(arrays);
    consolidated(nodes)
}

fn consolidated(nodes: Map<String, Value>) -> Value {
    json!({
        "attributes": {},
        "zarr_format": 3,
        "consolidated_metadata": {"kind": "inline", "must_understand": false, "metadata": nodes},
        "node_type": "group"
    })
}

/// The text of a `zarr.json`.
pub fn text(metadata: &Value) -> String {
    format!("{metadata:#}")
}

//! The reader of `.pt` files that hold one tensor: torch's zip format and the older one.
//!
//! The pickle inside is not unpickled: a small machine follows the opcodes that a tensor takes and
//! knows the few globals that stand in it. Nothing is called, imported or instantiated; whatever
//! else a file holds is an error that says what was found.

mod legacy;
mod machine;
mod pickle;
mod zip;

use super::file::{Input, Record, bytes};
use crate::error::{Error, Result};

/// Where the one tensor of a `.pt` file is.
///
/// # Errors
/// Anything but one plain CPU-readable tensor whose lengths fit the file.
pub fn record(input: &dyn Input) -> Result<Record> {
    let start = bytes(input, 0, input.length().min(legacy::MAGIC.len() as u64), "the first bytes")?;
    if start == legacy::MAGIC {
        legacy::record(input)
    } else if start.starts_with(b"PK") {
        zip_record(input)
    } else {
        Err(Error::invalid("neither a torch zip file nor torch's older format"))
    }
}

/// torch's zip: `<root>/data.pkl` names the storage `<root>/data/<key>`.
fn zip_record(input: &dyn Input) -> Result<Record> {
    let entries = zip::entries(input)?;
    let root = entries
        .iter()
        .find_map(|entry| entry.name.strip_suffix("/data.pkl"))
        .ok_or_else(|| Error::invalid("a zip without data.pkl: not torch's"))?;
    let find = |name: &str| entries.iter().find(|entry| entry.name.strip_prefix(root) == Some(name));

    if let Some(entry) = find("/byteorder") {
        let order = zip::read(input, entry, 16)?;
        if order != b"little" {
            let order = String::from_utf8_lossy(&order);
            return Err(Error::invalid(format!("byte order {order:?}: only little-endian values are read")));
        }
    }
    let pickle = find("/data.pkl").ok_or_else(|| Error::invalid("a zip without data.pkl"))?;
    let pickle = zip::read(input, pickle, pickle::LONGEST)?;
    let tensor = pickle::tensor(&pickle).map_err(|e| e.within("data.pkl"))?;
    let name = format!("/data/{}", tensor.key);
    let entry = find(&name).ok_or_else(|| Error::invalid(format!("no entry {root}{name}")))?;
    let length = tensor.length()?;
    if entry.size != length {
        return Err(Error::invalid(format!(
            "{}: {} bytes, data.pkl claims a storage of {length}",
            entry.name, entry.size
        )));
    }
    let start = zip::start(input, entry)?;
    // torch can be told not to compute checksums and then writes 0.
    let crc32 = (entry.crc32 != 0).then_some(entry.crc32);
    Ok(Record { layout: tensor.layout()?, start, length, crc32 })
}

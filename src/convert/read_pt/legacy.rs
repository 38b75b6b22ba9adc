//! torch's format before the zip (the default up to 1.5): five pickles one after another — a magic
//! number, a version, a description of the machine, the tensor, the storages' names — then each
//! storage as its number of elements (64 bits) and its bytes.

use super::machine::{self, Value};
use super::pickle::{self, Tensor};
use crate::convert::file::{Input, Record, bytes};
use crate::error::{Error, Result};

/// The first pickle, an integer.
pub const MAGIC: [u8; 15] = *b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// The second: the format's version.
const VERSION: i64 = 1001;

/// The one tensor of a file that starts with [`MAGIC`].
///
/// # Errors
/// Anything but one little-endian tensor that ends where the file does.
pub fn record(input: &dyn Input) -> Result<Record> {
    let at = MAGIC.len() as u64;
    let head = bytes(input, at, (input.length() - at).min(pickle::LONGEST), "the pickles")?;
    let (version, rest) = machine::run(&head)?;
    if !matches!(version, Value::Int(VERSION)) {
        return Err(Error::invalid("not version 1001 of torch's older format"));
    }
    let (system, rest) = machine::run(rest)?;
    if !little_endian(&system) {
        return Err(Error::invalid("not said to be little-endian"));
    }
    let (value, rest) = machine::run(rest)?;
    let tensor = pickle::interpret(&value)?;
    let (keys, rest) = machine::run(rest)?;
    one_storage(&keys, &tensor)?;

    let at = at + (head.len() - rest.len()) as u64;
    let count = bytes(input, at, 8, "the storage's length")?;
    let start = at + 8;
    let length = tensor.length()?;
    if count != tensor.elements.to_le_bytes() {
        return Err(Error::invalid("the storage has another length than the tensor says"));
    }
    if start.checked_add(length) != Some(input.length()) {
        return Err(Error::invalid(format!(
            "a storage of {length} bytes at {start} in a file of {} bytes",
            input.length()
        )));
    }
    Ok(Record { layout: tensor.layout()?, start, length, crc32: None })
}

fn little_endian(system: &Value) -> bool {
    let Value::Dict(entries) = system else { return false };
    entries.iter().any(|(key, value)| {
        matches!(key, Value::Text(key) if &**key == "little_endian") && matches!(value, Value::Bool(true))
    })
}

fn one_storage(keys: &Value, tensor: &Tensor) -> Result<()> {
    match keys {
        Value::List(keys) => match &keys[..] {
            [Value::Text(key)] if **key == *tensor.key => Ok(()),
            _ => Err(Error::invalid(format!("{} storages, expected the tensor's one", keys.len()))),
        },
        other => Err(Error::invalid(format!("expected the storages' names, found {}", other.kind()))),
    }
}

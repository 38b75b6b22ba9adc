//! stdout is data: what a command was asked for goes there, and nothing else.

use std::io::{ErrorKind, Write, stdout};
use std::path::Path;

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::error::{Error, Result};

/// Writes to stdout. False when nobody reads it any more (`| head`), which is no error.
///
/// # Errors
/// A full disk and its like.
pub fn write(bytes: &[u8]) -> Result<bool> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::io("write to stdout", &e)),
    }
}

/// Writes a file that a command was asked for.
///
/// # Errors
/// A directory that is not there, no right to write, a full disk.
pub fn file(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
}

/// A value as JSON text: an indent of one space, as the reference's statistics have.
pub fn json(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
    value.serialize(&mut serializer).expect("documents have string keys and go to memory");
    String::from_utf8(text).expect("JSON is UTF-8")
}

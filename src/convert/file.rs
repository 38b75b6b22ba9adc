//! A field's file, `.pt` or `.npy`: where its values are, and reading them.
//!
//! Headers are read first, and every claim in them is checked against the file's true length, so
//! no length that a file merely claims is ever allocated.

use std::ops::Range;

use super::files::Files;
use super::tensor::{Layout, Tensor};
use super::{read_npy, read_pt};
use crate::error::{Error, Result};
use crate::memory;

/// Bytes of a known length that can be read anywhere.
pub trait Input {
    /// How many bytes there are.
    fn length(&self) -> u64;

    /// Appends these bytes, which lie within the length.
    ///
    /// # Errors
    /// Those of the medium, and an end that comes too soon.
    fn append(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<()>;
}

impl Input for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn append(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&self[range.start as usize..range.end as usize]);
        Ok(())
    }
}

/// The bytes `at..at + length`, which may be as few as none.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::error::ErrorKind::Invalid) when they go past the end; `what`
/// names them.
pub fn bytes(input: &dyn Input, at: u64, length: u64, what: &str) -> Result<Vec<u8>> {
    let total = input.length();
    if at.checked_add(length).is_none_or(|end| end > total) {
        return Err(Error::invalid(format!("{what}: {length} bytes at {at} go past the end at {total}")));
    }
    let mut out = Vec::with_capacity(length as usize);
    input.append(at..at + length, &mut out).map_err(|e| e.within(what))?;
    Ok(out)
}

/// Where a file's one tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// How its values lie in the storage.
    pub layout: Layout,
    /// The storage's first byte in the file.
    pub start: u64,
    /// The storage's length in bytes.
    pub length: u64,
    /// The storage's CRC-32 where the file tells it.
    pub crc32: Option<u32>,
}

/// Where the tensor of a file with that name and content is; a name in `.npy` makes it numpy's,
/// any other torch's.
///
/// # Errors
/// Content that is not one tensor.
pub fn record(name: &str, content: &dyn Input) -> Result<Record> {
    if name.ends_with(".npy") { read_npy::record(content) } else { read_pt::record(content) }
}

/// Reads the tensor of a file of about `size` bytes, 0 where that is not known. Its storage is read into
/// `buffer`, which is emptied first and grows no further than the bytes that are there.
///
/// # Errors
/// A file that cannot be read or is not one tensor, fewer bytes than when it was opened, a checksum that
/// does not match; the file is named.
pub fn read(files: &dyn Files, path: &str, size: u64, buffer: Vec<u8>) -> Result<Tensor> {
    let tensor = files.open(path, size).and_then(|input| tensor(&record(path, &*input)?, &*input, buffer));
    tensor.map_err(|e| e.within(format_args!("{}/{path}", files.location())))
}

fn tensor(record: &Record, input: &dyn Input, mut buffer: Vec<u8>) -> Result<Tensor> {
    let Record { layout, start, length, crc32 } = *record;
    // A file full of holes can be longer than memory is.
    if let Some(left) = memory::available().filter(|left| length > *left) {
        return Err(Error::invalid(format!("{length} bytes of values, {left} bytes of memory are left")));
    }
    buffer.clear();
    // Room for what was there at opening; appending asks for no more.
    buffer.reserve_exact(length as usize);
    input.append(start..start + length, &mut buffer).map_err(|e| e.within("values"))?;
    if crc32.is_some_and(|crc32| crc32 != crc32fast::hash(&buffer)) {
        return Err(Error::invalid("the values do not match their checksum: the file is damaged"));
    }
    Tensor::new(layout, buffer)
}

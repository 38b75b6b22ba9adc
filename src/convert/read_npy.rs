//! The reader of `.npy` files (numpy.lib.format, versions 1 to 3): where the values are, from a
//! header that is a Python dictionary.

use super::file::{Input, Record, bytes};
use super::tensor::Layout;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// A header longer than this describes more than two axes of plain numbers.
const LONGEST_HEADER: u64 = 4096;

/// Where the one array of a `.npy` file is.
///
/// # Errors
/// Anything but plain little-endian numbers that end where the file does.
pub fn record(input: &dyn Input) -> Result<Record> {
    let head = bytes(input, 0, 8, "the first bytes")?;
    let Some([version, _minor]) = head.strip_prefix(b"\x93NUMPY") else {
        return Err(Error::invalid("not a .npy file"));
    };
    let width = match version {
        1 => 2,
        2 | 3 => 4,
        other => return Err(Error::invalid(format!(".npy version {other}"))),
    };
    let mut length = [0; 8];
    length[..width as usize].copy_from_slice(&bytes(input, 8, width, "the header's length")?);
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return Err(Error::invalid(format!("a .npy header of {length} bytes")));
    }
    let text = bytes(input, 8 + width, length, "the header")?;
    let header = Header::parse(&text)?;

    let start = 8 + width + length;
    let values = header.shape.iter().try_fold(1u64, |n, axis| n.checked_mul(*axis));
    let length = values.and_then(|n| n.checked_mul(header.dtype.size() as u64));
    let (Some(values), Some(length)) = (values, length) else {
        return Err(Error::invalid(format!("shape {:?}", header.shape)));
    };
    if start.checked_add(length) != Some(input.length()) {
        return Err(Error::invalid(format!(
            "{length} bytes of values at {start} in a file of {} bytes",
            input.length()
        )));
    }
    Ok(Record { layout: header.layout(values)?, start, length, crc32: None })
}

struct Header {
    dtype: DType,
    columns_first: bool,
    shape: Vec<u64>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (7, 3), }`, in any order of keys.
    fn parse(text: &[u8]) -> Result<Self> {
        let wrong = || Error::invalid("a .npy header that numpy does not write");
        let text = std::str::from_utf8(text).map_err(|_| wrong())?.trim();
        let mut rest = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or_else(wrong)?.trim();
        let (mut dtype, mut columns_first, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, value) = rest.split_once(':').ok_or_else(wrong)?;
            let value = value.trim_start();
            // A tuple has commas of its own.
            let end = if value.starts_with('(') { value.find(')').map(|at| at + 1) } else { value.find(',') };
            let (value, tail) = value.split_at(end.unwrap_or(value.len()));
            match key.trim() {
                "'descr'" => dtype = Some(descr(value.trim())?),
                "'fortran_order'" => columns_first = Some(boolean(value.trim()).ok_or_else(wrong)?),
                "'shape'" => shape = Some(tuple(value).ok_or_else(wrong)?),
                _ => return Err(wrong()),
            }
            rest = tail.trim_start().trim_start_matches(',').trim_start();
        }
        let (Some(dtype), Some(columns_first), Some(shape)) = (dtype, columns_first, shape) else {
            return Err(wrong());
        };
        Ok(Self { dtype, columns_first, shape })
    }

    fn layout(&self, values: u64) -> Result<Layout> {
        match &self.shape[..] {
            [rows, _] if self.columns_first => Layout::new(self.dtype, &self.shape, &[1, *rows], 0, values),
            shape => Layout::contiguous(self.dtype, shape, values),
        }
    }
}

fn descr(quoted: &str) -> Result<DType> {
    DType::STORED
        .into_iter()
        .find(|dtype| quoted.trim_matches('\'') == dtype.npy_descr())
        .ok_or_else(|| Error::invalid(format!("type {quoted}: only plain little-endian numbers are read")))
}

fn boolean(word: &str) -> Option<bool> {
    match word {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}

fn tuple(text: &str) -> Option<Vec<u64>> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?.trim();
    let inner = inner.strip_suffix(',').unwrap_or(inner);
    if inner.is_empty() {
        return Some(Vec::new());
    }
    inner.split(',').map(|axis| axis.trim().parse().ok()).collect()
}

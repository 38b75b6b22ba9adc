//! A zip of stored entries (PKWARE APPNOTE 6.3), as far as torch writes it: no comment, no
//! compression, no encryption, zip64 or not.

use std::collections::HashSet;

use crate::convert::file::{Input, bytes};
use crate::error::{Error, Result};

const END: u64 = 22;
const LOCATOR64: u64 = 20;
const END64: u64 = 56;
const LOCAL: u64 = 30;
const CENTRAL: usize = 46;

/// A directory longer than this is no tensor's: torch's has some 500 bytes.
const LONGEST_DIRECTORY: u64 = 64 << 10;

/// Flag bit 0 of an entry.
const ENCRYPTED: u16 = 1;

/// In place of a value that stands in a zip64 field.
const ELSEWHERE: u64 = u32::MAX as u64;

/// One stored entry, as the central directory describes it.
pub struct Entry {
    /// Its path.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// The checksum of its bytes.
    pub crc32: u32,
    header: u64,
}

/// All entries of a zip.
///
/// # Errors
/// Anything that is not a whole zip of stored entries with distinct names.
pub fn entries(input: &dyn Input) -> Result<Vec<Entry>> {
    let (count, size, offset) = directory(input)?;
    if size > LONGEST_DIRECTORY {
        return Err(Error::invalid(format!("a zip directory of {size} bytes: not a single tensor's")));
    }
    let directory = bytes(input, offset, size, "the zip's directory")?;
    let mut rest = directory.as_slice();
    let mut entries: Vec<Entry> = Vec::new();
    let mut names = HashSet::new();
    while !rest.is_empty() {
        let entry = central(&mut rest)?;
        if !names.insert(entry.name.clone()) {
            return Err(Error::invalid(format!("two zip entries are called {:?}", entry.name)));
        }
        entries.push(entry);
    }
    if entries.len() as u64 != count {
        return Err(Error::invalid(format!("{} zip entries, the end record claims {count}", entries.len())));
    }
    Ok(entries)
}

/// Count, size and offset of the central directory, from the end records.
fn directory(input: &dyn Input) -> Result<(u64, u64, u64)> {
    let cut = || Error::invalid("not a whole zip: the end record is missing");
    let at = input.length().checked_sub(END).ok_or_else(cut)?;
    let end = bytes(input, at, END, "the zip's end record")?;
    if !end.starts_with(b"PK\x05\x06") || u16_at(&end, 20) != 0 {
        return Err(cut());
    }
    let plain = (u16_at(&end, 10).into(), u32_at(&end, 12).into(), u32_at(&end, 16).into());
    let Some(at) = at.checked_sub(LOCATOR64) else { return Ok(plain) };
    let locator = bytes(input, at, LOCATOR64, "the zip64 locator")?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(plain);
    }
    let end64 = bytes(input, u64_at(&locator, 8), END64, "the zip64 end record")?;
    if !end64.starts_with(b"PK\x06\x06") {
        return Err(Error::invalid("the zip64 locator does not point at a zip64 end record"));
    }
    Ok((u64_at(&end64, 32), u64_at(&end64, 40), u64_at(&end64, 48)))
}

/// Takes one entry off the directory.
fn central(rest: &mut &[u8]) -> Result<Entry> {
    let cut = || Error::invalid("the zip's directory is cut");
    let header = rest.split_off(..CENTRAL).ok_or_else(cut)?;
    if !header.starts_with(b"PK\x01\x02") {
        return Err(Error::invalid("the zip's directory holds something else than entries"));
    }
    let length = |at| usize::from(u16_at(header, at));
    let name = rest.split_off(..length(28)).ok_or_else(cut)?;
    let extra = rest.split_off(..length(30)).ok_or_else(cut)?;
    rest.split_off(..length(32)).ok_or_else(cut)?;

    let name = std::str::from_utf8(name).map_err(|_| Error::invalid("a zip entry's name is not UTF-8"))?;
    let (flags, method) = (u16_at(header, 8), u16_at(header, 10));
    if flags & ENCRYPTED != 0 {
        return Err(Error::invalid(format!("{name}: the zip entry is encrypted")));
    }
    if method != 0 {
        return Err(Error::invalid(format!("{name}: the zip entry is compressed (method {method})"))
            .hint("torch.save stores entries as they are"));
    }
    // Size, compressed size and offset, in the order in which the zip64 field replaces them.
    let mut fields: [u64; 3] = [24, 20, 42].map(|at| u32_at(header, at).into());
    let mut wide = zip64(extra);
    for field in fields.iter_mut().filter(|field| **field == ELSEWHERE) {
        let value = wide.split_off(..8).ok_or_else(|| Error::invalid(format!("{name}: no zip64 sizes")))?;
        *field = u64_at(value, 0);
    }
    let [size, compressed, header_at] = fields;
    if size != compressed {
        return Err(Error::invalid(format!("{name}: {compressed} bytes stored for {size}")));
    }
    Ok(Entry { name: name.to_owned(), size, crc32: u32_at(header, 16), header: header_at })
}

/// The content of the zip64 extra field (id 1), empty when there is none.
fn zip64(mut extra: &[u8]) -> &[u8] {
    while let Some(head) = extra.split_off(..4) {
        let Some(content) = extra.split_off(..usize::from(u16_at(head, 2))) else { break };
        if u16_at(head, 0) == 1 {
            return content;
        }
    }
    &[]
}

/// Where an entry's bytes start; they lie within the file.
///
/// # Errors
/// A local header that is not there or bytes that go past the end.
pub fn start(input: &dyn Input, entry: &Entry) -> Result<u64> {
    let header = bytes(input, entry.header, LOCAL, &entry.name)?;
    if !header.starts_with(b"PK\x03\x04") {
        return Err(Error::invalid(format!("{}: no local header where the directory says", entry.name)));
    }
    let start = entry.header + LOCAL + u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
    if start.checked_add(entry.size).is_none_or(|end| end > input.length()) {
        return Err(Error::invalid(format!(
            "{}: {} bytes at {start} go past the end",
            entry.name, entry.size
        )));
    }
    Ok(start)
}

/// A small entry's bytes.
///
/// # Errors
/// One longer than `longest`, or as [`start`].
pub fn read(input: &dyn Input, entry: &Entry, longest: u64) -> Result<Vec<u8>> {
    if entry.size > longest {
        return Err(Error::invalid(format!("{}: {} bytes: not a single tensor's", entry.name, entry.size)));
    }
    bytes(input, start(input, entry)?, entry.size, &entry.name)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

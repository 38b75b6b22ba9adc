//! The `.pt` format: a zip of stored entries, as `torch.save(tensor, path)` writes it.
//!
//! Everything small stands before the values, so that what follows them is only their data
//! descriptor and the central directory:
//!
//! | part | what |
//! |---|---|
//! | prefix | `archive/data.pkl`, `archive/byteorder`, `archive/version`, the local header of `archive/data/0` |
//! | payload | the values, float32 little-endian, C order, from a multiple of 64 on |
//! | suffix | data descriptor, central directory, zip64 end record and locator, end record |
//!
//! Headers follow torch's: no dates, sizes in data descriptors (flag bit 3), an extra field `FB`
//! that pads the data of every entry to a multiple of 64, always a zip64 end record.

use super::{Frame, pickle};

const ALIGNMENT: u64 = 64;

/// Sizes from here on do not fit the 32-bit fields and go to a zip64 extra field.
const ZIP64: u64 = u32::MAX as u64;

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;

const EXTRA_PADDING: u16 = 0x4246;
const EXTRA_ZIP64: u16 = 0x0001;

const UTF8: u16 = 0x0800;
const HAS_DESCRIPTOR: u16 = 0x0008;

/// The values' entry.
const DATA: &str = "archive/data/0";

/// One entry of the zip, once its place is known.
struct Entry {
    name: &'static str,
    header: u64,
    size: u64,
    crc32: u32,
}

/// The frame of a float32 tensor.
pub fn frame(shape: &[u64]) -> Frame {
    let payload = shape.iter().product::<u64>() * 4;
    let (prefix, entries) = prefix(shape, payload);
    // The suffix's length follows from names and sizes; building it takes less than a microsecond.
    let suffix = finish(prefix.len() as u64, entries, payload, 0).len() as u64;
    Frame { prefix, payload, suffix }
}

/// What follows the values of a tensor of that shape; `crc32` is the values' checksum, 0 when unknown.
pub fn suffix(shape: &[u64], crc32: u32) -> Vec<u8> {
    let payload = shape.iter().product::<u64>() * 4;
    let (prefix, entries) = prefix(shape, payload);
    finish(prefix.len() as u64, entries, payload, crc32)
}

fn prefix(shape: &[u64], payload: u64) -> (Vec<u8>, Vec<Entry>) {
    let mut out = Vec::with_capacity(512);
    let mut entries = Vec::with_capacity(4);
    let pickle = pickle::tensor(shape);
    for (name, content) in [
        ("archive/data.pkl", pickle.as_slice()),
        ("archive/byteorder", b"little"),
        ("archive/version", b"3\n"),
    ] {
        let (size, crc32) = (content.len() as u64, crc32fast::hash(content));
        entries.push(Entry { name, header: out.len() as u64, size, crc32 });
        local_header(&mut out, name, size);
        out.extend(content);
        descriptor(&mut out, size, crc32);
    }
    entries.push(Entry { name: DATA, header: out.len() as u64, size: payload, crc32: 0 });
    local_header(&mut out, DATA, payload);
    (out, entries)
}

/// A local header, up to where the entry's data starts.
fn local_header(out: &mut Vec<u8>, name: &str, size: u64) {
    let zip64 = zip64_sizes(size);
    let unpadded = out.len() as u64 + 30 + name.len() as u64 + zip64.len() as u64 + 4;
    let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;
    put32(out, LOCAL);
    put16(out, 0); // version needed
    put16(out, flags(size));
    out.extend([0; 18]); // method, time, date, and what the descriptor holds: crc, two sizes
    put16(out, name.len() as u16);
    put16(out, (zip64.len() as u64 + 4 + padding) as u16);
    out.extend(name.as_bytes());
    out.extend(zip64);
    put16(out, EXTRA_PADDING);
    put16(out, padding as u16);
    out.resize(out.len() + padding as usize, b'Z');
}

/// The data descriptor; torch writes none for an empty entry.
fn descriptor(out: &mut Vec<u8>, size: u64, crc32: u32) {
    if size == 0 {
        return;
    }
    put32(out, DESCRIPTOR);
    put32(out, crc32);
    for _compressed_then_plain in 0..2 {
        if size >= ZIP64 { put64(out, size) } else { put32(out, size as u32) }
    }
}

/// Everything after the payload; `start` is where the payload starts.
fn finish(start: u64, mut entries: Vec<Entry>, payload: u64, crc32: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    descriptor(&mut out, payload, crc32);
    if let Some(data) = entries.last_mut() {
        data.crc32 = crc32;
    }
    let directory = start + payload + out.len() as u64;
    for entry in &entries {
        central_header(&mut out, entry);
    }
    let end = start + payload + out.len() as u64;
    let (count, length) = (entries.len() as u64, end - directory);

    put32(&mut out, END64);
    put64(&mut out, 44); // what follows of this record
    put16(&mut out, 0x031e); // made by: 3.0, Unix
    put16(&mut out, 45); // needed: 4.5, the first with zip64
    out.extend([0; 8]); // this disk, the directory's disk
    put64(&mut out, count);
    put64(&mut out, count);
    put64(&mut out, length);
    put64(&mut out, directory);

    put32(&mut out, LOCATOR64);
    put32(&mut out, 0);
    put64(&mut out, end);
    put32(&mut out, 1); // disks

    put32(&mut out, END);
    put32(&mut out, 0); // this disk, the directory's disk
    put16(&mut out, count as u16);
    put16(&mut out, count as u16);
    put32(&mut out, length as u32);
    put32(&mut out, directory.min(ZIP64) as u32);
    put16(&mut out, 0); // no comment
    out
}

fn central_header(out: &mut Vec<u8>, entry: &Entry) {
    let zip64 = zip64_sizes(entry.size);
    let size = entry.size.min(ZIP64) as u32;
    put32(out, CENTRAL);
    put32(out, 0); // made by, needed
    put16(out, flags(entry.size));
    out.extend([0; 6]); // method, time, date
    put32(out, entry.crc32);
    put32(out, size);
    put32(out, size);
    put16(out, entry.name.len() as u16);
    put16(out, zip64.len() as u16);
    out.extend([0; 10]); // comment, disk, attributes
    put32(out, entry.header as u32); // all headers stand within the prefix
    out.extend(entry.name.as_bytes());
    out.extend(zip64);
}

/// The zip64 extra field with both sizes, empty where 32 bits hold them.
fn zip64_sizes(size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if size >= ZIP64 {
        put16(&mut out, EXTRA_ZIP64);
        put16(&mut out, 16);
        put64(&mut out, size);
        put64(&mut out, size);
    }
    out
}

fn flags(size: u64) -> u16 {
    if size == 0 { UTF8 } else { UTF8 | HAS_DESCRIPTOR }
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend(value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_values_are_aligned_and_sizes_hold_for_any_shape(rows in 0u64..1 << 50, dim in 1u64..9) {
            let frame = frame(&[rows, dim]);
            prop_assert_eq!(frame.prefix.len() % 64, 0);
            prop_assert_eq!(frame.payload, rows * dim * 4);
            prop_assert_eq!(suffix(&[rows, dim], 0xdead_beef).len() as u64, frame.suffix);
        }
    }
}

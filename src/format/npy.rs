//! The `.npy` format, version 1.0 (numpy.lib.format): a magic number, a header that is a Python
//! dictionary, the values.

use std::fmt::Write;

use super::Frame;
use crate::dtype::DType;

/// The magic number and version 1.0.
pub const MAGIC: [u8; 8] = *b"\x93NUMPY\x01\x00";

/// numpy aligns the values to this.
const ALIGNMENT: usize = 64;

/// The frame of a C-ordered array.
pub fn frame(shape: &[u64], dtype: DType) -> Frame {
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': (", dtype.npy_descr());
    for (i, length) in shape.iter().enumerate() {
        let space = if i == 0 { "" } else { " " };
        let comma = if i + 1 < shape.len() || shape.len() == 1 { "," } else { "" };
        write!(header, "{space}{length}{comma}").expect("writing to a string cannot fail");
    }
    header.push_str("), }");
    // Two bytes of length come before the header, one newline ends it.
    let unpadded = MAGIC.len() + 2 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    header.push('\n');

    let mut prefix = MAGIC.to_vec();
    prefix.extend((header.len() as u16).to_le_bytes());
    prefix.extend(header.as_bytes());
    let payload = shape.iter().product::<u64>() * dtype.size() as u64;
    Frame { prefix, payload, suffix: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_what_numpy_writes() {
        let frame = frame(&[479, 3], DType::F16);
        let text = "{'descr': '<f2', 'fortran_order': False, 'shape': (479, 3), }";
        assert_eq!(&frame.prefix[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert_eq!(&frame.prefix[10..10 + text.len()], text.as_bytes());
        assert_eq!((frame.prefix.len(), frame.prefix.last()), (128, Some(&b'\n')));
        assert_eq!(frame.size(), 128 + 479 * 3 * 2);
    }

    #[test]
    fn a_single_axis_is_a_tuple_of_one() {
        let frame = frame(&[7], DType::F32);
        assert!(frame.prefix.windows(6).any(|w| w == b"(7,), "));
    }
}

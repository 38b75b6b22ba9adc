//! The pickle inside a `.pt` file: one float32 tensor, as `torch.save` pickles it (protocol 2).

/// `data.pkl` of a contiguous float32 tensor of that shape, byte for byte torch's.
pub fn tensor(shape: &[u64]) -> Vec<u8> {
    let mut out = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00(".to_vec();
    out.extend(b"(X\x07\x00\x00\x00storageq\x01ctorch\nFloatStorage\nq\x02");
    out.extend(b"X\x01\x00\x00\x000q\x03X\x03\x00\x00\x00cpuq\x04");
    integer(&mut out, shape.iter().product());
    // The persistent id ends; the storage offset follows.
    out.extend(b"tq\x05Q");
    integer(&mut out, 0);
    tuple(&mut out, shape, 6);
    tuple(&mut out, &strides(shape), 7);
    // requires_grad is False; the backward hooks are an empty OrderedDict.
    out.extend(b"\x89ccollections\nOrderedDict\nq\x08)Rq\ttq\nRq\x0b.");
    out
}

/// torch's strides of a contiguous tensor: an axis of length 0 counts as 1.
fn strides(shape: &[u64]) -> Vec<u64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

/// A tuple of one or two integers, kept in the pickle's memo under `memo`.
fn tuple(out: &mut Vec<u8>, values: &[u64], memo: u8) {
    const TUPLE1: u8 = 0x85;
    values.iter().for_each(|value| integer(out, *value));
    out.push(TUPLE1 + values.len() as u8 - 1);
    out.extend([b'q', memo]);
}

/// An integer in the opcode that Python's pickler picks for it.
fn integer(out: &mut Vec<u8>, value: u64) {
    const LONG1: u8 = 0x8a;
    if let Ok(byte) = u8::try_from(value) {
        out.extend([b'K', byte]);
    } else if let Ok(short) = u16::try_from(value) {
        out.push(b'M');
        out.extend(short.to_le_bytes());
    } else if let Ok(int) = i32::try_from(value) {
        out.push(b'J');
        out.extend(int.to_le_bytes());
    } else {
        // Two's complement, little-endian, in as few bytes as hold the sign.
        let bytes = value.to_le_bytes();
        let length = 8 - value.leading_zeros() as usize / 8;
        let sign = usize::from(bytes[length - 1] >= 0x80);
        out.extend([LONG1, (length + sign) as u8]);
        out.extend(&bytes[..length]);
        out.extend(&[0][..sign]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_the_opcode_that_python_picks() {
        let cases: [(u64, &[u8]); 8] = [
            (0, b"K\x00"),
            (255, b"K\xff"),
            (256, b"M\x00\x01"),
            (65_536, b"J\x00\x00\x01\x00"),
            (0x7fff_ffff, b"J\xff\xff\xff\x7f"),
            (0x8000_0000, b"\x8a\x05\x00\x00\x00\x80\x00"),
            (1 << 32, b"\x8a\x05\x00\x00\x00\x00\x01"),
            (0x00ff_ffff_ffff, b"\x8a\x06\xff\xff\xff\xff\xff\x00"),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            integer(&mut out, value);
            assert_eq!(out, expected, "{value}");
        }
    }
}

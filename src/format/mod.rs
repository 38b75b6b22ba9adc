//! File formats as arithmetic: a virtual file is `prefix ++ payload ++ suffix`, and everything but
//! the payload follows from the shape, the type and a checksum.

pub mod npy;
pub mod pickle;
pub mod pt;

use crate::dtype::DType;

/// The forms in which a field can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// torch's zip format, float32: what the reference reader returns.
    Pt,
    /// numpy's format, the stored type as it is.
    Npy,
}

/// What surrounds a payload. Lengths never depend on the payload's bytes.
pub struct Frame {
    /// The bytes before the payload.
    pub prefix: Vec<u8>,
    /// How many payload bytes there are.
    pub payload: u64,
    /// How many bytes follow it.
    pub suffix: u64,
}

impl Frame {
    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.prefix.len() as u64 + self.payload + self.suffix
    }
}

impl Format {
    /// What the names of such files end in.
    fn extension(self) -> &'static str {
        match self {
            Self::Pt => ".pt",
            Self::Npy => ".npy",
        }
    }

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        &self.extension()[1..]
    }

    /// The name of a file of this format.
    pub fn file_name(self, stem: &str) -> String {
        format!("{stem}{}", self.extension())
    }

    /// What a name is without this format's extension; `None` when it has another.
    pub fn stem(self, name: &str) -> Option<&str> {
        name.strip_suffix(self.extension())
    }

    /// The type of the values that a file of this format shows of an array of `stored`.
    pub fn served(self, stored: DType) -> DType {
        match self {
            Self::Pt => DType::F32,
            Self::Npy => stored,
        }
    }

    /// The frame of `rows` points of `dim` values each: scalars are shown as `(rows,)`,
    /// vectors as `(rows, dim)`.
    ///
    /// # Panics
    /// When the file would exceed 2^63 bytes; catalogs refuse such shapes.
    pub fn frame(self, rows: u64, dim: u32, stored: DType) -> Frame {
        match self {
            Self::Pt => pt::frame(&shape(rows, dim)),
            Self::Npy => npy::frame(&shape(rows, dim), stored),
        }
    }

    /// The bytes after the payload; `crc32` is the payload's checksum, 0 when it is not known.
    pub fn suffix(self, rows: u64, dim: u32, crc32: u32) -> Vec<u8> {
        match self {
            Self::Pt => pt::suffix(&shape(rows, dim), crc32),
            Self::Npy => Vec::new(),
        }
    }
}

/// Lengths of the axes that a file shows: scalars have one, vectors two.
pub fn shape(rows: u64, dim: u32) -> Vec<u64> {
    if dim == 1 { vec![rows] } else { vec![rows, u64::from(dim)] }
}

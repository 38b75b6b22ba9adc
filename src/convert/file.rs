//! A field's file, `.pt` or `.npy`: where its values are, and reading them.
//!
//! Opening reads headers alone and checks every claim in them against the file's true length, so
//! no length that a file merely claims is ever allocated.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::tensor::{Layout, Tensor};
use super::{read_npy, read_pt};
use crate::error::{Error, Result};
use crate::memory;

/// Bytes of a known length that can be read anywhere.
pub trait Input {
    /// How many bytes there are.
    fn length(&self) -> u64;

    /// Fills `out` with the bytes from `at` on.
    ///
    /// # Errors
    /// Those of the system, and an end that comes too soon.
    fn fill(&self, at: u64, out: &mut [u8]) -> io::Result<()>;
}

impl Input for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn fill(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let part = usize::try_from(at).ok().and_then(|at| self.get(at..)?.get(..out.len()));
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
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
    let mut out = vec![0; length as usize];
    input.fill(at, &mut out).map_err(|e| Error::io(format_args!("read {what}"), &e))?;
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
pub fn record(name: &Path, content: &dyn Input) -> Result<Record> {
    if name.extension().is_some_and(|extension| extension == "npy") {
        read_npy::record(content)
    } else {
        read_pt::record(content)
    }
}

/// An open field file whose header has been understood.
pub struct FieldFile {
    file: File,
    record: Record,
}

struct OpenFile<'a> {
    file: &'a File,
    length: u64,
}

impl Input for OpenFile<'_> {
    fn length(&self) -> u64 {
        self.length
    }

    fn fill(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, at)
    }
}

impl FieldFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// A file that cannot be read or is not one tensor; the file is named.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_unnamed(path).map_err(|e| e.within(path.display()))
    }

    fn open_unnamed(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open it", &e))?;
        let metadata = file.metadata().map_err(|e| Error::io("look at it", &e))?;
        if !metadata.is_file() {
            return Err(Error::invalid("not a file"));
        }
        let record = record(path, &OpenFile { file: &file, length: metadata.len() })?;
        Ok(Self { file, record })
    }

    /// Where the tensor is.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Reads the storage into `buffer`, which is emptied first and grows no further than the bytes
    /// that are there.
    ///
    /// # Errors
    /// A failed read, fewer bytes than when the file was opened, or a checksum that does not
    /// match; the caller names the file.
    pub fn read(self, mut buffer: Vec<u8>) -> Result<Tensor> {
        let Record { layout, start, length, crc32 } = self.record;
        // A file full of holes can be longer than memory is.
        if let Some(left) = memory::available().filter(|left| length > *left) {
            return Err(Error::invalid(format!("{length} bytes of values, {left} bytes of memory are left")));
        }
        buffer.clear();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start)).map_err(|e| Error::io("seek", &e))?;
        // Room for what was there at opening; read_to_end asks for no more.
        buffer.reserve_exact(length as usize);
        file.take(length).read_to_end(&mut buffer).map_err(|e| Error::io("read values", &e))?;
        if (buffer.len() as u64) < length {
            return Err(Error::invalid(format!("{} of {length} bytes of values are left", buffer.len())));
        }
        if crc32.is_some_and(|crc32| crc32 != crc32fast::hash(&buffer)) {
            return Err(Error::invalid("the values do not match their checksum: the file is damaged"));
        }
        Tensor::new(layout, buffer)
    }
}

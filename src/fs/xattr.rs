//! Extended attributes: what a node is, for `getfattr`, told from memory.

use super::{Filesystem, Snapshot, seen_through};
use crate::catalog::{FieldId, SampleId};
use crate::dtype::DType;
use crate::error::Result;
use crate::format::{self, Format};
use crate::tree::{DirId, Node, Slot};

/// What the names of all attributes begin with.
pub const PREFIX: &str = "user.samplefs.";

/// The CRC-32 of a file's payload. It is had by its name alone and not listed, for whether it is recorded
/// stands in the sample's metadata, and a listing must ask nothing of the store.
const CRC32: &str = "crc32";

impl Filesystem {
    /// Names and values of a node's attributes, the names without [`PREFIX`].
    ///
    /// # Errors
    /// [`Changed`](crate::error::ErrorKind::Changed) for a number that is no node's.
    pub fn xattrs(&self, number: u64) -> Result<Vec<(&'static str, String)>> {
        let snapshot = self.snapshot();
        let node = snapshot.node(number)?;
        let mut told = Vec::new();
        match node {
            Node::Plain(_) => {}
            Node::File { dir, field, format, view } => {
                tell_sample(&snapshot, snapshot.sample(dir)?, &mut told);
                self.tell_field(&snapshot, (dir, field, format, view), &mut told)?;
            }
            Node::Dir { dir, .. } => {
                if dir == DirId(0) {
                    self.tell_dataset(&snapshot, &mut told);
                }
                if let Some(sample) = snapshot.dirs.sample(dir) {
                    tell_sample(&snapshot, sample, &mut told);
                }
            }
        }
        if let Some(view) = seen_through(&node) {
            told.push(("subsample", self.spec(view)?.name(&snapshot.catalog().domains).to_string()));
        }
        Ok(told)
    }

    /// The value of a node's attribute of that whole name; `None` when it has none. Only the checksum
    /// may need the store: the sample's metadata and, where a view cuts a chunk, that chunk.
    ///
    /// # Errors
    /// As [`xattrs`](Self::xattrs); for the checksum what the store says.
    pub fn xattr(&self, number: u64, name: &[u8]) -> Result<Option<String>> {
        // Whoever lists files asks for security labels and access lists of every one.
        let Some(name) = name.strip_prefix(PREFIX.as_bytes()) else { return Ok(None) };
        if name == CRC32.as_bytes() {
            return self.recorded_crc32(number);
        }
        let told = self.xattrs(number)?;
        Ok(told.into_iter().find(|(known, _)| known.as_bytes() == name).map(|(_, value)| value))
    }

    fn tell_dataset(&self, snapshot: &Snapshot, told: &mut Vec<(&'static str, String)>) {
        let catalog = snapshot.catalog();
        let formats: Vec<_> = self.options.formats.iter().map(|format| format.name()).collect();
        told.push(("dataset", catalog.dataset.clone()));
        told.push(("samples", catalog.ids.len().to_string()));
        told.push(("format", formats.join(",")));
        told.push(("filemap", catalog.names_from.clone()));
    }

    fn tell_field(
        &self,
        snapshot: &Snapshot,
        (dir, field, format, view): (DirId, FieldId, Format, Option<Slot>),
        told: &mut Vec<(&'static str, String)>,
    ) -> Result<()> {
        let catalog = snapshot.catalog();
        let described = catalog.field(field);
        let array = snapshot.extent(dir, field)?.array;
        let points = self.points(snapshot, dir, field, view)?;
        let shape = format::shape(points, array.dim).iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        told.push(("field", described.canonical.clone()));
        told.push(("domain", catalog.domains[described.domain].name.clone()));
        told.push(("array", format!("{}/{}", array.group, array.name)));
        told.push(("dtype", format.served(array.dtype).name().to_owned()));
        told.push(("stored_dtype", array.dtype.name().to_owned()));
        told.push(("shape", shape));
        told.push(("points", points.to_string()));
        told.push(("filemap", catalog.names_from.clone()));
        Ok(())
    }

    fn recorded_crc32(&self, number: u64) -> Result<Option<String>> {
        let snapshot = self.snapshot();
        let Node::File { dir, field, format, view } = snapshot.node(number)? else { return Ok(None) };
        let file = self.file(&snapshot, dir, field, format, view)?;
        // What is recorded is that of float32 values.
        if file.payload().served != DType::F32 {
            return Ok(None);
        }
        let crc32 = self.reader.crc32(file.payload()).map_err(|e| snapshot.named(dir, field, e))?;
        Ok(crc32.map(|crc32| format!("{crc32:08x}")))
    }
}

fn tell_sample(snapshot: &Snapshot, sample: SampleId, told: &mut Vec<(&'static str, String)>) {
    let catalog = snapshot.catalog();
    told.push(("sample", catalog.id(sample).to_owned()));
    told.push(("shuffled", catalog.shuffled.to_string()));
}

//! Kinds of stores: what is there and where it is, answered from memory.
//!
//! noether's is the first. A ragged store (sample i = rows `ptr[i]..ptr[i + 1]` of one long array)
//! and a gridded one (sample = index on the leading axis) fit the same two questions.

pub mod names;
pub mod noether;

use std::sync::Arc;
use std::time::SystemTime;

use crate::catalog::{Catalog, Extent, FieldId, SampleId};
use crate::error::{Error, ErrorKind, Result};
use crate::store::manifest::{self, Manifest};
use crate::store::{Objects, Part};
use names::FileNames;

/// A manifest of a million samples has 123 MB; more than this is not read.
const MANIFEST_LIMIT: u64 = 4 << 30;

/// A kind of store. Nothing above this trait knows which one it serves.
pub trait StoreLayout: Send + Sync {
    /// What is there.
    fn catalog(&self) -> &Catalog;

    /// Where a field of a sample is. Asked only for fields that the sample has.
    fn extent(&self, sample: SampleId, field: FieldId) -> Extent;
}

/// Opens a store: reads its index and finds out what kind it is.
///
/// # Errors
/// No index, or one that is not valid; the index is named.
pub fn open(objects: &dyn Objects, names: &FileNames) -> Result<Opened> {
    let within = |e: Error| e.within(format!("{}/{}", objects.location(), manifest::NAME));
    let mut json = Vec::new();
    let whole = Part::Whole { limit: MANIFEST_LIMIT };
    let Some(found) = objects.read(manifest::NAME, whole, None, &mut json)? else {
        return Err(within(Error::new(ErrorKind::NotFound, "no such file"))
            .hint("a store is a directory with a manifest.json; `samplefs convert` makes one"));
    };
    let manifest = Manifest::parse(&json).map_err(within)?;
    drop(json);
    let layout = noether::Noether::new(manifest, names).map_err(within)?;
    Ok(Opened { layout: Arc::new(layout), modified: found.modified })
}

/// A store whose index has been read.
pub struct Opened {
    /// What is in it, and where.
    pub layout: Arc<dyn StoreLayout>,
    /// When its index was last written.
    pub modified: SystemTime,
}

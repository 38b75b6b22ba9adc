//! Kinds of stores: what is there and where it is, answered from memory.
//!
//! noether's is the first. A ragged store (sample i = rows `ptr[i]..ptr[i + 1]` of one long array)
//! and a gridded one (sample = index on the leading axis) fit the same two questions.

pub mod names;
pub mod noether;

use std::sync::Arc;
use std::time::SystemTime;

use crate::catalog::{Catalog, Extent, FieldId, SampleId};
use crate::error::{Error, Result};
use crate::store::{Objects, manifest};
use names::FileNames;

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
    let (layout, found) = noether::Noether::open(objects, names).map_err(within)?;
    Ok(Opened { layout: Arc::new(layout), modified: found.modified })
}

/// A store whose index has been read.
pub struct Opened {
    /// What is in it, and where.
    pub layout: Arc<dyn StoreLayout>,
    /// When its index was last written.
    pub modified: SystemTime,
}

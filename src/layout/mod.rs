//! Kinds of stores: what is there and where it is, answered from memory.
//!
//! noether's is the first. A ragged store (sample i = rows `ptr[i]..ptr[i + 1]` of one long array)
//! and a gridded one (sample = index on the leading axis) fit the same two questions.

pub mod names;
pub mod noether;

use crate::catalog::{Catalog, Extent, FieldId, SampleId};

/// A kind of store. Nothing above this trait knows which one it serves.
pub trait StoreLayout: Send + Sync {
    /// What is there.
    fn catalog(&self) -> &Catalog;

    /// Where a field of a sample is. Asked only for fields that the sample has.
    fn extent(&self, sample: SampleId, field: FieldId) -> Extent;
}

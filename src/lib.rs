//! samplefs mounts a chunked Zarr store of training samples and shows every sample as the plain
//! files that existing code already reads.
pub mod convert;
pub mod demo;
pub mod dtype;
pub mod error;
pub mod filemap;
pub mod format;
pub mod rows;
pub mod store;
pub mod subsample;

//! samplefs mounts a chunked Zarr store of training samples and shows every sample as the plain
//! files that existing code already reads.

pub mod catalog;
pub mod cli;
pub mod config;
pub mod dtype;
pub mod error;
pub mod filemap;
pub mod format;
pub mod fs;
pub mod fuse;
pub mod layout;
pub mod mount;
pub mod output;
pub mod parallel;
pub mod progress;
pub mod read;
pub mod rows;
pub mod stats;
pub mod store;
pub mod subsample;
pub mod telemetry;
pub mod tree;

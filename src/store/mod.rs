//! Where bytes come from: objects under a root, the manifest, Zarr arrays and their shards.

pub mod manifest;

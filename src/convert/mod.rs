//! Converting a tree of per-field files into a store.
mod cast;
pub mod file;
mod read_npy;
mod read_pt;
pub mod tensor;

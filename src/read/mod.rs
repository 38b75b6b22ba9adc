//! From a payload's bytes to the chunks that hold them, and back.

pub mod cache;
pub mod explain;
pub mod plan;
mod reader;

pub use reader::{Counters, Payload, Reader};

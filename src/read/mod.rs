//! From a payload's bytes to the chunks that hold them, and back.

mod ahead;
pub mod cache;
pub mod explain;
pub mod plan;
mod reader;
mod seen;

pub use ahead::Ahead;
pub use reader::{Payload, Reader};

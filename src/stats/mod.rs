//! Statistics.

pub mod dd;
pub mod field;
pub mod log;
pub mod moments;

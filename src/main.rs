//! The `samplefs` command.
fn main() {}

//! Man pages and shell completions, from the command line's definition.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::{Error, Result};
use crate::output;

/// Writes a shell's completions to stdout.
///
/// # Errors
/// A stdout that cannot be written.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "samplefs", &mut script);
    output::write(&script).map(drop)
}

/// Writes `samplefs.1` and a page for every command.
///
/// # Errors
/// A directory that cannot be written.
pub fn pages(directory: &Path) -> Result<()> {
    let failed = |e| Error::io(format_args!("write man pages to {}", directory.display()), &e);
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)
}

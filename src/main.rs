//! The `samplefs` command.

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use samplefs::cli::{Cli, Command};
use samplefs::error::{Error, ErrorKind, Result};
use samplefs::{inspect, list, mount, stats, telemetry, verify};

/// The exit code of `verify` when it ran and found something.
const FINDINGS: u8 = 4;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::from(exit_code(error.kind()))
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let log_file = match &cli.command {
        Command::Mount(args) => args.log_file.as_deref(),
        _ => None,
    };
    telemetry::init(cli.verbose, log_file)?;
    match &cli.command {
        Command::Mount(args) => mount::mount(args)?,
        Command::Unmount(args) => mount::unmount(args)?,
        Command::Stats(args) => stats::stats(args)?,
        Command::Inspect(args) => inspect::inspect(args)?,
        Command::Ls(args) => list::ls(args)?,
        Command::Cat(args) => list::cat(args)?,
        Command::Verify(args) => {
            if !verify::verify(args)? {
                return Ok(ExitCode::from(FINDINGS));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// 2 for a request that cannot be meant, as clap does; 1 for all that went wrong.
fn exit_code(kind: ErrorKind) -> u8 {
    if kind == ErrorKind::Usage { 2 } else { 1 }
}

/// Nobody may be listening: a failure to complain is no further failure.
fn complain(error: &Error) {
    _ = writeln!(stderr(), "error: {error}");
    if let Some(hint) = error.remedy() {
        _ = writeln!(stderr(), "hint: {hint}");
    }
}

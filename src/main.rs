//! The `samplefs` command.

use std::process::ExitCode;

use clap::Parser;
use samplefs::cli::{Cli, Command};
use samplefs::error::{Error, ErrorKind, Result};
use samplefs::{convert, demo, inspect, list, mount, output, stats, telemetry, verify};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&error);
            ExitCode::from(exit_code(error.kind()))
        }
    }
}

/// Runs a command; its exit code.
fn run(cli: &Cli) -> Result<u8> {
    let log_file = match &cli.command {
        Command::Mount(args) => args.log_file.as_deref(),
        _ => None,
    };
    telemetry::init(cli.verbose, log_file)?;
    match &cli.command {
        Command::Mount(args) => mount::mount(args).map(|()| 0),
        Command::Unmount(args) => mount::unmount(args).map(|()| 0),
        Command::Convert(args) => convert::cli::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Stats(args) => stats::stats(args).map(|()| 0),
        Command::Inspect(args) => inspect::inspect(args).map(|()| 0),
        Command::Ls(args) => list::ls(args).map(|()| 0),
        Command::Cat(args) => list::cat(args).map(|()| 0),
        Command::Verify(args) => verify::verify(args).map(|clean| if clean { 0 } else { verify::FINDINGS }),
    }
}

/// 2 for a request that cannot be meant, as clap does; 1 for all that went wrong.
fn exit_code(kind: ErrorKind) -> u8 {
    if kind == ErrorKind::Usage { 2 } else { 1 }
}

/// An error and its remedy, where there is one.
fn complain(error: &Error) {
    output::say(format_args!("error: {error}"));
    if let Some(hint) = error.remedy() {
        output::say(format_args!("hint: {hint}"));
    }
}

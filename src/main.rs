//! The `samplefs` command.

use std::process::ExitCode;

use clap::CommandFactory;
use samplefs::cli::{Cli, Command};
use samplefs::config::settings;
use samplefs::error::{ErrorKind, Result};
use samplefs::{config, convert, demo, inspect, list, mount, output, stats, telemetry, verify};

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&error);
            ExitCode::from(exit_code(error.kind()))
        }
    }
}

/// Runs a command; its exit code. The environment is read here and nowhere below, but for what
/// systemd and RUST_LOG say.
fn run() -> Result<u8> {
    let typed = Cli::command().get_matches();
    let (cli, settings) = settings::complete(&typed, std::env::vars_os())?;
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
        Command::Config(command) => config::show::run(command, &settings).map(|()| 0),
    }
}

/// 2 for a request that cannot be meant, as clap does; 1 for all that went wrong.
fn exit_code(kind: ErrorKind) -> u8 {
    if kind == ErrorKind::Usage { 2 } else { 1 }
}

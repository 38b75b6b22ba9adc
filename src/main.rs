//! The `samplefs` command.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use samplefs::cli::{Cli, Command};
use samplefs::config::settings;
use samplefs::error::{ErrorKind, Result};
use samplefs::{
    config, convert, demo, inspect, list, manual, mount, mount8, output, stats, status, telemetry, verify,
};

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let (done, exit_code): (_, fn(ErrorKind) -> u8) = match mount8::request(&argv) {
        Some(request) => (request.and_then(|r| run(&r.argv, r.fake)), mount8::exit_code),
        None => (run(&argv, false), exit_code),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&error);
            ExitCode::from(exit_code(error.kind()))
        }
    }
}

/// Runs a command, or only sees that it could be run; its exit code. The environment is read here and
/// nowhere below, but for RUST_LOG and what systemd says.
fn run(argv: &[OsString], fake: bool) -> Result<u8> {
    let typed = Cli::command().get_matches_from(argv);
    let (cli, settings) = settings::complete(&typed, std::env::vars_os())?;
    if fake {
        return Ok(0);
    }
    let (format, file) = match &cli.command {
        Command::Mount(args) => (args.log_format, args.log_file.as_deref()),
        _ => Default::default(),
    };
    telemetry::init(cli.verbose, format, file)?;
    match &cli.command {
        Command::Mount(args) => mount::mount(args),
        Command::Unmount(args) => mount::unmount(args).map(|()| 0),
        Command::Convert { args, access } => convert::cli::run(args, config::access(access)),
        Command::Demo { args, access } => demo::run(args, config::access(access)),
        Command::Stats(args) => stats::stats(args).map(|()| 0),
        Command::Inspect(args) => inspect::inspect(args).map(|()| 0),
        Command::Ls(args) => list::ls(args).map(|()| 0),
        Command::Cat(args) => list::cat(args).map(|()| 0),
        Command::Status(args) => status::status(args).map(|()| 0),
        Command::Verify(args) => verify::verify(args).map(|clean| if clean { 0 } else { verify::FINDINGS }),
        Command::Completions { shell } => manual::completions(*shell).map(|()| 0),
        Command::Man { directory } => manual::pages(directory).map(|()| 0),
        Command::Config(command) => config::show::run(command, &settings).map(|()| 0),
    }
}

/// 2 for a request that cannot be meant, as clap does; 1 for all that went wrong.
fn exit_code(kind: ErrorKind) -> u8 {
    if kind == ErrorKind::Usage { 2 } else { 1 }
}

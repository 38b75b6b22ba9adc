//! The `samplefs` command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use samplefs::error::ErrorKind;
use samplefs::{convert, demo};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::cli::ConvertArgs),
    Demo(demo::DemoArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Convert(args) => convert::cli::run(&args),
        Command::Demo(args) => demo::run(&args),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.remedy() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(if error.kind() == ErrorKind::Usage { 2 } else { 1 })
        }
    }
}

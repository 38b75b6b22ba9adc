//! The `samplefs` command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use samplefs::convert;
use samplefs::error::ErrorKind;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::cli::ConvertArgs),
}

fn main() -> ExitCode {
    let Command::Convert(args) = Cli::parse().command;
    match convert::cli::run(&args) {
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

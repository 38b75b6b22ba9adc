//! `samplefs config`: whether a file is right, and what a mount would be told.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;

use super::file;
use super::secrets::masked;
use super::settings::{Definition, Kind, Setting, Source};
use crate::cli::MountArgs;
use crate::error::Result;
use crate::output;

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Hold a file against what `mount` knows: exit 0 when it is right, 2 with all that is wrong.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print what `mount` with the same arguments would work with, and who says so. Secrets in URLs
    /// are masked.
    Show(Box<MountArgs>),
}

/// Runs `config`; `settings` are those of `config show`.
///
/// # Errors
/// A file that cannot be read or that is wrong.
pub fn run(command: &ConfigCommand, settings: &[Setting]) -> Result<()> {
    match command {
        ConfigCommand::Check { file } => {
            let (settings, mut errors) = file::check(file, &Definition::of_mount())?;
            let Some(last) = errors.pop() else {
                output::say(format_args!("{}: {} settings, all right", file.display(), settings.len()));
                return Ok(());
            };
            errors.iter().for_each(output::error);
            Err(last)
        }
        ConfigCommand::Show(_) => output::write(shown(settings).as_bytes()).map(|_| ()),
    }
}

/// The settings as a configuration file, each with its source.
fn shown(settings: &[Setting]) -> String {
    let definition = Definition::of_mount();
    let lines = settings.iter().filter_map(|setting| {
        let line = assignment(setting, definition.kind(&setting.name)?);
        Some((line, source(&setting.source)))
    });
    let lines: Vec<_> = lines.collect();
    let widest = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (line, source) in lines {
        _ = writeln!(text, "{line:widest$}  # {source}");
    }
    text
}

/// What would stand in a file; a comment where a setting has no value.
fn assignment(setting: &Setting, kind: Kind) -> String {
    let name = &setting.name;
    let values = setting.values.iter().map(|value| {
        let text = masked(&value.to_string_lossy());
        let bare = match kind {
            Kind::Flag | Kind::Count => true,
            Kind::Number => text.parse::<i64>().is_ok(),
            Kind::Text | Kind::Several => false,
        };
        // A JSON string is a TOML string.
        if bare { text } else { serde_json::Value::from(text).to_string() }
    });
    let values: Vec<_> = values.collect();
    match (kind, values.as_slice()) {
        (Kind::Several, values) => format!("{name} = [{}]", values.join(", ")),
        (_, []) => format!("# {name}"),
        (_, [.., last]) => format!("{name} = {last}"),
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::CommandLine => "command line".to_owned(),
        Source::File(path, line) => format!("{path}:{line}"),
        Source::Environment(variable) => variable.clone(),
        Source::Default => "default".to_owned(),
    }
}

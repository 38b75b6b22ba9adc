//! Where a mount's settings come from: the command line, else a file, else the environment, else
//! the default.
//!
//! There is no second list of settings: they are what the command line's definition says. Each
//! is known by its long option's name, store and mount point by theirs.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::builder::{Arg, Command};
use clap::error::{ContextKind, ContextValue, ErrorKind as Refusal};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches};

use super::file;
use crate::cli::Cli;
use crate::error::{Error, Result};

/// What names of environment variables begin with: `SAMPLEFS_MEMORY_TARGET` is `memory-target`.
const PREFIX: &str = "SAMPLEFS_";

/// The setting that names the file of the others.
const CONFIG: &str = "config";

/// Who says what a setting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    CommandLine,
    /// A file, with the line.
    File(String, usize),
    /// That environment variable.
    Environment(String),
    /// Nobody.
    Default,
}

/// A setting and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its values as text; flags are `true` or `false`.
    pub values: Vec<OsString>,
    /// Who says so.
    pub source: Source,
}

/// What TOML value a setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Flag,
    /// How many times it is given.
    Count,
    /// Text.
    Text,
    /// A number, or text that a parser of its own reads.
    Number,
    /// Several, each text.
    Several,
}

/// The settings there are: a command whose every argument is a long option.
pub struct Definition(Command);

impl Definition {
    /// The settings of `mount`.
    pub fn of_mount() -> Self {
        let mut root = settable(Cli::command(), &["mount"]);
        root.build();
        // Built, it has the global options too.
        let mount = root.find_subcommand("mount").expect("mount is a command");
        Self(mount.clone())
    }

    /// The setting of that name, if it is one that a file may have.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        let arg = self.arg(name)?;
        (name != CONFIG && !arg.is_hide_set()).then(|| kind(arg))
    }

    /// The setting of that name, if it is one that `mount -o` may have.
    pub fn option(&self, name: &str) -> Option<Kind> {
        let arg = self.arg(name)?;
        let is_place = ["store", "mountpoint"].contains(&name);
        (!is_place && !arg.is_hide_set()).then(|| kind(arg))
    }

    /// The setting as one would type it.
    pub fn typed(&self, setting: &Setting) -> Vec<OsString> {
        self.arg(&setting.name).map_or_else(Vec::new, |arg| options(arg, setting))
    }

    fn arg(&self, name: &str) -> Option<&Arg> {
        self.0.get_arguments().find(|arg| is_setting(arg) && arg.get_long() == Some(name))
    }

    /// The known name that is nearest to one that is not known.
    pub fn nearest(&self, name: &str) -> Option<String> {
        let refused = self.0.clone().try_get_matches_from(["", &format!("--{name}")]).err()?;
        match refused.get(ContextKind::SuggestedArg)? {
            ContextValue::String(option) => Some(option.trim_start_matches('-').to_owned()),
            _ => None,
        }
    }

    /// Holds one setting's values against the definition.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, setting: &Setting) -> std::result::Result<(), String> {
        use Refusal::{InvalidUtf8, InvalidValue, ValueValidation};
        let mut typed = vec![OsString::new()];
        typed.extend(self.typed(setting));
        match self.0.clone().try_get_matches_from(typed) {
            Err(refused) if matches!(refused.kind(), InvalidValue | ValueValidation | InvalidUtf8) => {
                Err(reason(&refused))
            }
            // One setting alone may lack another that it needs.
            _ => Ok(()),
        }
    }
}

/// What was typed, completed from file and environment: the whole command, and each setting of a
/// mount with its source. Other commands than `mount` and `config show` have no settings.
///
/// # Errors
/// A file that cannot be read or is wrong, an environment variable that is wrong, settings that
/// exclude each other.
pub fn complete(
    matches: &ArgMatches,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Cli, Vec<Setting>)> {
    let (path, given) = innermost(matches);
    if !matches!(path.as_slice(), ["mount"] | ["config", "show"]) {
        return Ok((cli(matches)?, Vec::new()));
    }
    let mut root = settable(Cli::command(), &path);
    root.build();
    let command = path.iter().try_fold(&root, |command, name| command.find_subcommand(name));
    let command = command.expect("it was parsed from this definition");
    let environment: Vec<_> = environment.into_iter().collect();

    let arguments: Vec<&Arg> = command.get_arguments().filter(|arg| is_setting(arg)).collect();
    let definition = Definition::of_mount();
    let config = |arg: &&&Arg| arg.get_long() == Some(CONFIG);
    let named = arguments.iter().find(config).and_then(|arg| {
        typed(arg, given).map(Ok).or_else(|| variable(arg, &environment, &definition).transpose())
    });
    let in_file = match named.transpose()?.as_ref().and_then(|setting| setting.values.first()) {
        Some(file) => file::read(Path::new(file), &definition)?,
        None => Vec::new(),
    };

    let mut settings = Vec::new();
    let mut argv: Vec<OsString> = std::iter::once("samplefs").chain(path).map(OsString::from).collect();
    for arg in arguments {
        let name = arg.get_long().expect("every setting has a name");
        let setting = match typed(arg, given) {
            Some(setting) => Some(setting),
            None => match in_file.iter().find(|setting| setting.name == name) {
                Some(setting) => Some(setting.clone()),
                None => variable(arg, &environment, &definition)?,
            },
        };
        if let Some(setting) = &setting {
            argv.extend(options(arg, setting));
        }
        settings.push(setting.unwrap_or_else(|| default(arg)));
    }
    let matches = root.try_get_matches_from_mut(argv).map_err(|refused| Error::usage(reason(&refused)))?;
    Ok((cli(&matches)?, settings))
}

fn cli(matches: &ArgMatches) -> Result<Cli> {
    Cli::from_arg_matches(matches).map_err(|refused| Error::usage(reason(&refused)))
}

/// The names of the subcommands that were typed, and the matches of the last.
fn innermost(matches: &ArgMatches) -> (Vec<&str>, &ArgMatches) {
    let (mut path, mut inner) = (Vec::new(), matches);
    while let Some((name, below)) = inner.subcommand() {
        path.push(name);
        inner = below;
    }
    (path, inner)
}

/// The definition with every positional argument of that subcommand as an option of its name.
fn settable(command: Command, path: &[&str]) -> Command {
    match path.split_first() {
        Some((name, rest)) => command.mut_subcommand(name, |sub| settable(sub, rest)),
        None => command.mut_args(|arg| {
            if arg.is_positional() {
                let name = arg.get_id().clone();
                arg.index(None).long(name)
            } else {
                arg
            }
        }),
    }
}

fn is_setting(arg: &Arg) -> bool {
    use ArgAction::{Help, HelpLong, HelpShort, Version};
    arg.get_long().is_some() && !matches!(arg.get_action(), Help | HelpLong | HelpShort | Version)
}

fn kind(arg: &Arg) -> Kind {
    match arg.get_action() {
        ArgAction::SetTrue => Kind::Flag,
        ArgAction::Count => Kind::Count,
        ArgAction::Append => Kind::Several,
        _ => {
            let parsed = arg.get_value_parser().type_id();
            let text = [
                std::any::TypeId::of::<String>(),
                std::any::TypeId::of::<OsString>(),
                std::any::TypeId::of::<std::path::PathBuf>(),
            ];
            let named = arg.get_value_parser().possible_values().is_some();
            if named || text.into_iter().any(|id| parsed == id) { Kind::Text } else { Kind::Number }
        }
    }
}

/// The setting as it was typed, if it was.
fn typed(arg: &Arg, matches: &ArgMatches) -> Option<Setting> {
    let id = arg.get_id().as_str();
    if matches.value_source(id) != Some(ValueSource::CommandLine) {
        return None;
    }
    let values = match kind(arg) {
        Kind::Flag => vec!["true".into()],
        Kind::Count => vec![matches.get_count(id).to_string().into()],
        _ => matches.get_raw(id)?.map(OsStr::to_owned).collect(),
    };
    Some(Setting { name: arg.get_long()?.to_owned(), values, source: Source::CommandLine })
}

/// The setting as its environment variable has it, if that is set and not empty.
fn variable(
    arg: &Arg,
    environment: &[(OsString, OsString)],
    definition: &Definition,
) -> Result<Option<Setting>> {
    let name = arg.get_long().expect("every setting has a name");
    let variable = format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"));
    let set = environment.iter().find(|(key, value)| *key == *variable && !value.is_empty());
    let Some((_, value)) = set else { return Ok(None) };
    let value = match (kind(arg), value.to_str()) {
        (Kind::Flag, Some("1" | "true" | "yes" | "on")) => "true".into(),
        (Kind::Flag, Some("0" | "false" | "no" | "off")) => "false".into(),
        (Kind::Flag, _) => {
            return Err(Error::usage(format!("{variable}: {value:?} is neither true nor false")));
        }
        _ => value.clone(),
    };
    let source = Source::Environment(variable.clone());
    let setting = Setting { name: name.to_owned(), values: vec![value], source };
    definition.check(&setting).map_err(|why| Error::usage(format!("{variable}: {why}")))?;
    Ok(Some(setting))
}

fn default(arg: &Arg) -> Setting {
    let name = arg.get_long().expect("every setting has a name").to_owned();
    let values = match kind(arg) {
        Kind::Flag => vec!["false".into()],
        Kind::Count => vec!["0".into()],
        _ => arg.get_default_values().iter().map(Into::into).collect(),
    };
    Setting { name, values, source: Source::Default }
}

/// The setting as one would type it.
fn options(arg: &Arg, setting: &Setting) -> Vec<OsString> {
    let name = &setting.name;
    let text = |value: &OsString| value.to_str().unwrap_or_default().to_owned();
    match kind(arg) {
        Kind::Flag => {
            let on = setting.values.iter().any(|value| value == "true");
            on.then(|| format!("--{name}").into()).into_iter().collect()
        }
        Kind::Count => {
            let times = setting.values.first().and_then(|value| text(value).parse().ok()).unwrap_or(0u8);
            vec![format!("--{name}").into(); usize::from(times)]
        }
        _ => {
            let option = |value: &OsString| {
                let mut option = OsString::from(format!("--{name}="));
                option.push(value);
                option
            };
            setting.values.iter().map(option).collect()
        }
    }
}

/// Why clap refuses something, in one line and without the option's name where only its value is wrong.
fn reason(refused: &clap::Error) -> String {
    if let (Refusal::ValueValidation, Some(why)) = (refused.kind(), std::error::Error::source(refused)) {
        return why.to_string();
    }
    let text = refused.to_string();
    let lines: Vec<_> =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("For more")).collect();
    let lines = lines.into_iter().filter(|line| !line.is_empty() && !line.starts_with("Usage:"));
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

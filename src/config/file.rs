//! Configuration files: TOML, one `name = value` a setting, under the names of `mount`'s options.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{Definition, Kind, Setting, Source};
use crate::error::{Error, Result};

/// The most bytes a configuration has: it is read whole.
const LIMIT: u64 = 1 << 20;

/// The settings of a file.
///
/// # Errors
/// A file that cannot be read, or the first thing that is wrong in it.
pub fn read(path: &Path, definition: &Definition) -> Result<Vec<Setting>> {
    let (settings, errors) = check(path, definition)?;
    errors.into_iter().next().map_or(Ok(settings), Err)
}

/// The settings of a file, and all that is wrong in it.
///
/// # Errors
/// A file that cannot be read.
pub fn check(path: &Path, definition: &Definition) -> Result<(Vec<Setting>, Vec<Error>)> {
    let shown = path.display().to_string();
    let failed = |e: &std::io::Error| Error::io(format_args!("read the configuration {shown}"), e);
    let size = std::fs::metadata(path).map_err(|e| failed(&e))?.len();
    if size > LIMIT {
        return Err(Error::usage(format!("{shown}: {size} bytes are no configuration")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
    Ok(parse(&text, &shown, definition))
}

fn parse(text: &str, path: &str, definition: &Definition) -> (Vec<Setting>, Vec<Error>) {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let (table, broken) = DeTable::parse_recoverable(text);
    let broken = broken.iter().map(|e| {
        let at = line(e.span().map_or(0, |span| span.start));
        Error::usage(format!("{path}:{at}: {}", e.message().lines().collect::<Vec<_>>().join(" ")))
    });
    let mut errors: Vec<_> = broken.collect();
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);

    let mut settings = Vec::new();
    for (key, value) in entries {
        let (name, at) = (key.get_ref().as_ref(), line(key.span().start));
        let wrong = |why: String| Error::usage(format!("{path}:{at}: {name}: {why}"));
        let Some(kind) = definition.kind(name) else {
            let unknown = Error::usage(format!("{path}:{at}: unknown key {name:?}"));
            errors.push(match definition.nearest(name) {
                Some(nearest) => unknown.hint(format!("did you mean {nearest}?")),
                None => unknown.hint("keys are the names of mount's options: samplefs mount --help"),
            });
            continue;
        };
        let setting = values(value, kind).and_then(|values| {
            let source = Source::File(path.to_owned(), at);
            let values = values.into_iter().map(Into::into).collect();
            let setting = Setting { name: name.to_owned(), values, source };
            definition.check(&setting).map(|()| setting)
        });
        match setting {
            Ok(setting) => settings.push(setting),
            Err(why) => errors.push(wrong(why)),
        }
    }
    (settings, errors)
}

/// The value as it would be typed.
fn values(value: &Spanned<DeValue<'_>>, kind: Kind) -> std::result::Result<Vec<String>, String> {
    let one = |text: String| Ok(vec![text]);
    match (kind, value.get_ref()) {
        (Kind::Flag, DeValue::Boolean(on)) => one(on.to_string()),
        (Kind::Flag, other) => Err(format!("expected true or false, found {}", described(other))),
        (Kind::Count, DeValue::Integer(number)) => {
            match u8::from_str_radix(number.as_str(), number.radix()) {
                Ok(count) => one(count.to_string()),
                Err(_) => Err(format!("expected a number up to 255, found {number}")),
            }
        }
        (Kind::Count, other) => Err(format!("expected a number, found {}", described(other))),
        (Kind::Text | Kind::Number | Kind::Several, DeValue::String(text)) => one(text.to_string()),
        (Kind::Number, DeValue::Integer(number)) => {
            let number = i128::from_str_radix(number.as_str(), number.radix());
            number.map(|number| vec![number.to_string()]).map_err(|_| "the number is too large".to_owned())
        }
        (Kind::Number, DeValue::Float(number)) => one(number.as_str().to_owned()),
        (Kind::Several, DeValue::Array(all)) => {
            let texts = all.iter().map(|value| match value.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                other => Err(format!("expected a list of strings, found {} in it", described(other))),
            });
            texts.collect()
        }
        (Kind::Text, other) => Err(format!("expected a string in quotes, found {}", described(other))),
        (Kind::Number, other) => Err(format!("expected a number or a string, found {}", described(other))),
        (Kind::Several, other) => Err(format!("expected a list of strings, found {}", described(other))),
    }
}

fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a string".to_owned(),
        DeValue::Integer(_) => "a number".to_owned(),
        DeValue::Float(_) => "a fraction".to_owned(),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let (_, errors) = parse(text, "f", &Definition::of_mount());
        let said = errors.iter().map(|e| format!("{e} ({})", e.remedy().unwrap_or("-")));
        said.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_file_has_the_settings_of_mount_under_the_names_of_its_options() {
        let text = "store = '/data'\nmountpoint = \"/mnt\"\n\nmemory-target = 4096\nthreads = 0x2\nallow-other = true\nverbose = 2";
        let (settings, errors) = parse(text, "f", &Definition::of_mount());
        assert_eq!(errors, []);
        let settings: Vec<_> = settings
            .iter()
            .map(|s| (s.name.as_str(), s.values[0].to_str().unwrap(), s.source.clone()))
            .collect();
        let at = |line| Source::File("f".to_owned(), line);
        assert_eq!(
            settings,
            [
                ("store", "/data", at(1)),
                ("mountpoint", "/mnt", at(2)),
                ("memory-target", "4096", at(4)),
                ("threads", "2", at(5)),
                ("allow-other", "true", at(6)),
                ("verbose", "2", at(7)),
            ]
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        assert_eq!(
            wrong("\nmemory_target = 1"),
            "f:2: unknown key \"memory_target\" (did you mean memory-target?)"
        );
        assert_eq!(wrong("stor = '/d'"), "f:1: unknown key \"stor\" (did you mean store?)");
        assert!(wrong("zzz = 1").contains("keys are the names"));
        assert!(wrong("config = 'x'").contains("unknown key"), "a file does not name a file");
        assert!(wrong("detached = true").contains("unknown key"));
        assert!(wrong("[mount]\nstore = 'x'").contains("unknown key \"mount\""));
    }

    #[test]
    fn a_wrong_type_or_value_is_refused_with_key_and_line() {
        for (text, said) in [
            ("allow-other = 1", "f:1: allow-other: expected true or false, found a number"),
            ("allow-other = 'yes'", "f:1: allow-other: expected true or false, found a string"),
            ("store = 3", "f:1: store: expected a string in quotes, found a number"),
            ("format = false", "f:1: format: expected a string in quotes, found false"),
            ("format = 'pth'", "f:1: format: invalid value 'pth'"),
            ("threads = [1]", "f:1: threads: expected a number or a string, found a list"),
            ("threads = 0", "f:1: threads: 0 is not in 1..=1024"),
            ("threads = -1", "f:1: threads: -1 is not in 1..=1024"),
            ("memory-target = '1X'", "f:1: memory-target: unknown unit in \"1X\""),
            ("verbose = true", "f:1: verbose: expected a number, found true"),
            ("verbose = 300", "f:1: verbose: expected a number up to 255"),
            ("threads =", "f:1: "),
            ("store = 'a'\nstore = 'b'", "f:2: "),
        ] {
            assert!(wrong(text).starts_with(said), "{text}: {}", wrong(text));
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_in_order() {
        assert_eq!(wrong("uid = true\nb_d = 2\ngid = 7\nthreads = 'x'").lines().count(), 3);
    }
}

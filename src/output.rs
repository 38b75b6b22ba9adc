//! stdout is data: what a command was asked for goes there, and nothing else. stderr is talk.

use std::fmt::Display;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _, stderr, stdout};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::error::{Error, Result};

/// Writes to stdout. False when nobody reads it any more (`| head`), which is no error.
///
/// # Errors
/// A full disk and its like.
pub fn write(bytes: &[u8]) -> Result<bool> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::io("write to stdout", &e)),
    }
}

/// Says a line to the person who started this. Nobody may be listening, which is no error.
pub fn say(line: impl Display) {
    _ = writeln!(stderr(), "{line}");
}

/// Says an error and its remedy, where there is one.
pub fn error(error: &Error) {
    say(format_args!("error: {error}"));
    if let Some(hint) = error.remedy() {
        say(format_args!("hint: {hint}"));
    }
}

/// Writes a file that a command was asked for.
///
/// # Errors
/// A directory that is not there, no right to write, a full disk.
pub fn file(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
}

/// A value as JSON text: an indent of one space, as the reference's statistics have.
pub fn json(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
    value.serialize(&mut serializer).expect("documents have string keys and go to memory");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// A document as an outline for people: a line a value, indented below its key; a list of records is
/// a table.
pub fn outline(document: &Value) -> String {
    let mut text = String::new();
    outline_below(document, 0, &mut text);
    text
}

fn outline_below(value: &Value, depth: usize, text: &mut String) {
    let Value::Object(entries) = value else { return };
    let widest = entries.keys().map(String::len).max().unwrap_or(0);
    let indent = " ".repeat(2 * depth);
    for (key, value) in entries {
        let key = words(key);
        match value {
            Value::Object(_) => {
                _ = writeln!(text, "{indent}{key}");
                outline_below(value, depth + 1, text);
            }
            Value::Array(records) if records.iter().any(Value::is_object) => {
                _ = writeln!(text, "{indent}{key}");
                table(records, &indent, text);
            }
            _ => _ = writeln!(text, "{indent}{key:widest$}  {}", plain(value)),
        }
    }
}

/// Records of the same keys, a line each below their names.
fn table(records: &[Value], indent: &str, text: &mut String) {
    let records = || records.iter().filter_map(Value::as_object);
    let Some(first) = records().next() else { return };
    let mut lines = vec![first.keys().map(|key| words(key)).collect::<Vec<_>>()];
    lines.extend(records().map(|record| record.values().map(plain).collect()));
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max();
    let widths: Vec<usize> = (0..first.len()).map(|column| width(column).unwrap_or(0)).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        _ = writeln!(text, "{indent}  {}", line.trim_end());
    }
}

fn words(key: &str) -> String {
    key.replace('_', " ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("({})", values.iter().map(plain).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_has_a_line_for_every_value_and_every_record() {
        let document = serde_json::json!({
            "name": "a", "half_done": {"x": 1, "long": null}, "list": [{"a_b": 1, "c": [2, 3]}],
        });
        let lines =
            ["name       a", "half done", "  x     1", "  long  -", "list", "  a b  c", "  1    (2, 3)"];
        assert_eq!(outline(&document).lines().collect::<Vec<_>>(), lines);
    }
}

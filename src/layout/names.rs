//! What may stand as a name or a path in a store, and what its fields' files are called.

use crate::error::{Error, Result};
use crate::filemap::{self, FileMap};
use crate::store::manifest::Manifest;

/// Where the names of files come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileNames {
    /// What the manifest records, else the known FileMap of its dataset if it names every stored
    /// field, else canonical names.
    #[default]
    Auto,
    /// Canonical names.
    Canonical,
    /// This FileMap.
    Map(FileMap),
}

impl FileNames {
    /// The file names (`….pt`) of the given fields, in their order, and where they come from.
    ///
    /// # Errors
    /// A recorded or given map that leaves a field without a name.
    pub fn resolve(&self, manifest: &Manifest, canonical: &[&str]) -> Result<(Vec<String>, String)> {
        let plain =
            || (canonical.iter().map(|name| format!("{name}.pt")).collect(), "canonical names".to_owned());
        match self {
            Self::Canonical => Ok(plain()),
            Self::Map(map) => {
                let files = named(canonical, |field| map.file(field)).map_err(|e| {
                    let known: Vec<_> = map.files().map(|(spec, _)| spec.attribute).collect();
                    e.hint(format!("the FileMap names {}", known.join(", ")))
                })?;
                Ok((files, "the FileMap that was given".to_owned()))
            }
            Self::Auto => {
                if let Some(recorded) = &manifest.filemap {
                    for (field, file) in recorded.iter() {
                        filemap::check_file_name(file).map_err(|e| e.within(format!("filemap: {field}")))?;
                    }
                    let files = named(canonical, |field| recorded.get(field).map(String::as_str))?;
                    return Ok((files, "the FileMap that the manifest records".to_owned()));
                }
                let dataset = &manifest.dataset_name;
                let known = FileMap::of_dataset(dataset)
                    .and_then(|map| named(canonical, |field| map.file(field)).ok())
                    .map(|files| (files, format!("the FileMap known for {dataset}")));
                Ok(known.unwrap_or_else(plain))
            }
        }
    }
}

fn named<'a>(canonical: &[&str], file: impl Fn(&str) -> Option<&'a str>) -> Result<Vec<String>> {
    let missing = |field: &str| Error::usage(format!("the FileMap has no file name for the field {field}"));
    canonical.iter().map(|field| file(field).map(str::to_owned).ok_or_else(|| missing(field))).collect()
}

/// Checks a relative path from a manifest: what it names must lie under the root.
///
/// # Errors
/// An empty or absolute path, an empty, `.` or `..` component, a NUL, a component over 255 bytes.
pub fn check_relative(path: &str) -> Result<()> {
    let wrong = |component: &str| match component {
        "" => Some("an empty component"),
        "." | ".." => Some("a component that is \".\" or \"..\""),
        _ if component.contains('\0') => Some("a NUL"),
        _ if component.len() > 255 => Some("a component of more than 255 bytes"),
        _ => None,
    };
    if path.starts_with('/') {
        return Err(Error::invalid(format!("{path:?} is absolute")));
    }
    match path.split('/').find_map(wrong) {
        Some(what) => Err(Error::invalid(format!("{path:?} has {what}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_root_or_name_nothing_are_refused() {
        for path in ["", "/", "/etc", "a//b", "a/", "../a", "a/../b", "a/./b", ".", "a\0b", &"x".repeat(256)]
        {
            assert!(check_relative(path).is_err(), "{path:?}");
        }
        for path in ["a", "a/b", "..a", "a..", "run_1 (copy)/ä"] {
            assert!(check_relative(path).is_ok(), "{path:?}");
        }
    }
}

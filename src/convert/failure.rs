//! What can go wrong with one sample, and what ends the whole run.

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::filemap::FieldSpec;

/// A failure, by how far it reaches.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The sample cannot be converted; others may.
    Sample {
        /// The canonical name of the field that is to blame.
        field: String,
        /// What is wrong with it.
        error: Error,
    },
    /// The run cannot go on: the store cannot be written, or the source is going away.
    Run(Error),
}

/// The result of what can break a sample or end the run.
pub type Attempt<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A field that breaks its sample.
    pub fn field(field: &FieldSpec, error: Error) -> Self {
        Self::Sample { field: field.canonical(), error }
    }

    /// A failed write to the store.
    pub fn write(error: Error) -> Self {
        Self::Run(resumable(error))
    }
}

/// An error that ends a run which can go on later.
pub fn resumable(error: Error) -> Error {
    // What is said of passing failures elsewhere is meant for readers.
    if error.kind() == ErrorKind::Unavailable || error.remedy().is_none() {
        return error.hint("once that is mended, the same command goes on where it stopped");
    }
    error
}

/// A sample that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its id.
    pub sample: String,
    /// The field to blame.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// What can be done about it.
    pub hint: Option<String>,
}

impl Skipped {
    /// The record of a sample's failure.
    pub fn new(sample: &str, field: String, error: &Error) -> Self {
        let hint = error.remedy().map(str::to_owned);
        Self { sample: sample.to_owned(), field, reason: error.to_string(), hint }
    }

    /// The same as an error, which ends a run that is to stop at the first.
    pub fn error(&self) -> Error {
        let error = Error::invalid(format!("sample {}, {}: {}", self.sample, self.field, self.reason));
        match &self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Adds the path to the error of a failed system call.
pub fn at<T>(path: &Path, action: &str, result: io::Result<T>) -> Result<T> {
    result.map_err(|e| Error::io(format_args!("{action} {}", path.display()), &e))
}

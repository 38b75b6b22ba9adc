//! The one error type: a kind that says what the caller can do, a message that says what
//! happened to which file, and a hint where there is a remedy.

use std::fmt;
use std::io;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
///
/// The mapping to an errno is made in one place, `fuse::errno`; the mapping to an exit code in `main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The name does not exist: use another.
    NotFound,
    /// The name is longer than any name can be.
    NameTooLong,
    /// A path goes through something that is not a directory.
    NotADirectory,
    /// A directory was asked for bytes.
    IsADirectory,
    /// What is stored breaks its format: repair or convert anew.
    Invalid,
    /// An object is no longer the one that was there at mount: mount again.
    Changed,
    /// The store refuses access: fix permissions or credentials.
    Denied,
    /// The store could not be read or written now: the same call may work later.
    Unavailable,
    /// The command line or a configuration asks for something that does not exist.
    Usage,
    /// The system has no more to give: processes, threads, memory.
    System,
    /// A defect of samplefs itself.
    Internal,
}

impl ErrorKind {
    /// Its name, where it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NameTooLong => "name_too_long",
            Self::NotADirectory => "not_a_directory",
            Self::IsADirectory => "is_a_directory",
            Self::Invalid => "invalid",
            Self::Changed => "changed",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Usage => "usage",
            Self::System => "system",
            Self::Internal => "internal",
        }
    }
}

/// An error with its context. Cheap enough to clone, so that every reader that waited for the
/// same chunk can be given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Stored bytes that break their format.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A request that cannot be meant.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A failed system call or transfer; `action` says what was tried ("read /data/manifest.json").
    pub fn io(action: impl fmt::Display, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, format!("cannot {action}: {error}"))
    }

    /// The same error with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error seen from further out: `context: message`.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The remedy, if one is known.
    pub fn remedy(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// The message alone, on one line; the hint is printed apart.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

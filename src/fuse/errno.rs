//! What the kernel is told of an error: the one place where that is decided.

use fuser::Errno;

use crate::error::ErrorKind;

/// The errno of an error.
pub fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::NameTooLong => Errno::ENAMETOOLONG,
        ErrorKind::NotADirectory => Errno::ENOTDIR,
        ErrorKind::IsADirectory => Errno::EISDIR,
        ErrorKind::Changed => Errno::ESTALE,
        ErrorKind::Denied => Errno::EACCES,
        ErrorKind::Invalid
        | ErrorKind::Unavailable
        | ErrorKind::Usage
        | ErrorKind::System
        | ErrorKind::Internal => Errno::EIO,
    }
}

/// Whether an error is an ordinary answer, and nothing that a log should tell.
pub fn is_answer(kind: ErrorKind) -> bool {
    use ErrorKind::{IsADirectory, NameTooLong, NotADirectory, NotFound};
    matches!(kind, NotFound | NameTooLong | NotADirectory | IsADirectory)
}

//! A tree of objects: found by one listing, read by as few requests as there are parts worth one.

use std::cell::RefCell;
use std::cmp::min;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::Files;
use crate::convert::file::Input;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Found, Listed, Part, Wanted};

/// Read by one request at most, and the longest file that is read whole before it is looked into. Longer
/// pieces come no faster.
const PIECE: u64 = 8 << 20;

/// Read around what is asked for in a longer file: at its end a zip's directory with all that torch
/// writes behind the values, at its start the headers.
const BLOCK: u64 = 64 << 10;

/// Pieces on their way behind the one that is waited for.
const AHEAD: u64 = 2;

/// Objects below a prefix.
pub struct RemoteFiles {
    objects: Arc<dyn Listed>,
}

impl RemoteFiles {
    /// The objects below a root.
    pub fn new(objects: Arc<dyn Listed>) -> Self {
        Self { objects }
    }
}

impl Files for RemoteFiles {
    fn location(&self) -> String {
        self.objects.location()
    }

    fn walk(
        &self,
        enter: &dyn Fn(&str) -> bool,
        visit: &mut dyn FnMut(&str, &str, Option<u64>),
    ) -> Result<()> {
        let entered = |directory: &str| {
            let ends = directory.match_indices('/').map(|(at, _)| at).chain([directory.len()]);
            directory.is_empty() || ends.into_iter().all(|end| enter(&directory[..end]))
        };
        // Neighbours in a listing are mostly of one directory.
        let mut last: Option<(String, bool)> = None;
        self.objects.walk("", &mut |path, size| {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            let known = last.as_ref().filter(|(known, _)| known == directory).map(|(_, entered)| *entered);
            let is_entered = known.unwrap_or_else(|| {
                let entered = entered(directory);
                last = Some((directory.to_owned(), entered));
                entered
            });
            if is_entered {
                visit(directory, name, Some(size));
            }
            ControlFlow::Continue(())
        })
    }

    fn size(&self, _path: &str) -> Option<u64> {
        None
    }

    fn open(&self, path: &str, size: u64) -> Result<Box<dyn Input + '_>> {
        let file = RemoteFile::open(&*self.objects, path, size)?;
        let missing = || Error::new(ErrorKind::NotFound, "there is no such object");
        file.map(|file| Box::new(file) as Box<dyn Input + '_>).ok_or_else(missing)
    }

    fn expect(&self, files: &mut dyn Iterator<Item = (String, u64)>) {
        let small = files.filter(|(_, size)| (1..=PIECE).contains(size));
        let wanted =
            |(path, size)| Wanted { path, part: Part::Whole { limit: size }, version: None, first: None };
        self.objects.expect(&small.map(wanted).collect::<Vec<_>>(), true);
    }

    /// A store that refuses or does not answer says nothing about the file.
    fn is_going(&self, _path: &str, error: &Error) -> bool {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Unavailable)
    }
}

/// An object of one version, and what of it has come so far: all of a small one, blocks of a large one.
struct RemoteFile<'a> {
    objects: &'a dyn Listed,
    path: String,
    found: Found,
    held: RefCell<Vec<(u64, Vec<u8>)>>,
}

impl<'a> RemoteFile<'a> {
    fn open(objects: &'a dyn Listed, path: &str, size: u64) -> Result<Option<Self>> {
        let read = |part| {
            let mut bytes = Vec::new();
            let found = objects.read(path, part, None, &mut bytes)?;
            Ok(found.map(|found| Self {
                objects,
                path: path.to_owned(),
                held: RefCell::new(vec![(found.size - bytes.len() as u64, bytes)]),
                found,
            }))
        };
        if size > PIECE {
            return read(Part::Last(BLOCK));
        }
        match read(Part::Whole { limit: PIECE }) {
            Err(error) if error.kind() == ErrorKind::Invalid => read(Part::Last(BLOCK)),
            read => read,
        }
    }

    /// Appends bytes that have come already.
    fn append_held(&self, range: &Range<u64>, out: &mut Vec<u8>) -> bool {
        let held = self.held.borrow();
        let bytes = held.iter().find_map(|(start, block)| {
            let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
            block.get(from..)?.get(..(range.end - range.start) as usize)
        });
        bytes.map(|bytes| out.extend_from_slice(bytes)).is_some()
    }

    fn fetch(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.objects.read(&self.path, Part::Span(range), Some(&self.found.version), &mut bytes);
        let changed = || Error::new(ErrorKind::Changed, "it changed while it was read").hint("run again");
        match read {
            Ok(Some(_)) => Ok(bytes),
            Ok(None) => Err(changed()),
            Err(e) if e.kind() == ErrorKind::Changed => Err(changed()),
            Err(e) => Err(e),
        }
    }
}

impl Input for RemoteFile<'_> {
    fn length(&self) -> u64 {
        self.found.size
    }

    fn append(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        if self.append_held(&range, out) {
            return Ok(());
        }
        if range.end - range.start <= BLOCK {
            let start = min(range.start, self.found.size.saturating_sub(BLOCK));
            let block = self.fetch(start..min(start + BLOCK, self.found.size))?;
            self.held.borrow_mut().push((start, block));
            self.append_held(&range, out);
            return Ok(());
        }
        let piece = |number: u64| {
            let start = min(range.start + number * PIECE, range.end);
            start..min(start + PIECE, range.end)
        };
        for number in 0..(range.end - range.start).div_ceil(PIECE) {
            let ahead = (number + 1..=number + AHEAD).map(piece).filter(|piece| !piece.is_empty());
            let wanted = |piece| Wanted {
                path: self.path.clone(),
                part: Part::Span(piece),
                version: Some(self.found.version.clone()),
                first: None,
            };
            self.objects.expect(&ahead.map(wanted).collect::<Vec<_>>(), true);
            out.extend_from_slice(&self.fetch(piece(number))?);
        }
        Ok(())
    }
}

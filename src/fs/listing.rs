//! Listings: what stands in a directory, in an order that never changes, from any position on.

use std::borrow::Cow;

use super::{Attributes, Filesystem, seen_through};
use crate::error::{Error, ErrorKind, Result};
use crate::tree::{DirId, Node, Scope};

/// An entry of a listing.
pub struct Listed<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it is.
    pub attributes: Attributes,
    /// The position to go on from after it.
    pub next: u64,
}

impl Filesystem {
    /// Gives the entries of a directory to `take` from position `from` on (0 for the first), until
    /// there are no more or `take` wants no more, by returning false. Views are found by name and
    /// never listed.
    ///
    /// # Errors
    /// [`NotADirectory`](ErrorKind::NotADirectory).
    pub fn readdir(&self, number: u64, from: u64, mut take: impl FnMut(Listed<'_>) -> bool) -> Result<()> {
        let snapshot = self.snapshot();
        let (dirs, catalog) = (&snapshot.dirs, snapshot.catalog());
        let Node::Dir { dir, scope } = snapshot.node(number)? else {
            return Err(Error::new(ErrorKind::NotADirectory, "not a directory"));
        };
        let parent = match scope {
            Scope::Dataset(_) if dir != DirId(0) => Node::Dir { dir: dirs.parent(dir), scope },
            Scope::Dataset(_) => crate::tree::ROOT,
            Scope::Sample(_) => Node::Dir { dir, scope: Scope::Dataset(None) },
        };
        let view = seen_through(&Node::Dir { dir, scope });
        let below = matches!(scope, Scope::Dataset(_)).then_some(dir);
        let dots = [(".", Node::Dir { dir, scope }), ("..", parent)];
        let dots = dots.into_iter().map(|(name, node)| (Cow::Borrowed(name), node));
        let formats = self.options.formats;
        let files = dirs.sample(dir).into_iter().flat_map(|sample| {
            catalog.fields_of(sample).flat_map(move |field| {
                let stem = &catalog.field(field).stem;
                let file = move |format| Node::File { dir, field, format, view };
                formats.iter().map(move |f| (Cow::Owned(f.file_name(stem)), file(*f)))
            })
        });
        let plain = snapshot.plain.iter().enumerate().filter(|_| below == Some(DirId(0)));
        let plain = plain.map(|(index, file)| (Cow::Borrowed(file.name.as_str()), Node::Plain(index as u32)));

        // Going on in the middle must not walk there: a directory can have a million children, and
        // the kernel asks for a few hundred at a time.
        let from = from as usize;
        let after_dots = from.saturating_sub(2);
        let children = below.map_or(0..0, |dir| dirs.children(dir));
        let rest = files.chain(plain).skip(after_dots.saturating_sub(children.len()));
        let children = children.skip(after_dots).map(|child| {
            let child = DirId(child);
            (Cow::Borrowed(dirs.name(child, catalog)), Node::Dir { dir: child, scope })
        });
        let entries = dots.skip(from).chain(children).chain(rest);
        for (position, (name, node)) in (from..).zip(entries) {
            let attributes = self.attributes(&snapshot, &node)?;
            if !take(Listed { name, attributes, next: position as u64 + 1 }) {
                break;
            }
        }
        Ok(())
    }

    /// Counts one lookup of a node that a listing has given away with its attributes.
    pub fn remember(&self, number: u64) {
        if let Some(view) = self.snapshot().numbers.slot(number) {
            self.views.again(view);
        }
    }
}

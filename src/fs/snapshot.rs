//! The store as its index told it when it was last read: what is there, and the numbers of it all.
//!
//! A snapshot never changes. A reload puts another in its place; requests that began on this one end on it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Attributes, Options, Totals, unknown};
use crate::catalog::{ArrayRef, Catalog, Extent, FieldId, SampleId};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::layout::{self, StoreLayout};
use crate::store::{Objects, PlainFile};
use crate::tree::inode::Numbers;
use crate::tree::{DirId, Dirs, Node, Scope};

/// A store's samples and plain files as directories and files.
pub struct Snapshot {
    pub(super) layout: Arc<dyn StoreLayout>,
    pub(super) dirs: Dirs,
    pub(super) plain: Vec<PlainFile>,
    pub(super) numbers: Numbers,
    /// When the index was written that samples of directories from each serial number on came with.
    pub(super) written: Vec<(u32, SystemTime)>,
}

/// How much there is, in words.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Catalog { ids, fields, .. } = self.catalog();
        write!(f, "{} samples of {} fields", ids.len(), fields.len())
    }
}

impl Snapshot {
    /// Reads a store's index and lists its root.
    ///
    /// # Errors
    /// An index that is missing or not valid, names that collide.
    pub fn read(objects: &dyn Objects, options: &Options) -> Result<Self> {
        let layout::Opened { layout, modified } = layout::open(objects, &options.names)?;
        let plain = objects.list()?;
        let within = |e: Error| e.within(objects.location());
        let dirs = Dirs::new(layout.catalog()).map_err(within)?;
        let numbers = Numbers::new(dirs.count(), layout.catalog().fields.len(), plain.len());
        let snapshot = Self { layout, dirs, plain, numbers, written: vec![(0, modified)] };
        snapshot.check_collisions(options.formats).map_err(within)?;
        Ok(snapshot)
    }

    /// Every name in a directory must mean one thing.
    fn check_collisions(&self, formats: &[Format]) -> Result<()> {
        for file in &self.plain {
            if self.dirs.child(DirId(0), &file.name, self.catalog()).is_some() {
                return Err(Error::invalid(format!(
                    "{:?} is both a file and a sample's directory",
                    file.name
                )));
            }
        }
        for dir in (0..self.dirs.count() as u32).map(DirId) {
            let Some(sample) = self.dirs.sample(dir) else { continue };
            for child in self.dirs.children(dir).map(DirId) {
                let name = self.dirs.name(child, self.catalog());
                if self.file_named(sample, name, formats).is_some() {
                    let id = self.catalog().id(sample);
                    return Err(Error::invalid(format!(
                        "{id}/{name} is both a file and a sample's directory"
                    )));
                }
            }
        }
        Ok(())
    }

    /// What is there.
    pub fn catalog(&self) -> &Catalog {
        self.layout.catalog()
    }

    /// The node of that number.
    ///
    /// # Errors
    /// [`Changed`](crate::error::ErrorKind::Changed) for a number that is no node's, or no node's any more.
    pub fn node(&self, number: u64) -> Result<Node> {
        self.numbers.node(number).ok_or_else(unknown)
    }

    /// The sample whose files stand in a directory.
    ///
    /// # Errors
    /// [`Changed`](crate::error::ErrorKind::Changed) when there is none.
    pub fn sample(&self, dir: DirId) -> Result<SampleId> {
        self.dirs.sample(dir).ok_or_else(unknown)
    }

    /// Where a field of a directory's sample is. The array is known by the directory's serial number,
    /// so that what is cached of it is of this version of the sample and outlives reloads with it.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn extent(&self, dir: DirId, field: FieldId) -> Result<Extent> {
        let mut extent = self.layout.extent(self.sample(dir)?, field);
        extent.array.id = ArrayRef::id(self.numbers.dirs().serial(dir.0), field);
        Ok(extent)
    }

    /// The field and format that a sample's file of that name shows.
    pub fn file_named(&self, sample: SampleId, name: &str, formats: &[Format]) -> Option<(FieldId, Format)> {
        let (stem, format) = formats.iter().find_map(|f| Some((f.stem(name)?, *f)))?;
        let catalog = self.catalog();
        let field = catalog.fields_of(sample).find(|field| catalog.field(*field).stem == stem)?;
        Some((field, format))
    }

    /// An error with the sample and field that it belongs to.
    pub fn named(&self, dir: DirId, field: FieldId, error: Error) -> Error {
        let id = self.dirs.sample(dir).map_or("", |sample| self.catalog().id(sample));
        error.within(format!("sample {id}, field {}", self.catalog().field(field).canonical))
    }

    /// The plain file of that name, by its position.
    pub fn plain_named(&self, name: &str) -> Option<u32> {
        self.plain.binary_search_by(|file| file.name.as_str().cmp(name)).ok().map(|index| index as u32)
    }

    /// The attributes of a node; `size` is that of a sample's file.
    pub fn attributes(&self, node: &Node, size: u64) -> Attributes {
        let (is_dir, links, size, modified) = match *node {
            // A directory's links are its name, its ".", and each child's "..".
            Node::Dir { dir, scope: Scope::Dataset(_) } => {
                (true, 2 + self.dirs.children(dir).len() as u32, 4096, self.modified(dir))
            }
            Node::Dir { dir, .. } => (true, 2, 4096, self.modified(dir)),
            Node::Plain(index) => {
                let file = &self.plain[index as usize];
                (false, 1, file.size, file.modified)
            }
            Node::File { dir, .. } => (false, 1, size, self.modified(dir)),
        };
        Attributes { number: self.numbers.number(node), is_dir, size, links, modified }
    }

    /// When a directory was last written: a sample with the index that it first stood in as it is, any
    /// other with the latest, for what it lists may have changed then.
    fn modified(&self, dir: DirId) -> SystemTime {
        let until = match self.dirs.sample(dir) {
            Some(_) => {
                let serial = self.numbers.dirs().serial(dir.0);
                self.written.partition_point(|(first, _)| *first <= serial)
            }
            None => self.written.len(),
        };
        self.written[until - 1].1
    }

    /// Totals of what is there, in the first of these formats.
    pub fn totals(&self, formats: &[Format]) -> Totals {
        let catalog = self.catalog();
        let (mut bytes, mut files) = (0u64, 0u64);
        for sample in catalog.samples() {
            for field in catalog.fields_of(sample) {
                let (field, rows) =
                    (catalog.field(field), catalog.grid(sample, field).map_or(0, |g| g.points));
                let value = formats[0].served(field.dtype).size() as u64;
                bytes = bytes.saturating_add(rows * u64::from(field.dim) * value);
                files += formats.len() as u64;
            }
        }
        bytes = self.plain.iter().fold(bytes, |sum, file| sum.saturating_add(file.size));
        Totals { bytes, nodes: files + (self.dirs.count() + self.plain.len()) as u64 }
    }
}

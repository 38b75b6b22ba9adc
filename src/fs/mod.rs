//! The filesystem without FUSE: names to nodes, attributes, listings, bytes.
//!
//! Names, sizes and listings come from memory. Only [`Filesystem::read`] touches the store.

mod describe;
pub mod file;
mod follow;
mod identity;
mod journal;
mod listing;
mod views;
pub mod xattr;

pub use describe::{Described, Shown};
pub use follow::Prefetch;
pub use listing::Listed;

use std::sync::Arc;
use std::time::SystemTime;

use file::File;
use follow::Prefetcher;
use journal::Journal;
use views::Views;

use crate::catalog::{Catalog, FieldId, SampleId};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Format;
use crate::layout::names::FileNames;
use crate::layout::{self, StoreLayout};
use crate::metrics::Metrics;
use crate::read::cache::{Cache, Got};
use crate::read::plan::Rows;
use crate::read::{Payload, Reader};
use crate::store::{Objects, Part, PlainFile};
use crate::subsample::{Run, ViewSpec, select};
use crate::tree::inode::Numbers;
use crate::tree::{self, DirId, Dirs, Node, Scope, Slot};

/// The longest name there can be, in bytes.
pub const NAME_MAX: usize = 255;

/// Bytes that descriptions of recently read files may take.
const FILES_BUDGET: usize = 32 << 20;

/// A store seen as files.
pub struct Filesystem {
    layout: Arc<dyn StoreLayout>,
    objects: Arc<dyn Objects>,
    reader: Arc<Reader>,
    prefetcher: Option<Prefetcher>,
    dirs: Dirs,
    numbers: Numbers,
    plain: Vec<PlainFile>,
    formats: &'static [Format],
    views: Views,
    files: Cache<u64, File>,
    modified: SystemTime,
    metrics: Arc<Metrics>,
}

/// What `stat` tells of a node, but for what is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The inode number.
    pub number: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Size in bytes.
    pub size: u64,
    /// Hard links.
    pub links: u32,
    /// When it was last modified.
    pub modified: SystemTime,
}

/// Totals of the dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of all payloads as shown in the first format.
    pub bytes: u64,
    /// Files and directories, views not counted.
    pub nodes: u64,
}

/// How a store is to be seen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where file names come from.
    pub names: FileNames,
    /// The formats in which every field is shown; at least one.
    pub formats: &'static [Format],
    /// Bytes of decoded chunks and metadata to keep in memory.
    pub cache: usize,
    /// Whether to read before anyone asks.
    pub prefetch: Prefetch,
    /// Where what is done is counted.
    pub metrics: Arc<Metrics>,
}

impl Filesystem {
    /// Opens a store: its index and the listing of its root are read here, and never again.
    ///
    /// # Errors
    /// An index that is missing or not valid, names that collide.
    pub fn open(objects: Arc<dyn Objects>, options: &Options) -> Result<Self> {
        let layout::Opened { layout, modified } = layout::open(&*objects, &options.names)?;
        let plain = objects.list()?;
        let catalog = layout.catalog();
        let within = |e: Error| e.within(objects.location());
        let dirs = Dirs::new(catalog).map_err(within)?;
        let numbers = Numbers::new(dirs.count(), catalog.ids.len(), catalog.fields.len(), plain.len());
        let views = Views::new(numbers.slots());
        let (formats, metrics) = (options.formats, Arc::clone(&options.metrics));
        let reader = Reader::new(Arc::clone(&objects), options.cache).watched_by(Arc::clone(&metrics));
        let reader = Arc::new(reader);
        let prefetcher = Prefetcher::new(options.prefetch, objects.is_far(), &reader)?;
        let files = Cache::new(FILES_BUDGET);
        let fs = Self {
            layout,
            objects,
            reader,
            prefetcher,
            dirs,
            numbers,
            plain,
            formats,
            views,
            files,
            modified,
            metrics,
        };
        fs.check_collisions().map_err(|e| e.within(fs.objects.location()))?;
        Ok(fs)
    }

    /// Every name in a directory must mean one thing.
    fn check_collisions(&self) -> Result<()> {
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
                if self.file_named(sample, name).is_some() {
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

    /// What reads the payloads.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Writes which views are in use to an empty file, from now on whenever one is entered.
    pub fn journal_views(&self, file: std::fs::File, title: &str) {
        self.views.journal(Journal::new(file, title));
    }

    /// Takes up the views of a journal of that title, and goes on with it. False when it has another.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn resume_views(&self, file: std::fs::File, title: &str) -> Result<bool> {
        let failed = |e| Error::io("read the journal of views", &e);
        let Some((journal, views)) = Journal::resume(file, title).map_err(failed)? else { return Ok(false) };
        self.views.resume(views);
        self.views.journal(journal);
        Ok(true)
    }

    /// What it has done.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// How many views are in use.
    pub fn views(&self) -> usize {
        self.views.count()
    }

    /// The node of that name in a directory. Counts one lookup, which [`forget`](Self::forget) takes back.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`NameTooLong`](ErrorKind::NameTooLong),
    /// [`NotADirectory`](ErrorKind::NotADirectory).
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Result<Attributes> {
        if name.len() > NAME_MAX {
            return Err(Error::new(ErrorKind::NameTooLong, format!("a name of {} bytes", name.len())));
        }
        let found = std::str::from_utf8(name).ok().map(|name| self.find(parent, name)).transpose()?.flatten();
        let node = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such name"))?;
        self.attributes(&node)
    }

    /// As `lookup`, to the node.
    fn find(&self, parent: u64, name: &str) -> Result<Option<Node>> {
        let Node::Dir { dir, scope } = self.node(parent)? else {
            return Err(Error::new(ErrorKind::NotADirectory, "not a directory"));
        };
        let view = match scope {
            Scope::Dataset(view) => view,
            Scope::Sample(view) => Some(view),
        };
        let sample = self.dirs.sample(dir);
        let entered = |node: Node| {
            if let Some(view) = view {
                self.views.again(view);
            }
            Ok(Some(node))
        };
        if let Scope::Dataset(_) = scope {
            if let Some(child) = self.dirs.child(dir, name, self.catalog()) {
                return entered(Node::Dir { dir: child, scope });
            }
            if dir == DirId(0)
                && let Ok(index) = self.plain.binary_search_by(|file| file.name.as_str().cmp(name))
            {
                return Ok(Some(Node::Plain(index as u32)));
            }
        }
        if let Some((sample, (field, format))) = sample.and_then(|s| Some((s, self.file_named(s, name)?))) {
            return entered(Node::File { sample, field, format, view });
        }
        if scope == Scope::Dataset(None)
            && (dir == DirId(0) || sample.is_some())
            && let Some(spec) = ViewSpec::parse(name, &self.catalog().domains)
        {
            let slot = self.views.enter(&spec);
            let scope = if dir == DirId(0) { Scope::Dataset(Some(slot)) } else { Scope::Sample(slot) };
            return Ok(Some(Node::Dir { dir, scope }));
        }
        Ok(None)
    }

    /// The attributes of a node.
    ///
    /// # Errors
    /// [`Changed`](ErrorKind::Changed) for a number that is no node's.
    pub fn getattr(&self, number: u64) -> Result<Attributes> {
        self.attributes(&self.node(number)?)
    }

    /// Takes back so many lookups of a node.
    pub fn forget(&self, number: u64, lookups: u64) {
        let node = self.numbers.node(number);
        if let Some(view) = node.as_ref().and_then(seen_through) {
            self.views.leave(view, lookups);
        }
    }

    /// The dataset's totals.
    pub fn totals(&self) -> Totals {
        let catalog = self.catalog();
        let (mut bytes, mut files) = (0u64, 0u64);
        for sample in catalog.samples() {
            for field in catalog.fields_of(sample) {
                let (field, rows) =
                    (catalog.field(field), catalog.grid(sample, field).map_or(0, |g| g.points));
                let value = self.formats[0].served(field.dtype).size() as u64;
                bytes = bytes.saturating_add(rows * u64::from(field.dim) * value);
                files += self.formats.len() as u64;
            }
        }
        bytes = self.plain.iter().fold(bytes, |sum, file| sum.saturating_add(file.size));
        Totals { bytes, nodes: files + (self.dirs.count() + self.plain.len()) as u64 }
    }

    /// Puts the bytes of a file from `offset` on into `out`, which then holds nothing else: `length`
    /// of them, or fewer at the file's end.
    ///
    /// # Errors
    /// [`IsADirectory`](ErrorKind::IsADirectory), or what the store says; sample and file are named.
    pub fn read(&self, number: u64, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<()> {
        match self.node(number)? {
            Node::Dir { .. } => Err(Error::new(ErrorKind::IsADirectory, "is a directory")),
            Node::Plain(index) => self.read_plain(&self.plain[index as usize], offset, length, out),
            Node::File { sample, field, format, view } => {
                let file = self.files.get(number, || {
                    let file = self.file(sample, field, format, view)?;
                    let weight = file.weight();
                    Ok((file, weight))
                });
                let read = |file: Got<File>| {
                    let new = matches!(file, Got::Loaded(_));
                    let file = file.value();
                    let wanted = offset..offset.saturating_add(length as u64);
                    self.read_ahead((sample, field, format, view), &file, new, &wanted);
                    file.read(&self.reader, offset, length, out)
                };
                file.and_then(read).map_err(|e| self.named(sample, field, e))
            }
        }
    }

    fn read_plain(&self, file: &PlainFile, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<()> {
        let end = file.size.min(offset.saturating_add(length as u64));
        out.clear();
        if offset >= end {
            return Ok(());
        }
        match self.objects.read(&file.name, Part::Span(offset..end), Some(&file.version), out)? {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::Changed, format!("{} is gone", file.name))),
        }
    }

    /// An error with the sample and field that it belongs to.
    fn named(&self, sample: SampleId, field: FieldId, error: Error) -> Error {
        let (id, field) = (self.catalog().id(sample), &self.catalog().field(field).canonical);
        error.within(format!("sample {id}, field {field}"))
    }

    /// A file of a sample: which rows of which array it shows, and how.
    fn file(&self, sample: SampleId, field: FieldId, format: Format, view: Option<Slot>) -> Result<File> {
        let extent = self.layout.extent(sample, field);
        let first = extent.rows.start;
        let runs = match view {
            None => vec![Run { start: 0, len: extent.rows.end - first }],
            Some(view) => {
                select(&self.spec(view)?, self.catalog().grids(sample), self.catalog().field(field).domain)?
            }
        };
        let rows = Rows::new(runs.into_iter().map(|run| Run { start: first + run.start, ..run }));
        let served = format.served(extent.array.dtype);
        Ok(File::new(format, Payload { array: extent.array, rows, served }))
    }

    /// The field and format that a sample's file of that name shows.
    fn file_named(&self, sample: SampleId, name: &str) -> Option<(FieldId, Format)> {
        let (stem, format) = self.formats.iter().find_map(|f| Some((f.stem(name)?, *f)))?;
        let catalog = self.catalog();
        let field = catalog.fields_of(sample).find(|field| catalog.field(*field).stem == stem)?;
        Some((field, format))
    }

    fn attributes(&self, node: &Node) -> Result<Attributes> {
        let (is_dir, links, size, modified) = match *node {
            // A directory's links are its name, its ".", and each child's "..".
            Node::Dir { dir, scope: Scope::Dataset(_) } => {
                (true, 2 + self.dirs.children(dir).len() as u32, 4096, self.modified)
            }
            Node::Dir { .. } => (true, 2, 4096, self.modified),
            Node::Plain(index) => {
                let file = &self.plain[index as usize];
                (false, 1, file.size, file.modified)
            }
            Node::File { sample, field, format, view } => {
                (false, 1, self.size(sample, field, format, view)?, self.modified)
            }
        };
        Ok(Attributes { number: self.numbers.number(node), is_dir, size, links, modified })
    }

    /// The size of a file, from its name alone.
    fn size(&self, sample: SampleId, field: FieldId, format: Format, view: Option<Slot>) -> Result<u64> {
        let described = self.catalog().field(field);
        Ok(format.frame(self.points(sample, field, view)?, described.dim, described.dtype).size())
    }

    /// How many points a file shows.
    fn points(&self, sample: SampleId, field: FieldId, view: Option<Slot>) -> Result<u64> {
        let domain = self.catalog().field(field).domain;
        let grid = self.catalog().grid(sample, field).ok_or_else(unknown)?;
        let count = view.map(|view| self.spec(view)).transpose()?.and_then(|spec| spec.count(domain));
        Ok(grid.shown(count))
    }

    fn spec(&self, view: Slot) -> Result<ViewSpec> {
        self.views.spec(view).ok_or_else(unknown)
    }

    fn node(&self, number: u64) -> Result<Node> {
        self.numbers.node(number).ok_or_else(unknown)
    }
}

/// The root's number.
pub const ROOT: u64 = tree::inode::ROOT;

fn unknown() -> Error {
    Error::new(ErrorKind::Changed, "a number that is no node's")
}

fn seen_through(node: &Node) -> Option<Slot> {
    match *node {
        Node::Dir { scope: Scope::Dataset(view), .. } | Node::File { view, .. } => view,
        Node::Dir { scope: Scope::Sample(view), .. } => Some(view),
        Node::Plain(_) => None,
    }
}

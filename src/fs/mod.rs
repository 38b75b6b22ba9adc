//! The filesystem without FUSE: names to nodes, attributes, listings, bytes.
//!
//! Names, sizes and listings come from memory. Only [`Filesystem::read`] touches the store.

mod describe;
pub mod file;
mod follow;
mod identity;
mod journal;
mod listing;
mod reload;
mod snapshot;
mod views;
pub mod xattr;

pub use describe::{Described, Shown};
pub use follow::Prefetch;
pub use listing::Listed;
pub use reload::Changes;
pub use snapshot::Snapshot;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use file::File;
use follow::Prefetcher;
use journal::Journal;
use views::Views;

use crate::catalog::FieldId;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Format;
use crate::layout::names::FileNames;
use crate::memory;
use crate::metrics::Metrics;
use crate::read::cache::{Cache, Got};
use crate::read::plan::Rows;
use crate::read::{Payload, Reader};
use crate::store::{Objects, Part, PlainFile};
use crate::subsample::{Run, ViewSpec, select};
use crate::tree::{self, DirId, Node, Scope, Slot};

/// The longest name there can be, in bytes.
pub const NAME_MAX: usize = 255;

/// Bytes that descriptions of recently read files may take.
const FILES_BUDGET: usize = 32 << 20;

/// A store seen as files.
pub struct Filesystem {
    objects: Arc<dyn Objects>,
    options: Options,
    reader: Arc<Reader>,
    prefetcher: Option<Prefetcher>,
    snapshot: RwLock<Arc<Snapshot>>,
    views: Views,
    files: Cache<u64, File>,
    metrics: Arc<Metrics>,
    /// Serial numbers of directories whose samples were found to be stored in another version.
    replaced: Mutex<HashSet<u32>>,
    reloading: Mutex<()>,
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
    /// Opens a store: its index and the listing of its root are read here, and again only by
    /// [`reload`](Self::reload).
    ///
    /// # Errors
    /// An index that is missing or not valid, names that collide.
    pub fn open(objects: Arc<dyn Objects>, options: &Options) -> Result<Self> {
        let snapshot = Snapshot::read(&*objects, options)?;
        memory::give_back();
        let metrics = Arc::clone(&options.metrics);
        let reader = Reader::new(Arc::clone(&objects), options.cache).watched_by(Arc::clone(&metrics));
        let reader = Arc::new(reader);
        Ok(Self {
            prefetcher: Prefetcher::new(options.prefetch, objects.is_far(), &reader)?,
            reader,
            objects,
            options: options.clone(),
            views: Views::new(snapshot.numbers.slots()),
            snapshot: RwLock::new(Arc::new(snapshot)),
            files: Cache::new(FILES_BUDGET),
            metrics,
            replaced: Mutex::default(),
            reloading: Mutex::default(),
        })
    }

    /// What is there at the moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
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

    /// The slots of the views in use.
    pub fn slots(&self) -> Vec<Slot> {
        self.views.slots()
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
        let snapshot = self.snapshot();
        let name = std::str::from_utf8(name).ok();
        let found = name.map(|name| self.find(&snapshot, parent, name)).transpose()?.flatten();
        let node = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such name"))?;
        self.attributes(&snapshot, &node)
    }

    /// As `lookup`, to the node.
    fn find(&self, snapshot: &Snapshot, parent: u64, name: &str) -> Result<Option<Node>> {
        let (dirs, catalog) = (&snapshot.dirs, snapshot.catalog());
        let Node::Dir { dir, scope } = snapshot.node(parent)? else {
            return Err(Error::new(ErrorKind::NotADirectory, "not a directory"));
        };
        let view = match scope {
            Scope::Dataset(view) => view,
            Scope::Sample(view) => Some(view),
        };
        let sample = dirs.sample(dir);
        let entered = |node: Node| {
            if let Some(view) = view {
                self.views.again(view);
            }
            Ok(Some(node))
        };
        if let Scope::Dataset(_) = scope {
            if let Some(child) = dirs.child(dir, name, catalog) {
                return entered(Node::Dir { dir: child, scope });
            }
            if dir == DirId(0)
                && let Some(index) = snapshot.plain_named(name)
            {
                return Ok(Some(Node::Plain(index)));
            }
        }
        let formats = self.options.formats;
        if let Some((field, format)) = sample.and_then(|s| snapshot.file_named(s, name, formats)) {
            return entered(Node::File { dir, field, format, view });
        }
        if scope == Scope::Dataset(None)
            && (dir == DirId(0) || sample.is_some())
            && let Some(spec) = ViewSpec::parse(name, &catalog.domains)
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
        let snapshot = self.snapshot();
        self.attributes(&snapshot, &snapshot.node(number)?)
    }

    /// Takes back so many lookups of a node.
    pub fn forget(&self, number: u64, lookups: u64) {
        // Nodes that are no more are forgotten too.
        if let Some(view) = self.snapshot().numbers.slot(number) {
            self.views.leave(view, lookups);
        }
    }

    /// The dataset's totals.
    pub fn totals(&self) -> Totals {
        self.snapshot().totals(self.options.formats)
    }

    /// Puts the bytes of a file from `offset` on into `out`, which then holds nothing else: `length`
    /// of them, or fewer at the file's end.
    ///
    /// # Errors
    /// [`IsADirectory`](ErrorKind::IsADirectory), or what the store says; sample and file are named.
    pub fn read(&self, number: u64, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<()> {
        let snapshot = self.snapshot();
        match snapshot.node(number)? {
            Node::Dir { .. } => Err(Error::new(ErrorKind::IsADirectory, "is a directory")),
            Node::Plain(index) => self.read_plain(&snapshot.plain[index as usize], offset, length, out),
            Node::File { dir, field, format, view } => {
                let file = self.files.get(number, || {
                    let file = self.file(&snapshot, dir, field, format, view)?;
                    let weight = file.weight();
                    Ok((file, weight))
                });
                let read = |file: Got<File>| {
                    let new = matches!(file, Got::Loaded(_));
                    let file = file.value();
                    let wanted = offset..offset.saturating_add(length as u64);
                    self.read_ahead(&snapshot, (dir, field, format, view), &file, new, &wanted);
                    file.read(&self.reader, offset, length, out)
                };
                file.and_then(read).map_err(|e| {
                    if e.kind() == ErrorKind::Changed {
                        self.note_replaced(&snapshot, dir);
                    }
                    snapshot.named(dir, field, e)
                })
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

    /// A file of a sample: which rows of which array it shows, and how.
    fn file(
        &self,
        snapshot: &Snapshot,
        dir: DirId,
        field: FieldId,
        format: Format,
        view: Option<Slot>,
    ) -> Result<File> {
        let (sample, catalog) = (snapshot.sample(dir)?, snapshot.catalog());
        let extent = snapshot.extent(dir, field)?;
        let first = extent.rows.start;
        let runs = match view {
            None => vec![Run { start: 0, len: extent.rows.end - first }],
            Some(view) => select(&self.spec(view)?, catalog.grids(sample), catalog.field(field).domain)?,
        };
        let rows = Rows::new(runs.into_iter().map(|run| Run { start: first + run.start, ..run }));
        let served = format.served(extent.array.dtype);
        Ok(File::new(format, Payload { array: extent.array, rows, served }))
    }

    fn attributes(&self, snapshot: &Snapshot, node: &Node) -> Result<Attributes> {
        let size = match *node {
            Node::File { dir, field, format, view } => self.size(snapshot, dir, field, format, view)?,
            Node::Dir { .. } | Node::Plain(_) => 0,
        };
        Ok(snapshot.attributes(node, size))
    }

    /// The size of a file, from its name alone.
    fn size(
        &self,
        snapshot: &Snapshot,
        dir: DirId,
        field: FieldId,
        format: Format,
        view: Option<Slot>,
    ) -> Result<u64> {
        let described = snapshot.catalog().field(field);
        Ok(format.frame(self.points(snapshot, dir, field, view)?, described.dim, described.dtype).size())
    }

    /// How many points a file shows.
    fn points(&self, snapshot: &Snapshot, dir: DirId, field: FieldId, view: Option<Slot>) -> Result<u64> {
        let (sample, catalog) = (snapshot.sample(dir)?, snapshot.catalog());
        let domain = catalog.field(field).domain;
        let grid = catalog.grid(sample, field).ok_or_else(unknown)?;
        let count = view.map(|view| self.spec(view)).transpose()?.and_then(|spec| spec.count(domain));
        Ok(grid.shown(count))
    }

    fn spec(&self, view: Slot) -> Result<ViewSpec> {
        self.views.spec(view).ok_or_else(unknown)
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

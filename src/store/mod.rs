//! Where bytes come from: objects under a root, the manifest, Zarr arrays and their shards.

pub mod access;
pub mod address;
pub mod array;
pub mod blosc;
pub mod codec;
pub mod counted;
pub mod destination;
mod directory;
pub mod disk_cache;
pub mod group;
pub mod local;
pub mod manifest;
pub mod manifest_text;
mod remote;
pub mod shard;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::SystemTime;

use access::Access;
use address::{Address, Remote};

use crate::error::{Error, Result};

/// Objects under one root, by `/`-separated paths. A store around another counts, delays or fails.
pub trait Objects: Send + Sync {
    /// Where the root is, as a person would write it.
    fn location(&self) -> String;

    /// Reads part of an object into `buffer`, which then holds nothing else. `None` when there is no
    /// such object. Without an `expected` version this is the object that is there now, whatever was
    /// read of it before.
    ///
    /// # Errors
    /// [`Changed`](crate::error::ErrorKind::Changed) when `expected` is given and the object is no
    /// longer that version; [`Invalid`](crate::error::ErrorKind::Invalid) when it is too short for
    /// the range or longer than the limit; what the medium says otherwise.
    fn read(
        &self,
        path: &str,
        part: Part,
        expected: Option<&Version>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>>;

    /// Says that these will be read soon, so that a store far away can begin. Those that are `ahead` of
    /// their reader must not delay what is demanded, and may be left out. What is read afterwards is the
    /// same with and without it. False when something was left out for want of room.
    fn expect(&self, _wanted: &[Wanted], _ahead: bool) -> bool {
        true
    }

    /// Whether a request takes so long that readers should say early what they will want.
    fn is_far(&self) -> bool {
        false
    }

    /// The plain objects directly under the root.
    fn list(&self) -> Result<Vec<PlainFile>>;
}

/// Objects whose names can be listed however deep they lie.
pub trait Listed: Objects {
    /// Shows path and size of every object below a path, in any order, until told to stop.
    ///
    /// # Errors
    /// A medium that cannot be listed; what it says otherwise.
    fn walk(&self, below: &str, visit: &mut dyn FnMut(&str, u64) -> ControlFlow<()>) -> Result<()>;
}

/// Which bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of an object that has at most so many bytes.
    Whole {
        /// The most that will be read.
        limit: u64,
    },
    /// These bytes.
    Span(Range<u64>),
    /// The last so many bytes.
    Last(u64),
}

impl Part {
    /// The part as a range of an object of `size` bytes.
    ///
    /// # Errors
    /// When the object does not hold it.
    pub fn of(&self, size: u64) -> Result<Range<u64>> {
        match self {
            Self::Whole { limit } if size > *limit => {
                Err(Error::invalid(format!("{size} bytes are more than the {limit} it may have")))
            }
            Self::Whole { .. } => Ok(0..size),
            Self::Span(range) if range.start <= range.end && range.end <= size => Ok(range.clone()),
            Self::Last(count) if *count <= size => Ok(size - count..size),
            Self::Span(Range { end, .. }) | Self::Last(end) => {
                Err(Error::invalid(format!("it has {size} bytes where at least {end} are needed"))
                    .hint("the object is truncated: restore or convert the sample anew"))
            }
        }
    }
}

/// A part of an object that will be read.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The object.
    pub path: String,
    /// Which bytes.
    pub part: Part,
    /// The version they belong to, where it is known.
    pub version: Option<Version>,
    /// The part that is read first, where more is asked for than that: with it at hand, all is.
    pub first: Option<Part>,
}

impl Wanted {
    /// Where it starts in its object; what starts nowhere in particular comes first.
    fn start(&self) -> u64 {
        match &self.part {
            Part::Span(range) => range.start,
            _ => 0,
        }
    }
}

/// What to do about an object that is another version than was read before.
pub const RELOAD: &str = "send the mount SIGHUP, or mount again, to see the store's new content";

/// What was found out about an object while it was read.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its whole size in bytes.
    pub size: u64,
    /// Which version of it.
    pub version: Version,
    /// When it was last written.
    pub modified: SystemTime,
}

/// The identity of an object's content, as far as the medium tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A file: device, inode, size, modification time in nanoseconds.
    File(u64, u64, u64, i128),
    /// An entity tag.
    Tag(Arc<str>),
}

/// A file beside the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Which version was listed.
    pub version: Version,
    /// When it was last written.
    pub modified: SystemTime,
}

/// Opens the store at an address.
///
/// # Errors
/// An address that is not supported or lacks a part, a path that is no directory, credentials that
/// cannot be read.
pub fn open(typed: &str, access: &Access) -> Result<Arc<dyn Objects>> {
    Ok(match Address::parse(typed)? {
        Address::Local(path) => Arc::new(local::Local::open(&path)?),
        Address::Remote(address) => Arc::new(remote::Bucket::open(&address, access)?),
    })
}

/// Opens a remote tree of objects that are no store.
///
/// # Errors
/// As [`open`].
pub fn open_tree(address: &Remote, access: &Access) -> Result<Arc<dyn Listed>> {
    Ok(Arc::new(remote::Bucket::open(address, access)?))
}

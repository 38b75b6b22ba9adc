//! Where a store is written: objects under one root.
//!
//! No medium renames a tree of objects in one step, so nothing here does. What makes a half-written
//! store invisible is order: an object that others are found through is put after them.

use std::fs::File;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::access::Access;
use super::address::{Address, Service};
use super::directory::Directory;
use super::remote::Bucket;
use crate::error::{Error, Result};

/// A root under which objects are written, by `/`-separated paths.
pub trait Destination: Send + Sync {
    /// Where the root is, as a person would write it.
    fn location(&self) -> String;

    /// A small object's content; `None` when there is no such object.
    ///
    /// # Errors
    /// What the medium says.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>>;

    /// Whether there is such an object.
    ///
    /// # Errors
    /// What the medium says.
    fn exists(&self, path: &str) -> Result<bool>;

    /// Puts a small object, whatever stood there. It appears whole, and lasts once this returns.
    ///
    /// # Errors
    /// What the medium says.
    fn put(&self, path: &str, content: &[u8]) -> Result<()>;

    /// As [`put`](Self::put), but leaves an object that is there and has other content: then false.
    ///
    /// # Errors
    /// What the medium says.
    fn put_new(&self, path: &str, content: &[u8]) -> Result<bool>;

    /// Objects to be written together.
    fn batch(&self) -> Box<dyn Batch + '_>;

    /// The most bytes that a [`batch`](Self::batch) holds.
    fn batch_holds(&self) -> u64;

    /// Returns when all that finished batches wrote lasts, a power failure included.
    ///
    /// # Errors
    /// What the medium says.
    fn settle(&self) -> Result<()>;

    /// Shows the paths of all objects below a path, in any order, until told to stop.
    ///
    /// # Errors
    /// What the medium says.
    fn list(&self, below: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<()>;

    /// Removes objects; those that are not there are no error.
    ///
    /// # Errors
    /// What the medium says.
    fn remove(&self, paths: &[String]) -> Result<()>;

    /// Keeps others away while the file that is returned is open, where the medium knows locks.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) when another holds the lock.
    fn lock(&self, path: &str) -> Result<Option<File>>;
}

/// Objects that are written together. Many may be on their way at once, so an error can be that of an
/// earlier object; each error names its own.
pub trait Batch {
    /// Puts an object that appears whole.
    ///
    /// # Errors
    /// What the medium says.
    fn put(&mut self, path: &str, content: Vec<u8>) -> Result<()>;

    /// Begins an object that is written in parts and will have at most `longest` bytes. Until it is
    /// finished it may be seen in part.
    ///
    /// # Errors
    /// What the medium says.
    fn create(&mut self, path: &str, longest: u64) -> Result<Box<dyn ObjectWriter + '_>>;

    /// Returns when all objects are there.
    ///
    /// # Errors
    /// What the medium says.
    fn finish(&mut self) -> Result<()>;
}

/// An object that is written in parts. One that is dropped unfinished is given up.
pub trait ObjectWriter {
    /// Appends bytes.
    ///
    /// # Errors
    /// What the medium says.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Ends the object.
    ///
    /// # Errors
    /// What the medium says.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Opens the place at an address for writing. A directory need not exist.
///
/// # Errors
/// A place that cannot be written at all, credentials that cannot be read.
pub fn open(address: &Address, access: &Access) -> Result<Arc<dyn Destination>> {
    match address {
        Address::Local(path) => Ok(Arc::new(Directory::new(path))),
        Address::Remote(remote) if matches!(remote.service, Service::Http { .. }) => {
            Err(Error::usage(format!("{remote}: a web server is only read from"))
                .hint("write to a path, s3://, gs://, az://, abfs:// or oci://"))
        }
        Address::Remote(remote) => Ok(Arc::new(Bucket::open(remote, access)?)),
    }
}

//! A tree of files to read from, wherever it is.

mod local;
mod remote;

use super::file::Input;
use crate::error::{Error, Result};
use crate::store::access::Access;
use crate::store::address::Address;
use crate::store::open_tree;

pub use local::LocalFiles;
pub use remote::RemoteFiles;

/// Files below one root, by `/`-separated paths.
pub trait Files: Send + Sync {
    /// Where the root is, as a person would write it.
    fn location(&self) -> String;

    /// Shows every file with its directory, its name and, where the listing tells it, its size in bytes.
    /// The root's directory is empty; of those below it only those are entered that `enter` says.
    ///
    /// # Errors
    /// What cannot be listed.
    fn walk(
        &self,
        enter: &dyn Fn(&str) -> bool,
        visit: &mut dyn FnMut(&str, &str, Option<u64>),
    ) -> Result<()>;

    /// The size of a file of which no listing told it; `None` when it is no plain file.
    fn size(&self, path: &str) -> Option<u64>;

    /// Opens a file of about `size` bytes, 0 where that is not known.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::ErrorKind::NotFound) when there is none; a file that cannot be opened.
    fn open(&self, path: &str, size: u64) -> Result<Box<dyn Input + '_>>;

    /// Says that these, each of so many bytes, will be read soon.
    fn expect(&self, _files: &mut dyn Iterator<Item = (String, u64)>) {}

    /// Whether the failed read of a file says that the whole tree is going away: then nothing can be
    /// relied on that other files say.
    fn is_going(&self, path: &str, error: &Error) -> bool;
}

/// Opens the tree at an address.
///
/// # Errors
/// A directory that is not there, credentials that cannot be read.
pub fn open(address: &Address, access: &Access) -> Result<Box<dyn Files>> {
    Ok(match address {
        Address::Local(path) => Box::new(LocalFiles::open(path)?),
        Address::Remote(remote) => Box::new(RemoteFiles::new(open_tree(remote, access)?)),
    })
}

/// Where in the tree at `root` another place lies; `None` when it lies elsewhere.
pub fn below(root: &Address, place: &Address) -> Option<String> {
    match (root, place) {
        (Address::Local(root), Address::Local(place)) => {
            let (root, place) = (root.canonicalize().ok()?, place.canonicalize().ok()?);
            Some(place.strip_prefix(root).ok()?.to_str()?.to_owned())
        }
        (Address::Remote(root), Address::Remote(place)) if root.service == place.service => {
            let rest = place.prefix.strip_prefix(&root.prefix)?;
            let whole = root.prefix.is_empty() || rest.is_empty() || rest.starts_with('/');
            whole.then(|| rest.trim_start_matches('/').to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_below_a_root_by_whole_names() {
        let address = |typed: &str| Address::parse(typed).unwrap();
        let below = |root: &str, place: &str| below(&address(root), &address(place));
        assert_eq!(below("s3://b/tree", "s3://b/tree/out/store").as_deref(), Some("out/store"));
        assert_eq!(below("s3://b", "s3://b/store").as_deref(), Some("store"));
        assert_eq!(below("s3://b/tree", "s3://b/tree2"), None);
        assert_eq!(below("s3://b/tree", "gs://b/tree/store"), None);
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        std::fs::create_dir(directory.path().join("store")).unwrap();
        assert_eq!(below(root, &format!("{root}/./store")).as_deref(), Some("store"));
    }
}

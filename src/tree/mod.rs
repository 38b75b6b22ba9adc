//! Names and nodes: the directories that sample ids make, and what stands in them.

pub mod dirs;
pub mod inode;
pub mod serial;

pub use dirs::{DirId, Dirs};
pub use inode::Slot;

use crate::catalog::FieldId;
use crate::format::Format;

/// Something with a name in the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A directory.
    Dir {
        /// Which of the tree.
        dir: DirId,
        /// How it is seen.
        scope: Scope,
    },
    /// A field of a sample.
    File {
        /// The sample's directory.
        dir: DirId,
        /// The field.
        field: FieldId,
        /// The form in which it is shown.
        format: Format,
        /// The view that it is seen through. Both places where a view shows it are one file.
        view: Option<Slot>,
    },
    /// A plain file of the store's root, by its position in the listing.
    Plain(u32),
}

/// How a directory is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// As part of the dataset, as it is or through a view of all of it: `subsample_5_0/run_1`.
    Dataset(Option<Slot>),
    /// As the view of one sample, which holds its files only: `run_1/subsample_5_0`.
    Sample(Slot),
}

/// The root of the mount.
pub const ROOT: Node = Node::Dir { dir: DirId(0), scope: Scope::Dataset(None) };

//! What a node is, for those who want to know and not to read.

use super::Filesystem;
use super::file::File;
use crate::catalog::Field;
use crate::error::Result;
use crate::format::Format;
use crate::tree::Node;

/// A node in words.
pub enum Described {
    /// A directory, and the view that it is seen through.
    Dir(Option<String>),
    /// A file beside the manifest.
    Plain,
    /// A file of a sample.
    File(Box<Shown>),
}

/// A field of a sample as a file.
pub struct Shown {
    /// The sample's id.
    pub sample: String,
    /// The field.
    pub field: Field,
    /// The file's format.
    pub format: Format,
    /// The name of the view that it is seen through.
    pub view: Option<String>,
    /// Its parts.
    pub file: File,
}

impl Filesystem {
    /// Tells what a node is.
    ///
    /// # Errors
    /// [`Changed`](crate::error::ErrorKind::Changed) for a number that is no node's.
    pub fn describe(&self, number: u64) -> Result<Described> {
        let snapshot = self.snapshot();
        let (catalog, node) = (snapshot.catalog(), snapshot.node(number)?);
        let view = super::seen_through(&node).map(|slot| self.spec(slot)).transpose()?;
        let view = view.map(|spec| spec.name(&catalog.domains).to_string());
        Ok(match node {
            Node::Dir { .. } => Described::Dir(view),
            Node::Plain(_) => Described::Plain,
            Node::File { dir, field, format, view: slot } => Described::File(Box::new(Shown {
                sample: catalog.id(snapshot.sample(dir)?).to_owned(),
                field: catalog.field(field).clone(),
                format,
                view,
                file: self.file(&snapshot, dir, field, format, slot)?,
            })),
        })
    }
}

//! The `ls` and `cat` commands: a store's files without a mount, the same names and the same bytes.

use serde::Serialize;

use crate::cli::access::AccessArgs;
use crate::cli::{CatArgs, LsArgs, ViewArgs};
use crate::config;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Attributes, Filesystem, ROOT};
use crate::output;
use crate::store;

/// Bytes read and written at a time.
const READ: usize = 1 << 20;

/// Memory for what one command reads over again: metadata, and chunks that two reads share.
const CACHE: usize = 64 << 20;

/// Opens a store as a mount would show it.
///
/// # Errors
/// No store, one that is not valid, a FileMap that is not known.
pub fn open(location: &str, view: &ViewArgs, access: &AccessArgs) -> Result<Filesystem> {
    let options = config::view_of_store(view, CACHE)?;
    Filesystem::open(store::open(location, &config::access(access))?, &options)
}

/// The node at a path from the root.
///
/// # Errors
/// A name that is not there; the path is told.
pub fn walk(fs: &Filesystem, path: &str) -> Result<Attributes> {
    let mut at = fs.getattr(ROOT)?;
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        at = fs.lookup(at.number, name.as_bytes()).map_err(|e| {
            let e = e.within(path);
            if e.kind() == ErrorKind::NotFound { e.hint("`samplefs ls` shows what is there") } else { e }
        })?;
    }
    Ok(at)
}

/// An entry of a listing.
#[derive(Serialize)]
struct Entry {
    name: String,
    dir: bool,
    size: u64,
}

/// Lists a directory, or names a file.
///
/// # Errors
/// A path that is not there, stdout that cannot be written.
pub fn ls(args: &LsArgs) -> Result<()> {
    let fs = open(&args.store, &args.view, &args.access)?;
    let node = walk(&fs, &args.path)?;
    let mut entries = Vec::new();
    if node.is_dir {
        fs.readdir(node.number, 0, |listed| {
            let Attributes { is_dir: dir, size, .. } = listed.attributes;
            if !matches!(&*listed.name, "." | "..") {
                entries.push(Entry { name: listed.name.into_owned(), dir, size });
            }
            true
        })?;
    } else {
        entries.push(Entry { name: args.path.clone(), dir: false, size: node.size });
    }
    let line = |Entry { name, dir, size }: &Entry| match (args.long, dir) {
        (false, _) => format!("{name}\n"),
        (true, true) => format!("d {:>14} {name}\n", "-"),
        (true, false) => format!("- {size:>14} {name}\n"),
    };
    let shown = if args.json { output::json(&entries) + "\n" } else { entries.iter().map(line).collect() };
    output::write(shown.as_bytes()).map(|_| ())
}

/// Writes a file's bytes to stdout.
///
/// # Errors
/// A path that is not there or is a directory, what the store says.
pub fn cat(args: &CatArgs) -> Result<()> {
    let fs = open(&args.store, &args.view, &args.access)?;
    let file = walk(&fs, &args.path)?;
    if file.is_dir {
        return Err(Error::new(ErrorKind::IsADirectory, format!("{} is a directory", args.path)));
    }
    let mut bytes = Vec::new();
    for offset in (0..file.size).step_by(READ) {
        fs.read(file.number, offset, READ, &mut bytes)?;
        if !output::write(&bytes)? {
            break;
        }
    }
    Ok(())
}

//! What was typed, completed from a configuration file and the environment, and made into what it
//! means.

mod file;
pub mod secrets;
pub mod settings;
pub mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::cli::access::AccessArgs;
use crate::cli::{FormatArg, MountArgs, ViewArgs};
use crate::error::{Error, Result};
use crate::filemap::FileMap;
use crate::format::Format;
use crate::fs;
use crate::fuse::{MountOptions, mounts};
use crate::layout::names::FileNames;
use crate::memory;
use crate::store::access::{Access, PREFIXES};

/// The names that `--filemap` takes beside the known FileMaps and a file's path.
const AUTO: &str = "auto";
const CANONICAL: &str = "canonical";

/// Where file names come from: `auto`, `canonical`, the name of a known FileMap, or a JSON file.
///
/// # Errors
/// A name that is none of these, a file that is no FileMap.
pub fn file_names(typed: &str) -> Result<FileNames> {
    match typed {
        AUTO => Ok(FileNames::Auto),
        CANONICAL => Ok(FileNames::Canonical),
        name => FileMap::known(name).map_or_else(|| filemap_file(name), Ok).map(FileNames::Map),
    }
}

fn filemap_file(path: &str) -> Result<FileMap> {
    let known: Vec<_> = [AUTO, CANONICAL].into_iter().chain(FileMap::names()).collect();
    let json = std::fs::read(path).map_err(|e| {
        Error::usage(format!("FileMap {path}: {e}"))
            .hint(format!("give one of {}, or a JSON file of attribute → file name", known.join(", ")))
    })?;
    FileMap::from_json(&json).map_err(|e| e.within(format!("FileMap {path}")))
}

/// How to reach a store: the options, and the variables that the clouds' own tools read.
pub fn access(args: &AccessArgs) -> Access {
    let ours = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| ours(name))?;
        Some((name, value.into_string().ok()?))
    });
    Access {
        endpoint: args.endpoint_url.clone(),
        region: args.region.clone(),
        profile: args.profile.clone(),
        anonymous: args.no_sign_request,
        path_style: args.force_path_style,
        allow_http: args.allow_http,
        ca_bundle: args.ca_bundle.clone(),
        patience: args.patience(),
        environment: environment.collect(),
        ..Access::default()
    }
}

/// How many threads a run over a whole store has: one a CPU unless told otherwise.
pub fn workers(typed: Option<u16>) -> usize {
    typed.map_or_else(|| available_parallelism().map_or(1, usize::from), usize::from)
}

/// How a mount's memory is shared out: one part of four for bytes that come ahead of their readers, the
/// rest for chunks, indexes and metadata.
pub struct Shares {
    /// Bytes for what has been read.
    pub cache: usize,
    /// Bytes for what has been asked for.
    pub ahead: u64,
}

impl Shares {
    /// The shares of a target.
    pub fn of(target: Option<usize>) -> Self {
        let target = target.unwrap_or_else(memory::target);
        Self { cache: target - target / 4, ahead: target as u64 / 4 }
    }
}

/// How a store is to be seen, with so many bytes for decoded chunks and metadata.
///
/// # Errors
/// As [`file_names`].
pub fn view_of_store(args: &ViewArgs, cache: usize) -> Result<fs::Options> {
    let formats: &[Format] = match args.format {
        FormatArg::Pt => &[Format::Pt],
        FormatArg::Npy => &[Format::Npy],
        FormatArg::Both => &[Format::Pt, Format::Npy],
    };
    Ok(fs::Options {
        names: file_names(&args.filemap)?,
        formats,
        cache,
        prefetch: fs::Prefetch::Auto,
        metrics: Arc::default(),
    })
}

/// The store to mount.
///
/// # Errors
/// None was given.
pub fn store(args: &MountArgs) -> Result<&str> {
    args.store.as_deref().ok_or_else(|| missing("store"))
}

fn missing(setting: &str) -> Error {
    Error::usage(format!("no {setting} is given"))
        .hint(format!("samplefs mount STORE MOUNTPOINT, or `{setting}` in a file that --config names"))
}

/// How and where to mount; `source` is the store's location.
///
/// # Errors
/// A mount point that does not exist or is not given.
pub fn mount_options(args: &MountArgs, source: String, is_far: bool) -> Result<MountOptions> {
    let owner = (
        args.uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()),
        args.gid.unwrap_or_else(|| rustix::process::getegid().as_raw()),
    );
    // A request spends its time in decoding, so one thread a CPU; with a second thread one slow
    // store request does not stop the rest. Far away all are slow, and threads wait rather than work.
    let least = if is_far { 32 } else { 2 };
    let cpus = available_parallelism().map_or(2, usize::from);
    let threads = args.threads.map_or(cpus.max(least), usize::from);
    Ok(MountOptions {
        target: mount_point(args.mountpoint.as_deref().ok_or_else(|| missing("mountpoint"))?)?,
        source,
        allow_other: args.allow_other,
        owner,
        threads,
        grace: Duration::from_secs(args.grace.into()),
        xattrs: !args.no_xattrs,
    })
}

fn mount_point(typed: &Path) -> Result<PathBuf> {
    mounts::resolve(typed).map_err(|e| e.hint("the mount point must be a directory that exists"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filemap_that_is_not_known_is_refused_with_those_that_are() {
        let error = file_names("shapenet").unwrap_err();
        assert!(error.remedy().unwrap().contains("auto, canonical, shapenet-car"), "{error}");
    }
}

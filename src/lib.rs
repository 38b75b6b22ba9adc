//! samplefs mounts a chunked Zarr store of training samples and shows every sample as the plain
//! files that existing code already reads.
//!
//! A virtual file is `prefix ++ payload ++ suffix`. The payload is rows of one array; prefix and
//! suffix come from the file format. So names, sizes and listings follow from the store's index
//! alone, and only reading payloads touches the store.
//!
//! ```text
//! kernel ── fuse ──> fs ──> tree        names → nodes → inode numbers   (memory only)
//!                     └──> read ──> plan      byte range → pieces of chunks   (pure)
//!                             ├──> cache     decoded chunks, byte-bounded, single flight
//!                             └──> store     chunk → byte range → object → decode
//! ```
//!
//! The rooms, each importing only from those below it (`tests/layers.rs` holds them to it):
//!
//! | layer | rooms |
//! |---|---|
//! | entry | [`cli`] (what was typed), [`config`] (what it means), [`mount`], [`mount8`] (as mount(8) calls), [`service`] (under systemd), [`manual`] (man pages, completions), [`stats`], [`inspect`], [`list`] (`ls` and `cat`), [`verify`], [`status`] (what a mount tells of itself), [`telemetry`] (logs) |
//! | commands | [`convert`] (legacy trees to stores), [`demo`] (a small store of real physics) |
//! | kernel | [`fuse`] |
//! | filesystem | [`fs`] |
//! | reading | [`read`] |
//! | where | [`layout`] (kinds of stores), [`store`] (objects, arrays, shards, the manifest) |
//! | what | [`tree`], [`catalog`] |
//! | values | [`format`](mod@format), [`subsample`], [`rows`], [`filemap`], [`dtype`], [`metrics`] (what was done, counted), [`error`]; [`memory`]; for commands: [`output`], [`parallel`], [`progress`], [`systemd`], [`privileges`] |

// Stored values are little-endian, and rows are handed on as they are.
#[cfg(target_endian = "big")]
compile_error!("samplefs needs a little-endian machine");

pub mod catalog;
pub mod cli;
pub mod config;
pub mod convert;
pub mod demo;
pub mod dtype;
pub mod error;
pub mod filemap;
pub mod format;
pub mod fs;
pub mod fuse;
pub mod inspect;
pub mod layout;
pub mod list;
pub mod manual;
pub mod memory;
pub mod metrics;
pub mod mount;
pub mod mount8;
pub mod output;
pub mod parallel;
pub mod privileges;
pub mod progress;
pub mod read;
pub mod rows;
pub mod service;
pub mod stats;
pub mod status;
pub mod store;
pub mod subsample;
pub mod systemd;
pub mod telemetry;
pub mod tree;
pub mod verify;

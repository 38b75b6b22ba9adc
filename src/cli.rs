//! What can be typed. Help, man pages and completions come from here.

pub mod access;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use access::AccessArgs;

use crate::config::show::ConfigCommand;
use crate::convert::cli::ConvertArgs;
use crate::demo::DemoArgs;
use crate::fs::Prefetch;
use crate::status::StatusArgs;
use crate::telemetry::LogFormat;

/// Mounts a chunked Zarr store of training samples and shows every sample as the plain files
/// that existing code already reads.
#[derive(Debug, Parser)]
#[command(name = "samplefs", version, max_term_width = 100)]
pub struct Cli {
    /// Log more: -v for debugging, -vv for everything. RUST_LOG overrides it.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What samplefs can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a store as files, until it is unmounted or interrupted.
    ///
    /// Every option can also stand in a configuration file, under its long name (`memory-target = "2G"`),
    /// and in the environment (SAMPLEFS_MEMORY_TARGET). The command line goes before the file, the file
    /// before the environment.
    Mount(MountArgs),
    /// Take a mount away, also while files are open.
    #[command(visible_alias = "umount")]
    Unmount(UnmountArgs),
    /// Ask mounts what they are doing: requests, hit rates, bytes, memory, the last failures.
    ///
    /// Over a private socket, so that a mount that hangs tells too. SIGUSR1 to its process writes the
    /// same to its log.
    Status(StatusArgs),
    /// Convert a tree of per-field .pt or .npy files into a store.
    ///
    /// A sample is any directory below SOURCE that holds every file of the FileMap; its path is its
    /// id. What noether's converter would store is stored, value for value, whatever the number of
    /// workers. A run that was killed goes on where it stopped when the same command is given again.
    ///
    /// SOURCE and STORE may be in object storage. Objects are put before what refers to them, the manifest
    /// last; a finished store is not written over without --overwrite.
    ///
    /// Exit codes: 0 all samples are in the store, 3 some were left out, 1 all failed or the run could
    /// not go on, 2 the command line is wrong.
    Convert {
        /// What to convert and how.
        #[command(flatten)]
        args: ConvertArgs,
        /// How to reach source and store.
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Write a small store of real physics, to try things on.
    Demo {
        /// Where to.
        #[command(flatten)]
        args: DemoArgs,
        /// How to reach the store.
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Mean, deviation, extremes and log-scale moments of every field.
    Stats(StatsArgs),
    /// Describe a store, or one file of it down to the bytes that a read fetches.
    Inspect(InspectArgs),
    /// List a directory of a store as a mount would show it.
    Ls(LsArgs),
    /// Write a file of a store to stdout as a mount would show it.
    Cat(CatArgs),
    /// Read everything and hold it against all that is recorded: exit 0 when clean, 4 with findings.
    Verify(VerifyArgs),
    /// Check a configuration file, or show what a mount would work with.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write shell completions to stdout.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the man pages of all commands.
    Man {
        /// Where to: a directory that exists.
        directory: PathBuf,
    },
}

/// Options of `mount`.
#[derive(Debug, Args)]
pub struct MountArgs {
    /// The store: a path or a URL (s3://, gs://, az://, abfs://, oci://, http(s)://, file://).
    pub store: Option<String>,

    /// Where to mount it: a directory that exists.
    pub mountpoint: Option<PathBuf>,

    /// Take what is not said here from this TOML file; `samplefs config check` holds it against what there is.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How to show the store.
    #[command(flatten)]
    pub view: ViewArgs,

    /// Go to the background once the mount answers.
    #[arg(long)]
    pub daemon: bool,

    /// Write the log to this file; without it a daemon's log is lost.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// What a line of the log looks like.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Let other users read the mount.
    #[arg(long)]
    pub allow_other: bool,

    /// Owner of all files, as a number. [default: who mounts]
    #[arg(long, value_name = "N")]
    pub uid: Option<u32>,

    /// Group of all files, as a number. [default: that of who mounts]
    #[arg(long, value_name = "N")]
    pub gid: Option<u32>,

    /// Memory for all that is held of the store, decoded, encoded and under way, such as 512M or 2G.
    /// [default: an eighth of what is available, 128M to 2G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory_target: Option<usize>,

    /// Read before anyone asks: auto for remote stores as long as readers go from field to field of a
    /// sample, off, or always so many bytes of each field.
    #[arg(long, value_name = "auto|off|SIZE", default_value = "auto", value_parser = prefetch)]
    pub prefetch: Prefetch,

    /// Keep what is fetched from a remote store in this directory, for later mounts too.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// The most that --cache holds, such as 100G.
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = size)]
    pub max_cache_size: usize,

    /// Threads that answer requests. [default: one a CPU, at least 2; 32 for remote stores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// For how long those who are reading may go on when SIGTERM or SIGINT ends the mount.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub grace: u32,

    /// Tell nothing by extended attributes: `ls -l` of large directories is then several times as fast.
    #[arg(long)]
    pub no_xattrs: bool,

    /// Serve metrics to Prometheus at this address; with a port alone, to this machine only.
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = address)]
    pub metrics_addr: Option<SocketAddr>,

    /// Set on the background process itself: say on stdout when the mount answers.
    #[arg(long, hide = true)]
    pub detached: bool,

    /// How to reach the store.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// How a store is shown.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// Where file names come from: auto, canonical, shapenet-car, caeml, drivaernet, emmi-wing, or a
    /// JSON file of FileMap attribute → file name.
    ///
    /// auto takes what the manifest records, else the known FileMap of its dataset if it names every
    /// stored field, else canonical names (volume_velocity.pt).
    #[arg(long, value_name = "NAME|FILE", default_value = "auto")]
    pub filemap: String,

    /// The format to show fields in: .pt is float32, .npy keeps the stored type.
    #[arg(long, value_enum, default_value_t = FormatArg::Pt)]
    pub format: FormatArg,
}

/// Formats as they are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// torch's
    Pt,
    /// numpy's
    Npy,
    /// each field twice
    Both,
}

/// Options of `unmount`.
#[derive(Debug, Args)]
pub struct UnmountArgs {
    /// Where the store is mounted.
    pub mountpoint: PathBuf,
}

/// Options of `stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The store: a path or a URL (s3://, gs://, az://, abfs://, oci://, http(s)://, file://).
    #[arg(required_unless_present = "merge")]
    pub store: Option<String>,

    /// Only these fields, by canonical name (volume_pressure), separated by commas.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub fields: Vec<String>,

    /// All fields but these.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub exclude_fields: Vec<String>,

    /// Only the samples whose ids stand in this file, one a line: an absolute path, a URL, or
    /// a name beside the store's manifest.
    #[arg(long, value_name = "FILE")]
    pub split_file: Option<String>,

    /// At most so many samples: the first of the split file, or of the store.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,

    /// Threads that read and decode; the result does not depend on it. [default: one a CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,

    /// Take part I of N, counted from 0: every N-th sample. JSON output is then a partial for --merge.
    #[arg(long, value_name = "I/N", conflicts_with_all = ["output_yaml", "merge"])]
    pub shard: Option<String>,

    /// Merge the partials of all shards of a run into what one run gives.
    #[arg(long, value_name = "PART", num_args = 1.., conflicts_with_all = [
        "store", "fields", "exclude_fields", "split_file", "limit", "workers",
    ])]
    pub merge: Vec<PathBuf>,

    /// Write the statistics to this file, as the reference's tool does.
    #[arg(long, value_name = "FILE")]
    pub output_json: Option<PathBuf>,

    /// Write them to this file as a stats.yaml.
    #[arg(long, value_name = "FILE")]
    pub output_yaml: Option<PathBuf>,

    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,

    /// How to reach the store.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The store: a path or a URL (s3://, gs://, az://, abfs://, oci://, http(s)://, file://).
    pub store: String,

    /// A file or directory of it, as a mount would show it, views too.
    pub path: Option<String>,

    /// The bytes A to B of that file, B not included: what reading them fetches.
    #[arg(long, value_name = "A..B", requires = "path", value_parser = range)]
    pub range: Option<Range<u64>>,

    /// How to show the store.
    #[command(flatten)]
    pub view: ViewArgs,

    /// Print JSON instead of an outline.
    #[arg(long)]
    pub json: bool,

    /// How to reach the store.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// Options of `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// The store: a path or a URL (s3://, gs://, az://, abfs://, oci://, http(s)://, file://).
    pub store: String,

    /// A directory or file of it, views too. [default: the root]
    #[arg(default_value = "", hide_default_value = true)]
    pub path: String,

    /// Sizes too, and d before directories.
    #[arg(short, long)]
    pub long: bool,

    /// How to show the store.
    #[command(flatten)]
    pub view: ViewArgs,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// How to reach the store.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// Options of `cat`.
#[derive(Debug, Args)]
pub struct CatArgs {
    /// The store: a path or a URL (s3://, gs://, az://, abfs://, oci://, http(s)://, file://).
    pub store: String,

    /// A file of it, views too.
    pub path: String,

    /// How to show the store.
    #[command(flatten)]
    pub view: ViewArgs,

    /// How to reach the store.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The store: a path or a URL (s3://, gs://, az://, abfs://, oci://, http(s)://, file://).
    pub store: String,

    /// The tree of .pt or .npy files, a path or a URL, that the store was converted from: every stored row is held
    /// against its source row.
    #[arg(long, value_name = "PT_TREE")]
    pub against: Option<String>,

    /// Only these samples, by id, separated by commas.
    #[arg(long, value_name = "ID,ID", value_delimiter = ',')]
    pub samples: Vec<String>,

    /// Threads that read and decode. [default: one a CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,

    /// Print JSON instead of lines.
    #[arg(long)]
    pub json: bool,

    /// How to reach the store.
    #[command(flatten)]
    pub access: AccessArgs,
}

fn range(typed: &str) -> Result<Range<u64>, String> {
    let ends = typed.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    ends.filter(|range| range.start <= range.end)
        .ok_or_else(|| format!("{typed:?} is no range of bytes, such as 0..4096"))
}

fn prefetch(typed: &str) -> Result<Prefetch, String> {
    match typed {
        "auto" => Ok(Prefetch::Auto),
        "off" => Ok(Prefetch::Off),
        bytes => size(bytes).map(|bytes| Prefetch::Always(bytes as u64)),
    }
}

/// An address and port, or a port of the loopback.
fn address(typed: &str) -> Result<SocketAddr, String> {
    let port = typed.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| typed.parse()).map_err(|_| format!("{typed:?} is neither a port nor ADDRESS:PORT"))
}

fn positive(typed: &str) -> Result<usize, String> {
    typed.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("{typed:?} is no number from 1 on"))
}

/// A number of bytes as people write it: `512M`, `1.5GiB`, `4096`. Units are powers of 1024.
///
/// # Errors
/// What is wrong with it.
pub fn size(typed: &str) -> Result<usize, String> {
    let digits = typed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = typed[digits.len()..].to_ascii_uppercase();
    let shift = match unit.strip_suffix("IB").or(unit.strip_suffix('B')).unwrap_or(&unit) {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(format!("unknown unit in {typed:?}; known: K, M, G, T")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("{typed:?} is no number of bytes, such as 512M"))?;
    let bytes = number * (1u64 << shift) as f64;
    // Half the address space is more than any machine has, and safely converts.
    if (0.0..(1u64 << 62) as f64).contains(&bytes) {
        Ok(bytes as usize)
    } else {
        Err(format!("{typed:?} is out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (typed, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("1k", 1024),
            ("512M", 512 << 20),
            ("1.5GiB", 3 << 29),
            ("2TB", 2 << 40),
        ] {
            assert_eq!(size(typed), Ok(bytes), "{typed}");
        }
        for typed in ["", "M", "-1", "1X", "1e400", "NaN", "inf", "9999999T", "1 M"] {
            assert!(size(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_port_alone_is_one_of_the_loopback() {
        assert_eq!(address("9187"), Ok(SocketAddr::from(([127, 0, 0, 1], 9187))));
        assert_eq!(address("0.0.0.0:1"), Ok(SocketAddr::from(([0, 0, 0, 0], 1))));
        assert_eq!(address("[::1]:1").unwrap().to_string(), "[::1]:1");
        for typed in ["", "65536", "localhost:1", "1.2.3.4", ":9187"] {
            assert!(address(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}

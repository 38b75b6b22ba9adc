//! The `mount` and `unmount` commands.

use std::io::{Read, Write, stdout};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::cli::{MountArgs, UnmountArgs};
use crate::config::{self, Shares};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{self, Filesystem};
use crate::fuse::{self, Ended, mounts};
use crate::output;
use crate::privileges;
use crate::service;
use crate::store::access::Access;
use crate::store::counted::Counted;
use crate::store::disk_cache::DiskCache;
use crate::store::{self, Objects};
use crate::systemd;

/// What a background process says on its stdout when the mount answers.
const READY: &[u8] = b"ready\n";

/// Mounts a store and serves it until it is unmounted. The exit code: that of the background process
/// when there is one that did not mount.
///
/// # Errors
/// Whatever keeps the mount from answering; afterwards only a mount that breaks down.
pub fn mount(args: &MountArgs) -> Result<u8> {
    if args.detached {
        // Out of the terminal's session: closing it must not end the mount.
        rustix::process::setsid().map_err(|e| Error::io("leave the session", &e.into()))?;
    } else if args.daemon {
        return in_background();
    }
    privileges::give_up()?;
    let shares = Shares::of(args.memory_target);
    let view = fs::Options { prefetch: args.prefetch, ..config::view_of_store(&args.view, shares.cache)? };
    let access = Access { ahead_budget: shares.ahead, ..config::access(&args.access) };
    let counted = Arc::new(Counted::new(store::open(config::store(args)?, &access)?));
    let objects = match &args.cache {
        // A local store is its own cache.
        Some(directory) if counted.is_far() => {
            let inner = Arc::clone(&counted) as Arc<dyn Objects>;
            Arc::new(DiskCache::open(inner, directory, args.max_cache_size as u64)?)
        }
        _ => Arc::clone(&counted) as Arc<dyn Objects>,
    };
    let location = counted.location();
    let options = config::mount_options(args, location.clone(), counted.is_far())?;
    let left = service::left_behind();
    if left.is_none() {
        clear(&options.target)?;
    }
    let fs = Arc::new(Filesystem::open(objects, &view)?);
    let left = left.map(|left| service::take_over(left, &fs, &options)).transpose()?.flatten();
    let mounted = fuse::mount(Arc::clone(&fs), &options, left.as_ref().map(|left| &left.device))?;
    let kept = left.is_some() || service::keep(&fs, &options, &mounted)?;
    let catalog = fs.catalog();
    let shown = format!("{} samples of {} fields", catalog.ids.len(), catalog.fields.len());
    let verb = if left.is_some() { "goes on" } else { "is mounted" };
    output::say(format_args!("samplefs: {location} {verb} at {} ({shown})", options.target.display()));
    if args.detached {
        detach()?;
    }
    systemd::ready(&format!("{shown} at {}", options.target.display()));
    service::watch(&mounted)?;
    let ended = mounted.wait(kept);
    summarise(&fs, &mounted, &counted, matches!(ended, Ok(Ended::LeftStanding)));
    ended.map(|_| 0)
}

/// Takes away what a killed process left at a mount point, and sees that nothing else is there.
fn clear(target: &Path) -> Result<()> {
    if mounts::clear_dead(target)? {
        tracing::info!("cleared a dead mount at {}", target.display());
    }
    let Some(mount) = mounts::at(target)?.filter(mounts::Mount::is_fuse) else { return Ok(()) };
    let target = target.display();
    let message = format!("{} is mounted at {target} already", mount.source);
    Err(Error::new(ErrorKind::Unavailable, message).hint(format!("samplefs unmount {target}")))
}

/// Takes a mount away and waits until it is gone from the table.
///
/// # Errors
/// No FUSE mount there, no right to unmount it.
pub fn unmount(args: &UnmountArgs) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let target = mounts::resolve(&args.mountpoint)?;
    mounts::unmount(&target)?;
    let deadline = Instant::now() + PATIENCE;
    while mounts::at(&target)?.is_some_and(|mount| mount.is_fuse()) {
        if Instant::now() > deadline {
            return Err(Error::new(ErrorKind::Unavailable, format!("{} is still mounted", target.display())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Starts this same command as a background process and returns when its mount answers. What goes
/// wrong before, the process says itself on the stderr that it shares.
fn in_background() -> Result<u8> {
    let failed = |e: &std::io::Error| {
        Error::new(ErrorKind::System, format!("cannot start the background process: {e}"))
    };
    let program = std::env::current_exe().map_err(|e| failed(&e))?;
    // The same command, which the environment tells its part.
    let mut typed = std::env::args_os();
    let mut child = Command::new(program)
        .arg0(typed.next().unwrap_or_else(|| "samplefs".into()))
        .args(typed)
        .env("SAMPLEFS_DETACHED", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&e))?;
    let mut said = Vec::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_end(&mut said).map_err(|e| failed(&e))?;
    }
    if said == READY {
        return Ok(0);
    }
    let status = child.wait().map_err(|e| failed(&e))?;
    match status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code > 0) {
        Some(code) => Ok(code),
        None => {
            Err(Error::new(ErrorKind::Unavailable, format!("the background process did not mount: {status}")))
        }
    }
}

/// Tells the process that waits that the mount answers, and lets go of all that it gave us.
fn detach() -> Result<()> {
    let failed = |e: std::io::Error| Error::io("go to the background", &e);
    std::env::set_current_dir("/").map_err(failed)?;
    stdout().write_all(READY).and_then(|()| stdout().flush()).map_err(failed)?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map_err(failed)?;
    rustix::stdio::dup2_stdout(&null).map_err(|e| failed(e.into()))?;
    rustix::stdio::dup2_stderr(&null).map_err(|e| failed(e.into()))
}

/// One line on what was done: read amplification is the number that a chunked store lives by.
fn summarise(fs: &Filesystem, mounted: &fuse::Mounted, counted: &Counted, stands: bool) {
    let counters = &fs.reader().counters;
    let served = counters.served.load(Ordering::Relaxed);
    let fetched = counted.bytes();
    let amplification = if served == 0 { 0.0 } else { fetched as f64 / served as f64 };
    tracing::info!(
        requests = mounted.requests().total.load(Ordering::Relaxed),
        store_requests = counted.requests(),
        chunks_decoded = counters.loaded.load(Ordering::Relaxed),
        chunk_hits = counters.hits.load(Ordering::Relaxed),
        bytes_fetched = fetched,
        bytes_served = served,
        amplification = format_args!("{amplification:.2}"),
        "{}",
        if stands { "the mount is left to the next process" } else { "unmounted" }
    );
}

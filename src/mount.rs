//! The `mount` and `unmount` commands.

use std::io::{Read, Write, stdout};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::cli::{MountArgs, UnmountArgs};
use crate::config::secrets::masked;
use crate::config::{self, Shares};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{self, Filesystem};
use crate::fuse::{self, Ended, mounts};
use crate::metrics::Metrics;
use crate::output;
use crate::privileges;
use crate::service;
use crate::status::{self, Watched};
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
    let inner = store::open(config::store(args)?, &access)?;
    let counted: Arc<dyn Objects> = Arc::new(Counted::watched_by(inner, Arc::clone(&view.metrics)));
    let objects: Arc<dyn Objects> = match &args.cache {
        // A local store is its own cache.
        Some(directory) if counted.is_far() => {
            Arc::new(DiskCache::open(counted, directory, args.max_cache_size as u64)?)
        }
        _ => counted,
    };
    let location = objects.location();
    let options = config::mount_options(args, location.clone(), objects.is_far())?;
    let left = service::left_behind();
    if left.is_none() {
        clear(&options.target)?;
    }
    let metrics = args.metrics_addr.map(status::listen).transpose()?;
    let fs = Arc::new(Filesystem::open(objects, &view)?);
    let left = left.map(|left| service::take_over(left, &fs, &options)).transpose()?.flatten();
    let mounted = fuse::mount(Arc::clone(&fs), &options, left.as_ref().map(|left| &left.device))?;
    let kept = left.is_some() || service::keep(&fs, &options, &mounted)?;
    let watched = Watched {
        fs: Arc::clone(&fs),
        mountpoint: options.target.clone(),
        store: masked(&location),
        cache_limit: shares.cache,
        since: SystemTime::now(),
        metrics,
    };
    if let Some(url) = watched.metrics_at() {
        tracing::info!("metrics are at {url}");
    }
    let answering = watched.answer()?;
    let shown = fs.snapshot().to_string();
    let verb = if left.is_some() { "goes on" } else { "is mounted" };
    output::say(format_args!("samplefs: {location} {verb} at {} ({shown})", options.target.display()));
    if args.detached {
        detach()?;
    }
    systemd::ready(&format!("{shown} at {}", options.target.display()));
    service::watch(&mounted)?;
    let ended = mounted.wait(kept);
    drop(answering);
    summarise(fs.metrics(), matches!(ended, Ok(Ended::LeftStanding)));
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

/// One line on what was done, after what the log has not been told yet.
fn summarise(metrics: &Metrics, stands: bool) {
    metrics.failures.tell_all_held();
    let Metrics { requests, reading, store, failures } = metrics;
    let failed: u64 = failures.counts().values().sum();
    tracing::info!(
        requests = requests.answered(),
        store_requests = store.answered(),
        chunks_decoded = reading.loaded.get(),
        chunk_hits = reading.hits.get(),
        bytes_fetched = store.fetched.get(),
        bytes_served = reading.served.get(),
        amplification = format_args!("{:.2}", metrics.amplification().unwrap_or(0.0)),
        failed,
        "{}",
        if stands { "the mount is left to the next process" } else { "unmounted" }
    );
}

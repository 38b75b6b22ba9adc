//! Logs: one line an event, on stderr or in a file.

use std::fs::OpenOptions;
use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};

/// Starts logging, to a file if one is given. RUST_LOG decides what is logged, else `verbose`.
///
/// # Errors
/// A file that cannot be written.
pub fn init(verbose: u8, file: Option<&Path>) -> Result<()> {
    let level = match verbose {
        0 => "samplefs=info",
        1 => "samplefs=debug",
        _ => "samplefs=trace,fuser=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match file {
        None => log.with_writer(stderr).with_ansi(stderr().is_terminal()).init(),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|e| Error::io(format_args!("open the log {}", path.display()), &e))?;
            log.with_writer(Mutex::new(file)).with_ansi(false).init();
        }
    }
    // A panic costs one request and goes on; its message belongs where the other messages are.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}

//! Logs: one line an event, on stderr or in a file, as text, as JSON, or with journald's priorities.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::sync::Mutex;

use clap::ValueEnum;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::error::{Error, Result};

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// for people; with priorities where systemd's journal reads it
    #[default]
    Text,
    /// an object a line
    Json,
}

/// Starts logging, to a file if one is given. RUST_LOG decides what is logged, else `verbose`.
///
/// # Errors
/// A file that cannot be written.
pub fn init(verbose: u8, format: LogFormat, file: Option<&Path>) -> Result<()> {
    let level = match verbose {
        0 => "samplefs=info",
        1 => "samplefs=debug",
        _ => "samplefs=trace,fuser=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let writer = match file {
        None => BoxMakeWriter::new(stderr),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|e| Error::io(format_args!("open the log {}", path.display()), &e))?;
            BoxMakeWriter::new(Mutex::new(file))
        }
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Json => log.json().flatten_event(true).with_target(false).init(),
        LogFormat::Text if file.is_none() && stderr_is_the_journal() => {
            // The journal has a time and a level of its own.
            let line = Format::default().without_time().with_level(false).with_target(false);
            log.with_ansi(false).event_format(Prioritised(line)).init();
        }
        LogFormat::Text => {
            log.with_ansi(file.is_none() && stderr().is_terminal()).with_target(false).init();
        }
    }
    // A panic costs one request and goes on; its message belongs where the other messages are.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}

/// Whether stderr is the stream that systemd connected to its journal: JOURNAL_STREAM holds its device and
/// inode (systemd.exec(5)).
fn stderr_is_the_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let connected = stream.as_deref().and_then(|stream| stream.split_once(':'));
    let found = rustix::fs::fstat(stderr()).ok();
    connected.zip(found).is_some_and(|((device, inode), found)| {
        device.parse() == Ok(found.st_dev) && inode.parse() == Ok(found.st_ino)
    })
}

/// Lines behind the priority that sd-daemon(3) reads.
struct Prioritised<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

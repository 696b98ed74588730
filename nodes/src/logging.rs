//! The log of this process, and what of it can be changed while it runs.

use chrono::Utc;
use parking_lot::Mutex;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::reload::{Handle, Layer as Reload};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

/// What is said if `RUST_LOG` says nothing.
const USUAL: &str = "info,openraft=warn,raft_log=warn,chunked_wal=warn,ort=warn";
/// What verbose levels are about.
const OWN: [&str; 7] = ["hearth", "nodes", "raft", "models", "features", "flight", "reports"];
/// A file that has grown to this is kept once more under its name with `.before`.
const FILE_BYTES_MAX: u64 = 64 << 20;
const FILE_NAME_MAX: usize = 64;

/// What is said, how, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Switches {
    pub(crate) info: bool,
    pub(crate) warning: bool,
    pub(crate) error: bool,
    /// 1 for debug, 2 and more for trace, of this program's own crates.
    pub(crate) verbose: u32,
    pub(crate) format: Format,
    /// In `logs` of the node's folder; empty for standard error.
    pub(crate) file: String,
}

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `0131 08:00:00.123456`, as Triton has it.
    Default,
    Iso8601,
}

/// Why a change was not made.
#[derive(Debug)]
pub(crate) enum Change {
    Refused(String),
    /// Somebody else set this process's log up.
    Unchangeable,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            info: true,
            warning: true,
            error: true,
            verbose: 0,
            format: Format::Iso8601,
            file: String::new(),
        }
    }
}

#[derive(Debug)]
struct Log {
    usual: String,
    filter: Handle<Levels, Registry>,
    switches: Mutex<Switches>,
}

static LOG: OnceLock<Log> = OnceLock::new();
static SHORT_TIME: AtomicBool = AtomicBool::new(false);
static FILE: Mutex<Option<LogFile>> = Mutex::new(None);

/// Sets the log of this process up: on standard error, by `RUST_LOG`.
#[expect(
    clippy::disallowed_methods,
    reason = "the variable that every program with this log reads"
)]
pub(crate) fn start() {
    let usual = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| EnvFilter::try_new(text).is_ok())
        .unwrap_or_else(|| USUAL.to_owned());
    let (filter, handle) = Reload::new(Levels::new(&usual, &Switches::default()));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_timer(Clock)
        .with_writer(|| Sink)
        .with_filter(filter);
    if tracing_subscriber::registry().with(lines).try_init().is_ok() {
        let log = Log { usual, filter: handle, switches: Mutex::default() };
        // Nobody else sets it: a second subscriber is refused above.
        drop(LOG.set(log));
    }
}

/// Lets `set` change the switches; all of its changes are made or, if it fails, none.
pub(crate) fn change(
    folder: &Path,
    set: impl FnOnce(&mut Switches) -> Result<(), String>,
) -> Result<Switches, Change> {
    let log = LOG.get().ok_or(Change::Unchangeable)?;
    let mut now = log.switches.lock();
    let mut wanted = now.clone();
    set(&mut wanted).map_err(Change::Refused)?;
    if wanted == *now {
        return Ok(wanted);
    }
    if wanted.file != now.file {
        let file = LogFile::named(folder, &wanted.file).map_err(Change::Refused)?;
        *FILE.lock() = file;
    }
    SHORT_TIME.store(wanted.format == Format::Default, Ordering::Relaxed);
    let levels = Levels::new(&log.usual, &wanted);
    log.filter.modify(|filter| *filter = levels).map_err(|_| Change::Unchangeable)?;
    now.clone_from(&wanted);
    Ok(wanted)
}

/// The usual filter, raised for this program's own crates, with some levels off.
#[derive(Debug)]
struct Levels {
    usual: EnvFilter,
    info: bool,
    warning: bool,
    error: bool,
}

impl Levels {
    fn new(usual: &str, switches: &Switches) -> Self {
        let level = match switches.verbose {
            0 => "",
            1 => "debug",
            _ => "trace",
        };
        let raised = OWN.iter().filter(|_| !level.is_empty());
        let text = raised.fold(usual.to_owned(), |text, own| text + "," + own + "=" + level);
        let usual = EnvFilter::builder().parse_lossy(text);
        let Switches { info, warning, error, .. } = *switches;
        Self { usual, info, warning, error }
    }

    fn is_on(&self, level: Level) -> bool {
        match level {
            Level::ERROR => self.error,
            Level::WARN => self.warning,
            Level::INFO => self.info,
            _ => true,
        }
    }
}

impl<S: Subscriber> Filter<S> for Levels {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        self.is_on(*metadata.level()) && Filter::enabled(&self.usual, metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_on(*metadata.level()) {
            Filter::<S>::callsite_enabled(&self.usual, metadata)
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.usual)
    }
}

struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let us = crate::clock::now_us();
        match chrono::DateTime::<Utc>::from_timestamp_micros(us) {
            Some(time) if SHORT_TIME.load(Ordering::Relaxed) => {
                write!(writer, "{}", time.format("%m%d %H:%M:%S%.6f"))
            }
            Some(time) => write!(writer, "{}", time.format("%Y-%m-%dT%H:%M:%S%.6fZ")),
            None => Ok(()),
        }
    }
}

/// A line goes to the file, if there is one that can be written, else to standard error.
struct Sink;

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut file = FILE.lock();
        if let Some(open) = file.as_mut()
            && open.write(line).is_ok()
        {
            return Ok(line.len());
        }
        drop(file);
        io::stderr().lock().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl LogFile {
    fn named(folder: &Path, name: &str) -> Result<Option<Self>, String> {
        if name.is_empty() {
            return Ok(None);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if name.len() > FILE_NAME_MAX || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(format!(
                "log setting log_file: {name:?} must be a plain file name: it lies in logs/ of the node's folder"
            ));
        }
        let folder = folder.join("logs");
        let open = || {
            std::fs::create_dir_all(&folder)?;
            Self::open(folder.join(name))
        };
        open().map(Some).map_err(|error: io::Error| format!("log setting log_file: {error}"))
    }

    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes >= FILE_BYTES_MAX {
            let mut before = self.path.clone().into_os_string();
            before.push(".before");
            std::fs::rename(&self.path, before)?;
            *self = Self::open(self.path.clone())?;
        }
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_on_and_off_one_by_one() {
        let on = |switches: &Switches, level| Levels::new(USUAL, switches).is_on(level);
        let quiet = Switches { warning: false, ..Switches::default() };
        assert!(on(&quiet, Level::INFO) && on(&quiet, Level::ERROR) && !on(&quiet, Level::WARN));
        let hint = |verbose| {
            let levels = Levels::new(USUAL, &Switches { verbose, ..Switches::default() });
            Filter::<Registry>::max_level_hint(&levels)
        };
        assert_eq!(hint(0), Some(LevelFilter::INFO));
        assert_eq!(hint(1), Some(LevelFilter::DEBUG));
        assert_eq!(hint(9), Some(LevelFilter::TRACE));
    }

    #[test]
    fn a_file_lies_in_the_folder_and_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["/tmp/log", "../log", "a/b", ".log", "a b"] {
            assert!(LogFile::named(folder.path(), name).is_err(), "{name}");
        }
        assert!(LogFile::named(folder.path(), "").unwrap().is_none());
        let mut file = LogFile::named(folder.path(), "node.log").unwrap().unwrap();
        file.write(b"one\n").unwrap();
        file.bytes = FILE_BYTES_MAX;
        file.write(b"two\n").unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join("logs").join(name));
        assert_eq!(read("node.log").unwrap(), "two\n");
        assert_eq!(read("node.log.before").unwrap(), "one\n");
    }
}

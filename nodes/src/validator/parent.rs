//! Starts the process, feeds it, waits for its word, and says in one line what became of it.

use super::{Said, ValidatorLimits};
use crate::native::NO_TELEMETRY;
use models::{Outcome, Verdict};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// Validations at once on one node.
const AT_ONCE: usize = 2;
/// Time on the clock by processor time: the machine may be busy with better things.
const CLOCK_BY_CPU: u64 = 4;
/// What is read of the process' words.
const WORDS_MAX: u64 = 64 * 1024;
/// Signals by their numbers on Linux.
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// Where the bytes of the package are.
#[derive(Debug)]
pub(crate) enum Source {
    Bytes(bytes::Bytes),
    File(PathBuf),
}

#[derive(Debug)]
pub(crate) struct Validator {
    program: PathBuf,
    library: PathBuf,
    limits: ValidatorLimits,
    turns: Semaphore,
}

impl Validator {
    pub(crate) fn new(library: &Path, limits: ValidatorLimits) -> Self {
        // By this name it is the program that runs, also after an update has replaced its file.
        let itself = PathBuf::from("/proc/self/exe");
        let program =
            if itself.exists() { itself } else { std::env::current_exe().unwrap_or_default() };
        Self { program, library: library.to_owned(), limits, turns: Semaphore::new(AT_ONCE) }
    }

    /// Program and library; what another pair has found is not relied upon.
    pub(crate) fn checked_by(&self) -> String {
        let library = self.library.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
        format!("hearth {} {library}", env!("CARGO_PKG_VERSION"))
    }

    pub(crate) async fn validate(&self, source: Source) -> Verdict {
        let said = match self.turns.acquire().await {
            Ok(_turn) => {
                let begun = Instant::now();
                (self.ask(source).await, begun.elapsed())
            }
            Err(_) => (Said::Unable("the node is stopping".to_owned()), Duration::ZERO),
        };
        let (said, took) = said;
        let mut verdict = Verdict {
            outcome: Outcome::Ready,
            said: String::new(),
            checked_by: self.checked_by(),
            golden_rows: 0,
            took_ms: took.as_millis() as u32,
            row_ns: 0,
            at_us: 0,
        };
        match said {
            Said::Valid { golden_rows, row_ns } => {
                verdict.golden_rows = golden_rows;
                verdict.row_ns = row_ns;
            }
            Said::Refused(said) => {
                verdict.outcome = Outcome::Refused;
                verdict.said = said;
            }
            Said::Unable(said) => {
                verdict.outcome = Outcome::Unable;
                verdict.said = said;
            }
        }
        verdict
    }

    async fn ask(&self, source: Source) -> Said {
        let unable = |error: std::io::Error| {
            Said::Unable(format!("the validator cannot be started: {error}"))
        };
        let (stdin, bytes) = match source {
            Source::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Source::File(path) => match File::open(path) {
                Ok(file) => (Stdio::from(file), None),
                Err(error) => return unable(error),
            },
        };
        let mut child = match self.command().stdin(stdin).spawn() {
            Ok(child) => child,
            Err(error) => return unable(error),
        };
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async move {
            if let (Some(mut stdin), Some(bytes)) = (stdin, bytes) {
                // A process that has ended reads no more; its end says why.
                let _ = stdin.write_all(&bytes).await;
            }
        };
        let patience = Duration::from_secs(self.limits.seconds * CLOCK_BY_CPU);
        let talk = async { tokio::join!(feed, words(stdout), words(stderr), child.wait()) };
        let ended = tokio::time::timeout(patience, talk).await;
        match ended {
            Ok(((), said, complaint, Ok(status))) => self.judge(&said, &complaint, status),
            Ok((.., Err(error))) => Said::Unable(format!("the validator was lost: {error}")),
            Err(_) => {
                end(&mut child).await;
                Said::Refused(format!(
                    "its validation did not end within {} s and was stopped",
                    patience.as_secs()
                ))
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("validate-model").arg("--library").arg(&self.library);
        command.args(["--memory-mib", &self.limits.memory_mib.to_string()]);
        command.args(["--seconds", &self.limits.seconds.to_string()]);
        // Nothing of the node's surroundings but where the libraries are.
        command.env_clear();
        for name in ["LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"] {
            #[expect(clippy::disallowed_methods, reason = "handed on to a process of this program")]
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // ONNX Runtime keeps a database of telemetry below the user's folder unless it is told not to.
        command.env(NO_TELEMETRY, "1").env("HOME", "/dev/null");
        command.current_dir("/").stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// What a process that has ended has said, or what its end says.
    fn judge(&self, said: &str, complaint: &str, status: ExitStatus) -> Said {
        let ValidatorLimits { memory_mib, seconds } = self.limits;
        if models::asks_for_memory(said) || models::asks_for_memory(complaint) {
            return Said::Refused(format!(
                "its validation asked for more memory than the {memory_mib} MiB it may have"
            ));
        }
        if let Some(said) =
            said.lines().next_back().and_then(|line| serde_json::from_str(line).ok())
            && status.success()
        {
            return said;
        }
        Said::Refused(match status.signal() {
            Some(SIGXCPU) => format!(
                "its validation took more than {seconds} s of processor time and was stopped"
            ),
            Some(SIGKILL) => {
                "its validation was killed by the system, most likely for want of memory".to_owned()
            }
            Some(signal) => {
                format!("its validation was ended by signal {signal}: the file broke it")
            }
            None => {
                let last = complaint.lines().next_back().unwrap_or("without a word");
                format!("its validation ended with {}: {last}", status.code().unwrap_or(-1))
            }
        })
    }
}

/// The first bytes of a stream as text; the rest is read and forgotten, so that nobody waits for it.
async fn words(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut bytes = Vec::new();
    let _ = (&mut stream).take(WORDS_MAX).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn end(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, "a validator could not be ended");
    }
}

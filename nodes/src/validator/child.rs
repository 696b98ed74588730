//! The process that a package is validated in.

use super::Said;
use crate::exit;
use models::{Error, PACKAGE_BYTES_MAX, Package, Runtime};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

/// How much nicer to the machine than the node that started it.
const NICER: i32 = 10;
/// The library and what is read on the way.
const FILES_MAX: u64 = 64;

#[derive(Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    /// ONNX Runtime
    #[arg(long)]
    library: PathBuf,
    /// Address space, in MiB
    #[arg(long)]
    memory_mib: u64,
    /// Processor time
    #[arg(long)]
    seconds: u64,
}

/// Reads a package from standard input and says what it is; the limits hold before the first byte.
pub(crate) fn run(args: &ValidateArgs) -> i32 {
    let said = match limit(args) {
        Ok(()) => examine(args),
        Err(error) => Said::Unable(format!("the validator cannot limit itself: {error}")),
    };
    let line = serde_json::to_string(&said).unwrap_or_default();
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => exit::DONE,
        Err(_) => exit::UNAVAILABLE,
    }
}

fn limit(args: &ValidateArgs) -> rustix::io::Result<()> {
    let limits = [
        (Resource::As, args.memory_mib << 20),
        (Resource::Cpu, args.seconds),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, FILES_MAX),
    ];
    for (resource, value) in limits {
        // Past the first bound of processor time comes a signal of its own, past the second a kill.
        let most = if resource == Resource::Cpu { value + 1 } else { value };
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(most) })?;
    }
    nice(NICER).map(drop)
}

fn examine(args: &ValidateArgs) -> Said {
    let runtime = match Runtime::load(&args.library) {
        Ok(runtime) => runtime.with_one_session(),
        Err(error) => return Said::Unable(error.to_string()),
    };
    let mut bytes = Vec::new();
    // A package of the largest size has a frame around its files.
    let most = PACKAGE_BYTES_MAX as u64 + (1 << 20);
    if let Err(error) = std::io::stdin().lock().take(most).read_to_end(&mut bytes) {
        return Said::Unable(format!("the package cannot be read: {error}"));
    }
    let package = Package::from_bytes(&bytes);
    drop(bytes);
    match package.and_then(|package| models::validate(&runtime, &package)) {
        Ok(found) => Said::Valid { golden_rows: found.golden_rows as u32, row_ns: found.row_ns },
        Err(error @ (Error::Runtime { .. } | Error::Io { .. })) => Said::Unable(error.to_string()),
        Err(error) => Said::Refused(error.to_string()),
    }
}

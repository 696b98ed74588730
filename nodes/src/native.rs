//! Where the native library of the models is.

use std::path::{Path, PathBuf};

/// ONNX Runtime's file name begins so, with its version behind.
const PREFIX: &str = "libonnxruntime.";

/// ONNX Runtime from 1.31 on counts its sessions for its makers, and stores that below the user's folder,
/// before any call could forbid it: only this variable stops it, and only from the start of the process.
pub(crate) const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Starts this process anew without telemetry, under the same id; returns where that is so already.
pub(crate) fn without_telemetry() {
    use std::os::unix::process::CommandExt as _;
    #[expect(clippy::disallowed_methods, reason = "the library's own variable, read once at start")]
    if std::env::var_os(NO_TELEMETRY).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).env(NO_TELEMETRY, "1").exec();
    eprintln!("hearth: set {NO_TELEMETRY}=1: the process could not be started anew: {error}");
}

/// `ORT_DYLIB_PATH`, else the configured path, else a library beside the program or the project.
pub(crate) fn onnxruntime(configured: Option<&Path>) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the library's own variable, read once at start")]
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return path.into();
    }
    if let Some(path) = configured {
        return path.to_owned();
    }
    let beside = std::env::current_exe().unwrap_or_default();
    let beside = beside.parent().unwrap_or(Path::new("."));
    // An installed program has ../lib; one in target/<profile>/ has the project two folders up.
    let folders =
        [beside.join("../lib"), beside.join("../../.native/lib"), PathBuf::from(".native/lib")];
    folders
        .iter()
        .find_map(|folder| library_in(folder))
        .unwrap_or_else(|| folders[2].join("libonnxruntime.so"))
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.pop()?.canonicalize().ok()
}

use std::fs;

use models::{Error, Runtime};

use super::{library, runtime};

#[track_caller]
fn refused(path: &std::path::Path, fragment: &str) {
    let error = Runtime::load(path).unwrap_err();
    assert!(matches!(error, Error::Runtime { .. }), "{error:?}");
    let line = error.to_string();
    let start = format!("ONNX Runtime at {} cannot be loaded: ", path.display());
    assert!(line.starts_with(&start), "{line}");
    assert!(line.ends_with("; run `make native` or set ORT_DYLIB_PATH"), "{line}");
    assert!(line.contains(fragment) && !line.contains('\n'), "{line}");
}

/// Mapping a truncated library kills the process, so it has to be found out before.
#[test]
fn a_missing_or_damaged_library_gives_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("libonnxruntime.so.1");
    refused(&path, "No such file");
    fs::create_dir(&path).unwrap();
    refused(&path, "it is not a file");
    fs::remove_dir(&path).unwrap();

    let whole = fs::read(library()).unwrap();
    for length in [0, 10, 64, 5000, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let reason = Runtime::load(&path).unwrap_err().to_string();
        assert!(
            reason.contains("cut short") || reason.contains("is no library"),
            "{length}: {reason}"
        );
    }
    fs::write(&path, "this is no library ".repeat(100)).unwrap();
    refused(&path, "not a 64-bit ELF library");
}

#[test]
fn one_runtime_a_process() {
    let first = runtime();
    assert_eq!(runtime().path(), first.path());
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.so");
    fs::copy(library(), &copy).unwrap();
    refused(&copy, "this process already uses");
}

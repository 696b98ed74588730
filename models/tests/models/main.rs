//! Whole models through the public doors: files made by other tools, the zoo, stored packages.
//!
//! ONNX Runtime is taken from ORT_DYLIB_PATH or from where `make native` puts it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at once"
)]

mod exports;
mod linfa;
mod onnx;
mod own;
mod registry;
mod repository;
mod runtime;
mod writer;
mod zoo;

use std::path::{Path, PathBuf};

use models::{OnnxModel, Runtime};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "a test finds its library where the user put it")]
fn library() -> PathBuf {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return path.into();
    }
    let native = folder().join("../.native/lib");
    let found =
        std::fs::read_dir(&native).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_runtime = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime."))
    };
    found.filter(|path| is_runtime(path)).min().unwrap_or_else(|| native.join("libonnxruntime.so"))
}

fn runtime() -> Runtime {
    Runtime::load(library()).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(folder().join("tests/fixtures").join(name)).unwrap()
}

fn load(name: &str) -> OnnxModel {
    OnnxModel::load(&runtime(), &fixture(name)).unwrap()
}

/// A table of numbers under one header line.
fn table(name: &str) -> Vec<Vec<f64>> {
    let text = String::from_utf8(fixture(name)).unwrap();
    text.lines()
        .skip(1)
        .map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect())
        .collect()
}

#[track_caller]
fn assert_near(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*got) - want).abs() <= tolerance, "row {at}: {got} is not {want}");
    }
}

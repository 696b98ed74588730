#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test may stop at once"
    )
)]

mod digest;
mod error;
mod golden;
mod graph;
mod library;
mod linear;
mod manifest;
mod model;
mod onnx;
mod oversight;
mod package;
mod registry;
mod repository;
mod score;
mod tensor;
mod wire;

pub use digest::sha256_hex;
pub use error::Error;
pub use golden::Golden;
pub use linear::{LogisticModel, fit_logistic};
pub use manifest::{Alert, Band, Format, GoldenRule, Input, Manifest, Missing, Output, Reason};
pub use model::{Model, TensorSpec};
pub use onnx::{Layout, OnnxModel, Runtime};
pub use oversight::{Effect, WatchRules};
pub use package::{Digests, PACKAGE_BYTES_MAX, PACKAGE_FILES_MAX, Package};
pub use registry::{Push, Registry, Status, Version};
pub use repository::{Loaded, Repository, Validation, load_package, validate};
pub use tensor::{Data, Datatype, TENSOR_BYTES_MAX, TENSOR_ELEMENTS_MAX, Tensor};

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

mod background;
mod digest;
mod error;
mod evaluator;
mod explain;
mod feed;
mod golden;
mod graph;
mod layout;
mod library;
mod linfa;
mod manifest;
mod model;
mod onnx;
mod package;
mod registry;
mod repository;
mod score;
mod tensor;
mod tree;
mod wire;

pub use background::Background;
pub use digest::sha256_hex;
pub use error::Error;
pub use explain::{Explainer, Explanation, Link, Method, Structure};
pub use golden::Golden;
pub use layout::Layout;
pub use linfa::{
    Family, LinfaModel, Measure, Settings, Table, Target, Trees, fit, fit_logistic, measure,
};
pub use manifest::{Alert, Band, Format, GoldenRule, Input, Manifest, Missing, Output, Reason};
pub use model::{Model, TensorSpec};
pub use onnx::{OnnxModel, Runtime};
pub use package::{Digests, PACKAGE_BYTES_MAX, PACKAGE_FILES_MAX, Package};
pub use registry::{Push, Registry, Status, Version};
pub use repository::{Loaded, Repository, Validation, load_package, validate};
pub use tensor::{Data, Datatype, TENSOR_BYTES_MAX, TENSOR_ELEMENTS_MAX, Tensor};
pub use tree::{Forest, Tree, TreeNode};

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
mod demands;
mod digest;
mod error;
mod evaluator;
mod explain;
mod feed;
mod gates;
mod golden;
mod graph;
mod integers;
mod layout;
mod library;
mod linfa;
mod manifest;
mod model;
mod onnx;
mod operators;
mod oversight;
mod package;
mod registry;
mod repository;
mod routing;
mod score;
mod steps;
mod tensor;
mod tree;
mod validation;
mod version;
mod wire;

pub use background::Background;
pub use demands::{FeatureDemand, Priority, UnknownPriority};
pub use digest::sha256_hex;
pub use error::Error;
pub use explain::{Explainer, Explanation, Link, Method, Structure};
pub use gates::{Compared, Gates, NANO};
pub use golden::Golden;
pub use layout::Layout;
pub use linfa::{
    Family, LinfaModel, Measure, Settings, Table, Target, Trees, fit, fit_logistic, measure,
};
pub use manifest::{Alert, Band, Format, GoldenRule, Input, Manifest, Missing, Output, Reason};
pub use model::{Model, TensorSpec};
pub use onnx::{OnnxModel, Runtime};
pub use oversight::{Effect, WatchRules};
pub use package::{CARD, Digests, PACKAGE_BYTES_MAX, PACKAGE_FILES_MAX, Package};
pub use registry::{Killed, Registry};
pub use repository::{Loaded, Repository, load_package};
pub use routing::{Route, bucket, in_canary, in_shadow};
pub use tensor::{Data, Datatype, TENSOR_BYTES_MAX, TENSOR_ELEMENTS_MAX, Tensor};
pub use tree::{Forest, Tree, TreeNode};
pub use validation::{Validation, asks_for_memory, validate};
pub use version::{By, Change, Outcome, Push, Status, Verdict, Version};

//! Our own evaluator of small ONNX models: trees or a linear model, with what scales and fills their
//! features before and turns their sums into probabilities after.
//!
//! ONNX Runtime's fixed cost of a call is several microseconds; a forest of a hundred trees needs
//! one. A model is evaluated here only if every bit of every output is the one that ONNX Runtime
//! gives, on its golden rows and on ten thousand drawn ones ([`verify`]); else it stays there.

mod chain;
mod evaluate;
mod file;
mod finish;
mod linear;
mod steps;
mod transform;
mod trees;
mod verify;

pub(crate) use evaluate::{Answer, Evaluator};
pub(crate) use verify::{differs, rows_that_try};

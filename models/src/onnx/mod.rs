//! ONNX files through ONNX Runtime; the only folder that names `ort`.
//!
//! `Session::run` needs exclusive access, so a model keeps a few sessions, each behind a lock that
//! is nearly always free. One thread a run, no spinning: a run of a small forest takes microseconds,
//! and the number of threads changes the bits of the sum.

mod file;
mod own;
mod refusal;
mod runtime;
mod scoring;
mod shapes;
mod value;

pub use file::OnnxModel;
pub use runtime::Runtime;

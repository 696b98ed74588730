//! Everything that can go wrong with a model, split where a caller acts differently.

/// One line each, saying what to do; the variant is what a service maps to a status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The native library is missing, damaged or too old: the node is not ready.
    #[error(
        "ONNX Runtime at {path} cannot be loaded: {reason}; run `make native` or set ORT_DYLIB_PATH"
    )]
    Runtime { path: String, reason: String },
    /// The caller's tensors do not fit the model.
    #[error("{0}")]
    Tensor(String),
    /// Past a stated limit.
    #[error("{0}")]
    Limit(String),
    /// The model has no number that could be called its score.
    #[error("{0}")]
    NoScore(String),
    /// The bytes are no ONNX file at all.
    #[error("not an ONNX model: {0}")]
    NotOnnx(String),
    /// The file was understood, but cannot be served as it is.
    #[error("{0}")]
    Model(String),
    /// The model failed on input that had the right shape.
    #[error("the model failed: {0}")]
    Run(String),
    #[error("manifest.toml: {0}")]
    Manifest(String),
    #[error("package: {0}")]
    Package(String),
    /// Stored bytes are not those that were approved.
    #[error("{file} is damaged: {reason}; push the package again")]
    Damaged { file: String, reason: String },
    #[error("{0}")]
    NotFound(String),
    /// A request that no state would allow.
    #[error("{0}")]
    Invalid(String),
    /// A step that the state of the version does not allow.
    #[error("{0}")]
    Illegal(String),
    #[error("{path}: {reason}")]
    Io { path: String, reason: String },
}

impl Error {
    pub(crate) fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), reason: error.to_string() }
    }
}

//! What a manifest says about the names inside a file.

/// All open for a bare file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The input that takes the features.
    pub input: Option<String>,
    /// The output that holds the score.
    pub score: Option<String>,
    /// The class whose probability is the score.
    pub class: Option<String>,
    /// The features of a row, in order; empty where no view is read.
    pub features: Vec<String>,
}

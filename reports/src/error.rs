//! Why a report could not be read, asked or rendered.

/// One line each; every message says what to do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    #[error("no report is called `{asked}`: {hint}")]
    UnknownReport { asked: String, hint: String },
    #[error("report `{report}` has no parameter `{asked}`: {hint}")]
    UnknownParameter { report: String, asked: String, hint: String },
    #[error("report `{report}` needs the parameter `{name}`: pass {name}={example}")]
    MissingParameter { report: String, name: String, example: String },
    #[error(
        "report `{report}`, parameter `{name}`: `{given}` is not {wanted}: pass for example {name}={example}"
    )]
    WrongParameter { report: String, name: String, given: String, wanted: String, example: String },
    #[error("report definition `{report}` is refused: {reason}")]
    Definition { report: String, reason: String },
    #[error("the answer has {got} rows, a report may have {max}: narrow its parameters")]
    TooManyRows { got: usize, max: usize },
    #[error("row {row} of the answer has {got} cells for {want} columns: ask again")]
    Ragged { row: usize, want: usize, got: usize },
    #[error("`{asked}` is no {what}: use one of {choices}")]
    Choice { what: &'static str, asked: String, choices: &'static str },
    #[error("the workbook could not be written: {reason}")]
    Workbook { reason: String },
}

impl Error {
    /// True where the caller named or passed something wrong, false where rendering failed.
    pub fn is_callers(&self) -> bool {
        !matches!(self, Self::Workbook { .. } | Self::Ragged { .. } | Self::Definition { .. })
    }
}

/// What to say after a name that does not exist: the nearest one, or all of them.
pub(crate) fn nearest_hint<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let near = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(asked, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 3)
        .min();
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "it takes none".to_owned(),
        None => format!("it is one of {}", names.join(", ")),
    }
}

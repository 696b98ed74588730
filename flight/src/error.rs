//! What can go wrong between an analyst and the warehouse. Messages are one line and say what to do.

use std::path::PathBuf;

use arrow::error::ArrowError;
use tonic::{Code, Status};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement is wrong; the text is the database's own, in one line.
    #[error("{0}")]
    Query(String),
    /// The request is wrong in some other way.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Unauthenticated(String),
    #[error("{0}")]
    Denied(String),
    /// A stated limit was reached; the limit is in the text.
    #[error("{0}")]
    TooMuch(String),
    /// Something did not happen in time.
    #[error("{0}")]
    Late(String),
    /// Trying again later, or at another node, can succeed.
    #[error("{0}")]
    Unavailable(String),
    #[error("the query was cancelled")]
    Cancelled,
    #[error(
        "{file} is damaged: {reason}; move it away and start again, it is rebuilt from the log"
    )]
    Damaged { file: PathBuf, reason: String },
    #[error("{file} has format {found}, this program knows up to {known}; use a newer program")]
    Newer { file: PathBuf, found: u32, known: u32 },
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// True where the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Late(_) | Self::TooMuch(_))
    }

    /// True where DuckDB has given its file up after a failed write or flush: only opening it anew,
    /// and so replaying its log, helps.
    pub fn needs_restart(&self) -> bool {
        self.to_string().contains("database has been invalidated")
    }

    fn code(&self) -> Code {
        match self {
            Self::Query(_) | Self::Invalid(_) => Code::InvalidArgument,
            Self::NotFound(_) => Code::NotFound,
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::Denied(_) => Code::PermissionDenied,
            Self::TooMuch(_) => Code::ResourceExhausted,
            Self::Late(_) => Code::DeadlineExceeded,
            Self::Unavailable(_) => Code::Unavailable,
            Self::Cancelled => Code::Cancelled,
            Self::Damaged { .. } | Self::Newer { .. } => Code::DataLoss,
            Self::Internal(_) => Code::Internal,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            Code::InvalidArgument | Code::FailedPrecondition => Self::Invalid(text),
            Code::NotFound => Self::NotFound(text),
            Code::Unauthenticated => Self::Unauthenticated(text),
            Code::PermissionDenied => Self::Denied(text),
            Code::ResourceExhausted => Self::TooMuch(text),
            Code::DeadlineExceeded => Self::Late(text),
            Code::Unavailable => Self::Unavailable(text),
            Code::Cancelled => Self::Cancelled,
            _ => Self::Internal(text),
        }
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<features::table::RowError> for Error {
    fn from(error: features::table::RowError) -> Self {
        Self::Invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_keeps_its_meaning_both_ways() {
        let status = Status::from(Error::TooMuch("at most 5".to_owned()));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(Error::from(status).is_retryable());
        let fatal = "FATAL Error: database has been invalidated because of a previous fatal error";
        assert!(Error::Internal(fatal.to_owned()).needs_restart());
        assert!(!Error::Query("typo".to_owned()).is_retryable());
    }
}

//! Why a model did not answer.

use crate::admission::Refused;

#[derive(Clone, Debug, thiserror::Error)]
pub enum ServingError {
    #[error("{said}")]
    NotFound { said: String },
    #[error("{said}")]
    NotReady { said: String },
    #[error("{entity:?} is no {kind} that the registers or events know")]
    UnknownEntity { kind: String, entity: String },
    #[error(
        "{model} is not run for {entity:?}, by its manifest: missing or too old: {}",
        features.join(", ")
    )]
    Missing { model: String, entity: String, features: Vec<String> },
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Failed(String),
}

impl From<models::Error> for ServingError {
    fn from(error: models::Error) -> Self {
        let said = error.to_string();
        match error {
            models::Error::NotFound(_) => Self::NotFound { said },
            models::Error::Illegal(_) | models::Error::Runtime { .. } => Self::NotReady { said },
            models::Error::Damaged { .. } | models::Error::Run(_) | models::Error::Io { .. } => {
                Self::Failed(said)
            }
            // All others are about what the caller has sent.
            _ => Self::Invalid(said),
        }
    }
}

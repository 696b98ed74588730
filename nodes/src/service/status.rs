//! The one place where an outcome becomes a gRPC status.

use crate::admission::Refused;
use crate::serving::ServingError;
use crate::state::Refusal;
use tonic::{Code, Status};

pub(crate) fn from_raft(error: &raft::Error) -> Status {
    let said = error.to_string();
    match error {
        raft::Error::NoLeader
        | raft::Error::Unreachable(_)
        | raft::Error::Stopped
        | raft::Error::Fatal(_) => Status::unavailable(said),
        raft::Error::DeadlineExceeded { .. } => Status::deadline_exceeded(said),
        raft::Error::Overloaded { .. } | raft::Error::DiskFull { .. } => {
            Status::resource_exhausted(said)
        }
        raft::Error::TooLarge { .. } => Status::invalid_argument(said),
        raft::Error::Refused(_) => Status::failed_precondition(said),
        raft::Error::Damaged { .. } => Status::data_loss(said),
        raft::Error::Io { .. } => Status::internal(said),
    }
}

pub(crate) fn from_refusal(refusal: Refusal) -> Status {
    match refusal {
        Refusal::NotFound(said) => Status::not_found(said),
        Refusal::Precondition(said) => Status::failed_precondition(said),
        Refusal::Invalid(said) => Status::invalid_argument(said),
        Refusal::Exhausted(said) => Status::resource_exhausted(said),
    }
}

pub(crate) fn from_serving(error: &ServingError) -> Status {
    let said = error.to_string();
    match error {
        ServingError::NotFound { .. } | ServingError::UnknownEntity { .. } => {
            Status::not_found(said)
        }
        ServingError::NotReady { .. } => Status::unavailable(said),
        ServingError::Invalid(_) => Status::invalid_argument(said),
        ServingError::Missing { .. } => Status::failed_precondition(said),
        ServingError::Refused(Refused::Expired) => Status::deadline_exceeded(said),
        ServingError::Refused(_) => Status::resource_exhausted(said),
        ServingError::Failed(_) => Status::internal(said),
    }
}

/// A message of a stream over its limit: the transport's own OUT_OF_RANGE is RESOURCE_EXHAUSTED here.
pub(crate) fn over_limit(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange => Status::resource_exhausted(status.message()),
        _ => status,
    }
}

//! Watching models: how far what they read and say has moved from what they were made on, how they
//! treat groups of people, and whether they come true.

use crate::node::Node;
use crate::proto::hearth::{ModelWatch, WatchRequest};
use tonic::Status;

pub(crate) fn groups_of(_node: &Node, _entity: &str) -> Vec<(String, String)> {
    Vec::new()
}

pub(crate) fn message(_node: &Node, _asked: &WatchRequest) -> Result<ModelWatch, Status> {
    Err(Status::unimplemented("not yet"))
}

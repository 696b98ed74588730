//! The door of the gRPC and Flight ports: a node out of service answers nothing but how it stands.

use crate::node::Node;
use std::sync::Arc;
use tonic::Status;
use tower::BoxError;
use tower::filter::Predicate;

/// What is answered in any case.
const ALWAYS: [&str; 3] =
    ["/hearth.v1.Cluster/Status", "/grpc.health.v1.Health/", "/grpc.reflection."];

#[derive(Clone, Debug)]
pub(crate) struct Gate {
    node: Arc<Node>,
}

impl Gate {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

impl<B> Predicate<http::Request<B>> for Gate {
    type Request = http::Request<B>;

    fn check(&mut self, request: http::Request<B>) -> Result<http::Request<B>, BoxError> {
        let path = request.uri().path();
        match self.node.quarantined() {
            Some(why) if !ALWAYS.iter().any(|open| path.starts_with(open)) => {
                Err(Box::new(Status::unavailable(out_of_service(why))))
            }
            _ => Ok(request),
        }
    }
}

pub(crate) fn out_of_service(why: &str) -> String {
    format!("this node is out of service, ask another: {why}")
}

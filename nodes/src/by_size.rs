//! One service whose calls take messages of different sizes: a model file comes in one message, an
//! inference never does.

use crate::compression::compressed;
use crate::proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use crate::service::inference::InferenceService;
use http::{Request, Response};
use std::convert::Infallible;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

type Server = GrpcInferenceServiceServer<InferenceService>;

/// The call whose messages hold files.
const LOAD: &str = "/inference.GRPCInferenceService/RepositoryModelLoad";

/// The inference service with two limits for its messages.
#[derive(Clone, Debug)]
pub(crate) struct BySize {
    calls: Server,
    load: Server,
}

impl BySize {
    /// `bytes` for every message but those that bring files, of `file_bytes` at most. Those are not
    /// taken compressed: a few KiB could become a whole file's bytes here.
    pub(crate) fn new(service: InferenceService, bytes: usize, file_bytes: usize) -> Self {
        let calls = Server::new(service.clone()).max_decoding_message_size(bytes);
        let load = Server::new(service).max_decoding_message_size(file_bytes);
        Self { calls: compressed!(calls), load }
    }
}

impl NamedService for BySize {
    const NAME: &'static str = <Server as NamedService>::NAME;
}

impl Service<Request<Body>> for BySize {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match request.uri().path() {
            LOAD => self.load.call(request),
            _ => self.calls.call(request),
        }
    }
}

//! The floor: a bare server of the same messages, in a process of its own, that does nothing else.

use anyhow::Context as _;
use nodes::proto::hearth::events_server::{Events, EventsServer};
use nodes::proto::hearth::{AppendRequest, AppendResponse};
use nodes::proto::inference::{ModelInferRequest, ModelInferResponse};
use prost::Message as _;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_stream::Empty;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The argument that makes this program the server; behind it the file with its one answer.
pub(crate) const ROLE: &str = "--echo-server";
/// As much as a request of 500 events needs.
const REQUEST_BYTES_MAX: usize = 8 << 20;

/// The running server; ends with this.
#[derive(Debug)]
pub(crate) struct Echo {
    child: Child,
    pub(crate) address: String,
}

impl Echo {
    /// Starts the server, whose inference answers what `reply` says.
    pub(crate) fn start(folder: &Path, reply: &ModelInferResponse) -> anyhow::Result<Self> {
        let file = folder.join("reply");
        std::fs::write(&file, reply.encode_to_vec())?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ROLE)
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let said = child.stdout.take().context("the echo server says nothing")?;
        BufReader::new(said).read_line(&mut address)?;
        Ok(Self { child, address: address.trim().to_owned() })
    }

    #[allow(dead_code, reason = "not every bench asks")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's side: says where it listens, then serves until it is killed.
pub(crate) fn serve(reply: &Path) -> anyhow::Result<()> {
    let reply = ModelInferResponse::decode(std::fs::read(reply)?.as_slice())?;
    // The runtime that the program itself has.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?.with_nodelay(Some(true));
        println!("{}", incoming.local_addr()?);
        let events = EventsServer::new(Acknowledge).max_decoding_message_size(REQUEST_BYTES_MAX);
        Server::builder()
            .tcp_nodelay(true)
            .add_service(Infer(Arc::new(reply)))
            .add_service(events)
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    })
}

/// Reads an inference request and answers the same each time.
#[derive(Clone)]
struct Infer(Arc<ModelInferResponse>);

impl NamedService for Infer {
    const NAME: &'static str = "inference.GRPCInferenceService";
}

impl UnaryService<ModelInferRequest> for Infer {
    type Response = ModelInferResponse;
    type Future = Ready<Result<Response<ModelInferResponse>, Status>>;

    fn call(&mut self, request: Request<ModelInferRequest>) -> Self::Future {
        let mut reply = ModelInferResponse::clone(&self.0);
        reply.id = request.into_inner().id;
        ready(Ok(Response::new(reply)))
    }
}

impl Service<http::Request<Body>> for Infer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(method, request).await) })
    }
}

/// Reads events and says that they were taken; keeps none.
struct Acknowledge;

#[tonic::async_trait]
impl Events for Acknowledge {
    async fn append(
        &self,
        request: Request<AppendRequest>,
    ) -> Result<Response<AppendResponse>, Status> {
        let AppendRequest { events, request_id } = request.into_inner();
        let accepted = events.len() as u32;
        Ok(Response::new(AppendResponse { accepted, request_id, ..AppendResponse::default() }))
    }

    type StreamStream = Empty<Result<AppendResponse, Status>>;

    async fn stream(
        &self,
        _: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        Err(Status::unimplemented("only unary calls are compared"))
    }
}

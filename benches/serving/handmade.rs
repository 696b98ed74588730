//! The strongest rival that one makes by hand: a plain tonic service of the same messages that reads a
//! resident's features with one GET over a pipelined connection to Redis and runs ONNX Runtime itself.

use crate::rows::{Rows, packed};
use anyhow::Context as _;
use nodes::proto::inference::model_infer_response::InferOutputTensor;
use nodes::proto::inference::{ModelInferRequest, ModelInferResponse};
use ort::ep;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{OutputSelector, RunOptions, Session};
use ort::value::TensorRef;
use parking_lot::Mutex;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// The argument that makes this program the server; behind it Redis's port, the model and the library.
pub(crate) const ROLE: &str = "--hand-made-server";

/// The running server; ends with this.
#[derive(Debug)]
pub(crate) struct HandMade {
    child: Child,
    pub(crate) address: String,
}

impl HandMade {
    pub(crate) fn start(redis: u16, model: &Path, library: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ROLE, &redis.to_string()])
            .args([model, library])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let said = child.stdout.take().context("the hand-made server says nothing")?;
        BufReader::new(said).read_line(&mut address)?;
        let server = Self { child, address: address.trim().to_owned() };
        anyhow::ensure!(!server.address.is_empty(), "the hand-made server did not start");
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for HandMade {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts every resident's features into Redis, packed into one value.
pub(crate) async fn fill(redis: u16, rows: &Rows) -> anyhow::Result<()> {
    let mut connection = connect(redis).await?;
    let mut all = redis::pipe();
    for row in &rows.all {
        all.set(&row.resident, packed(&row.features)).ignore();
    }
    Ok(all.query_async(&mut connection).await?)
}

async fn connect(port: u16) -> anyhow::Result<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    Ok(client.get_multiplexed_async_connection().await?)
}

/// The server's side: says where it listens, then serves until it is killed.
pub(crate) fn serve(redis: u16, model: &Path, library: &Path) -> anyhow::Result<()> {
    let environment = ort::init_from(library)?.with_name("rival").with_telemetry(false).build()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runners = Vec::new();
    for _ in 0..cores {
        let session = Session::builder(&environment)
            .and_then(
                |builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::Level3)?),
            )
            .and_then(|builder| Ok(builder.with_intra_threads(1)?))
            .and_then(|builder| Ok(builder.with_intra_op_spinning(false)?))
            .and_then(|builder| {
                let cpu = ep::CPU::default().with_arena_allocator(false).build();
                Ok(builder.with_execution_providers([cpu])?)
            })
            .and_then(|mut builder| builder.commit_from_file(model))
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let only = OutputSelector::no_default().with("probabilities");
        let options = RunOptions::new()?.with_outputs(only);
        runners.push(Mutex::new((session, options)));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let infer = Infer(Arc::new(Shared { redis: connect(redis).await?, runners }));
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?.with_nodelay(Some(true));
        println!("{}", incoming.local_addr()?);
        let server = Server::builder().tcp_nodelay(true).add_service(infer);
        Ok(server.serve_with_incoming(incoming).await?)
    })
}

struct Shared {
    redis: MultiplexedConnection,
    /// One for each processor; one of them is nearly always free.
    runners: Vec<Mutex<(Session, RunOptions<ort::session::HasSelectedOutputs>)>>,
}

impl Shared {
    async fn answer(&self, request: ModelInferRequest) -> anyhow::Result<ModelInferResponse> {
        let raw = request.raw_input_contents.first().context("no entity")?;
        let key = std::str::from_utf8(raw.get(4..).context("no entity")?)?;
        let packed: Vec<u8> = self.redis.clone().get(key).await?;
        let row: Vec<f32> =
            packed.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let score = self.score(&row)?;
        let band: &[u8] = match score {
            score if score >= 0.4 => b"high",
            score if score >= 0.2 => b"medium",
            _ => b"low",
        };
        let mut word = (band.len() as u32).to_le_bytes().to_vec();
        word.extend_from_slice(band);
        let output = |name: &str, datatype: &str| InferOutputTensor {
            name: name.to_owned(),
            datatype: datatype.to_owned(),
            shape: vec![1, 1],
            ..InferOutputTensor::default()
        };
        Ok(ModelInferResponse {
            model_name: request.model_name,
            model_version: "1".to_owned(),
            id: request.id,
            outputs: vec![output("score", "FP32"), output("band", "BYTES")],
            raw_output_contents: vec![score.to_le_bytes().to_vec(), word],
            ..ModelInferResponse::default()
        })
    }

    fn score(&self, row: &[f32]) -> anyhow::Result<f32> {
        let free = self.runners.iter().find_map(Mutex::try_lock);
        let first = self.runners.first().context("no session")?;
        let mut runner = free.unwrap_or_else(|| first.lock());
        let (session, options) = &mut *runner;
        let input = TensorRef::from_array_view(([1, row.len()], row))?;
        let answers = session.run_with_options([input.into()], options)?;
        let (_, probabilities) = answers[0].try_extract_tensor::<f32>()?;
        probabilities.get(1).copied().context("no probability")
    }
}

#[derive(Clone)]
struct Infer(Arc<Shared>);

impl NamedService for Infer {
    const NAME: &'static str = "inference.GRPCInferenceService";
}

impl UnaryService<ModelInferRequest> for Infer {
    type Response = ModelInferResponse;
    type Future = BoxFuture<Response<ModelInferResponse>, Status>;

    fn call(&mut self, request: Request<ModelInferRequest>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let answer = shared.answer(request.into_inner()).await;
            answer.map(Response::new).map_err(|error| Status::internal(error.to_string()))
        })
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

//! `inference.GRPCInferenceService`: the Open Inference Protocol with Triton's extensions.

mod ask;
mod classification;
mod config_override;
mod describe;
mod infer;
mod log_settings;
mod mlserver;
mod parameters;
mod record;
mod repository;
mod sent;
mod shared_memory;
mod statistics;
mod tensors;
mod told;
mod trace;
mod versions;

use crate::node::Node;
use crate::proto::inference::grpc_inference_service_server::GrpcInferenceService;
use crate::proto::inference::infer_parameter::ParameterChoice;
#[allow(clippy::wildcard_imports, reason = "every message of the protocol")]
use crate::proto::inference::*;
use crate::service::deadline;
use crate::service::decisions::caller_of;
use crate::service::reading::reach;
use crate::service::status::over_limit;
use futures::stream::{BoxStream, StreamExt as _};
pub use mlserver::MlServerRepository;
use raft::ReadLevel;
use shared_memory::Regions;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tonic::{Request, Response, Status, Streaming};
use trace::Tracer;

/// What of Triton's extensions is there; not `sequence`, for no model keeps anything between calls.
const EXTENSIONS: [&str; 11] = [
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
];
/// With `true`, a wrong request ends its stream with a status, as other gRPC services do.
const GRPC_ERROR: &str = "triton_grpc_error";

#[derive(Clone, Debug)]
pub struct InferenceService {
    node: Arc<Node>,
    surface: Arc<Surface>,
}

/// What clients set up at this node for their requests.
#[derive(Debug)]
struct Surface {
    regions: Regions,
    tracer: Tracer,
}

impl InferenceService {
    pub fn new(node: Arc<Node>) -> Self {
        let tracer = Tracer::new(&node.config().node.dir);
        let surface = Arc::new(Surface { regions: Regions::default(), tracer });
        Self { node, surface }
    }
}

/// One answer of a stream.
fn streamed(
    answer: Result<ModelInferResponse, Status>,
    id: String,
    ends: bool,
) -> Result<ModelStreamInferResponse, Status> {
    let (error_message, mut response) = match answer {
        Ok(response) => (String::new(), response),
        Err(status) if ends => return Err(status),
        // A wrong request is one wrong answer; the stream goes on.
        Err(status) => {
            (status.message().to_owned(), ModelInferResponse { id, ..Default::default() })
        }
    };
    // Each request has one answer, which is its last.
    let last = parameters::of(ParameterChoice::BoolParam(true));
    response.parameters.insert(parameters::FINAL_RESPONSE.to_owned(), last);
    Ok(ModelStreamInferResponse { error_message, infer_response: Some(response) })
}

/// Regions of a card cannot be registered here, so that none is to be shown or let go: clients ask for
/// both when they begin and end.
fn no_cuda<T>() -> Result<Response<T>, Status> {
    let said = "models run on the processor here: use system shared memory, not CUDA's";
    Err(Status::unimplemented(said))
}

/// Only a caller of this machine can have put a file there.
fn from_here<T>(request: &Request<T>) -> Result<(), Status> {
    let same = |remote: SocketAddr| {
        remote.ip().is_loopback() || request.local_addr().is_some_and(|own| own.ip() == remote.ip())
    };
    match request.remote_addr() {
        Some(remote) if !same(remote) => Err(Status::failed_precondition(format!(
            "shared memory is for callers on the node's own machine, not from {}: send the bytes",
            remote.ip()
        ))),
        _ => Ok(()),
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for InferenceService {
    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: self.node.readiness().is_ok() }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let ready =
            self.node.serving().resolve(&self.node.machine().read(), &name, &version).is_ok();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse {
            name: "hearth".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: EXTENSIONS.iter().map(|name| (*name).to_owned()).collect(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        describe::metadata(&self.node, &name, &version).map(Response::new)
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Local).await?;
        let deadline = deadline::of(request.metadata());
        let caller = record::is_asked(request.get_ref()).then(|| caller_of(&request));
        let of = (&self.node, &self.surface);
        let answer = answer(of, request.into_inner(), deadline, caller).await;
        self.node.metrics().inferred(answer.is_ok());
        answer.map(Response::new)
    }

    type ModelStreamInferStream = BoxStream<'static, Result<ModelStreamInferResponse, Status>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Local).await?;
        let ends = request.metadata().get(GRPC_ERROR).is_some_and(|value| value == "true");
        let (node, surface) = (Arc::clone(&self.node), Arc::clone(&self.surface));
        let caller = caller_of(&request);
        // The call's deadline is the stream's: each of its requests has its own `timeout`.
        let answers = request.into_inner().then(move |message| {
            let (node, surface) = (Arc::clone(&node), Arc::clone(&surface));
            let caller = caller.clone();
            async move {
                let message = message.map_err(over_limit)?;
                let id = message.id.clone();
                let caller = record::is_asked(&message).then_some(caller);
                let answer = answer((&node, &surface), message, None, caller).await;
                node.metrics().inferred(answer.is_ok());
                streamed(answer, id, ends)
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let ModelConfigRequest { name, version } = request.into_inner();
        describe::config(&self.node, &name, &version).map(Response::new)
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        statistics::statistics(&self.node, &name, &version).map(Response::new)
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        Ok(Response::new(repository::index(&self.node, request.into_inner().ready)))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        repository::load(&self.node, request.into_inner()).await.map(Response::new)
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        repository::unload(&self.node, request.into_inner()).await.map(Response::new)
    }

    async fn system_shared_memory_status(
        &self,
        request: Request<SystemSharedMemoryStatusRequest>,
    ) -> Result<Response<SystemSharedMemoryStatusResponse>, Status> {
        self.surface.regions.status(&request.into_inner().name).map(Response::new)
    }

    async fn system_shared_memory_register(
        &self,
        request: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Result<Response<SystemSharedMemoryRegisterResponse>, Status> {
        from_here(&request)?;
        self.surface.regions.register(request.into_inner())?;
        Ok(Response::new(SystemSharedMemoryRegisterResponse {}))
    }

    async fn system_shared_memory_unregister(
        &self,
        request: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Result<Response<SystemSharedMemoryUnregisterResponse>, Status> {
        self.surface.regions.unregister(&request.into_inner().name);
        Ok(Response::new(SystemSharedMemoryUnregisterResponse {}))
    }

    async fn cuda_shared_memory_status(
        &self,
        request: Request<CudaSharedMemoryStatusRequest>,
    ) -> Result<Response<CudaSharedMemoryStatusResponse>, Status> {
        match request.into_inner().name.as_str() {
            "" => Ok(Response::new(CudaSharedMemoryStatusResponse::default())),
            name => Err(Status::not_found(format!("no CUDA shared memory region `{name}`"))),
        }
    }

    async fn cuda_shared_memory_register(
        &self,
        _: Request<CudaSharedMemoryRegisterRequest>,
    ) -> Result<Response<CudaSharedMemoryRegisterResponse>, Status> {
        no_cuda()
    }

    async fn cuda_shared_memory_unregister(
        &self,
        _: Request<CudaSharedMemoryUnregisterRequest>,
    ) -> Result<Response<CudaSharedMemoryUnregisterResponse>, Status> {
        Ok(Response::new(CudaSharedMemoryUnregisterResponse {}))
    }

    async fn trace_setting(
        &self,
        request: Request<TraceSettingRequest>,
    ) -> Result<Response<TraceSettingResponse>, Status> {
        let request = request.into_inner();
        if !request.model_name.is_empty() {
            describe::known(&self.node, &request.model_name)?;
        }
        self.surface.tracer.set(request).map(Response::new)
    }

    async fn log_settings(
        &self,
        request: Request<LogSettingsRequest>,
    ) -> Result<Response<LogSettingsResponse>, Status> {
        let folder = &self.node.config().node.dir;
        log_settings::change(folder, request.into_inner()).map(Response::new)
    }
}

/// An answer, and where a caller wants it recorded, its decisions.
async fn answer(
    (node, surface): (&Arc<Node>, &Arc<Surface>),
    request: ModelInferRequest,
    deadline: Option<Instant>,
    recorded_for: Option<String>,
) -> Result<ModelInferResponse, Status> {
    match recorded_for {
        Some(caller) => record::run((node, surface), request, deadline, caller).await,
        None => infer::run(node, surface, request, deadline).await,
    }
}

//! The ports of a node: gRPC, Flight and HTTP.

use crate::by_size::BySize;
use crate::compression::{answer_as_asked, compressed};
use crate::feeds::FeedsService;
use crate::gate::Gate;
use crate::live::NodeLive;
use crate::node::{Node, NodeError};
use crate::proto::hearth::alerts_server::AlertsServer;
use crate::proto::hearth::cluster_server::ClusterServer;
use crate::proto::hearth::events_server::EventsServer;
use crate::proto::hearth::feeds_server::FeedsServer;
use crate::proto::hearth::models_server::ModelsServer;
use crate::proto::hearth::rules_server::RulesServer;
use crate::proto::hearth::scores_server::ScoresServer;
use crate::proto::hearth::views_server::ViewsServer;
use crate::proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use crate::proto::inference::model_repository::model_repository_service_server::ModelRepositoryServiceServer;
use crate::service::inference::{InferenceService, MlServerRepository};
use crate::service::{
    AlertsService, ClusterService, EventsService, ModelsService, RulesService, ScoresService,
    ViewsService,
};
use http::HeaderValue;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Error, Server};
use tower::filter::FilterLayer;
use tower::layer::util::{Identity, Stack};
use tower::util::{MapRequestLayer, MapResponseLayer};

/// How long calls that are under way may take once the node is told to stop.
const DRAIN: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(20);
/// HTTP/2 windows: one bulk stream must not fill the whole connection.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

const OUT_OF_RANGE: HeaderValue = HeaderValue::from_static("11");
const RESOURCE_EXHAUSTED: HeaderValue = HeaderValue::from_static("8");

type Call = http::Request<Body>;
type Answer = http::Response<Body>;
type Mapped = Stack<MapResponseLayer<fn(Answer) -> Answer>, Identity>;
type Layers = Stack<FilterLayer<Gate>, Stack<MapRequestLayer<fn(Call) -> Call>, Mapped>>;
type Builder = Server<Layers>;

/// The running ports.
#[derive(Debug)]
pub(crate) struct Servers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Result<(), Error>>>,
    web: JoinHandle<()>,
}

impl Servers {
    /// No new calls; those under way may end, for a while.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for mut task in self.tasks {
            if tokio::time::timeout(DRAIN, &mut task).await.is_err() {
                task.abort();
            }
        }
        self.web.abort();
    }
}

/// All three ports are taken before the first of them answers: who hears from one finds the others.
pub(crate) async fn start(node: &Arc<Node>) -> Result<Servers, NodeError> {
    let (stop, stopped) = watch::channel(false);
    let listen = &node.config().listen;
    let (grpc, flight) = (bind(listen.grpc).await?, bind(listen.flight).await?);
    let web = bind(listen.http).await?;
    let live = Arc::new(NodeLive::new(Arc::clone(node)));
    let analysts = builder(node).add_service(flight::service(Arc::clone(node.warehouse()), live));
    Ok(Servers {
        tasks: vec![
            serve(services(node).await?, grpc, stopped.clone()),
            serve(analysts, flight, stopped),
        ],
        web: crate::http::start(node, web),
        stop,
    })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).await.map_err(|source| NodeError::Listen { address, source })
}

/// The transport says OUT_OF_RANGE of a message over its limit; here that is RESOURCE_EXHAUSTED, and
/// the limit stands in the text already.
fn say_exhausted<B>(mut response: http::Response<B>) -> http::Response<B> {
    let status = response.headers_mut().get_mut(Status::GRPC_STATUS);
    if let Some(status) = status.filter(|code| **code == OUT_OF_RANGE) {
        *status = RESOURCE_EXHAUSTED;
    }
    response
}

fn builder(node: &Arc<Node>) -> Builder {
    Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .concurrency_limit_per_connection(node.config().limits.calls_per_connection)
        .layer(MapResponseLayer::new(say_exhausted as fn(_) -> _))
        .layer(MapRequestLayer::new(answer_as_asked as fn(_) -> _))
        .layer(FilterLayer::new(Gate::new(Arc::clone(node))))
}

async fn services(node: &Arc<Node>) -> Result<Router<Layers>, NodeError> {
    let bytes = node.config().limits.request_bytes;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<EventsServer<EventsService>>().await;
    reporter.set_serving::<GrpcInferenceServiceServer<InferenceService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::proto::DESCRIPTORS)
        .build_v1()
        .map_err(|error| NodeError::Start(format!("server reflection: {error}")))?;
    let shared = || Arc::clone(node);
    Ok(builder(node)
        .add_service(health)
        .add_service(reflection)
        .add_service(compressed!(ModelRepositoryServiceServer::new(MlServerRepository::new(
            shared()
        ))))
        .add_service(compressed!(
            EventsServer::new(EventsService::new(shared())).max_decoding_message_size(bytes)
        ))
        .add_service(compressed!(
            ScoresServer::new(ScoresService::new(shared())).max_decoding_message_size(bytes)
        ))
        .add_service(compressed!(
            FeedsServer::new(FeedsService::new(shared())).max_decoding_message_size(bytes)
        ))
        .add_service(compressed!(AlertsServer::new(AlertsService::new(shared()))))
        .add_service(compressed!(ClusterServer::new(ClusterService::new(shared()))))
        .add_service(compressed!(ModelsServer::new(ModelsService::new(shared()))))
        .add_service(compressed!(RulesServer::new(RulesService::new(shared()))))
        .add_service(compressed!(ViewsServer::new(ViewsService::new(shared()))))
        .add_service(BySize::new(
            InferenceService::new(shared()),
            bytes,
            // A model file comes in one message here, as Triton's clients send it.
            models::PACKAGE_BYTES_MAX,
        )))
}

fn serve(
    router: Router<Layers>,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<Result<(), Error>> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }))
}

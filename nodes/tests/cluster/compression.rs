//! Compressed messages: taken and answered in kind by every service, and no way round a limit.

use crate::gather::motions;
use crate::local::{Cluster, Shape};
use nodes::proto::hearth::events_client::EventsClient;
use nodes::proto::hearth::{AppendRequest, StatusRequest, cluster_client::ClusterClient};
use nodes::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nodes::proto::inference::{
    ModelInferRequest, RepositoryModelLoadRequest, ServerMetadataRequest,
};
use tonic::Code;
use tonic::codec::CompressionEncoding::{self, Deflate, Gzip};
use tonic::metadata::MetadataMap;

/// Of zeros: a thousandth of it comes over the wire.
const BOMB_BYTES: usize = 192 << 20;
/// What a node's memory may grow by while bombs come in: many messages of the allowed 8 MiB.
const GROWTH_KIB: u64 = 96 << 10;

fn encoding(metadata: &MetadataMap) -> Option<&str> {
    metadata.get("grpc-encoding").map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_compressed_and_limited() {
    let cluster = Cluster::shaped(Shape { nodes: 1, ..Shape::default() }).await;
    let channel = || cluster.nodes[0].channel();
    for (way, word) in [(Gzip, "gzip"), (Deflate, "deflate")] {
        let mut events = EventsClient::new(channel()).send_compressed(way).accept_compressed(way);
        let request = AppendRequest { events: motions(word, 0..200), ..AppendRequest::default() };
        let answer = events.append(request).await.unwrap();
        assert_eq!(encoding(answer.metadata()), Some(word));
        assert_eq!(answer.into_inner().accepted, 200);
    }
    // Who only could read a compressed answer gets a plain one.
    let mut plain = ClusterClient::new(channel()).accept_compressed(Gzip);
    let answer = plain.status(StatusRequest {}).await.unwrap();
    assert_eq!(encoding(answer.metadata()), None);
    let mut inference = GrpcInferenceServiceClient::new(channel()).send_compressed(Gzip);
    inference.server_metadata(ServerMetadataRequest {}).await.unwrap();

    let before = cluster.nodes[0].resident_kib();
    for way in [Gzip, Deflate] {
        bombs(&cluster, way).await;
    }
    let grown = cluster.nodes[0].resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB, "{grown} KiB more");
    assert!(cluster.nodes[0].status().await.is_some());
}

async fn bombs(cluster: &Cluster, way: CompressionEncoding) {
    let mut inference =
        GrpcInferenceServiceClient::new(cluster.nodes[0].channel()).send_compressed(way);
    let request = ModelInferRequest {
        model_name: "any".to_owned(),
        raw_input_contents: vec![vec![0; BOMB_BYTES]],
        ..ModelInferRequest::default()
    };
    let status = inference.model_infer(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let mut stream =
        inference.model_stream_infer(tokio_stream::once(request)).await.unwrap().into_inner();
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let load = RepositoryModelLoadRequest { model_name: "any".to_owned(), ..Default::default() };
    let status = inference.repository_model_load(load).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
}

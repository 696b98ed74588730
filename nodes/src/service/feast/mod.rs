//! Feast's online serving over the features of this node: gRPC `feast.serving.ServingService` and
//! `GrpcFeatureServer`, and `POST /get-online-features`, which Feast's remote online store calls.

mod answer;
mod asked;
mod web;

pub(crate) use web::get_online_features;

use super::reading::reach;
use crate::node::Node;
use crate::proto::feast::serving::serving_service_server::ServingService;
use crate::proto::feast::serving::{
    GetFeastServingInfoRequest, GetFeastServingInfoResponse, GetOnlineFeaturesRequest,
    GetOnlineFeaturesResponse,
};
use crate::proto::feast_server::grpc_feature_server_server::GrpcFeatureServer;
use answer::Answer;
use asked::Asked;
use raft::ReadLevel;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The headers of an answer that say which state was read.
pub(crate) const LOG_INDEX_HEADER: &str = "hearth-log-index";
pub(crate) const KNOWN_AT_HEADER: &str = "hearth-known-at-us";

#[derive(Clone, Debug)]
pub struct FeastService {
    node: Arc<Node>,
}

impl FeastService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn answer(
        &self,
        request: Request<GetOnlineFeaturesRequest>,
    ) -> Result<Response<GetOnlineFeaturesResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Local).await?;
        let answer = read(&self.node, Asked::of_message(request.into_inner())?)?;
        let (log_index, known_us) = (answer.log_index, answer.known_us);
        let mut response = Response::new(answer.into_message());
        for (name, value) in
            [(LOG_INDEX_HEADER, log_index.to_string()), (KNOWN_AT_HEADER, known_us.to_string())]
        {
            if let Ok(value) = value.parse() {
                response.metadata_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

/// All of it at one log index.
fn read(node: &Node, asked: Asked) -> Result<Answer, Status> {
    let limit = node.config().limits.entities_per_request;
    if asked.rows() > limit {
        return Err(Status::invalid_argument(format!(
            "a request may name {limit} entities, this one names {}",
            asked.rows()
        )));
    }
    let state = node.machine().read();
    let wanted = asked.wanted(&state)?;
    Answer::read(&state, asked, &wanted)
}

#[tonic::async_trait]
impl ServingService for FeastService {
    async fn get_feast_serving_info(
        &self,
        _: Request<GetFeastServingInfoRequest>,
    ) -> Result<Response<GetFeastServingInfoResponse>, Status> {
        let version = concat!("hearth ", env!("CARGO_PKG_VERSION")).to_owned();
        Ok(Response::new(GetFeastServingInfoResponse { version }))
    }

    async fn get_online_features(
        &self,
        request: Request<GetOnlineFeaturesRequest>,
    ) -> Result<Response<GetOnlineFeaturesResponse>, Status> {
        self.answer(request).await
    }
}

#[tonic::async_trait]
impl GrpcFeatureServer for FeastService {
    async fn get_online_features(
        &self,
        request: Request<GetOnlineFeaturesRequest>,
    ) -> Result<Response<GetOnlineFeaturesResponse>, Status> {
        self.answer(request).await
    }
}

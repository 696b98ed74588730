//! `inference.model_repository.ModelRepositoryService`: the model repository where MLServer's clients look.

use super::repository;
use crate::node::Node;
use crate::proto::inference as triton;
use crate::proto::inference::model_repository::model_repository_service_server::ModelRepositoryService;
use crate::proto::inference::model_repository::repository_index_response::ModelIndex;
use crate::proto::inference::model_repository::{
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
};
use std::collections::HashMap;
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[derive(Clone, Debug)]
pub struct MlServerRepository {
    node: Arc<Node>,
}

impl MlServerRepository {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl ModelRepositoryService for MlServerRepository {
    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let models = repository::index(&self.node, request.into_inner().ready).models;
        let same = models.into_iter().map(|each| ModelIndex {
            name: each.name,
            version: each.version,
            state: each.state,
            reason: each.reason,
        });
        Ok(Response::new(RepositoryIndexResponse { models: same.collect() }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let RepositoryModelLoadRequest { repository_name, model_name } = request.into_inner();
        let parameters = HashMap::new();
        let load = triton::RepositoryModelLoadRequest { repository_name, model_name, parameters };
        repository::load(&self.node, load).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let RepositoryModelUnloadRequest { repository_name, model_name } = request.into_inner();
        let parameters = HashMap::new();
        let unload =
            triton::RepositoryModelUnloadRequest { repository_name, model_name, parameters };
        repository::unload(&self.node, unload).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }
}

//! `hearth serve`: one node until it is told to stop.

use crate::config::Config;
use crate::node::Node;
use crate::rebuild::{self, Damage};
use crate::{exit, server};
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Set by `hearth dev`: the node stops when its standard input closes, so that it never outlives dev.
pub(crate) const PARENT_PIPE: &str = "HEARTH_PARENT_PIPE";

pub(crate) async fn run(file: &Path, rebuilds: bool) -> anyhow::Result<i32> {
    let config = Config::read(file)?;
    crate::logging::start();
    if config.node.insecure {
        tracing::warn!(
            "INSECURE: this node listens without TLS and without tokens, by node.insecure = true"
        );
    }
    let node = start(config, rebuilds).await?;
    let servers = server::start(&node).await?;
    tracing::info!(node = node.id(), grpc = %node.config().listen.grpc, "serving");
    let code = tokio::select! {
        why = node.raft().failed() => {
            tracing::error!(why, "the consensus core died; the process ends so that it is started again");
            exit::CORE_DIED
        }
        // Started again by whoever watches over it, the node begins anew.
        () = node.out_of_service(), if rebuilds => exit::DAMAGED,
        () = told_to_stop() => exit::DONE,
    };
    if code == exit::DONE {
        node.leave().await;
        servers.stop().await;
        Arc::clone(&node).close().await;
    }
    Ok(code)
}

async fn start(config: Config, rebuilds: bool) -> anyhow::Result<Arc<Node>> {
    let error = match Node::start(config.clone()).await {
        Err(error) if rebuilds => error,
        outcome => return Ok(outcome?),
    };
    let Some(damage) = Damage::of(&error) else { return Err(error.into()) };
    tracing::error!(%error, "this node cannot start from its data");
    rebuild::begin(&config, damage).await?;
    Ok(Node::start(config).await?)
}

async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = parent_gone() => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "a word from dev to its children, read once")]
async fn parent_gone() {
    if std::env::var_os(PARENT_PIPE).is_none() {
        return std::future::pending().await;
    }
    let mut nothing = [0; 64];
    let mut stdin = tokio::io::stdin();
    while matches!(tokio::io::AsyncReadExt::read(&mut stdin, &mut nothing).await, Ok(read) if read > 0)
    {
    }
}

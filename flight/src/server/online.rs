//! The ticket `online:<view>`: every online value at one log index, for who checks them.

use std::{sync::Arc, time::Duration};

use arrow_flight::FlightData;
use futures::stream;
use tokio::sync::mpsc;
use tonic::{Response, Status, metadata::MetadataMap};

use super::{
    analyst::{Analyst, Boxed},
    answer::encoded,
};
use crate::{Error, online_batch, online_schema};

/// Reads at once: each holds a copy of the state, of which every change since then is kept twice.
pub(super) const READERS_MAX: usize = 2;
/// Entities in one batch.
const BATCH_ROWS: usize = 512;
/// Batches on their way.
const BATCHES_AHEAD: usize = 2;
/// Who takes nothing for so long lets the copy go.
const STALL_MAX: Duration = Duration::from_mins(1);

pub(super) async fn get(
    analyst: &Analyst,
    view: &str,
    metadata: &MetadataMap,
) -> Result<Response<Boxed<FlightData>>, Status> {
    analyst.admit(metadata).await?;
    let permit = Arc::clone(&analyst.online).try_acquire_owned().map_err(|_| {
        Status::resource_exhausted(format!(
            "{READERS_MAX} reads of all online values are under way"
        ))
    })?;
    let (live, view) = (Arc::clone(&analyst.live), view.to_owned());
    let read = tokio::task::spawn_blocking(move || live.online(&view));
    let mut online = read.await.map_err(|_| Status::internal("the read ended early"))??;
    let schema = online_schema(&online);
    let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
    let wanted = Arc::clone(&schema);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        loop {
            let rows: Vec<_> = online.rows.by_ref().take(BATCH_ROWS).collect();
            if rows.is_empty() {
                return;
            }
            let sent = tokio::runtime::Handle::current()
                .block_on(sender.send_timeout(online_batch(&wanted, &rows), STALL_MAX));
            if sent.is_err() {
                return;
            }
        }
    });
    let batches = stream::unfold(batches, |mut batches| async move {
        let next: Option<Result<_, Error>> = batches.recv().await;
        next.map(|next| (next, batches))
    });
    Ok(encoded(schema, batches))
}

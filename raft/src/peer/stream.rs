//! Appends to one other node, without waiting for each answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::RPCTypes;
use openraft::base::BoxStream;
use openraft::errors::{NetworkError, RPCError};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::channel::Lane;
use super::frame::{Kind, pack, unpack};
use super::link::{Link, broken};
use super::proto::Frame;
use crate::types::Types;

/// A transfer without progress for so long is given up.
pub(super) const STALL: Duration = Duration::from_secs(30);

type Answer = Result<StreamAppendResult<Types>, RPCError<Types>>;

/// Answers that are outstanding on one stream.
struct Outstanding {
    link: LinkFacts,
    replies: Streaming<Frame>,
    sent: Arc<AtomicU64>,
    /// Lets the next request go.
    answered: Arc<Semaphore>,
    received: u64,
    over: bool,
    /// Ends the requests when the answers are dropped: the connection holds them for a while
    /// longer, and would draw what is meant for the stream after this one.
    _alive: oneshot::Sender<()>,
}

struct LinkFacts {
    timed_out: openraft::errors::Timeout<Types>,
    stall: Duration,
}

pub(super) async fn append_stream<S>(
    link: &Link,
    mut input: S,
) -> Result<BoxStream<'_, Answer>, RPCError<Types>>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    let mut client = link.client(Lane::Append)?;
    // The core pauses after a failure where its requests are drawn: without this, it would dial a
    // dead peer again and again without a pause.
    let Some(first) = input.next().await else {
        return Ok(Box::pin(futures::stream::empty()));
    };
    // One request at a time: the core takes an answer for one to every request after it that ends at
    // the same entry, an empty one for the most part, and dates the follower's word by the last of
    // them. A leader that was cut off would then believe that a quorum has heard it just now, and
    // answer a linearizable read from an old state.
    let answered = Arc::new(Semaphore::new(0));
    let next = futures::stream::unfold((input, answered.clone()), |(mut input, answered)| async {
        answered.acquire().await.ok()?.forget();
        let request = input.next().await?;
        Some((request, (input, answered)))
    });
    let input = futures::stream::once(futures::future::ready(first)).chain(next);
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let (alive, gone) = oneshot::channel();
    let frames = input.take_until(gone).filter_map(move |request| {
        counter.fetch_add(1, Ordering::Relaxed);
        // A request that cannot be written ends in a stall, and then in a new stream.
        futures::future::ready(pack(Kind::Append, &request).ok())
    });
    let stall = link.append_timeout;
    let timed_out = link.timed_out(RPCTypes::AppendEntries, stall);
    let opened = timeout(stall, client.append_stream(frames)).await;
    let replies = match opened {
        Ok(Ok(reply)) => reply.into_inner(),
        Ok(Err(status)) => return Err(broken(&status)),
        Err(_) => {
            link.forget(Lane::Append);
            return Err(timed_out.into());
        }
    };
    let state = Outstanding {
        link: LinkFacts { timed_out, stall },
        replies,
        sent,
        answered,
        received: 0,
        over: false,
        _alive: alive,
    };
    let answers = futures::stream::unfold(state, move |mut state| async move {
        if state.over {
            return None;
        }
        let answer = next_answer(&mut state).await?;
        if let Err(RPCError::Timeout(_)) = &answer {
            link.forget(Lane::Append);
        }
        state.over = !matches!(&answer, Ok(Ok(_)));
        Some((answer, state))
    });
    Ok(Box::pin(answers))
}

/// Waits without end while nothing is outstanding; otherwise an answer has to come in time.
async fn next_answer(state: &mut Outstanding) -> Option<Answer> {
    let mut was_waiting = false;
    loop {
        match timeout(state.link.stall, state.replies.message()).await {
            Ok(Ok(Some(frame))) => {
                state.received += 1;
                state.answered.add_permits(1);
                return Some(unpack(Kind::AppendStreamReply, frame).map_err(|s| broken(&s)));
            }
            Ok(Ok(None)) if state.sent.load(Ordering::Relaxed) > state.received => {
                return Some(Err(
                    NetworkError::from_string("a stream ended without answers").into()
                ));
            }
            Ok(Ok(None)) => return None,
            Ok(Err(status)) => return Some(Err(broken(&status))),
            Err(_) => {
                let waiting = state.sent.load(Ordering::Relaxed) > state.received;
                // Twice in a row: the question may have been sent just now.
                if waiting && was_waiting {
                    return Some(Err(state.link.timed_out.clone().into()));
                }
                was_waiting = waiting;
            }
        }
    }
}

/// A stream of pieces has to go on within a given time.
pub(super) async fn next_piece(frames: &mut Streaming<Frame>) -> Result<Option<Frame>, Status> {
    timeout(STALL, frames.message())
        .await
        .map_err(|_| Status::deadline_exceeded("a transfer made no progress"))?
}

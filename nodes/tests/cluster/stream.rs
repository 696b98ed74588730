//! Senders that never give up: every event has an id, and whatever was not acknowledged is sent again.

use crate::gather::motions;
use nodes::client::{Client, events_client};
use nodes::proto::hearth::{AppendRequest, Event};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

const EVENTS_PER_REQUEST: u64 = 20;
/// Requests of a stream that wait for their answers.
const IN_FLIGHT: usize = 8;
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What all senders of a test were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    inner: std::sync::Mutex<Inner>,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    ids: BTreeSet<String>,
    log_index: u64,
    sent: u64,
    accepted: u64,
    duplicates: u64,
    /// When acknowledged requests were sent and answered.
    times: Vec<(Instant, Instant)>,
}

impl Told {
    fn note(
        &self,
        events: &[Event],
        begun: Instant,
        answer: &nodes::proto::hearth::AppendResponse,
    ) {
        assert!(answer.rejected.is_empty(), "{:?}", answer.rejected);
        assert_eq!((answer.accepted + answer.duplicates) as usize, events.len());
        let mut inner = self.inner.lock().unwrap();
        inner.ids.extend(events.iter().map(|event| event.event_id.clone()));
        inner.log_index = inner.log_index.max(answer.log_index);
        inner.sent += events.len() as u64;
        inner.accepted += u64::from(answer.accepted);
        inner.duplicates += u64::from(answer.duplicates);
        inner.times.push((begun, Instant::now()));
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.inner.lock().unwrap().ids.clone()
    }

    pub(crate) fn log_index(&self) -> u64 {
        self.inner.lock().unwrap().log_index
    }

    /// Acknowledged events in all, each time that it was.
    pub(crate) fn sent(&self) -> u64 {
        self.inner.lock().unwrap().sent
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.inner.lock().unwrap().duplicates
    }

    /// How long after a moment the first request that was sent later was acknowledged.
    pub(crate) fn first_after(&self, moment: Instant) -> Option<Duration> {
        let inner = self.inner.lock().unwrap();
        let later = inner.times.iter().filter(|(begun, _)| *begun >= moment);
        later.map(|(_, ended)| ended.duration_since(moment)).min()
    }
}

/// Unary batches through any node; every fourth batch is sent twice though it was acknowledged.
pub(crate) fn append(
    addresses: &str,
    source: &'static str,
    seed: u64,
    told: &Arc<Told>,
) -> JoinHandle<()> {
    let (client, told) = (Client::new(addresses).unwrap(), Arc::clone(told));
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    tokio::spawn(async move {
        let mut next = 0;
        while !told.is_stopped() {
            let events = motions(source, next..next + EVENTS_PER_REQUEST);
            let times = if dice.random_ratio(1, 4) { 2 } else { 1 };
            for _ in 0..times {
                let mut begun = Instant::now();
                while !told.is_stopped() {
                    match client.append(events.clone()).await {
                        Ok(answer) => {
                            told.note(&events, begun, &answer);
                            break;
                        }
                        Err(error) => {
                            eprintln!("{source}: {error}; sent again");
                            begun = Instant::now();
                        }
                    }
                }
            }
            next += EVENTS_PER_REQUEST;
        }
    })
}

/// One bidirectional stream to one node after the other; a new one begins with what the last left
/// open and with one batch that was answered already.
pub(crate) fn bidirectional(
    addresses: &str,
    source: &'static str,
    told: &Arc<Told>,
) -> JoinHandle<()> {
    let channels: Vec<Channel> = addresses
        .split(',')
        .map(|address| {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            endpoint.connect_timeout(Duration::from_secs(1)).connect_lazy()
        })
        .collect();
    let told = Arc::clone(told);
    tokio::spawn(async move {
        let mut answered = 0;
        for channel in channels.iter().cycle() {
            if told.is_stopped() {
                return;
            }
            if let Err(error) = one_stream(channel.clone(), source, &mut answered, &told).await {
                eprintln!("{source}: {error}; next node");
            }
            // The server took half a batch's worth of time to say no; do not spin.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

async fn one_stream(
    channel: Channel,
    source: &str,
    answered: &mut u64,
    told: &Told,
) -> Result<(), tonic::Status> {
    let (to, from) = mpsc::channel(IN_FLIGHT);
    let requests = tokio_stream::wrappers::ReceiverStream::new(from);
    let late = || tonic::Status::deadline_exceeded("no answer in time");
    let mut client = events_client(channel);
    // The answer's headers come with the first answer: the first request must be on its way.
    let mut next = answered.saturating_sub(1);
    let mut waiting = std::collections::VecDeque::new();
    let mut answers = None;
    let mut opening = Some(Box::pin(async move { client.stream(requests).await }));
    loop {
        while waiting.len() < IN_FLIGHT && !told.is_stopped() {
            let events =
                motions(source, next * EVENTS_PER_REQUEST..(next + 1) * EVENTS_PER_REQUEST);
            let request = AppendRequest { events: events.clone(), request_id: next.to_string() };
            let sent = to.try_send(request);
            if sent.is_err() {
                break;
            }
            waiting.push_back((next, events, Instant::now()));
            next += 1;
        }
        if waiting.is_empty() {
            return Ok(());
        }
        if let Some(opening) = opening.take() {
            let opened = tokio::time::timeout(ANSWER_WITHIN, opening).await.map_err(|_| late())?;
            answers = Some(opened?.into_inner());
        }
        let Some(answers) = &mut answers else { return Ok(()) };
        let answer = tokio::time::timeout(ANSWER_WITHIN, answers.message());
        let answer = answer.await.map_err(|_| late())??;
        let answer = answer.ok_or_else(|| tonic::Status::unavailable("the stream ended"))?;
        let (number, events, begun) = waiting.pop_front().unwrap();
        assert_eq!(answer.request_id, number.to_string(), "answers out of order");
        told.note(&events, begun, &answer);
        *answered = (*answered).max(number + 1);
    }
}

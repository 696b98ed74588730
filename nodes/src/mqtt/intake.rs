//! A batch of messages into the log, again and again until it is there.

use super::config::Mqtt;
use super::figures::{Figure, add};
use super::payload::Reader;
use super::wire::Message;
use crate::feeds::take_lines;
use crate::node::Node;
use crate::state::{Command, DeadLetter, Reply, ingest_bytes};
use features::{Event, EventRef};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

/// Events in one command.
const EVENTS_PER_COMMAND: usize = 2_000;
/// Dead letters in one command.
const LETTERS_PER_COMMAND: usize = 256;
/// Between two proposals of the same batch.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Where the messages of one connection go.
#[derive(Debug)]
pub(crate) struct Intake {
    node: Arc<Node>,
    reader: Reader,
    figure: Arc<Figure>,
}

impl Intake {
    pub(crate) fn new(node: Arc<Node>, broker: &Mqtt, figure: Arc<Figure>) -> Result<Self, String> {
        Ok(Self { node, reader: Reader::new(broker)?, figure })
    }

    pub(crate) fn figure(&self) -> &Figure {
        &self.figure
    }

    /// What can be read of the messages, as events and as dead letters.
    fn sort(&self, batch: &[Message]) -> (Vec<Event>, Vec<DeadLetter>) {
        let now_us = self.node.raft().now_us();
        let (mut events, mut letters) = (Vec::new(), Vec::new());
        for message in batch {
            let read = match self.reader.read(message, now_us) {
                Ok(read) => read,
                Err(reason) => {
                    letters.push(whole_letter(message, &reason));
                    continue;
                }
            };
            for outcome in read {
                let refused = match outcome {
                    Ok(event) => match event.check(now_us) {
                        Ok(_) => {
                            events.push(event);
                            continue;
                        }
                        Err(error) => (error.to_string(), None),
                    },
                    Err((reason, text)) => (reason, Some(text)),
                };
                let (reason, text) = refused;
                letters.push(match text {
                    Some(text) => DeadLetter::new("mqtt", &message.topic, &reason, text.as_bytes()),
                    None => whole_letter(message, &reason),
                });
            }
        }
        (events, letters)
    }

    /// Until it is in the log: whoever gives up is whoever holds the connection.
    async fn propose(&self, command: Vec<u8>) -> Reply {
        // The room is never closed.
        let _room = self.node.room().wait(command.len()).await.ok();
        let mut pause = RETRY_MIN;
        loop {
            match self.node.propose_bytes(command.clone()).await {
                Ok((_, reply)) => return reply,
                Err(error) => tracing::debug!(broker = self.figure.name, %error, "proposed again"),
            }
            add(&self.figure.retries, 1);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn keep(&self, letters: Vec<DeadLetter>) {
        add(&self.figure.letters, letters.len() as u64);
        for part in letters.chunks(LETTERS_PER_COMMAND) {
            self.propose(Command::RecordDeadLetters(part.to_vec()).encode()).await;
        }
    }

    async fn take_events(&self, batch: &[Message]) {
        let (events, letters) = self.sort(batch);
        for part in events.chunks(EVENTS_PER_COMMAND) {
            let part: Vec<EventRef<'_>> = part.iter().map(EventRef::from).collect();
            if let Reply::Ingested { accepted, duplicates } =
                self.propose(ingest_bytes::encode(&part)).await
            {
                add(&self.figure.events, u64::from(accepted));
                add(&self.figure.duplicates, u64::from(duplicates));
            }
        }
        self.keep(letters).await;
    }

    async fn take_rows(&self, feed: &str, message: &Message) {
        let text = match (message.over, std::str::from_utf8(&message.payload)) {
            (None, Ok(text)) => text,
            (Some(bytes), _) => {
                let said = format!("the message has {bytes} bytes: raise message_bytes");
                return self.keep(vec![whole_letter(message, &said)]).await;
            }
            (None, Err(_)) => {
                let said = "the payload is not UTF-8";
                return self.keep(vec![whole_letter(message, said)]).await;
            }
        };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let mut pause = RETRY_MIN;
        loop {
            match take_lines(&self.node, feed, &lines).await {
                Ok(answer) => {
                    add(&self.figure.events, u64::from(answer.fed.applied));
                    add(&self.figure.duplicates, u64::from(answer.fed.duplicates));
                    return;
                }
                Err(status) if is_passing(&status) => {}
                Err(status) => {
                    return self.keep(vec![whole_letter(message, status.message())]).await;
                }
            }
            add(&self.figure.retries, 1);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}

fn is_passing(status: &Status) -> bool {
    let codes = [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded];
    codes.contains(&status.code())
}

fn whole_letter(message: &Message, reason: &str) -> DeadLetter {
    let bytes = message.over.unwrap_or(message.payload.len() as u64);
    DeadLetter::cut_short("mqtt", &message.topic, reason, (&message.payload, bytes))
}

/// Returns the batch once all that it says is in the log, or in the table of dead letters.
pub(crate) async fn commit(intake: Arc<Intake>, batch: Vec<Message>) -> Vec<Message> {
    match intake.reader.feed() {
        Some(feed) => {
            for message in &batch {
                intake.take_rows(feed, message).await;
            }
        }
        None => intake.take_events(&batch).await,
    }
    batch
}

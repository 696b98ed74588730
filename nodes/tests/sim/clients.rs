//! Clients that send numbered events until each is acknowledged, and read.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use features::Event;
use features::civil;
use features::table::{Cell, encode_row};
use nodes::state::{Command, Reply};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::node::{Answer, Question};
use crate::plan::{Plan, dice};
use crate::seen::Seen;

/// Events are about these times; the state takes them as new.
const EPOCH_US: i64 = 1_700_000_000_000_000;

/// One thing a client wants.
#[derive(Debug, Clone)]
enum Wish {
    /// An event by its number.
    Event(u64, Bytes),
    Other(Bytes),
    Read,
}

#[derive(Debug, Default)]
struct Client {
    wish: Option<Wish>,
    /// When it stops waiting for an answer and asks another node, or makes its next wish.
    next_ms: u64,
}

/// A question on its way. The client may have given up on it; its answer counts all the same.
#[derive(Debug)]
struct Asked {
    client: usize,
    wish: Wish,
    /// What had been acknowledged when it was asked.
    floor: u64,
}

#[derive(Debug)]
pub(crate) struct Clients {
    clients: Vec<Client>,
    asked: BTreeMap<u64, Asked>,
    dice: ChaCha8Rng,
    events: u64,
    acked_index: u64,
    pub(crate) acked: u64,
    pub(crate) reads: u64,
    setup: Vec<Bytes>,
}

impl Clients {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            clients: (0..plan.clients).map(|_| Client::default()).collect(),
            asked: BTreeMap::new(),
            dice: dice(plan.seed, 2),
            events: 0,
            acked_index: 0,
            acked: 0,
            reads: 0,
            setup: street(),
        }
    }

    /// The questions of this moment, each with the node it is for.
    pub(crate) fn ask(
        &mut self,
        now_ms: u64,
        nodes: &[u64],
        next_number: &mut u64,
    ) -> Vec<(u64, u64, Question)> {
        let mut questions = Vec::new();
        for at in 0..self.clients.len() {
            if self.clients[at].next_ms > now_ms {
                continue;
            }
            let Some(node) = nodes.choose(&mut self.dice).copied() else { continue };
            let wish = match self.clients[at].wish.take() {
                Some(wish) => wish,
                None => self.wish(),
            };
            let patience_ms = self.dice.random_range(50..=1_500);
            let question = match &wish {
                Wish::Event(_, command) | Wish::Other(command) => {
                    Question::Propose(command.clone(), Duration::from_millis(patience_ms * 2))
                }
                Wish::Read => Question::Read,
            };
            *next_number += 1;
            questions.push((*next_number, node, question));
            let asked = Asked { client: at, wish: wish.clone(), floor: self.acked_index };
            self.asked.insert(*next_number, asked);
            self.clients[at] = Client { wish: Some(wish), next_ms: now_ms + patience_ms };
        }
        questions
    }

    fn wish(&mut self) -> Wish {
        if let Some(command) = self.setup.pop() {
            return Wish::Other(command);
        }
        match self.dice.random_range(0..10) {
            0..=2 => Wish::Read,
            3 => Wish::Other(Command::Tick.encode().into()),
            _ => {
                self.events += 1;
                let event = Event {
                    event_id: self.events.to_string(),
                    device_id: format!("d{}", self.dice.random_range(1..=3)),
                    kind: ["gas", "motion", "smoke", "sos"]
                        .choose(&mut self.dice)
                        .map_or_else(String::new, |kind| (*kind).to_owned()),
                    event_time_us: EPOCH_US + self.events as i64 * 1_000_000,
                    value: f64::from(self.dice.random_range(0..20_u8)),
                    source: "gateway".to_owned(),
                    ..Event::default()
                };
                let command = Command::IngestEvents { events: vec![event] };
                Wish::Event(self.events, command.encode().into())
            }
        }
    }

    /// Takes an answer; says what it shows. Numbers of others are left alone.
    pub(crate) fn answered(&mut self, now_ms: u64, number: u64, answer: &Answer) -> Option<Seen> {
        let asked = self.asked.remove(&number)?;
        let client = &mut self.clients[asked.client];
        let Ok((index, reply)) = answer else {
            // Another node, soon.
            client.next_ms = client.next_ms.min(now_ms + self.dice.random_range(1..=50));
            return None;
        };
        let same = |wish: &Wish| match (wish, &asked.wish) {
            (Wish::Event(one, _), Wish::Event(other, _)) => one == other,
            (Wish::Other(one), Wish::Other(other)) => one == other,
            (Wish::Read, Wish::Read) => true,
            _ => false,
        };
        if client.wish.as_ref().is_some_and(same) {
            client.wish = None;
            client.next_ms = now_ms + self.dice.random_range(0..=30);
        }
        let index = *index;
        let seen = match asked.wish {
            Wish::Event(event, _) => {
                assert!(
                    matches!(Reply::decode(reply), Ok(Reply::Ingested { .. })),
                    "event {event} was answered by something else"
                );
                self.acked += 1;
                Some(Seen::Acked { event, index })
            }
            Wish::Read => {
                self.reads += 1;
                Some(Seen::Read { floor: asked.floor, index })
            }
            Wish::Other(_) => None,
        };
        self.acked_index = self.acked_index.max(index);
        seen
    }
}

/// The register: a few homes with a device and a resident each.
fn street() -> Vec<Bytes> {
    let row = |table: &str, cells: &[(&str, String)]| {
        let table = civil::table(table).unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        for (name, text) in cells {
            row[table.position(name).unwrap()] = Cell::text(text);
        }
        let rows = vec![encode_row(&row).unwrap()];
        Bytes::from(Command::UpsertRows { table: table.name.to_owned(), rows }.encode())
    };
    (1..=3)
        .flat_map(|n| {
            let (dwelling, household) = (format!("w{n}"), format!("h{n}"));
            [
                row("dwelling", &[("dwelling_id", dwelling.clone())]),
                row(
                    "household",
                    &[("household_id", household.clone()), ("dwelling_id", dwelling.clone())],
                ),
                row("resident", &[("resident_key", format!("r{n}")), ("household_id", household)]),
                row("device", &[("device_id", format!("d{n}")), ("dwelling_id", dwelling)]),
            ]
        })
        .collect()
}

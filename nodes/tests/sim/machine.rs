//! hearth's replicated state under raft, without a warehouse behind it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Error, Read, Result, Write};

use bytes::Bytes;
use nodes::state::{Command, Reply, State};
use parking_lot::Mutex;
use raft::sim::{Mutation, breaks};
use raft::{Frozen, Position, StateMachine};

use crate::seen::{Journal, Seen};

/// Every so many entries the whole state is hashed.
const HASH_EVERY: u64 = 32;

#[derive(Debug, Default)]
struct Held {
    state: State,
    /// Where each event was counted.
    counted: BTreeMap<u64, u64>,
}

#[derive(Debug)]
pub(crate) struct Machine {
    node: u64,
    held: Mutex<Held>,
    journal: Journal,
}

/// The hash of anything; the same in every process.
pub(crate) fn digest(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Machine {
    pub(crate) fn new(node: u64, journal: Journal) -> Self {
        Self { node, held: Mutex::default(), journal }
    }

    /// The whole state and the events in it.
    pub(crate) fn settled(&self) -> Seen {
        let held = self.held.lock();
        Seen::Settled {
            index: held.state.applied,
            hash: digest(held.state.to_bytes().unwrap()),
            events: held.counted.keys().copied().collect(),
        }
    }

    fn note(&self, seen: Seen) {
        self.journal.note(self.node, seen);
    }
}

impl StateMachine for Machine {
    fn apply(&self, at: Position, commands: &[Bytes]) -> Vec<Bytes> {
        let mut held = self.held.lock();
        self.note(Seen::Applied {
            index: at.index,
            term: at.term,
            digest: digest((at.time_us, commands)),
        });
        let given: Vec<_> = commands.iter().map(|bytes| broken(at, bytes)).collect();
        let replies = held.state.apply(at, &given).expect("every command is of this version");
        drop(held.state.take_changes());
        for (bytes, reply) in commands.iter().zip(&replies) {
            if let Some(event) = event_of(bytes)
                && Reply::decode(reply).unwrap() == (Reply::Ingested { accepted: 1, duplicates: 0 })
            {
                held.counted.insert(event, at.index);
                self.note(Seen::Counted { index: at.index, event });
            }
        }
        if at.index % HASH_EVERY == 0 {
            let hash = digest(held.state.to_bytes().unwrap());
            self.note(Seen::Hashed { index: at.index, hash });
        }
        replies.into_iter().map(Bytes::from).collect()
    }

    fn freeze(&self) -> Frozen {
        let held = self.held.lock();
        let state = held.state.to_bytes().unwrap();
        self.note(Seen::Hashed { index: held.state.applied, hash: digest(&state) });
        let whole = postcard::to_stdvec(&(&held.counted, state)).unwrap();
        Box::new(move |to: &mut dyn Write| to.write_all(&whole))
    }

    fn restore(&self, at: Position, from: &mut dyn Read) -> Result<()> {
        let mut whole = Vec::new();
        from.read_to_end(&mut whole)?;
        let (counted, state): (BTreeMap<u64, u64>, Vec<u8>) =
            postcard::from_bytes(&whole).map_err(Error::other)?;
        let state = State::from_reader(&mut &state[..])?;
        self.note(Seen::Restored { index: at.index });
        let hash = digest(state.to_bytes().unwrap());
        self.note(Seen::Hashed { index: state.applied, hash });
        *self.held.lock() = Held { state, counted };
        Ok(())
    }
}

/// The number of the event in a command, if it is one.
fn event_of(bytes: &Bytes) -> Option<u64> {
    match Command::decode(bytes).unwrap() {
        Command::IngestEvents { events } => events[0].event_id.parse().ok(),
        _ => None,
    }
}

/// The command as the state gets it.
fn broken(at: Position, bytes: &Bytes) -> Bytes {
    if !breaks(Mutation::CountRepeats) {
        return bytes.clone();
    }
    let mut command = Command::decode(bytes).unwrap();
    if let Command::IngestEvents { events } = &mut command {
        events[0].event_id = format!("{}@{}", events[0].event_id, at.index);
    }
    command.encode().into()
}

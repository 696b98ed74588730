//! A small state: counters by name, and every distinct command it has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Result, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use raft::{Frozen, Position, StateMachine};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) sums: BTreeMap<String, u64>,
    /// Commands are `name/serial`; each serial counts once.
    seen: BTreeSet<Vec<u8>>,
    pub(crate) index: u64,
    pub(crate) time_us: i64,
    pub(crate) restored: u64,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) state: Mutex<Counters>,
    pub(crate) durable: AtomicU64,
}

impl Machine {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), durable: AtomicU64::new(u64::MAX) })
    }

    pub(crate) fn sum(&self, name: &str) -> u64 {
        self.state.lock().sums.get(name).copied().unwrap_or(0)
    }

    /// What must be the same on every node.
    pub(crate) fn replicated(&self) -> (BTreeMap<String, u64>, BTreeSet<Vec<u8>>, i64) {
        let state = self.state.lock().clone();
        (state.sums, state.seen, state.time_us)
    }
}

impl StateMachine for Machine {
    fn apply(&self, at: Position, commands: &[Bytes]) -> Vec<Bytes> {
        let mut state = self.state.lock();
        assert!(at.index > state.index, "index goes up");
        assert!(at.time_us >= state.time_us, "time never goes back");
        state.index = at.index;
        state.time_us = at.time_us;
        let mut replies = Vec::new();
        assert!(!commands.iter().any(|c| &c[..] == b"panic"), "as commanded");
        for command in commands {
            let name = command.split(|b| *b == b'/').next().unwrap();
            let name = String::from_utf8(name.to_vec()).unwrap();
            if state.seen.insert(command.to_vec()) {
                *state.sums.entry(name.clone()).or_default() += 1;
            }
            replies.push(state.sums[&name].to_string().into());
        }
        replies
    }

    fn freeze(&self) -> Frozen {
        let state = self.state.lock().clone();
        Box::new(move |to: &mut dyn Write| {
            for command in &state.seen {
                to.write_all(command)?;
                to.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    fn restore(&self, at: Position, from: &mut dyn Read) -> Result<()> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        let mut state = Counters {
            index: at.index,
            time_us: at.time_us,
            restored: at.index,
            ..Counters::default()
        };
        for line in text.lines() {
            let name = line.split('/').next().unwrap();
            *state.sums.entry(name.to_owned()).or_default() += 1;
            state.seen.insert(line.as_bytes().to_vec());
        }
        *self.state.lock() = state;
        Ok(())
    }

    fn durable_index(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }
}

//! What was handed to the log and is not known to be on disk yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

#[derive(Debug, Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By order; when it was handed over, and the log index it begins at.
    waiting: BTreeMap<u64, (Instant, u64)>,
}

/// One append or vote; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    of: Pending,
    number: u64,
}

impl Pending {
    pub(crate) fn begin(&self, index: u64) -> Ticket {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, (Instant::now(), index));
        Ticket { of: self.clone(), number }
    }

    /// How long the oldest has waited, and its index.
    pub(crate) fn oldest(&self) -> Option<(Duration, u64)> {
        let state = self.0.lock();
        let (_, (since, index)) = state.waiting.first_key_value()?;
        Some((since.elapsed(), *index))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().waiting.len()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.of.0.lock().waiting.remove(&self.number);
    }
}

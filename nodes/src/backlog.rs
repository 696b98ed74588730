//! What waits for the recorder: bounded in bytes, and when it is time to write it down.
//!
//! A transaction of the warehouse costs about the same for one row as for a thousand, so the recorder
//! lets entries gather between two of them, unless a reader waits for one or the room runs out.

use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Bytes of rows that may wait; when they are reached, apply waits.
const BYTES_MAX: usize = 256 << 20;
/// Bytes from which on nothing gathers any longer.
const BYTES_HURRY: usize = 32 << 20;

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    /// The newest entry that was handed on.
    newest: u64,
    /// The newest entry that a reader has asked for.
    wanted: u64,
    /// A snapshot waits for what is on the disk.
    durable_wanted: bool,
    closed: bool,
}

impl Held {
    /// Whether somebody waits for an entry that is here and not recorded yet, or room is short.
    fn is_urgent(&self, recorded: u64) -> bool {
        let is_awaited = recorded < self.wanted && self.wanted <= self.newest;
        is_awaited || self.durable_wanted || self.closed || self.bytes >= BYTES_HURRY
    }
}

impl Backlog {
    /// Counts an entry in; waits for room. An entry larger than all room goes in alone.
    pub(crate) fn admit(&self, index: u64, bytes: usize) {
        let mut held = self.held.lock();
        while held.bytes > 0 && held.bytes + bytes > BYTES_MAX && !held.closed {
            self.changed.wait(&mut held);
        }
        held.bytes += bytes;
        held.newest = index;
        if held.wanted == index || held.bytes >= BYTES_HURRY {
            self.changed.notify_all();
        }
    }

    /// Counts out what has been written.
    pub(crate) fn release(&self, bytes: usize) {
        self.held.lock().bytes -= bytes;
        self.changed.notify_all();
    }

    /// A reader waits for this entry.
    pub(crate) fn want(&self, index: u64) {
        let mut held = self.held.lock();
        held.wanted = held.wanted.max(index);
        self.changed.notify_all();
    }

    /// A snapshot waits until what is here is on the disk.
    pub(crate) fn want_durable(&self) {
        self.held.lock().durable_wanted = true;
        self.changed.notify_all();
    }

    /// Whether a snapshot waits; asks once.
    pub(crate) fn take_durable_wanted(&self) -> bool {
        std::mem::take(&mut self.held.lock().durable_wanted)
    }

    /// Nobody takes anything out any more: whoever waits goes on.
    pub(crate) fn close(&self) {
        self.held.lock().closed = true;
        self.changed.notify_all();
    }

    /// Lets entries gather until then, or until it is urgent to write them.
    pub(crate) fn gather(&self, recorded: u64, until: Instant) {
        let mut held = self.held.lock();
        while !held.is_urgent(recorded) {
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            self.changed.wait_for(&mut held, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Far beyond what a test may take.
    const LATER: Duration = Duration::from_mins(10);

    /// Gathers in a thread, which ends only when something is urgent.
    fn gathering(backlog: &Arc<Backlog>, recorded: u64) -> std::thread::JoinHandle<()> {
        let backlog = Arc::clone(backlog);
        std::thread::spawn(move || backlog.gather(recorded, Instant::now() + LATER))
    }

    #[test]
    fn a_reader_and_a_full_room_end_the_gathering() {
        let backlog = Arc::new(Backlog::default());
        let waits = gathering(&backlog, 4);
        backlog.admit(5, 10);
        backlog.want(7);
        assert!(!waits.is_finished(), "entry 7 is not here yet");
        backlog.admit(7, 10);
        waits.join().unwrap();
        let waits = gathering(&backlog, 7);
        backlog.admit(8, BYTES_HURRY);
        waits.join().unwrap();
        backlog.release(BYTES_HURRY + 20);
        backlog.want_durable();
        gathering(&backlog, 8).join().unwrap();
        assert!(backlog.take_durable_wanted() && !backlog.take_durable_wanted());
        backlog.gather(8, Instant::now());
    }

    #[test]
    fn an_entry_waits_for_room_and_a_closed_backlog_holds_nobody_up() {
        let backlog = Arc::new(Backlog::default());
        backlog.admit(1, BYTES_MAX + 1);
        let admit = |index| {
            let backlog = Arc::clone(&backlog);
            std::thread::spawn(move || backlog.admit(index, 10))
        };
        let second = admit(2);
        backlog.release(BYTES_MAX + 1);
        second.join().unwrap();
        backlog.admit(3, BYTES_MAX - 10);
        let fourth = admit(4);
        backlog.close();
        fourth.join().unwrap();
    }
}

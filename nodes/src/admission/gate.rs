//! The door of every inference: urgent ones go through at once, the others as the valve lets them.

use super::load::Load;
use super::queue::{Full, Queue};
use super::valve::{CALM, Valve};
use models::Priority;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A call without a deadline of its own waits so long at the most.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often the rate follows what the machine has to spare.
const STEER: Duration = Duration::from_millis(100);
/// The valve waits no longer than this before it looks again.
const LOOK: Duration = Duration::from_millis(20);

/// Why a call was not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(
        "{limit} {priority} inferences wait on this node already, which is the limit (limits.waiting_inferences): try later, or another node"
    )]
    Full { priority: Priority, limit: usize },
    #[error(
        "{limit} inferences are under way on this node already, which is the limit (limits.inferences_in_flight): try later, or another node"
    )]
    Busy { limit: usize },
    #[error(
        "{ahead} calls wait before this one of priority {priority}, about {wait_ms} ms, and its deadline is in {left_ms} ms: it was not begun"
    )]
    TooLate { priority: Priority, ahead: usize, wait_ms: u128, left_ms: u128 },
    #[error("the deadline passed before the call was begun")]
    Expired,
}

/// A call that is under way; it is over when this is dropped.
#[derive(Debug)]
pub struct Permit<'a>(&'a AtomicUsize);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Waiter = oneshot::Sender<Result<(), Refused>>;

#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    in_flight: AtomicUsize,
    in_flight_max: usize,
    waiting_max: usize,
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// The last urgent call, in microseconds since `begun`; 0 before the first.
    urgent_us: AtomicU64,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug)]
struct Held {
    queue: Queue<Waiter>,
    valve: Valve,
    has_keeper: bool,
    is_closed: bool,
}

impl Gate {
    pub fn new(in_flight_max: usize, waiting_max: usize) -> Self {
        let begun = Instant::now();
        let held = Held {
            queue: Queue::new(waiting_max),
            valve: Valve::new(begun),
            has_keeper: false,
            is_closed: false,
        };
        let shared = Shared {
            begun,
            urgent_us: AtomicU64::new(0),
            held: Mutex::new(held),
            changed: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
            in_flight: AtomicUsize::new(0),
            in_flight_max,
            waiting_max,
        }
    }

    /// Waits for the call's turn; refuses at once what has no place, or would come too late.
    pub async fn enter(
        &self,
        priority: Priority,
        deadline: Option<Instant>,
    ) -> Result<Permit<'_>, Refused> {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.in_flight_max {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Busy { limit: self.in_flight_max });
        }
        let permit = Permit(&self.in_flight);
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Refused::Expired);
        }
        if priority == Priority::Safety {
            self.shared.press(now);
            return Ok(permit);
        }
        if self.shared.is_calm(now) {
            return Ok(permit);
        }
        if let Some(turn) = self.queue_up(priority, deadline, now)? {
            // A gate that closes lets nobody in any more.
            turn.await.unwrap_or(Err(Refused::Expired))?;
        }
        Ok(permit)
    }

    /// Whether urgent calls came in of late: what can wait should.
    pub fn is_pressed(&self) -> bool {
        !self.shared.is_calm(Instant::now())
    }

    pub fn waiting(&self) -> usize {
        self.shared.held.lock().queue.len()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Nothing where the call may go on at once.
    fn queue_up(
        &self,
        priority: Priority,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Option<oneshot::Receiver<Result<(), Refused>>>, Refused> {
        let mut held = self.shared.held.lock();
        self.shared.tell(&mut held);
        if held.queue.is_empty() && held.valve.take(now) {
            return Ok(None);
        }
        let due = deadline.unwrap_or(now + WAIT_MAX);
        if deadline.is_some() {
            let ahead = held.queue.ahead_of(priority, due);
            let (wait, left) = (held.valve.wait(now, ahead + 1), due - now);
            if wait > left {
                let (wait_ms, left_ms) = (wait.as_millis(), left.as_millis());
                return Err(Refused::TooLate { priority, ahead, wait_ms, left_ms });
            }
        }
        held.has_keeper = held.has_keeper || self.shared.start_keeper();
        if !held.has_keeper {
            return Ok(None);
        }
        let (sender, turn) = oneshot::channel();
        held.queue
            .push(priority, due, sender)
            .map_err(|Full| Refused::Full { priority, limit: self.waiting_max })?;
        self.shared.changed.notify_one();
        Ok(Some(turn))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.held.lock().is_closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn since_begun_us(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.begun).as_micros() as u64
    }

    fn press(&self, now: Instant) {
        self.urgent_us.fetch_max(self.since_begun_us(now).max(1), Ordering::Relaxed);
    }

    fn is_calm(&self, now: Instant) -> bool {
        let urgent_us = self.urgent_us.load(Ordering::Relaxed);
        let calm_us = CALM.as_micros() as u64;
        urgent_us == 0 || self.since_begun_us(now).saturating_sub(urgent_us) >= calm_us
    }

    /// The valve hears of urgent calls here, so that those take no lock.
    fn tell(&self, held: &mut Held) {
        let urgent_us = self.urgent_us.load(Ordering::Relaxed);
        if urgent_us > 0 {
            held.valve.press(self.begun + Duration::from_micros(urgent_us));
        }
    }

    /// A thread of its own: the pauses between two calls are shorter than a runtime's timer can be.
    fn start_keeper(self: &Arc<Self>) -> bool {
        let shared = Arc::clone(self);
        let keeper = std::thread::Builder::new().name("hearth-gate".to_owned());
        match keeper.spawn(move || shared.keep()) {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(%error, "no thread for calls that wait: they are let in at once");
                false
            }
        }
    }

    fn keep(&self) {
        let mut before = Load::now();
        let mut steered = Instant::now();
        let mut held = self.held.lock();
        while !held.is_closed {
            if held.queue.is_empty() {
                self.changed.wait(&mut held);
                continue;
            }
            self.tell(&mut held);
            let now = Instant::now();
            if now.duration_since(steered) >= STEER {
                // The books are read without the lock: a call that comes meanwhile finds the queue.
                let after = MutexGuard::unlocked(&mut held, Load::now);
                let free = before.zip(after).and_then(|(before, after)| after.free_since(before));
                if let Some(free) = free {
                    held.valve.steer(free);
                }
                (before, steered) = (after, now);
            }
            if held.valve.take(now) {
                held.let_in(now);
            } else {
                let pause = held.valve.wait(now, 1).min(LOOK);
                self.changed.wait_for(&mut held, pause);
            }
        }
    }
}

impl Held {
    /// Lets the next one in that still waits; those whose time has passed are told so.
    fn let_in(&mut self, now: Instant) {
        while let Some((due, waiter)) = self.queue.pop() {
            if due <= now {
                // Nobody hears it where the caller has gone.
                let _ = waiter.send(Err(Refused::Expired));
            } else if waiter.send(Ok(())).is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as a deadline is handed over")]
    fn in_ms(ms: u64) -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(ms))
    }

    #[tokio::test]
    async fn without_urgent_calls_everything_goes_through_at_once() {
        let gate = Gate::new(1_000, 0);
        let mut permits = Vec::new();
        for priority in Priority::ALL.into_iter().skip(1) {
            for _ in 0..200 {
                permits.push(gate.enter(priority, None).await.unwrap());
            }
        }
        assert_eq!(gate.in_flight(), 400);
        permits.clear();
        assert_eq!((gate.in_flight(), gate.is_pressed()), (0, false));
    }

    #[tokio::test]
    async fn a_flood_waits_or_is_refused_and_an_urgent_call_never_is() {
        let gate = Arc::new(Gate::new(1_000, 20));
        drop(gate.enter(Priority::Safety, None).await.unwrap());
        assert!(gate.is_pressed());
        let mut flood = Vec::new();
        for _ in 0..200 {
            let gate = Arc::clone(&gate);
            flood.push(tokio::spawn(
                async move { gate.enter(Priority::Batch, None).await.map(drop) },
            ));
        }
        let mut refused = 0;
        for each in flood {
            match each.await.unwrap() {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error, Refused::Full { priority: Priority::Batch, limit: 20 });
                    assert!(error.to_string().contains("20 batch inferences"), "{error}");
                    refused += 1;
                }
            }
            // At once, whoever waits: this would hang for as long as the queue does otherwise.
            let urgent = gate.enter(Priority::Safety, None);
            assert!(
                futures::FutureExt::now_or_never(urgent).is_some_and(|entered| entered.is_ok())
            );
        }
        assert!(refused > 0);
    }

    #[tokio::test]
    async fn what_cannot_come_in_time_is_refused_at_once() {
        let gate = Arc::new(Gate::new(1_000, 1_000));
        assert_eq!(gate.enter(Priority::Safety, in_ms(0)).await.err(), Some(Refused::Expired));
        drop(gate.enter(Priority::Safety, None).await.unwrap());
        let flood: Vec<_> = (0..300)
            .map(|_| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.enter(Priority::Normal, None).await.map(drop) })
            })
            .collect();
        while gate.waiting() < 100 {
            tokio::task::yield_now().await;
        }
        // A hundred before it at five hundred a second take longer than a millisecond.
        let begun = Instant::now();
        let error = gate.enter(Priority::Batch, in_ms(1)).await.unwrap_err();
        assert!(matches!(error, Refused::TooLate { .. } | Refused::Expired), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(1));
        for each in flood {
            each.abort();
        }
    }

    #[tokio::test]
    async fn no_more_calls_are_under_way_than_allowed() {
        let gate = Gate::new(2, 10);
        let held = [
            gate.enter(Priority::Safety, None).await.unwrap(),
            gate.enter(Priority::Safety, None).await.unwrap(),
        ];
        let error = gate.enter(Priority::Safety, None).await.unwrap_err();
        assert!(error == Refused::Busy { limit: 2 } && error.to_string().contains("2 inferences"));
        drop(held);
        assert!(gate.enter(Priority::Safety, None).await.is_ok());
    }
}

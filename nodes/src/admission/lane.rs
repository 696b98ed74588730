//! Long runs, one after the other on a thread of their own, the more urgent first: a thread that serves
//! connections is never held up by one.

use super::gate::Refused;
use super::queue::{Full, Queue};
use models::Priority;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a run without a deadline waits at the most.
const WAIT_MAX: Duration = Duration::from_secs(30);

type Run = Box<dyn FnOnce(bool) + Send>;

/// Work that waits for the thread.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    limit: usize,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Lane").field("limit", &self.limit).finish_non_exhaustive()
    }
}

struct Shared {
    held: Mutex<Held>,
    changed: Condvar,
}

struct Held {
    queue: Queue<Run>,
    has_thread: bool,
    is_closed: bool,
}

impl Lane {
    pub(crate) fn new(limit: usize) -> Self {
        let held = Held { queue: Queue::new(limit), has_thread: false, is_closed: false };
        let shared = Shared { held: Mutex::new(held), changed: Condvar::new() };
        Self { shared: Arc::new(shared), limit }
    }

    /// What the work gives, once its turn has come; refused at once where too many wait.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        priority: Priority,
        deadline: Option<Instant>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (sender, outcome) = oneshot::channel();
        let run = move |in_time: bool| {
            // Nobody waits where the caller has gone.
            if !sender.is_closed() {
                let _ = sender.send(if in_time { Ok(work()) } else { Err(Refused::Expired) });
            }
        };
        {
            let mut held = self.shared.held.lock();
            let due = deadline.unwrap_or_else(|| Instant::now() + WAIT_MAX);
            held.queue
                .push(priority, due, Box::new(run))
                .map_err(|Full| Refused::Full { priority, limit: self.limit })?;
            if !held.has_thread {
                held.has_thread = self.shared.start();
            }
        }
        self.shared.changed.notify_one();
        outcome.await.unwrap_or(Err(Refused::Expired))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.held.lock().is_closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn start(self: &Arc<Self>) -> bool {
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("hearth-lane".to_owned());
        let started = thread.spawn(move || shared.keep());
        if let Err(error) = &started {
            tracing::error!(%error, "no thread for long runs: they wait for the next attempt");
        }
        started.is_ok()
    }

    fn keep(&self) {
        yield_to_others();
        let mut held = self.held.lock();
        while !held.is_closed {
            match held.queue.pop() {
                Some((due, run)) => {
                    parking_lot::MutexGuard::unlocked(&mut held, || run(Instant::now() < due));
                }
                None => self.changed.wait(&mut held),
            }
        }
    }
}

/// The calling thread gives way to those that serve connections.
pub(crate) fn yield_to_others() {
    /// Of 19: a third of the time of a thread that gives way to nobody, and never none.
    const NICE: i32 = 5;
    // On Linux this is the thread's own; where it is refused, long runs are merely less polite.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "a long run keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn what_waits_runs_by_urgency_and_a_full_lane_refuses_at_once() {
        let lane = Arc::new(Lane::new(2));
        let (release, held_up) = mpsc::channel::<()>();
        let (begun, runs) = oneshot::channel();
        let first = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move {
                lane.run(Priority::Batch, None, move || {
                    begun.send(()).unwrap();
                    held_up.recv().unwrap();
                })
                .await
            }
        });
        runs.await.unwrap();
        // The thread is busy: these wait.
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for priority in [Priority::Batch, Priority::Batch, Priority::Safety] {
            let (lane, order) = (Arc::clone(&lane), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                lane.run(priority, None, move || order.lock().push(priority)).await
            }));
            tokio::task::yield_now().await;
        }
        let refused = lane.run(Priority::Batch, None, || ()).await;
        assert_eq!(refused, Err(Refused::Full { priority: Priority::Batch, limit: 2 }));
        let late = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.run(Priority::Normal, Some(Instant::now()), || ()).await }
        });
        tokio::task::yield_now().await;
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        for each in waiting {
            each.await.unwrap().unwrap();
        }
        assert_eq!(late.await.unwrap(), Err(Refused::Expired));
        assert_eq!(*order.lock(), [Priority::Safety, Priority::Batch, Priority::Batch]);
    }
}

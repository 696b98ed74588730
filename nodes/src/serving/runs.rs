//! How often one version of a model ran on this node, and what that took, as Triton's statistics count it.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Batch sizes that are counted each by itself; runs of further sizes are in the totals only.
const BATCH_SIZES_MAX: usize = 256;

/// Runs of one model on this node.
#[derive(Debug, Default)]
pub struct Runs {
    success_ns: AtomicU64,
    fail: AtomicU64,
    fail_ns: AtomicU64,
    rows: AtomicU64,
    last_ms: AtomicU64,
    queue_ns: AtomicU64,
    all: Batch,
    /// Of one row: nearly every call.
    one: Batch,
    several: Mutex<BTreeMap<u64, Batch>>,
}

/// Runs and the nanoseconds of their parts.
#[derive(Debug, Default)]
struct Batch {
    count: AtomicU64,
    input_ns: AtomicU64,
    infer_ns: AtomicU64,
    output_ns: AtomicU64,
}

/// The moments of one call, as far as it came.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    pub begun: Instant,
    /// Waited for its turn until then.
    pub admitted: Instant,
    pub inputs_read: Option<Instant>,
    pub inferred: Option<Instant>,
}

/// What the statistics say of one batch size, or of all runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub count: u64,
    pub input_ns: u64,
    pub infer_ns: u64,
    pub output_ns: u64,
}

/// Everything that the statistics say of a model.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub success_ns: u64,
    pub fail: u64,
    pub fail_ns: u64,
    pub rows: u64,
    pub last_ms: u64,
    pub queue_ns: u64,
    pub all: Counted,
    pub batches: BTreeMap<u64, Counted>,
}

impl Moments {
    /// A call that waits for nothing.
    pub fn begin() -> Self {
        let now = Instant::now();
        Self { begun: now, admitted: now, inputs_read: None, inferred: None }
    }
}

impl Batch {
    fn add(&self, parts: &Counted) {
        for (sum, part) in [
            (&self.count, parts.count),
            (&self.input_ns, parts.input_ns),
            (&self.infer_ns, parts.infer_ns),
            (&self.output_ns, parts.output_ns),
        ] {
            sum.fetch_add(part, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Counted {
        Counted {
            count: self.count.load(Ordering::Relaxed),
            input_ns: self.input_ns.load(Ordering::Relaxed),
            infer_ns: self.infer_ns.load(Ordering::Relaxed),
            output_ns: self.output_ns.load(Ordering::Relaxed),
        }
    }
}

impl Runs {
    /// A run that is nothing but the run.
    pub(crate) fn count(&self, begun: Instant, rows: u64, good: bool) {
        let moments = Moments {
            begun,
            admitted: begun,
            inputs_read: Some(begun),
            inferred: Some(Instant::now()),
        };
        self.count_call(&moments, rows, good);
    }

    /// About how long a run over so many rows takes, by those that were.
    pub(crate) fn guess(&self, rows: usize) -> Duration {
        let seen = self.rows.load(Ordering::Relaxed).max(1);
        let each_ns = self.all.infer_ns.load(Ordering::Relaxed) / seen;
        Duration::from_nanos(each_ns.saturating_mul(rows as u64))
    }

    /// A call that has just ended.
    pub(crate) fn count_call(&self, moments: &Moments, rows: u64, good: bool) {
        let ended = Instant::now();
        let whole = ns(ended - moments.begun);
        self.last_ms.store(crate::clock::now_us() as u64 / 1_000, Ordering::Relaxed);
        if !good {
            self.fail.fetch_add(1, Ordering::Relaxed);
            self.fail_ns.fetch_add(whole, Ordering::Relaxed);
            return;
        }
        let inputs_read = moments.inputs_read.unwrap_or(ended);
        let inferred = moments.inferred.unwrap_or(ended);
        let parts = Counted {
            count: 1,
            input_ns: ns(inputs_read - moments.admitted),
            infer_ns: ns(inferred - inputs_read),
            output_ns: ns(ended - inferred),
        };
        self.success_ns.fetch_add(whole, Ordering::Relaxed);
        self.queue_ns.fetch_add(ns(moments.admitted - moments.begun), Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.all.add(&parts);
        if rows == 1 {
            self.one.add(&parts);
        } else if rows > 1 {
            let mut several = self.several.lock();
            if several.len() < BATCH_SIZES_MAX || several.contains_key(&rows) {
                several.entry(rows).or_default().add(&parts);
            }
        }
    }

    pub fn tally(&self) -> Tally {
        let of = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let mut batches: BTreeMap<u64, Counted> =
            self.several.lock().iter().map(|(rows, batch)| (*rows, batch.read())).collect();
        let one = self.one.read();
        if one.count > 0 {
            batches.insert(1, one);
        }
        Tally {
            success_ns: of(&self.success_ns),
            fail: of(&self.fail),
            fail_ns: of(&self.fail_ns),
            rows: of(&self.rows),
            last_ms: of(&self.last_ms),
            queue_ns: of(&self.queue_ns),
            all: self.all.read(),
            batches,
        }
    }
}

fn ns(took: Duration) -> u64 {
    took.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_call_are_its_whole() {
        let runs = Runs::default();
        let begun = Instant::now().checked_sub(Duration::from_micros(100)).unwrap();
        let at = |us| begun + Duration::from_micros(us);
        let moments =
            Moments { begun, admitted: at(10), inputs_read: Some(at(30)), inferred: Some(at(60)) };
        runs.count_call(&moments, 1, true);
        runs.count_call(&moments, 4, true);
        runs.count_call(&moments, 4, false);
        let tally = runs.tally();
        assert_eq!((tally.all.count, tally.fail, tally.rows), (2, 1, 5));
        assert_eq!(
            (tally.queue_ns, tally.all.input_ns, tally.all.infer_ns),
            (20_000, 40_000, 60_000)
        );
        let parts = tally.queue_ns + tally.all.input_ns + tally.all.infer_ns + tally.all.output_ns;
        assert_eq!(parts, tally.success_ns);
        let counts: Vec<_> = tally.batches.iter().map(|(rows, of)| (*rows, of.count)).collect();
        assert_eq!(counts, [(1, 1), (4, 1)]);
        assert_eq!(tally.batches[&4].infer_ns, 30_000);
    }

    #[test]
    fn batch_sizes_are_bounded() {
        let runs = Runs::default();
        for rows in 0..1_000 {
            runs.count_call(&Moments::begin(), rows, true);
        }
        let tally = runs.tally();
        assert_eq!(tally.all.count, 1_000);
        assert_eq!(tally.batches.len(), BATCH_SIZES_MAX + 1);
    }
}

//! The events of a district in the order in which they arrive.
//!
//! Hours are read one at a time from all homes; what arrives later than its hour waits in a heap.
//! So the memory is that of one hour of the homes and of what is late, whatever the days asked for.
//! An event that is neither late nor sent twice arrives at its event time; about 2 of 100 are held
//! back with everything else of their home's hour, for 2 minutes to 48 hours, and 5 of 1,000 are
//! sent twice. Gas and smoke are never late. A clock that is wrong shows in the event time only.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::ops::{Deref, Range};
use std::vec;

use features::event::Event;

use super::dice::{Dice, Realm};
use super::district::District;
use super::kit::Device;
use super::plan::{HOUR_US, SECOND_US};
use super::reading::{Reading, read_hour};

/// How many of a home's hours are delivered late.
const LATE: f64 = 0.02;
/// How long after its end a late hour is delivered, in seconds.
const LATE_S: (f64, f64) = (120.0, 47.0 * 3_600.0);
/// How many readings are sent twice, and when the second time, in seconds.
const AGAIN: f64 = 0.005;
const AGAIN_S: (f64, f64) = (1.0, 600.0);
/// What arrives may be this many hours old, plus a part of one.
const LOOK_BACK_HOURS: u32 = 49;
/// Between two events of an hour that is delivered late.
const LATE_STEP_US: i64 = 20_000;
/// More than the readings of a device in an hour.
const SEQ_STEP: u64 = 1_000;

/// An event on its way in.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// When it arrives, microseconds since 1970.
    pub arrives_us: i64,
    /// When it happened, by a clock that is right.
    pub happened_us: i64,
    /// Whether it has been sent before, with the same id.
    pub again: bool,
    pub event: Event,
}

/// A reading that will arrive. The order of the fields is the order of arrival.
#[derive(Clone, Copy, Debug)]
struct Pending {
    arrives_us: i64,
    home: u32,
    seq: u64,
    device: Device,
    again: bool,
    reading: Reading,
}

impl Pending {
    fn place(&self) -> (i64, u32, u64, Device, bool) {
        (self.arrives_us, self.home, self.seq, self.device, self.again)
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

/// The arrivals of some days. `D` is a reference to the district, or an `Arc` of it.
pub struct Feed<D> {
    district: D,
    /// The next hour to be read.
    slot: u32,
    /// Where arrivals begin and end, from the start of the plan.
    from_us: i64,
    to_us: i64,
    ready: std::iter::Peekable<vec::IntoIter<Pending>>,
    late: BinaryHeap<Reverse<Pending>>,
}

impl<D> fmt::Debug for Feed<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Feed")
            .field("slot", &self.slot)
            .field("late", &self.late.len())
            .finish_non_exhaustive()
    }
}

impl<D: Deref<Target = District>> Feed<D> {
    /// What arrives on these days. What happened before and is still on its way on the first of
    /// them comes along; what is on its way at the end of the last is left out.
    pub fn new(district: D, days: Range<u32>) -> Self {
        let day_us = 24 * HOUR_US;
        Self::between(district, i64::from(days.start) * day_us, i64::from(days.end) * day_us)
    }

    /// From a moment after the start on, without an end.
    pub(super) fn endless(district: D, from_us: i64) -> Self {
        Self::between(district, from_us, i64::MAX)
    }

    fn between(district: D, from_us: i64, to_us: i64) -> Self {
        let slot = u32::try_from(from_us / HOUR_US).unwrap_or(0).saturating_sub(LOOK_BACK_HOURS);
        let ready = Vec::new().into_iter().peekable();
        let to_us = if district.homes.is_empty() { from_us } else { to_us };
        let mut feed = Self { district, slot, from_us, to_us, ready, late: BinaryHeap::new() };
        while i64::from(feed.slot + 1) * HOUR_US <= from_us {
            feed.read_slot();
            feed.ready = Vec::new().into_iter().peekable();
        }
        feed
    }

    /// When the next event arrives, microseconds since 1970.
    pub fn next_us(&mut self) -> Option<i64> {
        self.settle();
        let front = [self.ready.peek().copied(), self.late.peek().map(|each| each.0)];
        let next = front.into_iter().flatten().min()?;
        (next.arrives_us < self.to_us).then(|| self.district.plan.start_us + next.arrives_us)
    }

    /// The next event, if it arrives before that moment.
    pub fn next_before(&mut self, limit_us: i64) -> Option<Arrival> {
        if self.next_us()? >= limit_us {
            return None;
        }
        let late_first = match (self.ready.peek(), self.late.peek()) {
            (Some(ready), Some(Reverse(late))) => late < ready,
            (ready, _) => ready.is_none(),
        };
        let pending = if late_first { self.late.pop()?.0 } else { self.ready.next()? };
        Some(self.arrival(&pending))
    }

    /// Reads hours until the next event is known, and drops what arrives before the beginning.
    fn settle(&mut self) {
        loop {
            while self.late.peek().is_some_and(|each| each.0.arrives_us < self.from_us) {
                self.late.pop();
            }
            while self.ready.next_if(|each| each.arrives_us < self.from_us).is_some() {}
            let read_to_us = i64::from(self.slot) * HOUR_US;
            let known = self.ready.peek().is_some()
                || self.late.peek().is_some_and(|each| each.0.arrives_us < read_to_us);
            if known || read_to_us >= self.to_us || self.slot == u32::MAX {
                return;
            }
            self.read_slot();
        }
    }

    /// Reads one hour from every home: what arrives in it is made ready, the rest waits.
    fn read_slot(&mut self) {
        let end_us = i64::from(self.slot + 1) * HOUR_US;
        let mut ready = Vec::new();
        for home in 0..self.district.homes.len() as u32 {
            for pending in self.deliver(home) {
                if pending.arrives_us < end_us {
                    ready.push(pending);
                } else if pending.arrives_us >= self.from_us {
                    self.late.push(Reverse(pending));
                }
            }
        }
        ready.sort_unstable();
        self.ready = ready.into_iter().peekable();
        self.slot += 1;
    }

    /// An hour of a home on its way in.
    fn deliver(&self, number: u32) -> Vec<Pending> {
        let home = &self.district.homes[number as usize];
        let readings = read_hour(&self.district, home, self.slot);
        let seed = self.district.plan.seed;
        let mut dice =
            Dice::new(seed, Realm::Delivery, u64::from(home.household), u64::from(self.slot));
        let late = dice.chance(LATE);
        let held_us = (dice.doubling(LATE_S.0, LATE_S.1) * SECOND_US as f64) as i64;
        let back_us = i64::from(self.slot + 1) * HOUR_US + held_us;
        let mut pending = Vec::with_capacity(readings.len());
        for (count, reading) in readings.into_iter().enumerate() {
            let held = late && !reading.is_urgent();
            let arrives_us =
                if held { back_us + count as i64 * LATE_STEP_US } else { reading.at_us };
            let seq = u64::from(self.slot) * SEQ_STEP + count as u64;
            let once = Pending {
                arrives_us,
                home: number,
                seq,
                device: reading.device,
                again: false,
                reading,
            };
            pending.push(once);
            if dice.chance(AGAIN) {
                let after_us = (dice.between(AGAIN_S.0, AGAIN_S.1) * SECOND_US as f64) as i64;
                pending.push(Pending { arrives_us: arrives_us + after_us, again: true, ..once });
            }
        }
        pending
    }

    fn arrival(&self, pending: &Pending) -> Arrival {
        let district = &self.district;
        let home = &district.homes[pending.home as usize];
        let reading = &pending.reading;
        let device_id = home.device_id(reading.device);
        let happened_us = district.plan.start_us + reading.at_us;
        let day = u32::try_from(reading.at_us / (24 * HOUR_US)).unwrap_or(0);
        let boot_id = home.boot(reading.device, day);
        Arrival {
            arrives_us: district.plan.start_us + pending.arrives_us,
            happened_us,
            again: pending.again,
            event: Event {
                event_id: format!("{device_id}:{boot_id}:{}", pending.seq),
                device_id,
                kind: reading.kind.as_str().to_owned(),
                event_time_us: happened_us + home.skew_us(reading.device),
                value: reading.value,
                unit: reading.unit().to_owned(),
                source: home.device_id(Device::Gateway),
                boot_id,
                seq: pending.seq,
                attributes: BTreeMap::new(),
            },
        }
    }
}

impl<D: Deref<Target = District>> Iterator for Feed<D> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.next_before(i64::MAX)
    }
}

//! A district that lives now: events paced by a clock that the caller reads, without an end.

use std::sync::Arc;

use features::event::Event;
use features::kind::Kind;

use super::district::District;
use super::feed::{Arrival, Feed};
use super::kit::{Device, Home};
use super::plan::{DAY_US, SECOND_US};

/// The slowest and fastest pace, in simulated seconds a second.
pub const SPEED_MIN: f64 = 0.01;
pub const SPEED_MAX: f64 = 100_000.0;
/// The %LEL of a leak that is asked for, and the seconds between its readings.
const LEAK: [f64; 3] = [8.0, 12.0, 15.0];
const LEAK_STEP_S: i64 = 3;
/// Numbers of readings that were asked for begin here, far above those of a device's own.
const LEAK_SEQ: u64 = 1 << 40;

/// Why a live district does not do what was asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LiveError {
    #[error("the speed is {SPEED_MIN} to {SPEED_MAX}, not {got}")]
    Speed { got: f64 },
    #[error(
        "no home of this district has sensors; simulate with a share of monitored homes above 0"
    )]
    NoHomes,
    #[error("dwelling {dwelling:?} has no sensors; take one of those that the device table names")]
    Unmonitored { dwelling: String },
    #[error("nobody lives alone in dwelling {dwelling:?}; take another one")]
    Accompanied { dwelling: String },
}

/// Events for now. The simulated hour of the day is the real one when the source is made; from then
/// on simulated time runs `speed` times as fast, and event times are those of the real clock.
#[derive(Debug)]
pub struct Live {
    district: Arc<District>,
    feed: Feed<Arc<District>>,
    began_us: i64,
    simulated_us: i64,
    speed: f64,
    leaks: u64,
}

impl Live {
    /// A source that begins at `now_us`.
    pub fn new(district: Arc<District>, now_us: i64, speed: f64) -> Result<Self, LiveError> {
        if !(SPEED_MIN..=SPEED_MAX).contains(&speed) {
            return Err(LiveError::Speed { got: speed });
        }
        if district.homes.is_empty() {
            return Err(LiveError::NoHomes);
        }
        let start_us = district.plan.start_us;
        let hour_us = (now_us - start_us).rem_euclid(DAY_US);
        let feed = Feed::endless(Arc::clone(&district), hour_us);
        Ok(Self {
            feed,
            began_us: now_us,
            simulated_us: start_us + hour_us,
            speed,
            district,
            leaks: 0,
        })
    }

    /// When the next event is due by the real clock.
    pub fn next_us(&mut self) -> Option<i64> {
        let next_us = self.feed.next_us()?;
        Some(self.real_us(next_us))
    }

    /// The events that are due at `now_us` and were not given before, in order of arrival.
    pub fn due(&mut self, now_us: i64) -> impl Iterator<Item = Event> + '_ {
        std::iter::from_fn(move || {
            if self.next_us()? > now_us {
                return None;
            }
            let arrival = self.feed.next()?;
            Some(self.restamp(arrival))
        })
    }

    /// The dwellings with sensors in which somebody lives alone.
    pub fn lone_dwellings(&self) -> impl Iterator<Item = String> + '_ {
        self.district.homes.iter().filter(|home| home.alone).map(Home::dwelling_id)
    }

    /// The three readings of a gas leak in the dwelling of somebody who lives alone; the last one is
    /// of `now_us`, so that all three can be sent at once.
    pub fn gas_leak(&mut self, dwelling: &str, now_us: i64) -> Result<[Event; 3], LiveError> {
        let home = self.district.homes.iter().find(|home| home.dwelling_id() == dwelling);
        let Some(home) = home else {
            return Err(LiveError::Unmonitored { dwelling: dwelling.to_owned() });
        };
        if !home.alone {
            return Err(LiveError::Accompanied { dwelling: dwelling.to_owned() });
        }
        let device_id = home.device_id(Device::Gas);
        let source = home.device_id(Device::Gateway);
        self.leaks += 1;
        let first = LEAK_SEQ + self.leaks * LEAK.len() as u64;
        let run = self.began_us;
        let mut number = 0;
        Ok(LEAK.map(|value| {
            let seq = first + number;
            let ago_s = LEAK_STEP_S * (LEAK.len() as i64 - 1 - number as i64);
            number += 1;
            Event {
                event_id: live_id(run, &format!("{device_id}:leak:{seq}")),
                device_id: device_id.clone(),
                kind: Kind::Gas.as_str().to_owned(),
                event_time_us: now_us - ago_s * SECOND_US,
                value,
                unit: "%LEL".to_owned(),
                source: source.clone(),
                boot_id: 1,
                seq,
                ..Event::default()
            }
        }))
    }

    /// The real moment of a simulated one.
    fn real_us(&self, simulated_us: i64) -> i64 {
        self.began_us + ((simulated_us - self.simulated_us) as f64 / self.speed) as i64
    }

    /// Clocks stay as wrong as they are, lateness shrinks with the pace.
    fn restamp(&self, arrival: Arrival) -> Event {
        let skew_us = arrival.event.event_time_us - arrival.happened_us;
        Event {
            event_id: live_id(self.began_us, &arrival.event.event_id),
            event_time_us: self.real_us(arrival.happened_us) + skew_us,
            ..arrival.event
        }
    }
}

/// Ids of one run differ from those of every other.
fn live_id(began_us: i64, id: &str) -> String {
    format!("{:x}:{id}", began_us / 1_000)
}

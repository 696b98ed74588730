//! Readings by hour of the day: what the habits of a home are made of.

use super::{TilePart, put_start, take_start};
use crate::exact::difference_of_products;
use crate::summary::Reading;
use crate::varint;
use crate::window::{DAY_US, HOUR_US, Window};

const HOURS: usize = 24;
const DAY_MIN: i64 = 24 * 60;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hours {
    start_min: i64,
    /// By hour of the UTC day.
    counts: [u32; HOURS],
}

impl Hours {
    /// The share of one UTC hour; nothing where there is no reading at all.
    pub(crate) fn share(&self, hour: u8) -> Option<f64> {
        let total: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let of = self.counts.get(usize::from(hour)).copied().unwrap_or(0);
        (total > 0).then(|| f64::from(of) / total as f64)
    }
}

/// The last whole hour of the clock, beside the same hour on the earlier days of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    day: i64,
    hour: usize,
    /// The first day of which the window holds that hour.
    from_day: i64,
    now: i128,
    /// The first day in the window that has a reading.
    first_day: Option<i64>,
    sum: i128,
    squares: i128,
    /// What was counted of the day that is being added up: its tiles come one after the other.
    open: (i64, i128),
}

impl Profile {
    pub(crate) fn at(start_us: i64, as_of_us: i64) -> Self {
        let hour_us = as_of_us - as_of_us.rem_euclid(HOUR_US) - HOUR_US;
        let day = hour_us.div_euclid(DAY_US);
        let hour = (hour_us.rem_euclid(DAY_US) / HOUR_US) as usize;
        let beyond_us = start_us - hour as i64 * HOUR_US;
        let from_day = beyond_us.div_euclid(DAY_US) + i64::from(beyond_us.rem_euclid(DAY_US) > 0);
        Self { day, hour, from_day, now: 0, first_day: None, sum: 0, squares: 0, open: (day, 0) }
    }

    /// Takes a tile in that is no wider than a day; tiles come from the newest to the oldest.
    pub(crate) fn add(&mut self, tile: &Hours) {
        let day = tile.start_min.div_euclid(DAY_MIN);
        let count = i128::from(tile.counts[self.hour]);
        if day > self.day || day < self.from_day {
            return;
        }
        if day == self.day {
            self.now += count;
            return;
        }
        if day != self.open.0 {
            self.close();
            self.open = (day, 0);
        }
        self.open.1 += count;
        self.first_day = Some(day);
    }

    fn close(&mut self) {
        self.sum += self.open.1;
        self.squares += self.open.1 * self.open.1;
        self.open.1 = 0;
    }

    fn days(&self) -> i128 {
        self.first_day.map_or(0, |first| i128::from(self.day - first))
    }

    pub(crate) fn mean(&mut self) -> Option<f64> {
        self.close();
        let days = self.days();
        (days > 0).then(|| self.sum as f64 / days as f64)
    }

    /// 0 where the hour is as on all days; nothing where they do not differ but from it.
    pub(crate) fn z(&mut self) -> Option<f64> {
        let mean = self.mean()?;
        let days = self.days();
        if days < 2 {
            return None;
        }
        let spread = difference_of_products(days, self.squares, self.sum, self.sum);
        if spread == 0.0 {
            return (self.now * days == self.sum).then_some(0.0);
        }
        let std = (spread / (days * (days - 1)) as f64).sqrt();
        Some((self.now as f64 - mean) / std)
    }
}

impl TilePart for Hours {
    type Newer = i64;

    fn newer(&self) -> i64 {
        self.start_min
    }

    fn of_one(start_min: i64, _: Window, reading: Reading) -> Self {
        let mut counts = [0; HOURS];
        counts[(reading.at_us.rem_euclid(DAY_US) / HOUR_US) as usize] = 1;
        Self { start_min, counts }
    }

    fn start_min(&self) -> i64 {
        self.start_min
    }

    fn settle(&mut self, start_min: i64, _: Window) {
        self.start_min = start_min;
    }

    fn merge(&mut self, other: &Self) {
        for (own, more) in self.counts.iter_mut().zip(&other.counts) {
            *own = own.saturating_add(*more);
        }
    }

    /// Which hours, then how many in each.
    fn put(&self, out: &mut Vec<u8>, newer: Option<i64>) {
        put_start(out, newer, self.start_min);
        let map =
            (0..HOURS).filter(|hour| self.counts[*hour] > 0).fold(0, |map, hour| map | 1 << hour);
        varint::put_u64(out, map);
        for count in self.counts.iter().filter(|count| **count > 0) {
            varint::put_u64(out, u64::from(*count));
        }
    }

    fn take(bytes: &[u8], at: &mut usize, newer: Option<i64>) -> Option<Self> {
        let start_min = take_start(bytes, at, newer)?;
        let map = varint::take_u64(bytes, at).filter(|map| *map > 0 && *map >> HOURS == 0)?;
        let mut counts = [0; HOURS];
        for (hour, count) in counts.iter_mut().enumerate() {
            if map >> hour & 1 == 1 {
                *count = varint::take_u32(bytes, at).filter(|count| *count > 0)?;
            }
        }
        Some(Self { start_min, counts })
    }
}

//! Sums over values and their times: what the slope of a straight line through them is made of.

use super::{TilePart, put_start, put_wide, take_start, take_wide};
use crate::exact::difference_of_products;
use crate::summary::Reading;
use crate::varint;
use crate::window::Window;

const SECOND_US: i64 = 1_000_000;

/// Times are whole seconds since the tile's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trend {
    start_min: i64,
    count: u32,
    times: i128,
    times_squared: i128,
    /// Millionths, as is `products`, of values times times.
    values: i128,
    products: i128,
}

impl Trend {
    /// Slope of the least-squares line, a day; nothing where all readings are of one second.
    pub(crate) fn slope_per_day(&self) -> Option<f64> {
        let count = i128::from(self.count);
        let over = difference_of_products(count, self.products, self.times, self.values);
        let under = difference_of_products(count, self.times_squared, self.times, self.times);
        (under > 0.0).then(|| over / under * 86_400.0 / 1e6)
    }
}

impl TilePart for Trend {
    type Newer = i64;

    fn newer(&self) -> i64 {
        self.start_min
    }

    fn of_one(start_min: i64, _: Window, reading: Reading) -> Self {
        let time = i128::from(reading.at_us.div_euclid(SECOND_US) - start_min * 60);
        let value = i128::from(reading.value);
        Self {
            start_min,
            count: 1,
            times: time,
            times_squared: time * time,
            values: value,
            products: time * value,
        }
    }

    fn start_min(&self) -> i64 {
        self.start_min
    }

    fn settle(&mut self, start_min: i64, _: Window) {
        let later = i128::from((self.start_min - start_min) * 60);
        let count = i128::from(self.count);
        self.products += later * self.values;
        self.times_squared += 2 * later * self.times + count * later * later;
        self.times += count * later;
        self.start_min = start_min;
    }

    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.times += other.times;
        self.times_squared += other.times_squared;
        self.values += other.values;
        self.products += other.products;
    }

    fn put(&self, out: &mut Vec<u8>, newer: Option<i64>) {
        put_start(out, newer, self.start_min);
        varint::put_u64(out, u64::from(self.count));
        varint::put(out, self.times as u128);
        varint::put(out, self.times_squared as u128);
        put_wide(out, self.values);
        put_wide(out, self.products);
    }

    fn take(bytes: &[u8], at: &mut usize, newer: Option<i64>) -> Option<Self> {
        let start_min = take_start(bytes, at, newer)?;
        let count = varint::take_u32(bytes, at).filter(|count| *count > 0)?;
        // Far above what so many seconds of a year give, and far below where sums would not fit.
        let bounded = |sum: u128| i128::try_from(sum).ok().filter(|sum| *sum < 1 << 100);
        let near = |sum: &i128| sum.unsigned_abs() < 1 << 120;
        Some(Self {
            start_min,
            count,
            times: varint::take(bytes, at).and_then(bounded)?,
            times_squared: varint::take(bytes, at).and_then(bounded)?,
            values: take_wide(bytes, at).filter(near)?,
            products: take_wide(bytes, at).filter(near)?,
        })
    }
}

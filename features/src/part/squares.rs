//! Count, sum and sum of squares: what variance and standard deviation are made of.

use super::{TilePart, put_start, put_wide, take_start, take_wide};
use crate::exact::difference_of_products;
use crate::summary::Reading;
use crate::varint;
use crate::window::Window;

/// Its own count and sum, so that it says of the same readings wherever it began to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Squares {
    start_min: i64,
    count: u32,
    /// Millionths.
    sum: i128,
    /// Millionths squared; stays at the largest there is, which 100 million readings of 1e9 do not reach.
    square_sum: i128,
}

impl Squares {
    /// Of a sample: the divisor is one less than the count.
    pub(crate) fn variance(&self) -> Option<f64> {
        let count = i128::from(self.count);
        let spread = difference_of_products(count, self.square_sum, self.sum, self.sum);
        (count > 1).then(|| spread / (count * (count - 1)) as f64 / 1e12)
    }

    pub(crate) fn std(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }
}

impl TilePart for Squares {
    type Newer = i64;

    fn newer(&self) -> i64 {
        self.start_min
    }

    fn of_one(start_min: i64, _: Window, reading: Reading) -> Self {
        let value = i128::from(reading.value);
        Self { start_min, count: 1, sum: value, square_sum: value * value }
    }

    fn start_min(&self) -> i64 {
        self.start_min
    }

    fn settle(&mut self, start_min: i64, _: Window) {
        self.start_min = start_min;
    }

    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
        self.square_sum = self.square_sum.saturating_add(other.square_sum);
    }

    fn put(&self, out: &mut Vec<u8>, newer: Option<i64>) {
        put_start(out, newer, self.start_min);
        varint::put_u64(out, u64::from(self.count));
        put_wide(out, self.sum);
        varint::put(out, self.square_sum as u128);
    }

    fn take(bytes: &[u8], at: &mut usize, newer: Option<i64>) -> Option<Self> {
        let start_min = take_start(bytes, at, newer)?;
        let count = varint::take_u32(bytes, at).filter(|count| *count > 0)?;
        let sum = take_wide(bytes, at).filter(|sum| sum.unsigned_abs() < 1 << 100)?;
        let square_sum = i128::try_from(varint::take(bytes, at)?).ok()?;
        Some(Self { start_min, count, sum, square_sum })
    }
}

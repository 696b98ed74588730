//! The oldest reading.

use super::{TilePart, put_start, take_start};
use crate::summary::Reading;
use crate::varint;
use crate::window::{MINUTE_US, Window};

/// Of two readings the earlier, of two at the same time the smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct First {
    start_min: i64,
    pub(crate) reading: Reading,
}

impl TilePart for First {
    type Newer = i64;

    fn newer(&self) -> i64 {
        self.start_min
    }

    fn of_one(start_min: i64, _: Window, reading: Reading) -> Self {
        Self { start_min, reading }
    }

    fn start_min(&self) -> i64 {
        self.start_min
    }

    fn settle(&mut self, start_min: i64, _: Window) {
        self.start_min = start_min;
    }

    fn merge(&mut self, other: &Self) {
        self.reading = self.reading.min(other.reading);
    }

    fn put(&self, out: &mut Vec<u8>, newer: Option<i64>) {
        put_start(out, newer, self.start_min);
        varint::put_u64(out, (self.reading.at_us - self.start_min * MINUTE_US) as u64);
        varint::put_signed(out, self.reading.value);
    }

    fn take(bytes: &[u8], at: &mut usize, newer: Option<i64>) -> Option<Self> {
        let start_min = take_start(bytes, at, newer)?;
        let beyond_us = i64::try_from(varint::take_u64(bytes, at)?).ok()?;
        let at_us = start_min.checked_mul(MINUTE_US)?.checked_add(beyond_us)?;
        Some(Self { start_min, reading: Reading { at_us, value: varint::take_signed(bytes, at)? } })
    }
}

//! When there was a reading, in slots: what the longest gap is made of.
//!
//! The set of slots that hold a reading is the same whatever the order of arrival, which a longest gap
//! that was merged from longest gaps would not be: a late reading splits a gap that nobody remembers.

use super::{TilePart, put_start, take_start};
use crate::summary::Reading;
use crate::varint;
use crate::window::Window;

const SECOND_US: i64 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gaps {
    start_min: i64,
    /// The window in whose slots `taken` counts.
    zone: Window,
    /// Bit n: something was read in the slot n after the start. A tile has 96 slots at most.
    taken: u128,
}

impl Gaps {
    /// Slots of a coarser zone.
    fn coarsen(&mut self, zone: Window) {
        if self.zone.slot_s() < zone.slot_s() {
            let ratio = (zone.slot_s() / self.zone.slot_s()) as u32;
            let mut left = self.taken;
            let mut taken = 0;
            while left != 0 {
                taken |= 1_u128 << (left.trailing_zeros() / ratio);
                left &= left - 1;
            }
            self.taken = taken;
        }
        self.zone = self.zone.max(zone);
    }
}

/// The longest distance, in seconds, between two slots that hold a reading and follow each other, in
/// tiles from the newest to the oldest, in the slots of a window; nothing where fewer than two do.
pub(crate) fn gap_max_s(tiles: impl Iterator<Item = Gaps>, window: Window) -> Option<f64> {
    let mut slots: Vec<i64> = Vec::new();
    for tile in tiles {
        let start_s = tile.start_min * 60;
        let mut left = tile.taken;
        while left != 0 {
            let at_s = start_s + i64::from(left.trailing_zeros()) * tile.zone.slot_s();
            slots.push(at_s.div_euclid(window.slot_s()));
            left &= left - 1;
        }
    }
    slots.sort_unstable();
    slots.dedup();
    let gap = slots.windows(2).map(|pair| pair[1] - pair[0]).max()?;
    Some((gap * window.slot_s()) as f64)
}

impl TilePart for Gaps {
    type Newer = i64;

    fn newer(&self) -> i64 {
        self.start_min
    }

    fn of_one(start_min: i64, zone: Window, reading: Reading) -> Self {
        let beyond_s = reading.at_us.div_euclid(SECOND_US) - start_min * 60;
        Self { start_min, zone, taken: 1 << (beyond_s / zone.slot_s()).clamp(0, 127) }
    }

    fn start_min(&self) -> i64 {
        self.start_min
    }

    fn settle(&mut self, start_min: i64, zone: Window) {
        self.coarsen(zone);
        let later = (self.start_min - start_min) * 60 / self.zone.slot_s();
        self.taken = self.taken.checked_shl(later as u32).unwrap_or(0);
        self.start_min = start_min;
    }

    fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        other.coarsen(self.zone);
        self.coarsen(other.zone);
        self.taken |= other.taken;
    }

    fn put(&self, out: &mut Vec<u8>, newer: Option<i64>) {
        put_start(out, newer, self.start_min);
        out.push(self.zone as u8);
        varint::put(out, self.taken);
    }

    fn take(bytes: &[u8], at: &mut usize, newer: Option<i64>) -> Option<Self> {
        let start_min = take_start(bytes, at, newer)?;
        let zone = *Window::ALL.get(usize::from(*bytes.get(*at)?))?;
        *at += 1;
        let taken = varint::take(bytes, at).filter(|taken| *taken != 0)?;
        Some(Self { start_min, zone, taken })
    }
}

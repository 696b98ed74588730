//! What is kept of the readings of a series: each part is a list of tiles of its own, kept only where a
//! view in force asks for it.

mod distinct;
mod first;
mod gaps;
mod hours;
mod squares;
mod trend;

pub(crate) use distinct::Distinct;
pub(crate) use first::First;
pub(crate) use gaps::{Gaps, gap_max_s};
pub(crate) use hours::{Hours, Profile};
pub(crate) use squares::Squares;
pub(crate) use trend::Trend;

use crate::summary::Reading;
use crate::varint;
use crate::window::Window;

/// Stored as its place in this list: new ones go last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Part {
    /// Count, sum, smallest, largest; with them the newest reading and the lifetime count.
    Values,
    Squares,
    First,
    Distinct,
    Gaps,
    Hours,
    Trend,
}

impl Part {
    pub const ALL: [Self; 7] = [
        Self::Values,
        Self::Squares,
        Self::First,
        Self::Distinct,
        Self::Gaps,
        Self::Hours,
        Self::Trend,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Squares => "squares",
            Self::First => "first",
            Self::Distinct => "distinct",
            Self::Gaps => "gaps",
            Self::Hours => "hours",
            Self::Trend => "trend",
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// The readings of one stretch of time, as one part keeps them. Merging is commutative and associative.
pub(crate) trait TilePart: Sized {
    /// What of a tile the next older one is written by.
    type Newer: Copy;
    /// Whether that is more than where it begins: then a change of a tile rewrites the next older one.
    const LEANS: bool = false;

    fn newer(&self) -> Self::Newer;

    /// One reading in the tile that begins there, in the zone of that window.
    fn of_one(start_min: i64, zone: Window, reading: Reading) -> Self;

    /// Minutes since 1970.
    fn start_min(&self) -> i64;

    /// Grows into the tile of an older zone: the start never rises.
    fn settle(&mut self, start_min: i64, zone: Window);

    /// Takes in the readings of a tile of the same start.
    fn merge(&mut self, other: &Self);

    /// Appends it behind a newer tile.
    fn put(&self, out: &mut Vec<u8>, newer: Option<Self::Newer>);

    /// The tile at `*at`, which moves behind it; nothing where there is none, or damage.
    fn take(bytes: &[u8], at: &mut usize, newer: Option<Self::Newer>) -> Option<Self>;
}

/// The newest tile stands alone: its start is folded, so that it may lie before 1970.
fn distance(newer: Option<i64>, start_min: i64) -> u64 {
    match newer {
        Some(newer) => (newer - start_min) as u64,
        None => ((start_min << 1) ^ (start_min >> 63)) as u64,
    }
}

/// What [`distance`] was made of; nothing where starts would not fall.
fn start_at(newer: Option<i64>, distance: u64) -> Option<i64> {
    match newer {
        Some(newer) if distance > 0 => newer.checked_sub(i64::try_from(distance).ok()?),
        Some(_) => None,
        None => Some((distance >> 1) as i64 ^ -((distance & 1) as i64)),
    }
}

fn put_start(out: &mut Vec<u8>, newer: Option<i64>, start_min: i64) {
    varint::put_u64(out, distance(newer, start_min));
}

fn take_start(bytes: &[u8], at: &mut usize, newer: Option<i64>) -> Option<i64> {
    start_at(newer, varint::take_u64(bytes, at)?)
}

/// Signed, of any size.
fn put_wide(out: &mut Vec<u8>, value: i128) {
    varint::put(out, ((value << 1) ^ (value >> 127)) as u128);
}

fn take_wide(bytes: &[u8], at: &mut usize) -> Option<i128> {
    let folded = varint::take(bytes, at)?;
    Some((folded >> 1) as i128 ^ -((folded & 1) as i128))
}

//! Tiles as bytes, the newest first: one to ten bytes instead of sixty-four.
//!
//! A tile is a header and its numbers, each as short as it can be. The header holds the distance to the
//! newer tile, a hop of any zone in its shortest form, and the tile's form: the same numbers as the newer
//! tile; one reading; several of one value; several that differ, then with the spread and with what the
//! sum is above as many of the smallest; one reading of 0, two, or several. All numbers of a tile count in
//! one unit, the largest of four in which they are whole.

use std::marker::PhantomData;
use std::ops::Range;

use crate::part::TilePart;
use crate::summary::{Reading, Tile};
use crate::varint;
use crate::window::Window;

/// Forms take four bits: [`SAME`], then each shape in each unit.
const FORM_BITS: u32 = 4;
const SAME: u64 = 0;
const SINGLE: u64 = 0;
const UNIFORM: u64 = 1;
const SPREAD: u64 = 2;
/// One reading of 0, several, and two: where only their number counts, each is one.
const ZERO: u64 = 13;
const ZEROS: u64 = 14;
const TWO_ZEROS: u64 = 15;
/// Ones, hundredths, ten-thousandths, millionths: in millionths.
const UNITS: [i64; 4] = [1_000_000, 10_000, 100, 1];
/// Minutes in which distances are counted, by the last two bits of their code.
const STEPS_MIN: [u64; 4] = [1, 5, 60, 360];
/// A distance has one step at least: what is above that is written, so that two take one byte, too.
const STEPS_LEAST: u64 = 1;

/// Merges a tile into the tiles of a series, which stand in strictly falling order of their starts, or puts
/// it in as a new one. Says which, and which of the bytes those in `scratch` replace.
pub(crate) fn add<T: TilePart>(
    bytes: &[u8],
    tile: &T,
    scratch: &mut Vec<u8>,
) -> (Range<usize>, Added) {
    let start_min = tile.start_min();
    let mut tiles = Tiles::<T>::of(bytes);
    loop {
        let (from, newer) = (tiles.at, tiles.newer);
        scratch.clear();
        let added = match tiles.next() {
            Some(found) if found.start_min() > start_min => continue,
            Some(mut found) if found.start_min() == start_min => {
                found.merge(tile);
                found.put(scratch, newer);
                if T::LEANS
                    && let Some(older) = tiles.next()
                {
                    older.put(scratch, Some(found.newer()));
                }
                Added::Merged
            }
            older => {
                tile.put(scratch, newer);
                if let Some(older) = older {
                    older.put(scratch, Some(tile.newer()));
                }
                Added::New
            }
        };
        return (from..tiles.at, added);
    }
}

/// Gives every tile the place that `place` says, and merges those that then share one: all the bytes that
/// come of it. `place` must not turn the order around; a tile without a place is dropped, as are all
/// behind it.
pub(crate) fn rearrange<T: TilePart>(
    bytes: &[u8],
    place: impl Fn(i64) -> Option<(i64, Window)>,
    out: &mut Vec<u8>,
) {
    out.clear();
    let mut newer = None;
    let mut open: Option<T> = None;
    for mut tile in Tiles::<T>::of(bytes) {
        let Some((start_min, zone)) = place(tile.start_min()) else { break };
        tile.settle(start_min, zone);
        match &mut open {
            Some(last) if last.start_min() == start_min => last.merge(&tile),
            Some(last) => {
                last.put(out, newer);
                newer = Some(last.newer());
                *last = tile;
            }
            None => open = Some(tile),
        }
    }
    if let Some(last) = open {
        last.put(out, newer);
    }
}

/// [`rearrange`] of the tiles from a minute on, which must begin a tile wherever `place` puts those around
/// it; the older ones stay as they are. Gives which of the bytes those in `scratch` replace, where any do.
pub(crate) fn rearrange_from<T: TilePart>(
    bytes: &[u8],
    from_min: i64,
    place: impl Fn(i64) -> Option<(i64, Window)>,
    scratch: &mut Vec<u8>,
) -> Option<Range<usize>> {
    let mut tiles = Tiles::<T>::of(bytes);
    // Those before the first that has to move stay as they are, too.
    let (mut from, mut newer);
    let mut open = loop {
        (from, newer) = (tiles.at, tiles.newer);
        let mut tile = tiles.next().filter(|tile| tile.start_min() >= from_min)?;
        let (start_min, zone) = place(tile.start_min())?;
        if start_min != tile.start_min() {
            tile.settle(start_min, zone);
            break tile;
        }
    };
    scratch.clear();
    let mut behind = None;
    for mut tile in tiles.by_ref() {
        let place = place(tile.start_min()).filter(|_| tile.start_min() >= from_min);
        let Some((start_min, zone)) = place else {
            behind = Some(tile);
            break;
        };
        tile.settle(start_min, zone);
        if open.start_min() == start_min {
            open.merge(&tile);
        } else {
            open.put(scratch, newer);
            newer = Some(open.newer());
            open = tile;
        }
    }
    open.put(scratch, newer);
    if let Some(behind) = behind {
        behind.put(scratch, Some(open.newer()));
    }
    Some(from..tiles.at)
}

/// Whether bytes that were stored are tiles, and nothing else.
pub(crate) fn are_tiles<T: TilePart>(bytes: &[u8]) -> bool {
    let mut tiles = Tiles::<T>::of(bytes);
    while tiles.next().is_some() {}
    tiles.at == bytes.len()
}

/// What became of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Merged,
    New,
}

/// Walks the tiles, the newest first.
#[derive(Debug)]
pub(crate) struct Tiles<'a, T: TilePart> {
    bytes: &'a [u8],
    at: usize,
    newer: Option<T::Newer>,
    of: PhantomData<T>,
}

impl<'a, T: TilePart> Tiles<'a, T> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, newer: None, of: PhantomData }
    }

    /// The next tile, where it does not begin before that minute; else it stays the next.
    #[inline]
    pub(crate) fn next_from(&mut self, start_min: i64) -> Option<T> {
        let mut at = self.at;
        let tile = T::take(self.bytes, &mut at, self.newer)?;
        if tile.start_min() < start_min {
            return None;
        }
        self.at = at;
        self.newer = Some(tile.newer());
        Some(tile)
    }
}

impl<T: TilePart> Iterator for Tiles<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.next_from(i64::MIN)
    }
}

impl TilePart for Tile {
    type Newer = Self;
    const LEANS: bool = true;

    fn newer(&self) -> Self {
        *self
    }

    fn of_one(start_min: i64, _: Window, reading: Reading) -> Self {
        Self::of_one(start_min, reading.value)
    }

    fn start_min(&self) -> i64 {
        self.start_min
    }

    fn settle(&mut self, start_min: i64, _: Window) {
        self.start_min = start_min;
    }

    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }

    fn put(&self, out: &mut Vec<u8>, newer: Option<Self>) {
        let header = match newer {
            Some(newer) => code_of((newer.start_min - self.start_min) as u64),
            // The newest stands alone: its start is folded, so that it may lie before 1970.
            None => ((self.start_min << 1) ^ (self.start_min >> 63)) as u64,
        } << FORM_BITS;
        if newer.is_some_and(|newer| Self { start_min: self.start_min, ..newer } == *self) {
            varint::put_u64(out, header | SAME);
            return;
        }
        if self.min == 0 && self.max == 0 {
            let form = match self.count {
                1 => ZERO,
                2 => TWO_ZEROS,
                _ => ZEROS,
            };
            varint::put_u64(out, header | form);
            if form == ZEROS {
                varint::put_u64(out, u64::from(self.count));
            }
            return;
        }
        let spread = self.max.abs_diff(self.min);
        let beyond = (self.sum - i128::from(self.count) * i128::from(self.min)).unsigned_abs();
        let shape = match (self.count, spread) {
            (1, _) => SINGLE,
            (_, 0) => UNIFORM,
            _ => SPREAD,
        };
        let (unit, beyond) = in_unit(self.min, spread, beyond);
        let scale = UNITS[unit];
        varint::put_u64(out, header | (1 + shape * UNITS.len() as u64 + unit as u64));
        if shape != SINGLE {
            varint::put_u64(out, u64::from(self.count));
        }
        varint::put_signed(out, self.min / scale);
        if shape == SPREAD {
            varint::put_u64(out, spread / scale.unsigned_abs());
            varint::put(out, beyond);
        }
    }

    #[expect(clippy::inline_always, reason = "a call costs as much as what it does")]
    #[inline(always)]
    fn take(bytes: &[u8], at: &mut usize, newer: Option<Self>) -> Option<Self> {
        take_by(bytes, at, newer, STEPS_LEAST)
    }
}

/// The tile at `*at`, where distances are so many steps at least.
#[expect(clippy::inline_always, reason = "a call costs as much as what it does")]
#[inline(always)]
fn take_by(bytes: &[u8], at: &mut usize, newer: Option<Tile>, steps_least: u64) -> Option<Tile> {
    let header = varint::take_u64(bytes, at)?;
    let (code, form) = (header >> FORM_BITS, header & ((1 << FORM_BITS) - 1));
    let start_min = match newer {
        Some(newer) => {
            let distance = distance_of(code, steps_least)?;
            newer.start_min.checked_sub(i64::try_from(distance).ok()?)?
        }
        None => (code >> 1) as i64 ^ -((code & 1) as i64),
    };
    if form == SAME {
        return newer.map(|newer| Tile { start_min, ..newer });
    }
    if matches!(form, ZERO | ZEROS | TWO_ZEROS) {
        let count = match form {
            ZERO => 1,
            TWO_ZEROS => 2,
            _ => varint::take_u32(bytes, at)?,
        };
        let zeros = Tile { start_min, count, sum: 0, min: 0, max: 0 };
        return (count > 0).then_some(zeros);
    }
    let (shape, unit) = ((form - 1) / UNITS.len() as u64, (form - 1) as usize % UNITS.len());
    let scale = UNITS[unit];
    let count = if shape == SINGLE { 1 } else { varint::take_u32(bytes, at)? };
    let min = varint::take_signed(bytes, at)?.checked_mul(scale)?;
    let (mut max, mut sum) = (min, i128::from(min) * i128::from(count));
    if shape >= SPREAD {
        let spread = varint::take_u64(bytes, at)?.checked_mul(scale.unsigned_abs())?;
        max = min.checked_add_unsigned(spread)?;
        let beyond = varint::take(bytes, at)?.checked_mul(u128::from(scale.unsigned_abs()))?;
        // No sum is beyond what so many of the largest give.
        if shape > SPREAD || beyond > u128::from(count) * u128::from(spread) {
            return None;
        }
        sum += beyond as i128;
    }
    (count > 0).then_some(Tile { start_min, count, sum, min, max })
}

/// Tiles of values as stores of version 4 had them: they counted the steps of a distance from 0.
pub(crate) fn of_version_4(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut at, mut newer, mut out) = (0, None, Vec::with_capacity(bytes.len()));
    while at < bytes.len() {
        let tile = take_by(bytes, &mut at, newer, 0)?;
        tile.put(&mut out, newer);
        newer = Some(tile);
    }
    Some(out)
}

/// A distance in minutes in the largest step that it is a multiple of.
fn code_of(distance: u64) -> u64 {
    let step = if !distance.is_multiple_of(5) {
        0
    } else if !distance.is_multiple_of(60) {
        1
    } else if !distance.is_multiple_of(360) {
        2
    } else {
        3
    };
    ((distance / STEPS_MIN[step] - STEPS_LEAST) << 2) | step as u64
}

/// What [`code_of`] was made of; nothing where starts would not fall.
#[inline]
fn distance_of(code: u64, steps_least: u64) -> Option<u64> {
    let steps = (code >> 2) + steps_least;
    let distance = steps.checked_mul(STEPS_MIN[(code & 3) as usize])?;
    (distance > 0).then_some(distance)
}

/// The largest unit in which all three are whole, and the last one in it.
fn in_unit(min: i64, spread: u64, beyond: u128) -> (usize, u128) {
    // Nearly every sum is short, and a division of 128 bits costs as much as all else here.
    let short = u64::try_from(beyond).ok();
    for (unit, scale) in UNITS.iter().enumerate() {
        let by = scale.unsigned_abs();
        if min % scale != 0 || !spread.is_multiple_of(by) {
            continue;
        }
        match short {
            Some(short) if short.is_multiple_of(by) => return (unit, u128::from(short / by)),
            None if beyond.is_multiple_of(u128::from(by)) => {
                return (unit, beyond / u128::from(by));
            }
            _ => {}
        }
    }
    (UNITS.len() - 1, beyond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Packed(Vec<u8>);

    impl Packed {
        fn add(&mut self, tile: &Tile) -> Added {
            let mut scratch = Vec::new();
            let (place, added) = add(&self.0, tile, &mut scratch);
            self.0.splice(place, scratch);
            added
        }

        fn rearrange(&mut self, place: impl Fn(i64) -> Option<(i64, Window)>) {
            let mut out = Vec::new();
            rearrange::<Tile>(&self.0, place, &mut out);
            self.0 = out;
        }

        fn tiles(&self) -> Vec<Tile> {
            Tiles::of(&self.0).collect()
        }
    }

    fn packed(tiles: &[Tile]) -> Packed {
        let mut all = Packed::default();
        for tile in tiles {
            all.add(tile);
        }
        all
    }

    #[test]
    fn tiles_survive_in_falling_order_whatever_their_numbers() {
        let tiles = [
            Tile { start_min: 40, count: 3, sum: 36_500_001, min: -5, max: 36_500_000 },
            Tile::of_one(-7, i64::MAX),
            Tile::of_one(30, -1_000_000),
            Tile { start_min: 29_000_000, count: u32::MAX, sum: 0, min: 0, max: 0 },
            Tile { start_min: 39, count: 2, sum: -1, min: i64::MIN, max: i64::MAX },
        ];
        let mut want = tiles;
        want.sort_by_key(|tile| -tile.start_min);
        let all = packed(&want);
        assert_eq!(all.tiles(), want);
        assert!(are_tiles::<Tile>(&all.0));
    }

    #[test]
    fn a_quiet_tile_is_short() {
        let minutes: Vec<_> = (0..10).map(|n| Tile::of_one(29_000_000 - n, 1_000_000)).collect();
        // The newest, then a byte for each that is like it.
        assert_eq!(packed(&minutes).0.len(), 5 + 1 + 9);
        let hourly = |value: i64| (0..10).map(move |n| Tile::of_one(-60 * n, value * (n + 1)));
        let hourly = |value| packed(&hourly(value).collect::<Vec<_>>()).0.len();
        // A header, and the value in as many bytes as its digits need.
        assert_eq!([3_000_000, 60_000, 600, 7].map(hourly), [20, 20, 20, 21]);
        let mut shuffled = minutes.clone();
        shuffled.reverse();
        shuffled.swap(2, 7);
        assert_eq!(packed(&shuffled), packed(&minutes));
    }

    #[test]
    fn the_same_start_merges_and_rearranging_merges_neighbours() {
        let mut all = packed(&[Tile::of_one(12, 5), Tile::of_one(7, 9), Tile::of_one(6, 1)]);
        assert_eq!(all.add(&Tile::of_one(7, -9)), Added::Merged);
        all.rearrange(|start| (start >= 5).then_some((start - start % 10, Window::M5)));
        let want = [Tile::of_one(10, 5), Tile { start_min: 0, count: 3, sum: 1, min: -9, max: 9 }];
        assert_eq!(all.tiles(), want);
        all.rearrange(|_| None);
        assert_eq!(all.0.len(), 0);
    }

    proptest! {
        /// Whatever stands in the list: with the newest rearranged first, all of it comes out as without.
        #[test]
        fn rearranging_the_newest_first_changes_nothing(
            tiles in prop::collection::btree_map(0..400_i64, (0..3_i64, 1..3_u32), 0..60),
            from in 0..80_i64,
        ) {
            // Ones behind 300, then fives, then sixties from 120 down; nothing below 7.
            let place = |minute: i64| match minute {
                300.. => Some((minute, Window::M5)),
                120.. => Some((minute - minute % 5, Window::M15)),
                7.. => Some((minute - minute % 60, Window::H6)),
                _ => None,
            };
            let mut all = Packed::default();
            for (start_min, (value, count)) in tiles {
                let value = value * 1_000_000;
                let sum = i128::from(value) * i128::from(count);
                let tile = Tile { start_min, count, sum, min: value, max: value };
                all.add(&tile);
            }
            let mut whole = all.clone();
            whole.rearrange(place);
            let older = |all: &Packed| -> Vec<Tile> {
                all.tiles().into_iter().filter(|tile| tile.start_min < 120).collect()
            };
            let (before, mut scratch) = (older(&all), Vec::new());
            let from_min = 120 + 5 * (from % 40);
            if let Some(range) = rearrange_from::<Tile>(&all.0, from_min, place, &mut scratch) {
                all.0.splice(range, scratch);
            }
            prop_assert_eq!(older(&all), before);
            prop_assert!(are_tiles::<Tile>(&all.0));
            all.rearrange(place);
            prop_assert_eq!(all, whole);
        }
    }

    #[test]
    fn tiles_of_version_4_are_read() {
        let one = |start_min| Tile::of_one(start_min, 0);
        let two = |start_min| Tile { count: 2, ..one(start_min) };
        // One reading of 0, the same five minutes before, several, of which there are two, the same.
        let renewed = of_version_4(&[0xcd, 2, 0x50, 0x5e, 2, 0x50]).unwrap();
        assert_eq!(renewed, packed(&[one(10), one(5), two(0), two(-5)]).0);
        // A second tile at the distance 0 of the first.
        assert_eq!(of_version_4(&[1, 1, 1, 1]), None);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let all = packed(&[Tile::of_one(12, 500), Tile::of_one(7, 9)]);
        assert!(!are_tiles::<Tile>(&all.0[..all.0.len() - 1]));
        // A first one like none before it.
        assert!(!are_tiles::<Tile>(&[0]));
        // Three cannot sum up to more than three of the largest, and there are three shapes.
        assert!(!are_tiles::<Tile>(&[9, 3, 0, 5, 16]));
        assert!(are_tiles::<Tile>(&[9, 3, 0, 5, 15]));
    }
}

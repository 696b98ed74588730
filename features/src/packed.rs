//! Tiles as bytes, the newest first: two to six bytes for a quiet one instead of sixty-four.
//!
//! A tile is a header (its distance to the newer tile in minutes, shifted by three flags) and its
//! numbers, each as short as it can be: `SINGLE` leaves the count out, `UNIFORM` the spread and the
//! sum, `WHOLE` says that all numbers count ones instead of millionths.

use crate::aggregate::Tile;
use crate::fixed::MICROS;
use crate::varint;

const SINGLE: u64 = 1;
const UNIFORM: u64 = 2;
const WHOLE: u64 = 4;
const FLAG_BITS: u32 = 3;
/// Room is made in steps of what an allocator gives anyway.
const GROWTH_BYTES: usize = 16;
/// Two tiles at their longest.
const PAIR_BYTES_MAX: usize = 128;

/// The tiles of one series, in strictly falling order of their starts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Packed(Vec<u8>);

impl Clone for Packed {
    /// With the room to grow, too: a copy that a snapshot forces takes the memory that was counted.
    fn clone(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.0.capacity());
        bytes.extend_from_slice(&self.0);
        Self(bytes)
    }
}

impl Packed {
    /// Reads bytes that were stored; nothing where they are not what [`Packed::as_bytes`] gave.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut tiles = Tiles { bytes, at: 0, newer: None };
        while tiles.next().is_some() {}
        (tiles.at == bytes.len()).then(|| Self(bytes.to_vec()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.capacity()
    }

    pub(crate) fn iter(&self) -> Tiles<'_> {
        Tiles { bytes: &self.0, at: 0, newer: None }
    }

    /// Merges the tile with the one of the same start, or puts it in as a new one; says which.
    pub(crate) fn add(&mut self, tile: Tile) -> Added {
        let mut tiles = self.iter();
        loop {
            let (from, newer) = (tiles.at, tiles.newer);
            let mut bytes = Short::default();
            let added = match tiles.next() {
                Some(found) if found.start_min > tile.start_min => continue,
                Some(mut found) if found.start_min == tile.start_min => {
                    found.merge(&tile);
                    encode(&mut bytes, newer, &found);
                    Added::Merged
                }
                older => {
                    encode(&mut bytes, newer, &tile);
                    if let Some(older) = older {
                        encode(&mut bytes, Some(tile.start_min), &older);
                    }
                    Added::New
                }
            };
            let to = tiles.at;
            self.replace(from, to, bytes.as_slice());
            return added;
        }
    }

    /// Gives every tile the start that `place` says, and merges those that then share one. `place`
    /// must not turn the order around; a tile without a place is dropped, as are all behind it.
    pub(crate) fn rearrange(&mut self, place: impl Fn(i64) -> Option<i64>) {
        let mut bytes = Vec::with_capacity(self.0.len());
        let mut newer = None;
        let mut open: Option<Tile> = None;
        for mut tile in self.iter() {
            let Some(start_min) = place(tile.start_min) else { break };
            tile.start_min = start_min;
            match &mut open {
                Some(last) if last.start_min == start_min => last.merge(&tile),
                Some(last) => {
                    encode(&mut bytes, newer, last);
                    newer = Some(last.start_min);
                    *last = tile;
                }
                None => open = Some(tile),
            }
        }
        if let Some(last) = open {
            encode(&mut bytes, newer, &last);
        }
        if bytes != self.0 {
            self.0 = Vec::with_capacity(bytes.len().next_multiple_of(GROWTH_BYTES));
            self.0.extend_from_slice(&bytes);
        }
    }

    fn replace(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let grown = (to - from).max(bytes.len()) - (to - from);
        if self.0.capacity() - self.0.len() < grown {
            self.0.reserve_exact(grown.next_multiple_of(GROWTH_BYTES));
        }
        let (old, behind) = (self.0.len(), self.0.len() - to);
        let new = from + bytes.len() + behind;
        self.0.resize(old.max(new), 0);
        self.0.copy_within(to..old, from + bytes.len());
        self.0[from..from + bytes.len()].copy_from_slice(bytes);
        self.0.truncate(new);
    }
}

/// At most two tiles, without an allocation.
struct Short {
    bytes: [u8; PAIR_BYTES_MAX],
    len: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self { bytes: [0; PAIR_BYTES_MAX], len: 0 }
    }
}

impl Short {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl varint::Sink for Short {
    fn put_byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }
}

/// What became of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Merged,
    New,
}

/// Walks the tiles, the newest first.
#[derive(Debug)]
pub(crate) struct Tiles<'a> {
    bytes: &'a [u8],
    at: usize,
    newer: Option<i64>,
}

impl Iterator for Tiles<'_> {
    type Item = Tile;

    fn next(&mut self) -> Option<Tile> {
        let mut at = self.at;
        let tile = decode(self.bytes, &mut at, self.newer)?;
        self.at = at;
        self.newer = Some(tile.start_min);
        Some(tile)
    }
}

fn encode(out: &mut impl varint::Sink, newer: Option<i64>, tile: &Tile) {
    // The newest tile stands alone: its start is folded, so that it may lie before 1970.
    let distance = match newer {
        Some(newer) => (newer - tile.start_min) as u64,
        None => ((tile.start_min << 1) ^ (tile.start_min >> 63)) as u64,
    };
    let spread = tile.max.abs_diff(tile.min);
    let beyond = (tile.sum - i128::from(tile.count) * i128::from(tile.min)).unsigned_abs();
    let is_whole = tile.min % MICROS == 0
        && spread.is_multiple_of(MICROS.unsigned_abs())
        && whole(beyond).is_some();
    let (scale, mut flags) = if is_whole { (MICROS, WHOLE) } else { (1, 0) };
    if tile.count == 1 {
        flags |= SINGLE;
    }
    if spread == 0 {
        flags |= UNIFORM;
    }
    varint::put_u64(out, distance << FLAG_BITS | flags);
    if flags & SINGLE == 0 {
        varint::put_u64(out, u64::from(tile.count));
    }
    varint::put_signed(out, tile.min / scale);
    if flags & UNIFORM == 0 {
        varint::put_u64(out, spread / scale.unsigned_abs());
        varint::put(out, if is_whole { whole(beyond).unwrap_or(beyond) } else { beyond });
    }
}

/// How many whole ones so many millionths are. A division of 128 bits costs as much as all else here.
fn whole(micros: u128) -> Option<u128> {
    let unit = MICROS.unsigned_abs();
    match u64::try_from(micros) {
        Ok(short) => short.is_multiple_of(unit).then(|| u128::from(short / unit)),
        Err(_) => micros.is_multiple_of(u128::from(unit)).then(|| micros / u128::from(unit)),
    }
}

fn decode(bytes: &[u8], at: &mut usize, newer: Option<i64>) -> Option<Tile> {
    let header = varint::take_u64(bytes, at)?;
    let distance = header >> FLAG_BITS;
    let start_min = match newer {
        Some(newer) if distance > 0 => newer.checked_sub(distance as i64)?,
        Some(_) => return None,
        None => (distance >> 1) as i64 ^ -((distance & 1) as i64),
    };
    let count = if header & SINGLE == 0 { varint::take_u32(bytes, at)? } else { 1 };
    let scale = if header & WHOLE == 0 { 1 } else { MICROS };
    let min = varint::take_signed(bytes, at)?.checked_mul(scale)?;
    let (mut max, mut sum) = (min, i128::from(min) * i128::from(count));
    if header & UNIFORM == 0 {
        let spread = varint::take_u64(bytes, at)?.checked_mul(scale.unsigned_abs())?;
        max = min.checked_add_unsigned(spread)?;
        let beyond = varint::take(bytes, at)?.checked_mul(u128::from(scale.unsigned_abs()))?;
        // No sum is beyond what so many of the largest give.
        if header & SINGLE != 0 || beyond > u128::from(count) * u128::from(spread) {
            return None;
        }
        sum += beyond as i128;
    }
    (count > 0).then_some(Tile { start_min, count, sum, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(tiles: &[Tile]) -> Packed {
        let mut all = Packed::default();
        for tile in tiles {
            all.add(*tile);
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
        assert_eq!(all.iter().collect::<Vec<_>>(), want);
        assert_eq!(Packed::from_bytes(all.as_bytes()), Some(all));
    }

    #[test]
    fn a_quiet_tile_is_short() {
        let minutes: Vec<_> = (0..10).map(|n| Tile::of_one(29_000_000 - n, 1_000_000)).collect();
        assert!(packed(&minutes).as_bytes().len() <= 5 + 2 * 10);
        let mut shuffled = minutes.clone();
        shuffled.reverse();
        shuffled.swap(2, 7);
        assert_eq!(packed(&shuffled), packed(&minutes));
    }

    #[test]
    fn the_same_start_merges_and_rearranging_merges_neighbours() {
        let mut all = packed(&[Tile::of_one(12, 5), Tile::of_one(7, 9), Tile::of_one(6, 1)]);
        assert_eq!(all.add(Tile::of_one(7, -9)), Added::Merged);
        all.rearrange(|start| (start >= 5).then_some(start - start % 10));
        let want = [Tile::of_one(10, 5), Tile { start_min: 0, count: 3, sum: 1, min: -9, max: 9 }];
        assert_eq!(all.iter().collect::<Vec<_>>(), want);
        all.rearrange(|_| None);
        assert_eq!((all.as_bytes().len(), all.heap_bytes()), (0, 0));
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let all = packed(&[Tile::of_one(12, 500), Tile::of_one(7, 9)]);
        let bytes = all.as_bytes();
        assert_eq!(Packed::from_bytes(&bytes[..bytes.len() - 1]), None);
        // A second tile at the distance 0 of the first.
        assert_eq!(Packed::from_bytes(&[3, 1, 3, 1]), None);
        // One reading cannot have a spread, and three cannot sum up to more than three of the largest.
        assert_eq!(Packed::from_bytes(&[1, 1, 1, 1]), None);
        assert_eq!(Packed::from_bytes(&[0, 3, 0, 5, 16]), None);
        assert!(Packed::from_bytes(&[0, 3, 0, 5, 15]).is_some());
    }
}

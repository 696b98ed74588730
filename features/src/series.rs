//! The readings of one kind of one entity: its newest, how many there ever were, and the tiles that
//! its windows are made of.
//!
//! A reading is in one tile. How wide that is follows from its age: a minute as long as a window of
//! five minutes can begin at or before it, then five minutes, an hour and a quarter of a day, the hops
//! of the edge rule in [`crate::window`]. Log time only rises, so no window that will be read begins
//! between two readings of a tile, and a late reading finds its tile as long as any window can see it.

use crate::aggregate::{Reading, Summary, Tile};
use crate::kind::Kind;
use crate::packed::{Added, Packed};
use crate::window::{MINUTE_US, Window};

/// After how many new tiles a series is compacted: what it holds beyond its due stays below this.
const FRESH_TILES_MAX: u8 = 8;

/// Where a reading went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// Into the tiles, on time or late.
    Window,
    /// Its time is ahead of the log time: held back, and counted from the moment it is reached.
    Ahead,
    /// Older than every window: only `last` and the lifetime count saw it.
    Past,
    /// Not taken: no finite value, an unusable key, or a limit of the store is reached.
    Refused,
}

/// From which minute on tiles have which width, as of a log time.
#[derive(Clone, Copy, Debug)]
struct Zones([i64; 4]);

impl Zones {
    fn at(now_us: i64) -> Self {
        Self(Window::ALL.map(|window| window.start_us(now_us).div_euclid(MINUTE_US)))
    }

    /// The start of the tile that holds this minute; nothing for one that no window can see.
    fn place(&self, minute: i64) -> Option<i64> {
        let (_, window) = self.0.iter().zip(Window::ALL).find(|(from, _)| minute >= **from)?;
        Some(minute - minute.rem_euclid(window.hop_us() / MINUTE_US))
    }
}

/// The readings of one kind of one entity.
#[derive(Clone, Debug)]
pub struct Series {
    last: Reading,
    tiles: Packed,
    lifetime: u32,
    kind: Kind,
    /// Tiles put in since the last compaction.
    fresh: u8,
}

impl Series {
    pub fn new(kind: Kind) -> Self {
        let last = Reading { at_us: i64::MIN, value: i64::MIN };
        Self { last, tiles: Packed::default(), lifetime: 0, kind, fresh: 0 }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The newest reading ever, by event time.
    pub fn last(&self) -> Option<Reading> {
        (self.lifetime > 0).then_some(self.last)
    }

    /// How many readings there ever were; stops at 4.29e9.
    pub fn lifetime(&self) -> u32 {
        self.lifetime
    }

    pub fn heap_bytes(&self) -> usize {
        self.tiles.heap_bytes()
    }

    /// Takes a reading in. `now_us` is the log time: not before `reading.at_us`, and never falling.
    pub fn add(&mut self, reading: Reading, now_us: i64) -> Landing {
        self.lifetime = self.lifetime.saturating_add(1);
        self.last = self.last.max(reading);
        let zones = Zones::at(now_us);
        let minute = reading.at_us.div_euclid(MINUTE_US);
        let Some(start_min) = zones.place(minute) else { return Landing::Past };
        // Tiles that are still finer than their age asks for may share the time of this one. No window
        // can begin between them any more, and the next compaction makes them one.
        if self.tiles.add(Tile::of_one(start_min, reading.value)) == Added::New {
            self.fresh += 1;
            if self.fresh >= FRESH_TILES_MAX {
                self.compact(zones);
            }
        }
        Landing::Window
    }

    /// Merges and drops what the log time has made too fine or too old. Changes no answer, only memory.
    pub fn prune(&mut self, now_us: i64) {
        self.compact(Zones::at(now_us));
    }

    /// Whether [`Series::prune`] would change nothing: every tile has its place.
    pub(crate) fn is_pruned(&self, now_us: i64) -> bool {
        // Starts fall strictly, so tiles that stand where they belong share no place.
        let zones = Zones::at(now_us);
        self.tiles.iter().all(|tile| zones.place(tile.start_min) == Some(tile.start_min))
    }

    fn compact(&mut self, zones: Zones) {
        self.tiles.rearrange(|minute| zones.place(minute));
        self.fresh = 0;
    }

    /// The window as of a time at or after the log time.
    pub fn read(&self, window: Window, as_of_us: i64) -> Summary {
        self.read_from(window.start_us(as_of_us))
    }

    /// The window that begins there.
    pub(crate) fn read_from(&self, start_us: i64) -> Summary {
        let mut all = Summary::default();
        // The newest reading tells an empty window without a look at the tiles.
        if self.last.at_us >= start_us && self.lifetime > 0 {
            let start_min = start_us.div_euclid(MINUTE_US);
            self.tiles
                .iter()
                .take_while(|tile| tile.start_min >= start_min)
                .for_each(|tile| all.add_tile(&tile));
            all.last = Some(self.last);
        }
        all
    }

    /// All windows as of a time at or after the log time, in the order of [`Window::ALL`].
    pub fn read_all(&self, as_of_us: i64) -> [Summary; 4] {
        Window::ALL.map(|window| self.read(window, as_of_us))
    }

    /// The whole life of the series: its count and its newest reading, nothing else.
    pub fn life(&self) -> Summary {
        Summary { count: u64::from(self.lifetime), last: self.last(), ..Summary::default() }
    }

    /// What is stored: the same for the same readings and log time, whatever the order.
    pub(crate) fn stored(&self, now_us: i64) -> (u32, Reading, Packed) {
        let mut tiles = self.tiles.clone();
        let zones = Zones::at(now_us);
        tiles.rearrange(|minute| zones.place(minute));
        (self.lifetime, self.last, tiles)
    }

    pub(crate) fn restored(kind: Kind, lifetime: u32, last: Reading, tiles: Packed) -> Self {
        Self { last, tiles, lifetime, kind, fresh: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{DAY_US, HOUR_US};

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn at(at_us: i64) -> Reading {
        Reading { at_us, value: 1_000_000 }
    }

    #[test]
    fn a_series_is_small() {
        assert!(size_of::<Series>() <= 48);
        let mut series = Series::new(Kind::Heartbeat);
        for minute in 0..10_000 {
            let now_us = NOW_US + minute * MINUTE_US;
            series.add(at(now_us), now_us);
        }
        assert!(series.heap_bytes() < 300, "{}", series.heap_bytes());
        series.prune(NOW_US + 30 * DAY_US);
        assert_eq!((series.heap_bytes(), series.lifetime()), (0, 10_000));
    }

    #[test]
    fn a_late_reading_lands_in_its_own_tile_and_a_very_late_one_in_none() {
        let mut series = Series::new(Kind::Door);
        series.add(at(NOW_US), NOW_US);
        assert_eq!(series.add(at(NOW_US - 3 * HOUR_US), NOW_US), Landing::Window);
        assert_eq!(series.add(at(NOW_US - 8 * DAY_US), NOW_US), Landing::Past);
        let counts = series.read_all(NOW_US).map(|window| window.count);
        assert_eq!(counts, [1, 1, 2, 2]);
        assert_eq!((series.last(), series.lifetime()), (Some(at(NOW_US)), 3));
    }

    #[test]
    fn a_very_late_reading_is_still_the_last_of_a_silent_series() {
        let mut series = Series::new(Kind::Door);
        assert_eq!(series.last(), None);
        assert_eq!(series.add(at(NOW_US - 9 * DAY_US), NOW_US), Landing::Past);
        assert_eq!(series.last(), Some(at(NOW_US - 9 * DAY_US)));
        assert_eq!(series.read(Window::D7, NOW_US), Summary::default());
        assert_eq!(series.life().count, 1);
    }

    #[test]
    fn windows_shrink_without_events() {
        let mut series = Series::new(Kind::Motion);
        series.add(at(NOW_US), NOW_US);
        for window in Window::ALL {
            assert_eq!(series.read(window, NOW_US + window.length_us()).count, 1);
            assert_eq!(series.read(window, NOW_US + window.length_us() + window.hop_us()).count, 0);
        }
    }

    #[test]
    fn no_later_window_begins_between_the_readings_of_a_tile() {
        for shift in 0..500 {
            let now_us = NOW_US + shift * 437_000_011;
            let zones = Zones::at(now_us);
            for minute in (now_us / MINUTE_US - 500..now_us / MINUTE_US).chain(zones.0) {
                let start_min = zones.place(minute).unwrap();
                for window in Window::ALL {
                    for later_us in [0, MINUTE_US, 7 * MINUTE_US, HOUR_US, 7 * HOUR_US] {
                        let from = window.start_us(now_us + later_us).div_euclid(MINUTE_US);
                        assert_eq!(start_min >= from, minute >= from, "{minute} {window}");
                    }
                }
            }
            assert_eq!(zones.place(zones.0[3] - 1), None);
        }
    }

    #[test]
    fn measured_values_take_more_than_ones_but_not_much() {
        let mut series = Series::new(Kind::Respiration);
        for step in 0..20 * 24 * 120 {
            let now_us = NOW_US + step * MINUTE_US / 2;
            let value = 12_000_000 + step * 7_919 % 9_000_001;
            series.add(Reading { at_us: now_us, value }, now_us);
        }
        assert!(series.heap_bytes() < 1200, "{}", series.heap_bytes());
    }
}

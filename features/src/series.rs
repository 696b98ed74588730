//! The readings of one topic of one entity, as one part keeps them: the newest, how many there ever
//! were, and the tiles that its windows are made of.
//!
//! A reading is in one tile. How wide that is follows from its age: a minute as long as a window of
//! five minutes can begin at or before it, then the hops of the longer windows by the edge rule in
//! [`crate::window`]. Log time only rises, so no window that will be read begins between two readings
//! of a tile, and a late reading finds its tile as long as any window can see it.

use crate::kind::Kind;
use crate::packed::{Added, Packed, Tiles};
use crate::part::{Distinct, First, Gaps, Hours, Part, Squares, TilePart, Trend};
use crate::summary::{Reading, Summary, Tile};
use crate::topic::Topic;
use crate::window::{MINUTE_US, Window};
use crate::zones::{Reach, Zones};

/// After how many new tiles the newest of a series are compacted, and after how many all of it: what it
/// holds beyond its due stays below the one and a sixth of the other. A tile is compacted twice, when its
/// first minutes are over and with the rest, so that a reading pays for few.
const FRESH_TILES: u8 = 8;
const FRESH_TILES_MAX: u8 = 48;
/// How far behind the shortest window the newest end.
const NEWEST_MIN: i64 = 60;
/// The hop of the window behind the shortest.
const HOP_MIN: i64 = Window::M15.hop_us() / MINUTE_US;

/// Where a reading went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Landing {
    /// Not taken: no finite value, an unusable key, or a limit of the store is reached.
    Refused,
    /// No view asks for readings of this kind.
    Unwatched,
    /// Older than every window: only `last` and the lifetime count saw it.
    Past,
    /// Its time is ahead of the log time: held back, and counted from the moment it is reached.
    Ahead,
    /// Into the tiles, as the newest reading of its kind.
    Window,
    /// Into the tiles, behind a newer reading: windows that were read before have changed.
    Late,
}

/// One list of tiles. Which views ask for it, and how far back, is said by the store's demands.
#[derive(Clone, Debug)]
pub struct Series {
    last: Reading,
    tiles: Packed,
    lifetime: u32,
    topic: Topic,
    part: Part,
    /// Tiles put in since the last compaction.
    fresh: u8,
    /// Which asking for it this answers: one that was given up and asked for again begins anew.
    generation: u8,
}

impl Series {
    pub(crate) fn new(topic: Topic, part: Part, generation: u8) -> Self {
        let last = Reading { at_us: i64::MIN, value: i64::MIN };
        Self { last, tiles: Packed::default(), lifetime: 0, topic, part, fresh: 0, generation }
    }

    /// Nothing where it is of every kind.
    pub fn kind(&self) -> Option<Kind> {
        self.topic.kind()
    }

    pub fn part(&self) -> Part {
        self.part
    }

    /// Series of an entity stand in this order.
    pub(crate) fn place(&self) -> (Topic, Part) {
        (self.topic, self.part)
    }

    pub(crate) fn generation(&self) -> u8 {
        self.generation
    }

    /// The newest reading ever, by event time.
    pub fn last(&self) -> Option<Reading> {
        (self.lifetime > 0).then_some(self.last)
    }

    /// How many readings there ever were; stops at 4.29e9.
    pub fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// Looks at the tiles, and gives something that depends on them.
    pub(crate) fn warm(&self) -> usize {
        const LINE_BYTES: usize = 64;
        self.tiles.as_bytes().iter().step_by(LINE_BYTES).map(|byte| usize::from(*byte)).sum()
    }

    pub fn heap_bytes(&self) -> usize {
        self.tiles.heap_bytes()
    }

    /// Takes a reading in. `zones` are of the log time: not before `reading.at_us`, and never falling.
    pub(crate) fn add(
        &mut self,
        reading: Reading,
        zones: &Zones,
        reach: &Reach,
        scratch: &mut Vec<u8>,
    ) -> Landing {
        let is_late = self.lifetime > 0 && reading.at_us < self.last.at_us;
        self.lifetime = self.lifetime.saturating_add(1);
        self.last = self.last.max(reading);
        let minute = reading.at_us.div_euclid(MINUTE_US);
        let Some(place) = reach.place(zones, minute) else { return Landing::Past };
        let reading = if reach.counts_only() { Reading { value: 0, ..reading } } else { reading };
        // Tiles that are still finer than their age asks for may share the time of this one. No window
        // can begin between them any more, and the next compaction makes them one.
        let added = match self.part {
            Part::Values => self.insert::<Tile>(place, reading, scratch),
            Part::Squares => self.insert::<Squares>(place, reading, scratch),
            Part::First => self.insert::<First>(place, reading, scratch),
            Part::Distinct => self.insert::<Distinct>(place, reading, scratch),
            Part::Gaps => self.insert::<Gaps>(place, reading, scratch),
            Part::Hours => self.insert::<Hours>(place, reading, scratch),
            Part::Trend => self.insert::<Trend>(place, reading, scratch),
        };
        if added == Added::New {
            self.fresh += 1;
            if self.fresh >= FRESH_TILES_MAX {
                self.prune(zones, reach);
            } else if self.fresh.is_multiple_of(FRESH_TILES) {
                self.prune_newest(zones, reach, scratch);
            }
        }
        if is_late { Landing::Late } else { Landing::Window }
    }

    fn insert<T: TilePart>(
        &mut self,
        (start_min, zone): (i64, Window),
        reading: Reading,
        scratch: &mut Vec<u8>,
    ) -> Added {
        self.tiles.add(&T::of_one(start_min, zone, reading), scratch)
    }

    /// Merges and drops what the log time has made too fine or too old. Changes no answer, only memory.
    pub(crate) fn prune(&mut self, zones: &Zones, reach: &Reach) {
        arrange(&mut self.tiles, self.part, zones, reach);
        self.fresh = 0;
    }

    /// [`Series::prune`] of what the shortest windows have left behind since the last time.
    fn prune_newest(&mut self, zones: &Zones, reach: &Reach, scratch: &mut Vec<u8>) {
        // Tiles of both hops end here.
        let from_min = zones.start_min(Window::M5) - NEWEST_MIN;
        let from_min = (from_min - from_min.rem_euclid(HOP_MIN)).max(zones.start_min(Window::H1));
        let place = |minute| reach.place(zones, minute);
        let tiles = &mut self.tiles;
        match self.part {
            Part::Values => tiles.rearrange_from::<Tile>(from_min, place, scratch),
            Part::Squares => tiles.rearrange_from::<Squares>(from_min, place, scratch),
            Part::First => tiles.rearrange_from::<First>(from_min, place, scratch),
            Part::Distinct => tiles.rearrange_from::<Distinct>(from_min, place, scratch),
            Part::Gaps => tiles.rearrange_from::<Gaps>(from_min, place, scratch),
            Part::Hours => tiles.rearrange_from::<Hours>(from_min, place, scratch),
            Part::Trend => tiles.rearrange_from::<Trend>(from_min, place, scratch),
        }
    }

    /// Whether [`Series::prune`] would change nothing: every tile has its place.
    pub(crate) fn is_pruned(&self, zones: &Zones, reach: &Reach) -> bool {
        match self.part {
            Part::Values => self.has_places::<Tile>(zones, reach),
            Part::Squares => self.has_places::<Squares>(zones, reach),
            Part::First => self.has_places::<First>(zones, reach),
            Part::Distinct => self.has_places::<Distinct>(zones, reach),
            // Slots grow coarser with age, also where the tile stays as it is.
            Part::Gaps => self.tiles.as_bytes().is_empty(),
            Part::Hours => self.has_places::<Hours>(zones, reach),
            Part::Trend => self.has_places::<Trend>(zones, reach),
        }
    }

    fn has_places<T: TilePart>(&self, zones: &Zones, reach: &Reach) -> bool {
        // Starts fall strictly, so tiles that stand where they belong share no place.
        let mut starts = self.tiles.iter::<T>().map(|tile| tile.start_min());
        starts.all(|start| reach.place(zones, start).is_some_and(|(place, _)| place == start))
    }

    /// The tiles from that minute on, the newest first.
    pub(crate) fn tiles<T: TilePart>(
        &self,
        start_min: i64,
    ) -> std::iter::TakeWhile<Tiles<'_, T>, impl FnMut(&T) -> bool> {
        self.tiles.iter::<T>().take_while(move |tile| tile.start_min() >= start_min)
    }

    /// The values of the window that begins there.
    pub(crate) fn read_from(&self, start_us: i64) -> Summary {
        self.walk().down_to(start_us)
    }

    /// A walk from the newest tile down.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk { series: self, tiles: self.tiles.iter(), next: None, all: Summary::default() }
    }

    /// The whole life of the series: its count and its newest reading, nothing else.
    pub fn life(&self) -> Summary {
        Summary { count: u64::from(self.lifetime), last: self.last(), ..Summary::default() }
    }

    /// What is stored: the same for the same readings and log time, whatever the order.
    pub(crate) fn stored(&self, zones: &Zones, reach: &Reach) -> (u32, Reading, Packed) {
        let mut tiles = self.tiles.clone();
        arrange(&mut tiles, self.part, zones, reach);
        (self.lifetime, self.last, tiles)
    }

    pub(crate) fn restored(
        (topic, part, generation): (Topic, Part, u8),
        lifetime: u32,
        last: Reading,
        tiles: Packed,
    ) -> Self {
        Self { last, tiles, lifetime, topic, part, fresh: 0, generation }
    }
}

/// The values of windows, each beginning before the last one: they share its tiles.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    series: &'a Series,
    tiles: Tiles<'a, Tile>,
    /// A tile that was too old for the last window.
    next: Option<Tile>,
    all: Summary,
}

impl Walk<'_> {
    pub(crate) fn down_to(&mut self, start_us: i64) -> Summary {
        // The newest reading tells an empty window without a look at the tiles.
        if self.series.last.at_us < start_us || self.series.lifetime == 0 {
            return Summary::default();
        }
        let start_min = start_us.div_euclid(MINUTE_US);
        while let Some(tile) = self.next.take().or_else(|| self.tiles.next()) {
            if tile.start_min < start_min {
                self.next = Some(tile);
                break;
            }
            self.all.add_tile(&tile);
        }
        self.all.last = Some(self.series.last);
        self.all
    }
}

/// Gives every tile the place that its age asks for.
fn arrange(tiles: &mut Packed, part: Part, zones: &Zones, reach: &Reach) {
    let place = |minute| reach.place(zones, minute);
    match part {
        Part::Values => tiles.rearrange::<Tile>(place),
        Part::Squares => tiles.rearrange::<Squares>(place),
        Part::First => tiles.rearrange::<First>(place),
        Part::Distinct => tiles.rearrange::<Distinct>(place),
        Part::Gaps => tiles.rearrange::<Gaps>(place),
        Part::Hours => tiles.rearrange::<Hours>(place),
        Part::Trend => tiles.rearrange::<Trend>(place),
    }
}

/// Stored tiles of a part; nothing where the bytes are none.
pub(crate) fn tiles_from_bytes(part: Part, bytes: &[u8]) -> Option<Packed> {
    match part {
        Part::Values => Packed::from_bytes::<Tile>(bytes),
        Part::Squares => Packed::from_bytes::<Squares>(bytes),
        Part::First => Packed::from_bytes::<First>(bytes),
        Part::Distinct => Packed::from_bytes::<Distinct>(bytes),
        Part::Gaps => Packed::from_bytes::<Gaps>(bytes),
        Part::Hours => Packed::from_bytes::<Hours>(bytes),
        Part::Trend => Packed::from_bytes::<Trend>(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Window;
    use crate::window::{DAY_US, HOUR_US};
    use crate::zones::ALWAYS_MIN;

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn at(at_us: i64) -> Reading {
        Reading { at_us, value: 1_000_000 }
    }

    fn week() -> Reach {
        Reach::new(Some(Window::D7), ALWAYS_MIN)
    }

    fn series() -> Series {
        Series::new(Topic::of(Kind::Door), Part::Values, 0)
    }

    fn add(series: &mut Series, reading: Reading, now_us: i64) -> Landing {
        series.add(reading, &Zones::at(now_us), &week(), &mut Vec::new())
    }

    fn count(series: &Series, window: Window, as_of_us: i64) -> u64 {
        series.read_from(window.start_us(as_of_us)).count
    }

    #[test]
    fn a_series_is_small() {
        assert!(size_of::<Series>() <= 48);
        let mut series = series();
        for minute in 0..10_000 {
            let now_us = NOW_US + minute * MINUTE_US;
            add(&mut series, at(now_us), now_us);
        }
        assert!(series.heap_bytes() < 300, "{}", series.heap_bytes());
        series.prune(&Zones::at(NOW_US + 30 * DAY_US), &week());
        assert_eq!((series.heap_bytes(), series.lifetime()), (0, 10_000));
    }

    #[test]
    fn a_late_reading_lands_in_its_own_tile_and_a_very_late_one_in_none() {
        let mut series = series();
        assert_eq!(add(&mut series, at(NOW_US), NOW_US), Landing::Window);
        assert_eq!(add(&mut series, at(NOW_US - 3 * HOUR_US), NOW_US), Landing::Late);
        assert_eq!(add(&mut series, at(NOW_US - 8 * DAY_US), NOW_US), Landing::Past);
        let windows = [Window::M5, Window::H1, Window::D1, Window::D7];
        assert_eq!(windows.map(|window| count(&series, window, NOW_US)), [1, 1, 2, 2]);
        assert_eq!((series.last(), series.lifetime()), (Some(at(NOW_US)), 3));
    }

    #[test]
    fn a_very_late_reading_is_still_the_last_of_a_silent_series() {
        let mut series = series();
        assert_eq!(series.last(), None);
        assert_eq!(add(&mut series, at(NOW_US - 9 * DAY_US), NOW_US), Landing::Past);
        assert_eq!(series.last(), Some(at(NOW_US - 9 * DAY_US)));
        assert_eq!(series.read_from(Window::D7.start_us(NOW_US)), Summary::default());
        assert_eq!(series.life().count, 1);
    }

    #[test]
    fn windows_shrink_without_events() {
        let mut series = Series::new(Topic::of(Kind::Door), Part::Values, 0);
        let year = Reach::new(Some(Window::D365), ALWAYS_MIN);
        series.add(at(NOW_US), &Zones::at(NOW_US), &year, &mut Vec::new());
        for window in Window::ALL {
            assert_eq!(count(&series, window, NOW_US + window.length_us()), 1);
            assert_eq!(count(&series, window, NOW_US + window.length_us() + window.hop_us()), 0);
        }
    }

    #[test]
    fn measured_values_take_more_than_ones_but_not_much() {
        let mut series = series();
        for step in 0..20 * 24 * 120 {
            let now_us = NOW_US + step * MINUTE_US / 2;
            let value = 12_000_000 + step * 7_919 % 9_000_001;
            add(&mut series, Reading { at_us: now_us, value }, now_us);
        }
        assert!(series.heap_bytes() < 1200, "{}", series.heap_bytes());
    }
}

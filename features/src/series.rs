//! The readings of one topic of one entity, as one part keeps them: the newest, how many there ever
//! were, and the tiles that its windows are made of.
//!
//! A reading is in one tile. How wide that is follows from its age: a minute as long as a window of
//! five minutes can begin at or before it, then the hops of the longer windows by the edge rule in
//! [`crate::window`]. Log time only rises, so no window that will be read begins between two readings
//! of a tile, and a late reading finds its tile as long as any window can see it.

use std::borrow::Cow;
use std::ops::Range;

use crate::kind::Kind;
use crate::packed::{self, Added, Tiles};
use crate::part::{Distinct, First, Gaps, Hours, Part, Squares, TilePart, Trend};
use crate::summary::{Reading, Summary, Tile};
use crate::topic::Topic;
use crate::window::{MINUTE_US, Window};
use crate::zones::{Reach, Zones};

/// Does something with the tiles of a part, whatever their type.
macro_rules! by_part {
    ($part:expr, $tile:ident => $does:expr) => {
        match $part {
            Part::Values => {
                type $tile = Tile;
                $does
            }
            Part::Squares => {
                type $tile = Squares;
                $does
            }
            Part::First => {
                type $tile = First;
                $does
            }
            Part::Distinct => {
                type $tile = Distinct;
                $does
            }
            Part::Gaps => {
                type $tile = Gaps;
                $does
            }
            Part::Hours => {
                type $tile = Hours;
                $does
            }
            Part::Trend => {
                type $tile = Trend;
                $does
            }
        }
    };
}

/// How far behind the shortest window the newest tiles end.
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

/// What is said of a series beside its tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) last: Reading,
    pub(crate) lifetime: u32,
    pub(crate) topic: Topic,
    pub(crate) part: Part,
    /// Tiles put in since the last compaction.
    pub(crate) fresh: u8,
    /// Which asking for it this answers: one that was given up and asked for again begins anew.
    pub(crate) generation: u8,
}

impl Head {
    /// Of a series without a reading.
    pub(crate) const NO_READING: Reading = Reading { at_us: i64::MIN, value: i64::MIN };

    pub(crate) fn new((topic, part): (Topic, Part), generation: u8) -> Self {
        Self { last: Self::NO_READING, lifetime: 0, topic, part, fresh: 0, generation }
    }
}

/// One list of tiles, read where it lies. Which views ask for it, and how far back, is said by the store's
/// demands.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    pub(crate) head: Head,
    pub(crate) tiles: Cow<'a, [u8]>,
}

impl Series<'_> {
    pub(crate) fn new(head: Head) -> Self {
        Self { head, tiles: Cow::default() }
    }

    pub(crate) fn into_owned(self) -> Series<'static> {
        Series { head: self.head, tiles: Cow::Owned(self.tiles.into_owned()) }
    }

    /// Nothing where it is of every kind.
    pub fn kind(&self) -> Option<Kind> {
        self.head.topic.kind()
    }

    pub fn part(&self) -> Part {
        self.head.part
    }

    /// Series of an entity stand in this order.
    pub(crate) fn place(&self) -> (Topic, Part) {
        (self.head.topic, self.head.part)
    }

    pub(crate) fn generation(&self) -> u8 {
        self.head.generation
    }

    /// The newest reading ever, by event time.
    pub fn last(&self) -> Option<Reading> {
        (self.head.lifetime > 0).then_some(self.head.last)
    }

    /// How many readings there ever were; stops at 4.29e9.
    pub fn lifetime(&self) -> u32 {
        self.head.lifetime
    }

    /// What its tiles take.
    pub fn tile_bytes(&self) -> usize {
        self.tiles.len()
    }

    /// Whether every tile has the place that its age asks for.
    pub(crate) fn is_pruned(&self, zones: &Zones, reach: &Reach) -> bool {
        match self.head.part {
            // Slots grow coarser with age, also where the tile stays as it is.
            Part::Gaps => self.tiles.is_empty(),
            part => by_part!(part, T => self.has_places::<T>(zones, reach)),
        }
    }

    fn has_places<T: TilePart>(&self, zones: &Zones, reach: &Reach) -> bool {
        // Starts fall strictly, so tiles that stand where they belong share no place.
        let mut starts = Tiles::<T>::of(&self.tiles).map(|tile| tile.start_min());
        starts.all(|start| reach.place(zones, start).is_some_and(|(place, _)| place == start))
    }

    /// The tiles from that minute on, the newest first.
    pub(crate) fn tiles<T: TilePart>(
        &self,
        start_min: i64,
    ) -> std::iter::TakeWhile<Tiles<'_, T>, impl FnMut(&T) -> bool> {
        Tiles::<T>::of(&self.tiles).take_while(move |tile| tile.start_min() >= start_min)
    }

    /// The values of the window that begins there.
    pub(crate) fn read_from(&self, start_us: i64) -> Summary {
        self.walk().down_to(start_us)
    }

    /// A walk from the newest tile down.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk { head: self.head, tiles: Tiles::of(&self.tiles), all: Summary::default() }
    }

    /// The whole life of the series: its count and its newest reading, nothing else.
    pub fn life(&self) -> Summary {
        let count = u64::from(self.head.lifetime);
        Summary { count, last: self.last(), ..Summary::default() }
    }

    /// The same with every tile in its place: the same bytes for the same readings and log time, whatever
    /// the order.
    pub(crate) fn pruned(&self, zones: &Zones, reach: &Reach) -> Series<'static> {
        let mut tiles = Vec::with_capacity(self.tiles.len());
        rearrange(self.head.part, &self.tiles, (zones, reach), &mut tiles);
        Series { head: self.head, tiles: Cow::Owned(tiles) }
    }
}

/// Puts a reading into a tile: which of the bytes those in `scratch` replace.
pub(crate) fn add(
    part: Part,
    bytes: &[u8],
    (start_min, zone): (i64, Window),
    reading: Reading,
    scratch: &mut Vec<u8>,
) -> (Range<usize>, Added) {
    by_part!(part, T => packed::add(bytes, &<T as TilePart>::of_one(start_min, zone, reading), scratch))
}

/// Merges and drops what the log time has made too fine or too old. Changes no answer, only memory.
pub(crate) fn rearrange(
    part: Part,
    bytes: &[u8],
    (zones, reach): (&Zones, &Reach),
    out: &mut Vec<u8>,
) {
    let place = |minute| reach.place(zones, minute);
    by_part!(part, T => packed::rearrange::<T>(bytes, place, out));
}

/// [`rearrange`] of what the shortest windows have left behind since the last time: which of the bytes
/// those in `scratch` replace, where any do.
pub(crate) fn rearrange_newest(
    part: Part,
    bytes: &[u8],
    (zones, reach): (&Zones, &Reach),
    scratch: &mut Vec<u8>,
) -> Option<Range<usize>> {
    // Tiles of both hops end here.
    let from_min = zones.start_min(Window::M5) - NEWEST_MIN;
    let from_min = (from_min - from_min.rem_euclid(HOP_MIN)).max(zones.start_min(Window::H1));
    let place = |minute| reach.place(zones, minute);
    by_part!(part, T => packed::rearrange_from::<T>(bytes, from_min, place, scratch))
}

/// Whether stored bytes are tiles of a part.
pub(crate) fn are_tiles(part: Part, bytes: &[u8]) -> bool {
    by_part!(part, T => packed::are_tiles::<T>(bytes))
}

/// The values of windows, each beginning before the last one: they share its tiles.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    head: Head,
    tiles: Tiles<'a, Tile>,
    all: Summary,
}

impl Walk<'_> {
    pub(crate) fn down_to(&mut self, start_us: i64) -> Summary {
        // The newest reading tells an empty window without a look at the tiles.
        if self.head.last.at_us < start_us || self.head.lifetime == 0 {
            return Summary::default();
        }
        let start_min = start_us.div_euclid(MINUTE_US);
        while let Some(tile) = self.tiles.next_from(start_min) {
            self.all.add_tile(&tile);
        }
        self.all.last = Some(self.head.last);
        self.all
    }
}

//! What is remembered of a home: who moved last, the bed, and how long it is usually still.

use super::habit::Habit;
use super::tick;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Bed {
    /// Nothing was ever said of it.
    #[default]
    Unknown,
    Taken,
    Empty,
}

/// The bits of [`Home::told`] that are inactivity rules'; the last one is the bed's.
pub(crate) const IDLE_BITS: u8 = 0x7f;

/// Who is seen within a quarter of an hour of the door has come in.
const COMING_IN: u32 = 15 * 60 * tick::TICKS_PER_S;
/// Two readings within three hours are somebody.
const ALONE: u32 = 3 * 3_600 * tick::TICKS_PER_S;

/// One home: 164 bytes, of which the habit is most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Home {
    /// The tick of the newest movement and of the newest door; 0 for none.
    pub(crate) moved: u32,
    pub(crate) door: u32,
    /// When it was heard first; its habit is of then.
    pub(crate) since: u32,
    /// A single reading in a home that was left, which nothing has confirmed yet; 0 for none.
    pub(crate) lone: u32,
    /// When breath was seen last, to a quarter of an hour; 0 for never.
    pub(crate) breath: u32,
    /// When the bed was taken or left last, and when it said anything.
    pub(crate) bed_at: u32,
    pub(crate) bed_said: u32,
    /// Nothing is told before this tick.
    pub(crate) ask_after: u32,
    pub(crate) bed: Bed,
    /// Somebody moved there when it was told, not in a replay of the past.
    pub(crate) is_live: bool,
    /// Inactivity rules that have fired and are not over, a bit each.
    pub(crate) told: u8,
    pub(crate) habit: Habit,
}

impl Home {
    /// Whether the last that moved was a door.
    pub(crate) fn left_by_door(&self) -> bool {
        self.door != 0 && self.door == self.moved
    }

    /// Whether a movement that is no door shows that somebody is there. In a home that was left by the
    /// door, a sensor that speaks once, long after it, is not somebody who came in through the wall.
    pub(crate) fn is_presence(&mut self, at: u32) -> bool {
        if !self.left_by_door() || at <= self.door.saturating_add(COMING_IN) {
            self.lone = 0;
            return true;
        }
        let is_confirmed = self.lone != 0 && at.abs_diff(self.lone) <= ALONE;
        self.lone = if is_confirmed { 0 } else { at };
        is_confirmed
    }

    /// The bed at a time. Before the last change it was the other way round; so many ticks after its
    /// last word it may be broken.
    pub(crate) fn bed_at(&self, at_us: i64, word: u32) -> Bed {
        if tick::floor(at_us) > self.bed_said.saturating_add(word) {
            return Bed::Unknown;
        }
        if at_us >= tick::to_us(self.bed_at) {
            return self.bed;
        }
        match self.bed {
            Bed::Unknown => Bed::Unknown,
            Bed::Taken => Bed::Empty,
            Bed::Empty => Bed::Taken,
        }
    }
}

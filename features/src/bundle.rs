//! All series of one entity in one piece of memory: an event finds all that it changes in one place, and
//! millions of small pieces would take as much again as what is in them.
//!
//! ```text
//! how many u8 | a head each, in the order of their places | the tiles of each | room to grow
//! ```
//! The form is of this process only: what is stored is written by [`crate::codec`].

use std::borrow::Cow;
use std::ops::Range;

use crate::packed::Added;
use crate::part::Part;
use crate::series::{self, Head, Landing, Series};
use crate::summary::Reading;
use crate::topic::Topic;
use crate::window::MINUTE_US;
use crate::zones::{Reach, Zones};

/// After how many new tiles the newest of a series are compacted, and after how many all of it: what it
/// holds beyond its due stays below the one and a sixth of the other. A tile is compacted twice, when its
/// first minutes are over and with the rest, so that a reading pays for few.
const FRESH_TILES: u8 = 8;
const FRESH_TILES_MAX: u8 = 48;

/// Topic, part, generation and fresh tiles, a byte each; then the lifetime in four, the length of the tiles
/// in three, the time of the newest reading in eight and its value in seven, all low byte first.
const HEAD_BYTES: usize = 26;
/// What comes from memory at once.
const LINE_BYTES: usize = 64;
/// The tiles of a series take less.
pub(crate) const TILE_BYTES_MAX: usize = (1 << 24) - 1;
/// Values are at most [`crate::event::VALUE_MAX`], which is less.
pub(crate) const VALUE_MAX_MICROS: i64 = (1 << 55) - 1;

#[derive(Clone, Debug, Default)]
pub(crate) struct Bundle(Box<[u8]>);

impl Bundle {
    pub(crate) fn len(&self) -> usize {
        self.0.first().copied().map_or(0, usize::from)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.len()
    }

    fn heads(&self) -> &[[u8; HEAD_BYTES]] {
        let behind = self.0.get(1..).unwrap_or_default();
        behind.as_chunks().0.get(..self.len()).unwrap_or_default()
    }

    /// How long the tiles of a series are.
    fn tile_bytes(&self, at: usize) -> usize {
        self.heads().get(at).map_or(0, tile_bytes)
    }

    /// Where the tiles of a series begin; behind all where there is none.
    fn tiles_from(&self, at: usize) -> usize {
        let before: usize = self.heads().iter().take(at).map(tile_bytes).sum();
        1 + self.len() * HEAD_BYTES + before
    }

    fn tiles_of(&self, at: usize) -> Range<usize> {
        let from = self.tiles_from(at);
        from..from + self.tile_bytes(at)
    }

    pub(crate) fn tiles(&self, at: usize) -> &[u8] {
        self.0.get(self.tiles_of(at)).unwrap_or_default()
    }

    fn head(&self, at: usize) -> Option<Head> {
        head_of(self.heads().get(at)?)
    }

    /// Writes all of a head but the length of the tiles.
    fn set_head(&mut self, at: usize, head: &Head) {
        let Some(bytes) = self.0.get_mut(1 + at * HEAD_BYTES..1 + (at + 1) * HEAD_BYTES) else {
            return;
        };
        bytes[..4].copy_from_slice(&[
            head.topic.code(),
            head.part as u8,
            head.generation,
            head.fresh,
        ]);
        bytes[4..8].copy_from_slice(&head.lifetime.to_le_bytes());
        bytes[11..19].copy_from_slice(&head.last.at_us.to_le_bytes());
        bytes[19..].copy_from_slice(&head.last.value.to_le_bytes()[..7]);
    }

    pub(crate) fn place(&self, at: usize) -> Option<(Topic, Part)> {
        let head = self.heads().get(at)?;
        Some((Topic::from_code(head[0])?, Part::from_code(head[1])?))
    }

    pub(crate) fn generation(&self, at: usize) -> Option<u8> {
        self.heads().get(at).map(|head| head[2])
    }

    pub(crate) fn get(&self, at: usize) -> Option<Series<'_>> {
        Some(Series { head: self.head(at)?, tiles: Cow::Borrowed(self.tiles(at)) })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Series<'_>> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// The series of a place.
    pub(crate) fn find(&self, (topic, part): (Topic, Part)) -> Option<Series<'_>> {
        let mut from = 1 + self.len() * HEAD_BYTES;
        // A handful at most: a walk beats a search.
        for head in self.heads() {
            let to = from + tile_bytes(head);
            if head[0] == topic.code() && head[1] == part as u8 {
                let tiles = Cow::Borrowed(self.0.get(from..to)?);
                return Some(Series { head: head_of(head)?, tiles });
            }
            from = to;
        }
        None
    }

    /// Where the series of a place is, or belongs: behind those in front of it, of which so many are known.
    pub(crate) fn seek(&self, known: usize, (topic, part): (Topic, Part)) -> usize {
        let wanted = (topic.code(), part as u8);
        let rest = self.heads().iter().skip(known);
        known + rest.take_while(|head| (head[0], head[1]) < wanted).count()
    }

    /// Looks at all of it, and gives something that depends on it.
    pub(crate) fn warm(&self) -> usize {
        warm(&self.0)
    }

    /// Looks at the heads, and gives something that depends on them.
    pub(crate) fn warm_heads(&self) -> usize {
        const LINES: usize = 4;
        warm(self.0.get(..LINES * LINE_BYTES).unwrap_or(&self.0))
    }

    /// The same of the tiles of one series.
    pub(crate) fn warm_tiles(&self, at: usize) -> usize {
        warm(self.tiles(at))
    }

    /// Puts a series without tiles in front of the one that is there.
    pub(crate) fn insert(&mut self, at: usize, head: &Head) {
        let Ok(more) = u8::try_from(self.len() + 1) else { return };
        if self.0.is_empty() {
            self.resize(1 + HEAD_BYTES);
        }
        let from = 1 + at * HEAD_BYTES;
        self.splice(from..from, &[0; HEAD_BYTES]);
        self.0[0] = more;
        self.set_head(at, head);
    }

    /// Puts a series behind all others.
    pub(crate) fn push(&mut self, series: &Series<'_>) {
        let at = self.len();
        self.insert(at, &series.head);
        self.replace(at, 0..0, &series.tiles);
    }

    /// Begins a series anew.
    pub(crate) fn restart(&mut self, at: usize, head: &Head) {
        self.replace(at, 0..self.tile_bytes(at), &[]);
        self.set_head(at, head);
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.replace(at, 0..self.tile_bytes(at), &[]);
        let from = 1 + at * HEAD_BYTES;
        self.splice(from..from + HEAD_BYTES, &[]);
        self.0[0] -= 1;
        self.fit();
    }

    /// Takes a reading in. `zones` are of the log time: not before `reading.at_us`, and never falling.
    pub(crate) fn add(
        &mut self,
        at: usize,
        reading: Reading,
        (zones, reach): (&Zones, &Reach),
        scratch: &mut Vec<u8>,
    ) -> Landing {
        let Some(mut head) = self.head(at) else { return Landing::Refused };
        let is_late = head.lifetime > 0 && reading.at_us < head.last.at_us;
        head.lifetime = head.lifetime.saturating_add(1);
        head.last = head.last.max(reading);
        let Some(place) = reach.place(zones, reading.at_us.div_euclid(MINUTE_US)) else {
            self.set_head(at, &head);
            return Landing::Past;
        };
        let reading = if reach.counts_only() { Reading { value: 0, ..reading } } else { reading };
        // Tiles that are still finer than their age asks for may share the time of this one. No window
        // can begin between them any more, and the next compaction makes them one.
        let (range, added) = series::add(head.part, self.tiles(at), place, reading, scratch);
        self.replace(at, range, scratch);
        head.fresh += u8::from(added == Added::New);
        self.set_head(at, &head);
        if added == Added::New && head.fresh >= FRESH_TILES_MAX {
            self.prune(at, (zones, reach), scratch);
        } else if added == Added::New && head.fresh.is_multiple_of(FRESH_TILES) {
            let tiles = self.tiles(at);
            if let Some(range) = series::rearrange_newest(head.part, tiles, (zones, reach), scratch)
            {
                self.replace(at, range, scratch);
            }
        }
        if is_late { Landing::Late } else { Landing::Window }
    }

    /// Merges and drops what the log time has made too fine or too old. Changes no answer, only memory.
    pub(crate) fn prune(&mut self, at: usize, of: (&Zones, &Reach), scratch: &mut Vec<u8>) {
        let Some(head) = self.head(at) else { return };
        series::rearrange(head.part, self.tiles(at), of, scratch);
        self.replace(at, 0..self.tile_bytes(at), scratch);
        self.set_head(at, &Head { fresh: 0, ..head });
        self.fit();
    }

    /// Puts other bytes in the place of some of a series' tiles.
    fn replace(&mut self, at: usize, range: Range<usize>, bytes: &[u8]) {
        let from = self.tiles_from(at);
        let length = self.tile_bytes(at) - range.len() + bytes.len();
        debug_assert!(length <= TILE_BYTES_MAX);
        self.splice(from + range.start..from + range.end, bytes);
        let place = 1 + at * HEAD_BYTES;
        self.0[place + 8..place + 11].copy_from_slice(&(length as u32).to_le_bytes()[..3]);
    }

    fn splice(&mut self, range: Range<usize>, bytes: &[u8]) {
        if range.len() != bytes.len() {
            let used = self.tiles_from(self.len());
            let wanted = used - range.len() + bytes.len();
            if wanted > self.0.len() {
                self.resize(wanted);
            }
            self.0.copy_within(range.end..used, range.start + bytes.len());
        }
        self.0[range.start..range.start + bytes.len()].copy_from_slice(bytes);
    }

    /// Gives back what it has beyond its need.
    fn fit(&mut self) {
        let used = if self.len() == 0 { 0 } else { self.tiles_from(self.len()) };
        if room_for(used) < self.0.len() {
            self.resize(used);
        }
    }

    fn resize(&mut self, used: usize) {
        let room = room_for(used);
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        bytes.reserve_exact(room.saturating_sub(bytes.len()));
        bytes.resize(room, 0);
        self.0 = bytes.into_boxed_slice();
    }
}

fn head_of(bytes: &[u8; HEAD_BYTES]) -> Option<Head> {
    let [topic, part, generation, fresh, a, b, c, d, _, _, _, last @ ..] = *bytes;
    let [t0, t1, t2, t3, t4, t5, t6, t7, v0, v1, v2, v3, v4, v5, v6] = last;
    let lifetime = u32::from_le_bytes([a, b, c, d]);
    let at_us = i64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
    // One byte in front of it is read with it and shifted out; the sign comes along.
    let value = i64::from_le_bytes([t7, v0, v1, v2, v3, v4, v5, v6]) >> 8;
    let last = if lifetime > 0 { Reading { at_us, value } } else { Head::NO_READING };
    let (topic, part) = (Topic::from_code(topic)?, Part::from_code(part)?);
    Some(Head { last, lifetime, topic, part, fresh, generation })
}

/// How long the tiles of a series are.
fn tile_bytes(head: &[u8; HEAD_BYTES]) -> usize {
    (u32::from_le_bytes([head[7], head[8], head[9], head[10]]) >> 8) as usize
}

/// What an allocator gives for so many bytes anyway: four sizes between two powers of two.
fn room_for(used: usize) -> usize {
    const STEP_BYTES: usize = 16;
    used.next_multiple_of((used.next_power_of_two() / 8).max(STEP_BYTES))
}

fn warm(bytes: &[u8]) -> usize {
    bytes.iter().step_by(LINE_BYTES).map(|byte| usize::from(*byte)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::summary::Summary;
    use crate::window::{DAY_US, HOUR_US, Window};
    use crate::zones::ALWAYS_MIN;
    use proptest::prelude::*;

    const NOW_US: i64 = 1_800_000_000_000_000;
    const PLACE: (Topic, Part) = (Topic::of(Kind::Door), Part::Values);

    fn at(at_us: i64) -> Reading {
        Reading { at_us, value: 1_000_000 }
    }

    fn reach(deepest: Window) -> Reach {
        Reach::new(Some(deepest), ALWAYS_MIN)
    }

    fn of(place: (Topic, Part)) -> Bundle {
        let mut all = Bundle::default();
        all.insert(0, &Head::new(place, 0));
        all
    }

    fn add(all: &mut Bundle, reading: Reading, now_us: i64) -> Landing {
        all.add(0, reading, (&Zones::at(now_us), &reach(Window::D7)), &mut Vec::new())
    }

    fn count(all: &Bundle, window: Window, as_of_us: i64) -> u64 {
        all.get(0).unwrap().read_from(window.start_us(as_of_us)).count
    }

    #[test]
    fn a_series_is_small() {
        assert_eq!(size_of::<Bundle>(), 16);
        let mut all = of(PLACE);
        for minute in 0..10_000 {
            let now_us = NOW_US + minute * MINUTE_US;
            add(&mut all, at(now_us), now_us);
        }
        assert!(all.heap_bytes() < 300, "{}", all.heap_bytes());
        let later = Zones::at(NOW_US + 30 * DAY_US);
        all.prune(0, (&later, &reach(Window::D7)), &mut Vec::new());
        assert_eq!((all.heap_bytes(), all.get(0).unwrap().lifetime()), (32, 10_000));
        all.remove(0);
        assert_eq!((all.heap_bytes(), all.len()), (0, 0));
    }

    #[test]
    fn measured_values_take_more_than_ones_but_not_much() {
        let mut all = of(PLACE);
        for step in 0..20 * 24 * 120 {
            let now_us = NOW_US + step * MINUTE_US / 2;
            let value = 12_000_000 + step * 7_919 % 9_000_001;
            add(&mut all, Reading { at_us: now_us, value }, now_us);
        }
        assert!(all.heap_bytes() < 1300, "{}", all.heap_bytes());
    }

    #[test]
    fn a_late_reading_lands_in_its_own_tile_and_a_very_late_one_in_none() {
        let mut all = of(PLACE);
        assert_eq!(add(&mut all, at(NOW_US), NOW_US), Landing::Window);
        assert_eq!(add(&mut all, at(NOW_US - 3 * HOUR_US), NOW_US), Landing::Late);
        assert_eq!(add(&mut all, at(NOW_US - 8 * DAY_US), NOW_US), Landing::Past);
        let windows = [Window::M5, Window::H1, Window::D1, Window::D7];
        assert_eq!(windows.map(|window| count(&all, window, NOW_US)), [1, 1, 2, 2]);
        let series = all.get(0).unwrap();
        assert_eq!((series.last(), series.lifetime()), (Some(at(NOW_US)), 3));
    }

    #[test]
    fn a_very_late_reading_is_still_the_last_of_a_silent_series() {
        let mut all = of(PLACE);
        assert_eq!(all.get(0).unwrap().last(), None);
        assert_eq!(add(&mut all, at(NOW_US - 9 * DAY_US), NOW_US), Landing::Past);
        let series = all.get(0).unwrap();
        assert_eq!(series.last(), Some(at(NOW_US - 9 * DAY_US)));
        assert_eq!(series.read_from(Window::D7.start_us(NOW_US)), Summary::default());
        assert_eq!(series.life().count, 1);
    }

    #[test]
    fn windows_shrink_without_events() {
        let mut all = of(PLACE);
        let year = reach(Window::D365);
        all.add(0, at(NOW_US), (&Zones::at(NOW_US), &year), &mut Vec::new());
        for window in Window::ALL {
            assert_eq!(count(&all, window, NOW_US + window.length_us()), 1);
            assert_eq!(count(&all, window, NOW_US + window.length_us() + window.hop_us()), 0);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Minutes on, minutes ago, and the value.
        Add(usize, i64, i64, i64),
        Prune(usize),
        Restart(usize),
        Remove(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let ago = prop_oneof![4 => Just(0_i64), 1 => 0..9_000_i64];
        let value = prop_oneof![
            Just(0_i64),
            -3_000_000..3_000_000_i64,
            Just(VALUE_MAX_MICROS),
            Just(-VALUE_MAX_MICROS)
        ];
        let place = 0..Part::ALL.len();
        prop_oneof![
            40 => (place.clone(), 0..40_i64, ago, value).prop_map(|(at, on, ago, value)| Step::Add(at, on, ago, value)),
            2 => place.clone().prop_map(Step::Prune),
            1 => place.clone().prop_map(Step::Restart),
            1 => place.prop_map(Step::Remove),
        ]
    }

    proptest! {
        /// Series of every part, in one piece of memory and each alone.
        #[test]
        fn a_series_among_others_is_what_it_is_alone(
            steps in prop::collection::vec(any_step(), 1..300)
        ) {
            let (reach, mut now_min) = (reach(Window::D7), NOW_US / MINUTE_US);
            let (mut all, mut scratch) = (Bundle::default(), Vec::new());
            let mut alone: [Bundle; Part::ALL.len()] = Default::default();
            for step in steps {
                let (Step::Add(part, ..) | Step::Prune(part) | Step::Restart(part)
                    | Step::Remove(part)) = step;
                let place = (Topic::ANY, Part::ALL[part]);
                let own = &mut alone[part];
                if own.len() == 0 {
                    own.insert(0, &Head::new(place, 0));
                    let at = all.iter().take_while(|series| series.place() < place).count();
                    all.insert(at, &Head::new(place, 0));
                }
                let at = all.iter().position(|series| series.place() == place).unwrap();
                if let Step::Add(_, on, _, _) = step {
                    now_min += on;
                }
                let zones = Zones::at(now_min * MINUTE_US);
                match step {
                    Step::Add(_, _, ago, value) => {
                        let reading = Reading { at_us: (now_min - ago) * MINUTE_US, value };
                        let landed = own.add(0, reading, (&zones, &reach), &mut scratch);
                        prop_assert_eq!(all.add(at, reading, (&zones, &reach), &mut scratch), landed);
                    }
                    Step::Prune(_) => {
                        own.prune(0, (&zones, &reach), &mut scratch);
                        all.prune(at, (&zones, &reach), &mut scratch);
                    }
                    Step::Restart(_) => {
                        own.restart(0, &Head::new(place, 7));
                        all.restart(at, &Head::new(place, 7));
                    }
                    Step::Remove(_) => {
                        own.remove(0);
                        all.remove(at);
                    }
                }
                let singles: Vec<_> = alone.iter().flat_map(Bundle::iter).collect();
                prop_assert_eq!(all.len(), singles.len());
                for (one, other) in all.iter().zip(&singles) {
                    prop_assert_eq!(one.head, other.head);
                    prop_assert_eq!(&one.tiles, &other.tiles);
                }
                prop_assert!(all.heap_bytes() >= all.tiles_from(all.len()) || all.len() == 0);
            }
        }
    }
}

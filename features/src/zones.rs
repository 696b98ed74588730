//! How wide a tile is, and where it begins: that follows from its age and from how long its series is
//! kept.

use crate::window::{MINUTE_US, Window};

const WINDOWS: usize = Window::ALL.len();

/// Since the first reading that there was.
pub(crate) const ALWAYS_MIN: i64 = i64::MIN;

/// The first minute of each window, as of a log time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zones([i64; WINDOWS]);

impl Zones {
    pub(crate) fn at(now_us: i64) -> Self {
        Self(Window::ALL.map(|window| window.start_us(now_us).div_euclid(MINUTE_US)))
    }

    pub(crate) fn start_min(&self, window: Window) -> i64 {
        self.0[window as usize]
    }

    pub(crate) fn start_us(&self, window: Window) -> i64 {
        self.start_min(window).saturating_mul(MINUTE_US)
    }
}

impl Default for Zones {
    fn default() -> Self {
        Self::at(0)
    }
}

/// How far back a list of tiles reaches, and from which minute on each window knows every reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// How many of [`Window::ALL`], from the shortest on, it holds.
    windows: u8,
    /// Nobody asks what the readings were, only how many.
    counts_only: bool,
    since_min: [i64; WINDOWS],
}

/// Beside the number of windows, where it is stored.
const COUNTS_BIT: u8 = 0x80;

impl Reach {
    /// From the minute on, in each window from its next hop on: no tile then holds what came before.
    pub(crate) fn new(deepest: Option<Window>, since_min: i64) -> Self {
        let mut reach = Self { windows: 0, counts_only: false, since_min: [since_min; WINDOWS] };
        reach.deepen(deepest, since_min);
        reach
    }

    pub(crate) fn counting(self, counts_only: bool) -> Self {
        Self { counts_only, ..self }
    }

    pub(crate) fn counts_only(&self) -> bool {
        self.counts_only
    }

    pub(crate) fn deepest(&self) -> Option<Window> {
        Window::ALL.get(usize::from(self.windows).checked_sub(1)?).copied()
    }

    /// As `deepest` asks from now on. What shorter windows hold, longer ones begin with.
    pub(crate) fn change(&mut self, deepest: Option<Window>, zones: &Zones, now_min: i64) {
        let since_min = match self.deepest() {
            Some(window) => self.since_min(window).max(zones.start_min(window)),
            None => now_min,
        };
        if deepest < self.deepest() {
            self.windows = deepest.map_or(0, |window| window as u8 + 1);
        } else {
            self.deepen(deepest, since_min);
        }
    }

    fn deepen(&mut self, deepest: Option<Window>, since_min: i64) {
        let wanted = deepest.map_or(0, |window| window as u8 + 1);
        for window in Window::ALL.iter().take(usize::from(wanted)).skip(usize::from(self.windows)) {
            let hop_min = window.hop_us() / MINUTE_US;
            let over = since_min.rem_euclid(hop_min);
            let up = if since_min == ALWAYS_MIN || over == 0 { 0 } else { hop_min - over };
            self.since_min[*window as usize] = since_min.saturating_add(up);
        }
        self.windows = self.windows.max(wanted);
    }

    /// From which minute on the window knows every reading.
    pub(crate) fn since_min(&self, window: Window) -> i64 {
        self.since_min[window as usize]
    }

    /// Whether a window that begins there began before every reading was known.
    pub(crate) fn is_partial(&self, window: Window, start_us: i64) -> bool {
        self.deepest() >= Some(window) && start_us.div_euclid(MINUTE_US) < self.since_min(window)
    }

    /// The tile that holds this minute: its start, and the window whose hop it has; nothing for one
    /// that no window will see.
    pub(crate) fn place(&self, zones: &Zones, minute: i64) -> Option<(i64, Window)> {
        for window in Window::ALL.iter().take(usize::from(self.windows)) {
            let at = *window as usize;
            if minute >= zones.0[at] {
                let start_min = minute - minute.rem_euclid(window.hop_us() / MINUTE_US);
                return (minute >= self.since_min[at]).then_some((start_min, *window));
            }
        }
        None
    }

    /// What is kept as a byte, and the beginnings of its windows.
    pub(crate) fn parts(&self) -> (u8, &[i64]) {
        let counts = if self.counts_only { COUNTS_BIT } else { 0 };
        (self.windows | counts, &self.since_min[..usize::from(self.windows).min(WINDOWS)])
    }

    /// How many beginnings follow such a byte.
    pub(crate) fn windows_of(byte: u8) -> usize {
        usize::from(byte & !COUNTS_BIT)
    }

    pub(crate) fn from_parts(byte: u8, since_min: [i64; WINDOWS]) -> Option<Self> {
        let (windows, counts_only) = (byte & !COUNTS_BIT, byte & COUNTS_BIT != 0);
        (usize::from(windows) <= WINDOWS).then_some(Self { windows, counts_only, since_min })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{DAY_US, HOUR_US};

    const NOW_US: i64 = 1_800_000_000_000_000;

    #[test]
    fn no_later_window_begins_between_the_readings_of_a_tile() {
        let reach = Reach::new(Some(Window::D365), ALWAYS_MIN);
        for shift in 0..500 {
            let now_us = NOW_US + shift * 437_000_011;
            let zones = Zones::at(now_us);
            for minute in (now_us / MINUTE_US - 500..now_us / MINUTE_US).chain(zones.0) {
                let (start_min, zone) = reach.place(&zones, minute).unwrap();
                assert!(start_min <= minute && minute < start_min + zone.hop_us() / MINUTE_US);
                for window in Window::ALL {
                    for later_us in [0, MINUTE_US, 7 * MINUTE_US, HOUR_US, 7 * HOUR_US, 9 * DAY_US]
                    {
                        let from = window.start_us(now_us + later_us).div_euclid(MINUTE_US);
                        assert_eq!(start_min >= from, minute >= from, "{minute} {window}");
                    }
                }
            }
            assert_eq!(reach.place(&zones, zones.start_min(Window::D365) - 1), None);
        }
    }

    #[test]
    fn what_is_deepened_begins_with_what_there_was() {
        let zones = Zones::at(NOW_US);
        let now_min = NOW_US / MINUTE_US;
        let mut reach = Reach::new(Some(Window::D7), ALWAYS_MIN);
        reach.change(Some(Window::D365), &zones, now_min);
        assert_eq!(reach.since_min(Window::D7), ALWAYS_MIN);
        let held_min = zones.start_min(Window::D7);
        for (window, hop_min, days) in
            [(Window::D28, 24 * 60, 20), (Window::D365, 7 * 24 * 60, 100)]
        {
            let since_min = reach.since_min(window);
            assert!((held_min..held_min + hop_min).contains(&since_min), "{window}");
            assert_eq!(since_min % hop_min, 0);
            assert_eq!(reach.place(&Zones::at(NOW_US + days * DAY_US), since_min - 1), None);
        }
        reach.change(Some(Window::H1), &zones, now_min);
        assert_eq!(reach.deepest(), Some(Window::H1));
        assert_eq!(reach.place(&zones, now_min - 180), None);
        // What was given up is not taken for known when it is asked for again.
        reach.change(Some(Window::D7), &zones, now_min);
        assert!(reach.since_min(Window::D7) >= zones.start_min(Window::H1));
        reach.change(None, &zones, now_min);
        assert_eq!((reach.deepest(), reach.place(&zones, now_min)), (None, None));
    }
}

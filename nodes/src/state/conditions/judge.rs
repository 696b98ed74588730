//! Whether readings fulfil a test: from the readings alone, in the order of their times, so that one
//! that came late is judged as if it had come in time.

use super::plan::Test;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A reading that a rule has looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) at_us: i64,
    pub(crate) id: String,
    pub(crate) device: u32,
    pub(crate) value: i64,
    pub(crate) boot: u32,
    /// When it came, by the log's clock.
    pub(crate) came_us: i64,
    /// Which part of the rule it is of.
    pub(crate) part: u8,
    pub(crate) counts: bool,
    /// The first value after a restart of the device.
    pub(crate) is_first: bool,
}

/// The readings, by place in the list, that fulfil the test and of which the one at `with` is one.
pub(crate) fn fulfilled(test: Test, readings: &[Seen], with: usize) -> Option<Vec<usize>> {
    let new = readings.get(with).filter(|new| new.counts)?;
    match test {
        Test::Within { count, within_us } => {
            let all: Vec<usize> = counting(readings).collect();
            let around = all.iter().position(|at| *at == with)?;
            // Every run of so many counting readings that the new one is part of.
            let firsts = around.saturating_sub(count - 1)..=around;
            let reached = firsts.into_iter().any(|first| {
                let last = all.get(first + count - 1).and_then(|at| readings.get(*at));
                let first = all.get(first).and_then(|at| readings.get(*at));
                last.zip(first).is_some_and(|(last, first)| last.at_us - first.at_us <= within_us)
            });
            let near = |at: &usize| {
                readings.get(*at).is_some_and(|each| (each.at_us - new.at_us).abs() <= within_us)
            };
            reached.then(|| all.into_iter().filter(near).collect())
        }
        Test::Of { count, of } => in_a_row(readings, with, (count, of)),
        Test::For { for_us, gap_us, .. } => {
            let run = run(readings, with, gap_us);
            let span_us = span(readings, &run);
            (span_us >= for_us).then_some(run)
        }
        Test::Slope { count, within_us, slope } => {
            let run: Vec<usize> = run(readings, with, within_us)
                .into_iter()
                .filter(|at| {
                    readings.get(*at).is_some_and(|each| new.at_us - each.at_us <= within_us)
                })
                .filter(|at| *at <= with)
                .collect();
            let (first, took_us) = (readings.get(*run.first()?)?, span(readings, &run));
            let change = i128::from(new.value - first.value) * 60_000_000;
            let wanted = i128::from(slope) * i128::from(took_us);
            let is_steep =
                took_us > 0 && if slope > 0 { change >= wanted } else { change <= wanted };
            (run.len() >= count && is_steep).then_some(run)
        }
        Test::Together { need, within_us } => meeting(readings, with, (need, within_us)),
    }
}

/// So many of so many readings of one device in a row.
fn in_a_row(readings: &[Seen], with: usize, (count, of): (usize, usize)) -> Option<Vec<usize>> {
    let own: Vec<usize> = of_device(readings, readings.get(with)?.device).collect();
    let around = own.iter().position(|at| *at == with)?;
    (around.saturating_sub(of - 1)..=around).find_map(|first| {
        let window = own.get(first..own.len().min(first + of))?.iter().copied();
        let counts = |at: &usize| readings.get(*at).is_some_and(|each| each.counts);
        let found: Vec<usize> = window.filter(counts).collect();
        (found.len() >= count).then_some(found)
    })
}

/// So many parts within one window that has the new reading in it.
fn meeting(readings: &[Seen], with: usize, (need, within_us): (usize, i64)) -> Option<Vec<usize>> {
    let new = readings.get(with)?;
    let all: Vec<usize> = counting(readings).collect();
    all.iter().copied().find_map(|first| {
        let from_us = readings.get(first)?.at_us;
        let window = from_us..=from_us + within_us;
        if !window.contains(&new.at_us) {
            return None;
        }
        let lies_in = |at: &usize| readings.get(*at).is_some_and(|it| window.contains(&it.at_us));
        let inside: Vec<usize> = all.iter().copied().filter(lies_in).collect();
        let parts = inside.iter().filter_map(|at| Some(readings.get(*at)?.part));
        let parts: BTreeSet<u8> = parts.collect();
        (parts.len() >= need).then_some(inside)
    })
}

fn counting(readings: &[Seen]) -> impl Iterator<Item = usize> {
    readings.iter().enumerate().filter(|(_, each)| each.counts).map(|(at, _)| at)
}

fn of_device(readings: &[Seen], device: u32) -> impl Iterator<Item = usize> {
    readings.iter().enumerate().filter(move |(_, each)| each.device == device).map(|(at, _)| at)
}

/// The counting readings of one device around one of them, with nothing in between that does not
/// count, no restart of the device (the first value after it begins anew) and no long silence.
pub(crate) fn run(readings: &[Seen], with: usize, gap_us: i64) -> Vec<usize> {
    let Some(new) = readings.get(with).filter(|new| new.counts) else { return Vec::new() };
    let own: Vec<usize> = of_device(readings, new.device).collect();
    let Some(around) = own.iter().position(|at| *at == with) else { return Vec::new() };
    let goes_on = |last_us: &mut i64, at: usize| {
        let each = readings.get(at).filter(|each| each.counts && each.boot == new.boot)?;
        let is_near = (each.at_us - *last_us).abs() <= gap_us;
        *last_us = each.at_us;
        is_near.then_some(())
    };
    let back = own.iter().take(around + 1).rev();
    let before = back.scan(new.at_us, |last_us, at| goes_on(last_us, *at)).count();
    let on = own.iter().skip(around + 1);
    let after = on.scan(new.at_us, |last_us, at| goes_on(last_us, *at)).count();
    own.into_iter().skip(around + 1 - before).take(before + after).collect()
}

pub(crate) fn span(readings: &[Seen], run: &[usize]) -> i64 {
    let at = |place: Option<&usize>| place.and_then(|at| readings.get(*at)).map(|each| each.at_us);
    at(run.last()).zip(at(run.first())).map_or(0, |(last, first)| last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of (second, value), counting from 5 on.
    fn readings(all: &[(i64, i64)]) -> Vec<Seen> {
        let seen = |(second, value): &(i64, i64)| Seen {
            at_us: second * 1_000_000,
            id: format!("{second}"),
            device: 0,
            value: value * 1_000_000,
            boot: 1,
            came_us: 0,
            part: 0,
            counts: *value >= 5,
            is_first: false,
        };
        all.iter().map(seen).collect()
    }

    #[test]
    fn a_window_counts_wherever_the_late_one_falls() {
        let test = Test::Within { count: 3, within_us: 60_000_000 };
        let all = readings(&[(0, 9), (10, 9), (20, 1), (60, 9), (500, 9)]);
        for with in [0, 1, 3] {
            assert_eq!(fulfilled(test, &all, with), Some(vec![0, 1, 3]));
        }
        assert_eq!(fulfilled(test, &all, 2), None);
        assert_eq!(fulfilled(test, &all, 4), None);
        let apart = readings(&[(0, 9), (10, 9), (61, 9)]);
        assert_eq!(fulfilled(test, &apart, 2), None);
    }

    #[test]
    fn k_of_n_looks_at_readings_in_a_row() {
        let test = Test::Of { count: 2, of: 3 };
        assert_eq!(fulfilled(test, &readings(&[(0, 9), (1, 1), (2, 9)]), 2), Some(vec![0, 2]));
        assert_eq!(fulfilled(test, &readings(&[(0, 9), (1, 1), (2, 1), (3, 9)]), 3), None);
    }

    #[test]
    fn a_run_ends_at_what_does_not_count_and_at_a_restart() {
        let test = Test::For { for_us: 100_000_000, cap_us: 0, gap_us: 60_000_000 };
        let mut all = readings(&[(0, 9), (50, 9), (100, 9)]);
        assert_eq!(fulfilled(test, &all, 2), Some(vec![0, 1, 2]));
        all[2].boot = 2;
        assert_eq!(fulfilled(test, &all, 2), None);
        assert_eq!(fulfilled(test, &readings(&[(0, 9), (50, 1), (100, 9)]), 2), None);
        assert_eq!(fulfilled(test, &readings(&[(0, 9), (61, 9), (110, 9)]), 2), None);
    }

    #[test]
    fn a_slope_is_measured_over_the_run() {
        let test = Test::Slope { count: 2, within_us: 600_000_000, slope: 1_000_000 };
        assert!(fulfilled(test, &readings(&[(0, 5), (120, 7)]), 1).is_some());
        assert!(fulfilled(test, &readings(&[(0, 5), (180, 7)]), 1).is_none());
        assert!(fulfilled(test, &readings(&[(0, 9)]), 0).is_none());
    }

    #[test]
    fn parts_come_together_in_any_order() {
        let test = Test::Together { need: 2, within_us: 60_000_000 };
        let mut all = readings(&[(0, 9), (40, 9)]);
        assert_eq!(fulfilled(test, &all, 1), None);
        all[0].part = 1;
        assert_eq!(fulfilled(test, &all, 0), Some(vec![0, 1]));
        all[1].at_us += 60_000_000;
        assert_eq!(fulfilled(test, &all, 1), None);
    }
}

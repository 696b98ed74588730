//! Which reading a full watch can do without: a sensor that speaks often must not push out what its rule
//! looks for.

use super::judge::Seen;
use super::plan::Test;

/// The place of a reading without which the test finds what it found with it, as far as there is one;
/// else the oldest.
pub(crate) fn least_missed(test: Test, readings: &[Seen]) -> usize {
    match test {
        // Every reading in a row matters, the newest most.
        Test::Of { .. } => None,
        // What does not count matters only as a device's newest word.
        Test::Within { .. } | Test::Together { .. } => said_again(readings, |_| true),
        Test::For { gap_us, .. } => {
            said_again(readings, |later| !later.counts).or_else(|| inner(readings, gap_us))
        }
        Test::Slope { within_us, .. } => {
            said_again(readings, |later| !later.counts).or_else(|| inner(readings, within_us))
        }
    }
    .unwrap_or(0)
}

/// The oldest that does not count, where the next word of its device is such.
fn said_again(readings: &[Seen], is_such: impl Fn(&Seen) -> bool) -> Option<usize> {
    readings.iter().enumerate().find_map(|(at, each)| {
        let later = readings.iter().skip(at + 1).find(|later| later.device == each.device);
        (!each.counts && later.is_some_and(&is_such)).then_some(at)
    })
}

/// Within a run of counting readings of a device, the one whose neighbours are nearest to each other. The
/// ends of the run stay, and no hole in it becomes longer than the test allows.
fn inner(readings: &[Seen], gap_us: i64) -> Option<usize> {
    let of_run = |(at, each): (usize, &Seen)| {
        let is_own = |other: &&Seen| other.device == each.device;
        let before = readings.iter().take(at).rev().find(is_own)?;
        let after = readings.iter().skip(at + 1).find(is_own)?;
        let is_run = |other: &Seen| other.counts && other.boot == each.boot;
        let apart_us = after.at_us - before.at_us;
        let is_inner = each.counts && is_run(before) && is_run(after) && apart_us <= gap_us;
        is_inner.then_some((apart_us, at))
    };
    readings.iter().enumerate().filter_map(of_run).min().map(|(_, at)| at)
}

//! Grids whose telephones are away for days, and then all at once are not.

use super::{BEGIN_US, DAY_US, HOUR_US, Replica, cells, rows, seed, spec};
use features::table::Cell;
use features::{EntityKind, Event, Window};
use nodes::state::{Command, FeedRow, FeedSpec};
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// R49: 47 grids of an island, three days without a network, then everything at once: some of it sent
/// two or three times, in any order.
#[test]
fn offline_grids_come_back_after_three_days() {
    let mut dice = ChaCha8Rng::seed_from_u64(seed());
    let specs: Vec<FeedSpec> = (0..47)
        .map(|grid| spec(&format!("grid-{grid}"), &format!("网格{grid}"), "visit", &[]))
        .collect();
    let visit = |grid: usize, number: u64, time_us: i64, finding: i64| {
        let named = [
            ("visit_id", Cell::text(format!("v{grid}-{}", number % 20))),
            ("finding", Cell::text(finding.to_string())),
        ];
        // Part-time workers' telephones do not number their rows.
        FeedRow { seq: 0, time_us, row: cells("visit", &named) }
    };
    let event = |grid: usize, number: u64, time_us: i64| Event {
        event_id: number.to_string(),
        device_id: format!("door-{grid}"),
        kind: "door".to_owned(),
        event_time_us: time_us,
        value: 1.0,
        source: format!("grid-{grid}"),
        ..Event::default()
    };
    let mut batches: Vec<(usize, Vec<FeedRow>, Vec<Event>)> = Vec::new();
    for grid in 0..47 {
        for batch in 0..6_u64 {
            let mut time = || BEGIN_US + dice.random_range(0..3 * DAY_US);
            let numbers = batch * 10..(batch + 1) * 10;
            let events = numbers.clone().map(|n| event(grid, n, time())).collect();
            let mut findings = ChaCha8Rng::seed_from_u64(batch);
            let visits =
                numbers.map(|n| visit(grid, n, time(), findings.random_range(0..9))).collect();
            batches.push((grid, visits, events));
        }
    }
    let now_us = BEGIN_US + 3 * DAY_US;
    let deliver = |batches: &[(usize, Vec<FeedRow>, Vec<Event>)]| {
        let mut replica = Replica::new(&specs);
        for (at, (grid, visits, events)) in batches.iter().enumerate() {
            let time_us = now_us + at as i64;
            replica.apply(time_us, &rows(&specs[*grid].feed, visits.clone()));
            replica.apply(time_us, &Command::IngestEvents { events: events.clone() });
        }
        replica.apply(now_us + HOUR_US, &Command::Tick);
        replica
    };
    let clean = deliver(&batches);
    let mut burst = batches.clone();
    for batch in &batches {
        for _ in 0..dice.random_range(0..3) {
            burst.push(batch.clone());
        }
    }
    burst.shuffle(&mut dice);
    let burst = deliver(&burst);
    assert_eq!(burst.state.rows, clean.state.rows);
    assert_eq!(burst.state.events_total, 47 * 60);
    assert_eq!(clean.state.events_total, 47 * 60);
    for grid in 0..47 {
        let summary = |replica: &Replica| {
            let (device, at_us) = (format!("door-{grid}"), now_us + HOUR_US);
            let window = Some(Window::D7);
            replica.state.features.summary(EntityKind::Device, &device, None, window, at_us)
        };
        assert_eq!(summary(&burst), summary(&clean));
        assert_eq!(summary(&burst).unwrap().count, 60);
    }
}

//! Rates by group against a data set whose rates are published.

use super::{group_rows, tables::Seen};
use crate::real_data::real;
use crate::state::watched::Watched;
use crate::state::{ObservedRecord, Reply, State};
use raft::Position;
use std::sync::Arc;

fn seen(watched: &Watched) -> Vec<Seen> {
    watched.iter().map(|(key, seen)| (key.clone(), Arc::clone(seen))).collect()
}

/// Mortgage applications in Boston, 1990 (Munnell and others, 1996; Stock and Watson): 28.3 % of Black
/// and 9.3 % of other applicants were denied.
#[test]
fn denial_rates_of_the_boston_mortgages() {
    let Some(path) = real("oracles/HMDA.csv") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let headings: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| headings.iter().position(|heading| *heading == name).unwrap();
    let (deny, afam, ratio) = (place("deny"), place("afam"), place("pirat"));
    let mut state = State::new();
    let (mut squared, mut count) = (0.0, 0_u64);
    for (n, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let score = cells[ratio].parse::<f64>().unwrap().min(1.0);
        let observed = f64::from(u8::from(cells[deny] == "yes"));
        (squared, count) = (squared + (score - observed) * (score - observed), count + 1);
        let record = ObservedRecord {
            entity: n.to_string(),
            model: "mortgage".to_owned(),
            version: "1".to_owned(),
            score,
            observed,
            ..ObservedRecord::default()
        };
        let groups = [("afam".to_owned(), cells[afam].to_owned())];
        let at = Position { index: n as u64 + 1, term: 1, time_us: 1 };
        assert!(matches!(state.record_outcome(at, "", record, &groups), Reply::Written(_)));
    }
    let rows = group_rows(&seen(&state.watched));
    let rate = |value: &str| {
        let row = rows.iter().find(|row| row.value == value).unwrap();
        (row.outcomes, (row.outcome_rate.unwrap() * 1_000.0).round() / 10.0)
    };
    assert_eq!((rate("yes"), rate("no")), ((339, 28.3), (2_041, 9.3)));
    let brier = super::calibration_rows(&seen(&state.watched))[0].brier.unwrap();
    assert!((brier - squared / count as f64).abs() < 1e-9, "{brier}");
}

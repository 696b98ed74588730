//! A state in its parts: for whoever measures what each of them takes.

use super::State;
use std::any::Any;

impl State {
    /// Every part that grows with the district, by name; what is left comes last.
    pub fn into_parts(self) -> Vec<(&'static str, Box<dyn Any>)> {
        let Self { rows, features, conditions, places, dedup, scores, alerts, casework, .. } = self;
        vec![
            ("features: tiles of devices, homes and people", Box::new(features)),
            ("register rows, and what finds them", Box::new(rows)),
            ("rules: devices, homes, heartbeat timers", Box::new(conditions)),
            ("homes by device", Box::new(places)),
            ("events counted already", Box::new(dedup)),
            ("turns and newest scores", Box::new(scores)),
            ("cases, notices, rosters", Box::new((alerts, casework))),
        ]
    }
}

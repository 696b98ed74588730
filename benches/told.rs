//! What the events tell somebody who knows the truth: the best that a detector could do.

use crate::Hazard;
use anyhow::Context as _;
use features::event::Event;
use features::table::Cell;
use nodes::simulate::District;
use std::collections::{BTreeMap, HashMap};

/// Readings that a case of a kind asks for at the least, and what counts as one.
const GAS: (f64, usize) = (5.0, 3);
const SMOKE: (f64, usize) = (1.0, 2);
const APNOEA: (f64, usize) = (8.0, 1);

#[derive(Debug, Default)]
pub(crate) struct Told {
    dwelling_of: HashMap<String, String>,
    /// By kind of hazard and dwelling: when a reading told of one.
    signs: BTreeMap<(&'static str, String), Vec<i64>>,
    /// By dwelling: when somebody moved.
    moves: BTreeMap<String, Vec<i64>>,
}

impl Told {
    pub(crate) fn of(district: &District) -> anyhow::Result<Self> {
        let mut told = Self::default();
        for row in district.rows("device").context("the devices of the district")? {
            if let [Cell::Text(device), Cell::Text(dwelling), ..] = &row[..] {
                told.dwelling_of.insert(device.clone(), dwelling.clone());
            }
        }
        Ok(told)
    }

    pub(crate) fn see(&mut self, event: &Event) {
        let Some(dwelling) = self.dwelling_of.get(&event.device_id) else { return };
        let sign = match event.kind.as_str() {
            "gas" if event.value >= GAS.0 => "gas",
            "smoke" if event.value >= SMOKE.0 => "smoke",
            "respiration" if event.value <= APNOEA.0 => "apnoea",
            "motion" | "door" => {
                self.moves.entry(dwelling.clone()).or_default().push(event.event_time_us);
                return;
            }
            _ => return,
        };
        self.signs.entry((sign, dwelling.clone())).or_default().push(event.event_time_us);
    }

    /// Whether the events show a hazard: enough readings of it, or a silence longer than any that this
    /// home had without one.
    pub(crate) fn shows(&self, hazard: &Hazard, truth: &[Hazard]) -> bool {
        let signs = |kind: &'static str| {
            let all =
                self.signs.get(&(kind, hazard.dwelling.clone())).map_or(&[][..], Vec::as_slice);
            all.iter().filter(|us| (hazard.start_us..=hazard.end_us).contains(us)).count()
        };
        match hazard.kind.as_str() {
            "gas" => signs("gas") >= GAS.1,
            "smoke" => signs("smoke") >= SMOKE.1,
            "apnoea" => signs("apnoea") >= APNOEA.1,
            _ => self.is_silence(hazard, truth),
        }
    }

    fn is_silence(&self, hazard: &Hazard, truth: &[Hazard]) -> bool {
        let Some(moves) = self.moves.get(&hazard.dwelling) else { return false };
        let mut moves = moves.clone();
        moves.sort_unstable();
        let gaps = moves.windows(2).map(|pair| (pair[0], pair[1]));
        let of_hazard = |(from, to): (i64, i64)| {
            truth.iter().any(|other| {
                other.kind == "inactivity"
                    && other.dwelling == hazard.dwelling
                    && from < other.end_us
                    && other.start_us < to
            })
        };
        let usual = gaps.filter(|gap| !of_hazard(*gap)).map(|(from, to)| to - from).max();
        hazard.end_us - hazard.start_us > usual.unwrap_or(0)
    }
}

//! A home's night against its own nights before: the mean of its readings, how many there were, or the
//! longest time that they counted. Whole numbers only, so that replicas are bit-equal.

use super::engine::Conditions;
use super::kept::Timer;
use super::plan::NightPlan;
use super::sight::{PlaceId, Sight};
use super::verdict::{Spot, Verdict, What};
use crate::state::rules::NightMeasure;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What comes later than this after dawn is of no night.
const GRACE_US: i64 = 30 * 60 * 1_000_000;
/// So many unusual nights in a row are not learned; from then on they are the home's new habit.
const UNUSUAL_MAX: u8 = 2;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nights {
    /// When the night ends that goes on; 0 by day.
    dawn_us: i64,
    sum: i64,
    count: u32,
    /// When the reading began to count that still does; 0 where none does.
    since_us: i64,
    longest_us: i64,
    last_us: i64,
    /// Of the nights before, the newest last.
    past: Vec<i64>,
    unusual: u8,
    is_told: bool,
}

impl NightPlan {
    /// The limit from the nights before, and what is usual; nothing while too few are known.
    fn limit(&self, past: &[i64]) -> Option<(i64, i64)> {
        if past.len() < self.known || past.is_empty() {
            return None;
        }
        let count = past.len() as i128;
        let sum: i128 = past.iter().map(|value| i128::from(*value)).sum();
        let mean = sum / count;
        let mut limit = mean + i128::from(self.least);
        if let Some(percentile) = self.percentile {
            let mut sorted = past.to_vec();
            sorted.sort_unstable();
            // The nearest rank.
            let rank = (u64::from(percentile) * past.len() as u64).div_ceil(100).max(1) as usize;
            limit = limit.max(i128::from(*sorted.get(rank - 1)?));
        } else {
            let squares: i128 = past.iter().map(|value| (i128::from(*value) - mean).pow(2)).sum();
            let variance = squares / (count - 1).max(1);
            // In hundredths of a deviation.
            let times = i128::from(self.sd_percent);
            limit = limit.max(mean + (variance * times * times / 10_000).isqrt());
        }
        Some((limit as i64, mean as i64))
    }
}

impl Nights {
    fn see(&mut self, plan: &NightPlan, (value, counts): (i64, bool), at_us: i64) {
        if at_us < self.last_us && plan.measure == NightMeasure::Longest {
            // Where it belongs between the others is not known any more.
            return;
        }
        self.last_us = self.last_us.max(at_us);
        if counts || plan.measure == NightMeasure::Mean {
            self.sum = self.sum.saturating_add(value);
            self.count = self.count.saturating_add(1);
        }
        match (counts, self.since_us) {
            (true, 0) => self.since_us = at_us,
            (false, since_us) if since_us > 0 => {
                self.longest_us = self.longest_us.max(at_us - since_us);
                self.since_us = 0;
            }
            _ => {}
        }
    }

    fn value(&self, plan: &NightPlan) -> Option<i64> {
        match plan.measure {
            NightMeasure::Mean => {
                let count = i64::from(self.count);
                (self.count >= plan.readings).then(|| self.sum.checked_div(count)).flatten()
            }
            NightMeasure::Count => Some(i64::from(self.count) * 1_000_000),
            NightMeasure::Longest => {
                let open_us = if self.since_us > 0 { self.dawn_us - self.since_us } else { 0 };
                Some(self.longest_us.max(open_us))
            }
        }
    }

    /// The night is over: its value, the limit and what was usual where it was above.
    fn end(&mut self, plan: &NightPlan) -> Option<(i64, i64, i64)> {
        let value = self.value(plan);
        let limit = plan.limit(&self.past);
        *self = Self {
            past: std::mem::take(&mut self.past),
            unusual: self.unusual,
            is_told: self.is_told,
            ..Self::default()
        };
        let value = value?;
        let found = limit.filter(|(limit, _)| value > *limit);
        self.unusual = if found.is_some() { self.unusual.saturating_add(1) } else { 0 };
        if found.is_none() || self.unusual > UNUSUAL_MAX {
            self.past.push(value);
            let from = self.past.len().saturating_sub(plan.nights);
            self.past.drain(..from);
        }
        found.map(|(limit, usual)| (value, limit, usual))
    }
}

impl Conditions {
    /// A reading of the night.
    pub(super) fn count_night(&mut self, sight: &Sight<'_>) {
        let plan = Arc::clone(&self.plan);
        let Some(home) = sight.place.as_home() else { return };
        if !plan.hours.is_night(sight.at_us) {
            return;
        }
        let dawn_us = plan.hours.dawn(sight.at_us);
        for (rule, night) in plan.nights.iter().enumerate() {
            if night.kind != sight.kind || dawn_us + GRACE_US <= sight.now_us {
                continue;
            }
            let counts = night.counts(sight.value) && self.applies(night.when, sight);
            if !counts && night.measure == NightMeasure::Mean {
                continue;
            }
            let kept = self.kept.nights.entry((home, rule as u8)).or_default();
            let nights = Arc::make_mut(kept);
            if nights.dawn_us == 0 {
                nights.dawn_us = dawn_us;
                self.kept.timers.insert((dawn_us + GRACE_US, Timer::Night(home, rule as u8)));
            }
            if nights.dawn_us == dawn_us {
                nights.see(night, (sight.value, counts), sight.at_us);
            }
        }
    }

    /// The night of a home is over.
    pub(super) fn end_night(&mut self, home: u32, rule: u8, out: &mut Vec<Verdict>) {
        let plan = Arc::clone(&self.plan);
        let (Some(night), Some(known)) =
            (plan.nights.get(usize::from(rule)), self.kept.nights.get(&(home, rule)))
        else {
            return;
        };
        let mut nights = Nights::clone(known);
        let dawn_us = nights.dawn_us;
        let found = nights.end(night);
        let was_told = std::mem::replace(&mut nights.is_told, found.is_some());
        let count = nights.past.len();
        self.kept.nights.insert((home, rule), Arc::new(nights));
        let what = match found {
            Some((value, limit, usual)) => What::Fire {
                severity: night.severity,
                level: night.level,
                event_us: dawn_us,
                evidence: Vec::new(),
                devices: Vec::new(),
                reason: format!(
                    "{} of the night was {}; of {count} nights before it was {}, the limit is {}",
                    night.says,
                    night.in_words(value),
                    night.in_words(usual),
                    night.in_words(limit)
                ),
            },
            None if was_told => What::Over,
            None => return,
        };
        let spot = Spot::Place(PlaceId::home(home));
        out.push(Verdict { alert: Arc::clone(&night.alert), spot, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::rules::{NightRule, When};
    use crate::state::{Rules, Severity};

    fn plan(sd: f64, percentile: u32) -> NightPlan {
        let rule = NightRule {
            kind: "respiration".to_owned(),
            alert: "breath_unusual".to_owned(),
            measure: NightMeasure::Mean,
            threshold: 0.0,
            below: false,
            when: When::Always,
            above_sd: sd,
            above_percentile: percentile,
            least: 0.5,
            nights: 14,
            known: 7,
            readings: 2,
            severity: Severity::Minor,
            level: 1,
        };
        let rules = Rules { nights: vec![rule], ..Rules::bare() };
        rules.check().unwrap();
        super::super::plan::Plan::new(&rules).nights.remove(0)
    }

    #[test]
    fn the_limit_is_so_many_deviations_above_the_mean_and_at_least_so_much() {
        let values: Vec<i64> = [14, 16, 14, 16, 14, 16, 15, 15].map(|n| n * 1_000_000).to_vec();
        // The variance of these eight is 6/7.
        let (limit, mean) = plan(3.0, 0).limit(&values).unwrap();
        assert_eq!(mean, 15_000_000);
        let wanted = 15.0 + 3.0 * (6.0_f64 / 7.0).sqrt();
        assert!((limit as f64 / 1e6 - wanted).abs() < 1e-5, "{limit} {wanted}");
        assert_eq!(plan(3.0, 0).limit(&values[..6]), None, "six nights are too few");
        let same = [15_000_000; 8];
        assert_eq!(plan(3.0, 0).limit(&same), Some((15_500_000, 15_000_000)));
        assert_eq!(plan(0.0, 95).limit(&values).unwrap().0, 16_000_000);
    }

    #[test]
    fn an_unusual_night_is_not_learned_until_it_is_the_third_in_a_row() {
        let plan = plan(3.0, 0);
        let mut nights = Nights { past: vec![15_000_000; 14], ..Nights::default() };
        let mut night = |value: i64| {
            for at_us in [1, 2] {
                nights.see(&plan, (value, true), at_us);
            }
            let found = nights.end(&plan).is_some();
            (found, nights.past.last().copied().unwrap(), nights.past.len())
        };
        assert_eq!(night(20_000_000), (true, 15_000_000, 14));
        assert_eq!(night(20_000_000), (true, 15_000_000, 14));
        assert_eq!(night(20_000_000), (true, 20_000_000, 14));
        assert_eq!(night(15_000_000), (false, 15_000_000, 14));
    }
}

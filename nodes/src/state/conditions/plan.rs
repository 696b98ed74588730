//! The rule set as the engine looks rules up: by kind, in whole numbers. Derived, never stored.

use super::hours::Hours;
use super::idle_plan::{IdlePlan, idle_plans};
use super::tick::TICKS_PER_S;
use crate::state::Severity;
use crate::state::rules::{
    AlertRule, BedExit, DeviceAlerts, Grade, NightMeasure, PRESENCE, Rules, TogetherRule, When,
};
use features::{Kind, fixed};
use std::collections::BTreeMap;
use std::sync::Arc;

const SECOND_US: i64 = 1_000_000;
/// 365.25 days.
const YEAR_US: f64 = 31_557_600e6;

/// What must be true of the readings of one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Test {
    Within {
        count: usize,
        within_us: i64,
    },
    Of {
        count: usize,
        of: usize,
    },
    /// Fires on silence after `cap_us` of the log's clock; 0 for never. A longer hole than `gap_us`
    /// between two readings proves nothing.
    For {
        for_us: i64,
        cap_us: i64,
        gap_us: i64,
    },
    /// Millionths a minute; below zero for a fall.
    Slope {
        count: usize,
        within_us: i64,
        slope: i64,
    },
    Together {
        need: usize,
        within_us: i64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct PartPlan {
    /// Nothing for any movement.
    pub(crate) kind: Option<Kind>,
    threshold: i64,
    clear: i64,
    below: bool,
}

impl PartPlan {
    pub(crate) fn counts(&self, value: i64) -> bool {
        if self.below { value <= self.threshold } else { value >= self.threshold }
    }

    /// Beyond the value from which on it is over.
    pub(crate) fn clears(&self, value: i64) -> bool {
        if self.counts(value) {
            return false;
        }
        if self.below { value >= self.clear } else { value <= self.clear }
    }
}

/// One rule over readings.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    pub(crate) alert: Arc<str>,
    pub(crate) severity: Severity,
    pub(crate) level: u32,
    pub(crate) test: Test,
    pub(crate) parts: Vec<PartPlan>,
    pub(crate) when: When,
    pub(crate) keep_us: i64,
    pub(crate) debounce_us: i64,
    pub(crate) paging_age_us: i64,
    /// Who it is in a changed set: kinds, alert and how many before it have both.
    pub(crate) identity: (String, usize),
    /// What it asks for, in words.
    pub(crate) says: String,
}

impl Judge {
    /// Whether a reading that counted before counts under this rule.
    pub(crate) fn still_counts(&self, part: u8, value: i64) -> bool {
        let part = self.parts.get(usize::from(part));
        part.is_some_and(|part| part.kind.is_none() || part.counts(value))
    }

    /// Whether a part asks for readings of a kind, and not for any movement.
    pub(crate) fn is_of_a_kind(&self, part: u8) -> bool {
        self.parts.get(usize::from(part)).is_some_and(|part| part.kind.is_some())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct FlapPlan {
    pub(crate) level: i64,
    pub(crate) changes: usize,
    pub(crate) within_us: i64,
    pub(crate) quiet_us: i64,
    pub(crate) mute: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct NightPlan {
    pub(crate) kind: Kind,
    pub(crate) alert: Arc<str>,
    pub(crate) measure: NightMeasure,
    threshold: i64,
    below: bool,
    pub(crate) when: When,
    /// In hundredths.
    pub(crate) sd_percent: i64,
    pub(crate) percentile: Option<u32>,
    /// Millionths, or microseconds.
    pub(crate) least: i64,
    pub(crate) nights: usize,
    pub(crate) known: usize,
    pub(crate) readings: u32,
    pub(crate) severity: Severity,
    pub(crate) level: u32,
    /// What is measured, in words.
    pub(crate) says: String,
}

impl NightPlan {
    pub(crate) fn counts(&self, value: i64) -> bool {
        if self.below { value <= self.threshold } else { value >= self.threshold }
    }

    pub(crate) fn in_words(&self, value: i64) -> String {
        match self.measure {
            NightMeasure::Longest => format!("{} min", value / (60 * SECOND_US)),
            NightMeasure::Count => (value / 1_000_000).to_string(),
            NightMeasure::Mean => format!("{}.{:02}", value / 1_000_000, value / 10_000 % 100),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClassPlan {
    pub(crate) heartbeat: u32,
    /// Missing after so many ticks.
    pub(crate) timeout: u32,
    /// Percent in millionths; 0 for none.
    pub(crate) battery_low: i64,
    pub(crate) battery_critical: i64,
    /// Days left of the battery; 0 for none.
    pub(crate) low_days: i64,
    /// From its installation; 0 for none.
    pub(crate) life_us: i64,
    pub(crate) offline: Grade,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OutagePlan {
    /// Of ten thousand.
    pub(crate) share: u64,
    pub(crate) at_least: u32,
    pub(crate) grace: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Rules and their parts that a kind is held against, by kind.
    by_kind: Vec<Vec<(u16, u8)>>,
    pub(crate) judges: Vec<Judge>,
    /// Parts that are any movement.
    pub(crate) presence: Vec<(u16, u8)>,
    flapping: Vec<Option<FlapPlan>>,
    /// Kinds that are movement.
    movement: Vec<bool>,
    pub(crate) idle: Vec<IdlePlan>,
    /// Whether a rule looks at breath.
    pub(crate) has_breath: bool,
    pub(crate) nights: Vec<NightPlan>,
    pub(crate) bed_exit: Option<(Arc<str>, BedExit)>,
    pub(crate) classes: BTreeMap<String, ClassPlan>,
    pub(crate) outage: OutagePlan,
    pub(crate) hours: Hours,
    pub(crate) words: Words,
    pub(crate) grades: DeviceAlerts,
    /// Words of `device.health` for a device that was taken away.
    pub(crate) withdrawn: Vec<String>,
    /// What is older wakes nobody.
    pub(crate) paging_age_us: i64,
    /// A bed that said nothing for so many ticks says nothing.
    pub(crate) bed_word: u32,
}

/// Kinds of alerts that no rule names.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) offline: Arc<str>,
    pub(crate) outage: Arc<str>,
    pub(crate) fault: Arc<str>,
    pub(crate) battery: Arc<str>,
    pub(crate) age: Arc<str>,
}

impl Plan {
    pub(crate) fn new(rules: &Rules) -> Self {
        let mut judges: Vec<Judge> = rules.alerts.iter().map(|rule| single(rules, rule)).collect();
        judges.extend(rules.together.iter().map(|rule| together(rules, rule)));
        let mut by_kind = vec![Vec::new(); Kind::ALL.len()];
        let mut presence = Vec::new();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (at, judge) in judges.iter_mut().enumerate() {
            let before = seen.entry(judge.identity.0.clone()).or_default();
            judge.identity.1 = *before;
            *before += 1;
            for (part, plan) in judge.parts.iter().enumerate() {
                let place = (at as u16, part as u8);
                match plan.kind {
                    Some(kind) => by_kind[kind as usize].push(place),
                    None => presence.push(place),
                }
            }
        }
        let mut flapping = vec![None; Kind::ALL.len()];
        for rule in &rules.flapping {
            if let Ok(kind) = rule.kind.parse::<Kind>() {
                flapping[kind as usize] = Some(FlapPlan {
                    level: micros(rule.level),
                    changes: rule.changes as usize,
                    within_us: seconds(rule.within_s),
                    quiet_us: seconds(rule.quiet_s),
                    mute: rule.mute,
                });
            }
        }
        Self {
            by_kind,
            judges,
            presence,
            flapping,
            movement: movement(rules),
            idle: idle_plans(rules),
            has_breath: rules.inactivity.iter().any(|rule| rule.asleep_h > 0.0),
            nights: nights(rules),
            bed_exit: rules.bed_exit.clone().map(|rule| (rule.alert.as_str().into(), rule)),
            classes: classes(rules),
            outage: OutagePlan {
                share: (rules.outage.percent * 100.0).round() as u64,
                at_least: rules.outage.at_least,
                grace: rules.outage.grace_s * TICKS_PER_S,
            },
            hours: Hours::new(rules.hours),
            words: Words {
                offline: "device_offline".into(),
                outage: super::tell::OUTAGE.into(),
                fault: "device_fault".into(),
                battery: "battery_low".into(),
                age: "end_of_life".into(),
            },
            grades: rules.device_alerts,
            withdrawn: rules.withdrawn.clone(),
            paging_age_us: seconds(rules.paging_age_s),
            bed_word: rules.bed_word_s * TICKS_PER_S,
        }
    }

    #[inline]
    pub(crate) fn of_kind(&self, kind: Kind) -> &[(u16, u8)] {
        self.by_kind.get(kind as usize).map_or(&[], Vec::as_slice)
    }

    #[inline]
    pub(crate) fn flap(&self, kind: Kind) -> Option<&FlapPlan> {
        self.flapping.get(kind as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn is_movement(&self, kind: Kind) -> bool {
        self.movement.get(kind as usize).copied().unwrap_or(false)
    }

    /// Whether a value is on the bad side of a rule's part.
    #[inline]
    pub(crate) fn counts(&self, (rule, part): (u16, u8), value: i64) -> bool {
        let judge = self.judge(rule);
        let part = judge.and_then(|judge| judge.parts.get(usize::from(part)));
        part.is_some_and(|part| part.counts(value))
    }

    #[inline]
    pub(crate) fn has_nights(&self, kind: Kind) -> bool {
        self.nights.iter().any(|night| night.kind == kind)
    }

    pub(crate) fn judge(&self, rule: u16) -> Option<&Judge> {
        self.judges.get(usize::from(rule))
    }
}

fn seconds(s: u32) -> i64 {
    i64::from(s) * SECOND_US
}

/// Checked when the set was pushed.
fn micros(value: f64) -> i64 {
    fixed::to_micros(value).unwrap_or(0)
}

fn single(rules: &Rules, rule: &AlertRule) -> Judge {
    let (count, within_us) = (rule.count.max(1) as usize, seconds(rule.within_s));
    let side = if rule.below { "at or under" } else { "at or over" };
    let about = format!("{} {side} {}", rule.kind, rule.threshold);
    let (test, says) = if rule.of > 0 {
        let says = format!("{count} of {} readings of {about}", rule.of);
        (Test::Of { count, of: rule.of as usize }, says)
    } else if rule.for_s > 0 {
        let for_us = seconds(rule.for_s);
        let (cap_us, gap_us) = (seconds(rule.for_cap_s), 2 * for_us);
        (Test::For { for_us, cap_us, gap_us }, format!("{about} for {} s", rule.for_s))
    } else if let Some(slope) = rule.slope_per_min {
        let says = format!("{about}, changing {slope} a minute");
        let slope = if rule.below { -micros(slope) } else { micros(slope) };
        (Test::Slope { count: count.max(2), within_us, slope }, says)
    } else {
        let says = format!("{count} readings of {about} within {} s", rule.within_s);
        (Test::Within { count, within_us }, says)
    };
    let part = PartPlan {
        kind: rule.kind.parse().ok(),
        threshold: micros(rule.threshold),
        clear: rule.clear.map_or_else(|| micros(rule.threshold), micros),
        below: rule.below,
    };
    let age_s = if rule.paging_age_s > 0 { rule.paging_age_s } else { rules.paging_age_s };
    Judge {
        alert: rule.alert.as_str().into(),
        severity: rule.severity,
        level: rule.level,
        test,
        // An unknown kind would be taken for movement; the check has refused it.
        parts: if part.kind.is_some() { vec![part] } else { Vec::new() },
        when: rule.when,
        keep_us: seconds(rule.keep_s),
        debounce_us: i64::from(rule.debounce_ms) * 1_000,
        paging_age_us: seconds(age_s),
        identity: (format!("{}>{}", rule.kind, rule.alert), 0),
        says,
    }
}

fn together(rules: &Rules, rule: &TogetherRule) -> Judge {
    let parts: Vec<PartPlan> = rule
        .parts
        .iter()
        .filter(|part| part.kind == PRESENCE || part.kind.parse::<Kind>().is_ok())
        .map(|part| PartPlan {
            kind: part.kind.parse().ok(),
            threshold: micros(part.threshold),
            clear: micros(part.threshold),
            below: part.below,
        })
        .collect();
    let kinds: Vec<&str> = rule.parts.iter().map(|part| part.kind.as_str()).collect();
    let need = if rule.need == 0 { parts.len() } else { rule.need as usize };
    Judge {
        alert: rule.alert.as_str().into(),
        severity: rule.severity,
        level: rule.level,
        test: Test::Together { need, within_us: seconds(rule.within_s) },
        when: When::Always,
        keep_us: seconds(rule.keep_s),
        debounce_us: 0,
        paging_age_us: seconds(rules.paging_age_s),
        identity: (format!("{}>{}", kinds.join("+"), rule.alert), 0),
        says: format!("{need} of {} within {} s", kinds.join(", "), rule.within_s),
        parts,
    }
}

fn movement(rules: &Rules) -> Vec<bool> {
    let mut movement = vec![false; Kind::ALL.len()];
    for kind in rules.inactivity.iter().flat_map(|rule| &rule.kinds) {
        if let Ok(kind) = kind.parse::<Kind>() {
            movement[kind as usize] = true;
        }
    }
    // Somebody is there where a rule asks for presence, also in a set without inactivity.
    for kind in [Kind::Door, Kind::Motion] {
        movement[kind as usize] = true;
    }
    movement
}

fn nights(rules: &Rules) -> Vec<NightPlan> {
    let plan = |rule: &crate::state::rules::NightRule| {
        let what = match rule.measure {
            NightMeasure::Mean => "the mean",
            NightMeasure::Count => "the number",
            NightMeasure::Longest => "the longest time",
        };
        let side = if rule.below { "at or under" } else { "at or over" };
        // The check has refused unknown kinds.
        Some(NightPlan {
            kind: rule.kind.parse().ok()?,
            alert: rule.alert.as_str().into(),
            measure: rule.measure,
            threshold: micros(rule.threshold),
            below: rule.below,
            when: rule.when,
            sd_percent: (rule.above_sd * 100.0).round() as i64,
            percentile: (rule.above_percentile > 0).then_some(rule.above_percentile),
            least: micros(rule.least),
            nights: rule.nights as usize,
            known: rule.known as usize,
            readings: rule.readings,
            severity: rule.severity,
            level: rule.level,
            says: format!("{what} of {} {side} {}", rule.kind, rule.threshold),
        })
    };
    rules.nights.iter().filter_map(plan).collect()
}

fn classes(rules: &Rules) -> BTreeMap<String, ClassPlan> {
    let classes = rules.devices.iter().map(|class| {
        let plan = ClassPlan {
            heartbeat: class.heartbeat_s * TICKS_PER_S,
            timeout: class.heartbeat_s.saturating_mul(class.missed).saturating_mul(TICKS_PER_S),
            battery_low: micros(class.battery_low),
            battery_critical: micros(class.battery_critical),
            low_days: i64::from(class.low_days),
            life_us: (class.life_years * YEAR_US).round() as i64,
            offline: class.offline.unwrap_or(rules.device_alerts.offline),
        };
        (class.class.clone(), plan)
    });
    classes.collect()
}

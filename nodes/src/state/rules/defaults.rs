//! The set that a cluster begins with. The source of each number, or that it is a proposal, stands in
//! docs/alerts.md.

use super::{
    AlertRule, BedExit, Deadlines, DeviceAlerts, DeviceClass, FlappingRule, Grade, HoursOfDay,
    InactivityRule, Maintenance, NightMeasure, NightRule, Outage, Part, Rules, TogetherRule, When,
};
use crate::state::Severity;
use Severity::{Critical, Major, Minor};

const HOUR_S: u32 = 3_600;
const DAY_S: u32 = 86_400;
/// Kinds of events that are a person's movement.
pub(super) const MOVEMENT: [&str; 7] =
    ["door", "motion", "contact", "water", "bed", "pressure", "steps"];

impl Rules {
    /// No rule at all, with the default deadlines.
    pub fn bare() -> Self {
        Self {
            version: 1,
            score_interval_s: 60,
            critical: Deadlines { ack_s: 60, dispatch_s: 180, arrive_s: 900, feedback_s: 3_600 },
            major: Deadlines { ack_s: 300, dispatch_s: 900, arrive_s: 1_800, feedback_s: 7_200 },
            minor: Deadlines {
                ack_s: 1_800,
                dispatch_s: 7_200,
                arrive_s: 14_400,
                feedback_s: 86_400,
            },
            alerts: Vec::new(),
            together: Vec::new(),
            flapping: Vec::new(),
            inactivity: Vec::new(),
            nights: Vec::new(),
            bed_exit: None,
            devices: Vec::new(),
            outage: Self::default_outage(),
            hours: Self::default_hours(),
            device_alerts: DeviceAlerts::default(),
            withdrawn: Self::default_withdrawn(),
            maintenance: Maintenance::default(),
            bed_word_s: Self::default_bed_word_s(),
            paging_age_s: Self::default_paging_age_s(),
        }
    }

    pub(super) fn default_outage() -> Outage {
        Outage { percent: 60.0, at_least: 10, grace_s: 900 }
    }

    pub(super) fn default_hours() -> HoursOfDay {
        HoursOfDay { utc_offset_min: 480, night_from_h: 22, night_to_h: 6 }
    }

    pub(super) fn default_withdrawn() -> Vec<String> {
        ["removed", "retired"].map(str::to_owned).to_vec()
    }

    pub(super) fn default_bed_word_s() -> u32 {
        DAY_S
    }

    pub(super) fn default_paging_age_s() -> u32 {
        6 * HOUR_S
    }
}

impl Default for DeviceAlerts {
    fn default() -> Self {
        let minor = Grade { severity: Minor, level: 1 };
        Self {
            offline: minor,
            fault: minor,
            battery_low: minor,
            battery_critical: Grade { severity: Major, level: 1 },
            end_of_life: minor,
            outage: Grade { severity: Major, level: 2 },
        }
    }
}

impl Default for Maintenance {
    fn default() -> Self {
        let hazards = ["smoke", "gas_leak", "carbon_monoxide", "sos", "no_breath"];
        Self {
            silence_max_s: 7 * DAY_S,
            hazards: hazards.map(str::to_owned).to_vec(),
            hazard_max_s: 2 * HOUR_S,
            hazard_pause_s: HOUR_S / 4,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        let bed_exit =
            BedExit { alert: "out_of_bed".to_owned(), out_s: 1_800, severity: Minor, level: 1 };
        Self {
            alerts: hazards().into_iter().chain(vital_signs()).collect(),
            together: together(),
            flapping: flapping(),
            inactivity: inactivity(),
            nights: nights(),
            bed_exit: Some(bed_exit),
            devices: devices(),
            ..Self::bare()
        }
    }
}

fn hazards() -> Vec<AlertRule> {
    let rule = AlertRule::counting;
    let now = (1, 60);
    vec![
        AlertRule { clear: Some(3.0), ..rule(("gas", "gas_leak"), 5.0, (3, DAY_S), (Critical, 3)) },
        AlertRule { clear: Some(3.0), ..rule(("gas", "gas_leak"), 20.0, now, (Critical, 3)) },
        AlertRule {
            slope_per_min: Some(1.0),
            ..rule(("gas", "gas_leak"), 3.0, (3, 600), (Critical, 3))
        },
        AlertRule { for_s: 600, ..rule(("gas", "gas_trace"), 3.0, (1, 600), (Minor, 1)) },
        AlertRule {
            clear: Some(30.0),
            ..rule(("co", "carbon_monoxide"), 50.0, (3, 900), (Critical, 3))
        },
        AlertRule {
            clear: Some(30.0),
            ..rule(("co", "carbon_monoxide"), 300.0, now, (Critical, 3))
        },
        rule(("smoke", "smoke"), 1.0, (2, 300), (Critical, 3)),
        rule(("sos", "sos"), 1.0, now, (Critical, 3)),
        rule(("help", "sos"), 1.0, now, (Critical, 3)),
        rule(("fall", "fall"), 1.0, now, (Major, 1)),
        rule(("tamper", "tamper"), 1.0, now, (Minor, 1)),
        AlertRule { debounce_ms: 1_000, ..rule(("water", "water_leak"), 2.0, now, (Minor, 1)) },
    ]
}

fn vital_signs() -> Vec<AlertRule> {
    let below = |rule: AlertRule| AlertRule { below: true, ..rule };
    let lasting = |kind, alert, threshold, severity| AlertRule {
        for_s: 1_800,
        when: When::NotOutOfBed,
        ..AlertRule::counting((kind, alert), threshold, (1, 1_800), (severity, 1))
    };
    let no_breath = AlertRule::counting(("respiration", "no_breath"), 0.0, (1, 60), (Critical, 3));
    let spells = AlertRule::counting(("respiration", "breath_low"), 8.0, (6, HOUR_S), (Major, 1));
    vec![
        AlertRule { when: When::InBed, clear: Some(4.0), ..below(no_breath) },
        AlertRule { when: When::NotOutOfBed, clear: Some(12.0), keep_s: HOUR_S, ..below(spells) },
        lasting("respiration", "breath_high", 25.0, Major),
        lasting("heart_rate", "heart_high", 131.0, Major),
        below(lasting("heart_rate", "heart_low", 40.0, Major)),
    ]
}

fn together() -> Vec<TogetherRule> {
    let part = |kind: &str, threshold| Part { kind: kind.to_owned(), threshold, below: false };
    vec![
        TogetherRule {
            alert: "smoke".to_owned(),
            parts: vec![part("smoke", 1.0), part("temperature", 54.0)],
            need: 0,
            within_s: 300,
            severity: Critical,
            level: 3,
            keep_s: 0,
        },
        TogetherRule {
            alert: "gas_leak".to_owned(),
            parts: vec![part("gas", 10.0), part("presence", 0.0)],
            need: 0,
            within_s: 600,
            severity: Critical,
            level: 3,
            keep_s: 0,
        },
    ]
}

fn flapping() -> Vec<FlappingRule> {
    let rule = |kind: &str, level, changes, within_s, mute| FlappingRule {
        kind: kind.to_owned(),
        level,
        changes,
        within_s,
        quiet_s: 1_800,
        mute,
    };
    vec![
        // A life may hang on these: the fault is told beside the hazard, not instead of it.
        rule("gas", 5.0, 12, 600, false),
        rule("smoke", 1.0, 12, 600, false),
        rule("water", 2.0, 8, 600, true),
        rule("door", 1.0, 30, 60, true),
        rule("contact", 1.0, 30, 60, true),
        rule("bed", 1.0, 20, 600, true),
    ]
}

fn inactivity() -> Vec<InactivityRule> {
    let kinds = || MOVEMENT.map(str::to_owned).to_vec();
    let door = |limit_h, severity| InactivityRule {
        alert: "door_not_opened".to_owned(),
        kinds: vec!["door".to_owned()],
        limit_h,
        habit_times: 1.5,
        after_door_h: 0.0,
        first_week_h: 48.0,
        known_days: 7,
        at_night: true,
        night_times: 0.0,
        asleep_h: 0.0,
        deaf_beats: 0,
        deaf_grace_h: 0.0,
        severity,
        level: 1,
    };
    vec![
        InactivityRule {
            alert: "inactivity".to_owned(),
            kinds: kinds(),
            limit_h: 6.0,
            habit_times: 1.5,
            // An empty home is the door's matter: told here when that has become grave.
            after_door_h: 48.0,
            first_week_h: 24.0,
            known_days: 3,
            at_night: false,
            night_times: 2.0,
            asleep_h: 12.0,
            deaf_beats: 2,
            deaf_grace_h: 3.0,
            severity: Major,
            level: 1,
        },
        door(24.0, Minor),
        door(48.0, Major),
    ]
}

fn nights() -> Vec<NightRule> {
    let rule = |kind: &str, alert: &str, measure| NightRule {
        kind: kind.to_owned(),
        alert: alert.to_owned(),
        measure,
        threshold: 0.0,
        below: false,
        when: When::NotOutOfBed,
        above_sd: 3.0,
        above_percentile: 0,
        least: 2.0,
        nights: 14,
        known: 7,
        readings: 30,
        severity: Minor,
        level: 1,
    };
    vec![
        NightRule { threshold: 1.0, ..rule("respiration", "breath_unusual", NightMeasure::Mean) },
        NightRule {
            threshold: 0.0,
            below: true,
            when: When::Always,
            above_sd: 0.0,
            above_percentile: 95,
            least: 900.0,
            nights: 28,
            known: 14,
            ..rule("bed", "long_out_of_bed", NightMeasure::Longest)
        },
    ]
}

fn devices() -> Vec<DeviceClass> {
    let class = |class: &str, heartbeat_s, missed, low, critical| DeviceClass {
        class: class.to_owned(),
        heartbeat_s,
        missed,
        battery_low: low,
        battery_critical: critical,
        low_days: if low > 0.0 { 14 } else { 0 },
        life_years: 0.0,
        offline: None,
    };
    vec![
        class("gateway", HOUR_S, 3, 0.0, 0.0),
        class("gas", 6 * HOUR_S, 3, 0.0, 0.0),
        class("resp", DAY_S, 3, 0.0, 0.0),
        DeviceClass { life_years: 10.0, ..class("smoke", DAY_S, 3, 20.0, 10.0) },
        class("door", DAY_S, 3, 20.0, 10.0),
        class("motion", DAY_S, 3, 20.0, 10.0),
    ]
}

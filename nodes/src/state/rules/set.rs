//! The rules as they are written in a file. Every number is configuration that a district decides.

use crate::state::Severity;
use serde::{Deserialize, Serialize};

/// In the place of a kind: any movement in the home.
pub(crate) const PRESENCE: &str = "presence";

/// Seconds from one step to the next before the alert climbs a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    pub ack_s: u32,
    pub dispatch_s: u32,
    pub arrive_s: u32,
    pub feedback_s: u32,
}

/// When a reading is held against a rule at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    #[default]
    Always,
    /// The bed says that somebody lies in it.
    InBed,
    /// The bed does not say that nobody lies in it: also where there is no bed sensor.
    NotOutOfBed,
    Day,
    Night,
}

/// Readings of one kind. One of `for_s`, `of` and `slope_per_min` at most; without any of them
/// `count` readings within `within_s` make an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRule {
    /// The kind of event that is counted.
    pub kind: String,
    /// The kind of alert that is raised.
    pub alert: String,
    /// A reading counts from this value on, in the event's unit.
    pub threshold: f64,
    /// So many counting readings...
    pub count: u32,
    /// ...within so many seconds of event time make one alert.
    pub within_s: u32,
    pub severity: Severity,
    /// The level that is told first; 3 is the district centre and the emergency services.
    pub level: u32,
    /// A reading counts from the threshold downwards.
    #[serde(default)]
    pub below: bool,
    /// `count` of this many readings in a row of one device.
    #[serde(default)]
    pub of: u32,
    /// Every reading of one device counts for so long in event time.
    #[serde(default)]
    pub for_s: u32,
    /// With `for_s`, for sensors that speak only when something changes: fires also when nothing spoke
    /// against it for so long by the log's clock; 0 for never, silence then proves nothing.
    #[serde(default)]
    pub for_cap_s: u32,
    /// Readings of one device rise so much a minute over `within_s`; fall, with `below`.
    #[serde(default)]
    pub slope_per_min: Option<f64>,
    /// Over only from this value on; the threshold where it is left out.
    #[serde(default)]
    pub clear: Option<f64>,
    /// Over only when it stayed so for so long.
    #[serde(default)]
    pub keep_s: u32,
    /// Readings of one device nearer than this to one that counts are the same one.
    #[serde(default)]
    pub debounce_ms: u32,
    #[serde(default)]
    pub when: When,
    /// Older events raise nothing; 0 for the set's `paging_age_s`.
    #[serde(default)]
    pub paging_age_s: u32,
}

/// One side of a rule over several sensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// A kind of event, or `presence` for any movement in the home.
    pub kind: String,
    #[serde(default)]
    pub threshold: f64,
    #[serde(default)]
    pub below: bool,
}

/// Several sensors of one home together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TogetherRule {
    pub alert: String,
    pub parts: Vec<Part>,
    /// So many of the parts are needed; 0 for all, 1 for any.
    #[serde(default)]
    pub need: u32,
    /// In event time.
    pub within_s: u32,
    pub severity: Severity,
    pub level: u32,
    #[serde(default)]
    pub keep_s: u32,
}

/// A sensor that changes sides too often is broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlappingRule {
    pub kind: String,
    /// On which side of this a reading lies.
    pub level: f64,
    pub changes: u32,
    pub within_s: u32,
    /// Sound again after so long without a change.
    pub quiet_s: u32,
    /// Its readings are held against no rule meanwhile: a fault instead of a hazard.
    pub mute: bool,
}

/// Nobody moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InactivityRule {
    pub alert: String,
    /// Kinds of events that are movement.
    pub kinds: Vec<String>,
    /// Hours without movement. Hours of the night count only with `at_night`.
    pub limit_h: f64,
    /// And longer than this many times the longest of the last 28 days at the same hour; 0 for no habit.
    #[serde(default)]
    pub habit_times: f64,
    /// The limit where the last movement was a door: somebody may have gone out. 0 for the same limit.
    #[serde(default)]
    pub after_door_h: f64,
    /// The limit in a home's first days, before it has a habit; 0 for the same limit.
    #[serde(default)]
    pub first_week_h: f64,
    /// A home has a habit after so many days.
    #[serde(default = "InactivityRule::default_known_days")]
    pub known_days: u32,
    #[serde(default)]
    pub at_night: bool,
    /// A silence that began indoors is told in hours of the night when it is longer, those counted, than
    /// `limit_h` and this many times the habit; 0 for never.
    #[serde(default)]
    pub night_times: f64,
    /// The limit, by day, where a sleep monitor saw breath within the last `limit_h`; 0 to look at none.
    #[serde(default)]
    pub asleep_h: f64,
    /// A home of which nothing came for so many heartbeats of its quickest device is not judged; 0 where
    /// only a home without any living device is not.
    #[serde(default)]
    pub deaf_beats: u32,
    /// Hours in which somebody may move after such a time, before they are missed.
    #[serde(default)]
    pub deaf_grace_h: f64,
    pub severity: Severity,
    pub level: u32,
}

/// What of a night is held against the nights before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NightMeasure {
    /// The mean of the readings that count.
    Mean,
    /// How many count.
    Count,
    /// The longest time from one that counts to the next that does not.
    Longest,
}

/// A night that is unlike the home's own nights before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NightRule {
    /// The kind of event.
    pub kind: String,
    pub alert: String,
    pub measure: NightMeasure,
    /// A reading counts from this value on, or downwards from it.
    #[serde(default)]
    pub threshold: f64,
    #[serde(default)]
    pub below: bool,
    #[serde(default)]
    pub when: When,
    /// So many standard deviations above the mean of the nights before...
    #[serde(default)]
    pub above_sd: f64,
    /// ...or above this percentile of them.
    #[serde(default)]
    pub above_percentile: u32,
    /// And this much above their mean: the event's unit, a number, or seconds.
    pub least: f64,
    /// Nights that are kept, and how many must be known.
    pub nights: u32,
    pub known: u32,
    /// Readings that make a night's mean.
    pub readings: u32,
    pub severity: Severity,
    pub level: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BedExit {
    pub alert: String,
    /// Out of bed for so long, having left it at night.
    pub out_s: u32,
    pub severity: Severity,
    pub level: u32,
}

/// What is expected of the devices of one kind in the register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceClass {
    /// `device.kind`.
    pub class: String,
    /// It says something at least so often...
    pub heartbeat_s: u32,
    /// ...and is missing after so many times that.
    pub missed: u32,
    /// Percent; 0 for no battery.
    #[serde(default)]
    pub battery_low: f64,
    #[serde(default)]
    pub battery_critical: f64,
    /// Low also when the battery, falling as in the last one to two weeks, is empty in so many days; 0
    /// for percents alone.
    #[serde(default)]
    pub low_days: u32,
    /// It is to be replaced so many years after `device.installed`; 0 for never.
    #[serde(default)]
    pub life_years: f64,
    /// How grave it is that one is missing, where it is not what the set says of all.
    #[serde(default)]
    pub offline: Option<Grade>,
}

/// How grave an alert is, and the level that is told first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grade {
    pub severity: Severity,
    pub level: u32,
}

/// How grave it is what devices do; the kinds of these alerts have fixed names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceAlerts {
    pub offline: Grade,
    pub fault: Grade,
    pub battery_low: Grade,
    pub battery_critical: Grade,
    pub end_of_life: Grade,
    pub outage: Grade,
}

/// How long people may silence what they work on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    pub silence_max_s: u32,
    /// Kinds of alerts that are silenced for a shorter time only.
    pub hazards: Vec<String>,
    pub hazard_max_s: u32,
    /// Silences with less than this between them are one to that limit.
    pub hazard_pause_s: u32,
}

/// Many devices silent at once are one fault of what they have in common.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Percent of those of a gateway, building, community or district that should have spoken.
    pub percent: f64,
    pub at_least: u32,
    /// Devices get so long to speak after it, and after the cluster itself was away.
    pub grace_s: u32,
}

/// What night is, in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoursOfDay {
    /// Local time is so many minutes ahead of UTC.
    pub utc_offset_min: i32,
    pub night_from_h: u32,
    pub night_to_h: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub version: u32,
    /// A resident whose features moved is scored again after this time at the earliest.
    pub score_interval_s: u32,
    pub critical: Deadlines,
    pub major: Deadlines,
    pub minor: Deadlines,
    pub alerts: Vec<AlertRule>,
    #[serde(default)]
    pub together: Vec<TogetherRule>,
    #[serde(default)]
    pub flapping: Vec<FlappingRule>,
    #[serde(default)]
    pub inactivity: Vec<InactivityRule>,
    #[serde(default)]
    pub nights: Vec<NightRule>,
    #[serde(default)]
    pub bed_exit: Option<BedExit>,
    #[serde(default)]
    pub devices: Vec<DeviceClass>,
    #[serde(default = "Rules::default_outage")]
    pub outage: Outage,
    #[serde(default = "Rules::default_hours")]
    pub hours: HoursOfDay,
    #[serde(default)]
    pub device_alerts: DeviceAlerts,
    /// Words of `device.health` for a device that was taken away: nobody misses it.
    #[serde(default = "Rules::default_withdrawn")]
    pub withdrawn: Vec<String>,
    #[serde(default)]
    pub maintenance: Maintenance,
    /// What a bed said last holds for so long: it may be broken.
    #[serde(default = "Rules::default_bed_word_s")]
    pub bed_word_s: u32,
    /// Events older than this count, and raise nothing.
    #[serde(default = "Rules::default_paging_age_s")]
    pub paging_age_s: u32,
}

impl AlertRule {
    /// A rule of `count` readings within `within_s`, and nothing else.
    pub fn counting(
        (kind, alert): (&str, &str),
        threshold: f64,
        (count, within_s): (u32, u32),
        (severity, level): (Severity, u32),
    ) -> Self {
        Self {
            kind: kind.to_owned(),
            alert: alert.to_owned(),
            threshold,
            count,
            within_s,
            severity,
            level,
            below: false,
            of: 0,
            for_s: 0,
            for_cap_s: 0,
            slope_per_min: None,
            clear: None,
            keep_s: 0,
            debounce_ms: 0,
            when: When::Always,
            paging_age_s: 0,
        }
    }
}

impl InactivityRule {
    fn default_known_days() -> u32 {
        7
    }
}

impl Rules {
    pub(crate) fn score_interval_us(&self) -> i64 {
        i64::from(self.score_interval_s) * 1_000_000
    }

    pub fn deadlines(&self, severity: Severity) -> Deadlines {
        match severity {
            Severity::Critical => self.critical,
            Severity::Major => self.major,
            Severity::Minor => self.minor,
        }
    }
}

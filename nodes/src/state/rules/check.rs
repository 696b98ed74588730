//! What a rule set is refused for, each with the rule's place in the file and what to do.

use super::{AlertRule, FlappingRule, InactivityRule, NightRule, Rules, TogetherRule};
use features::Kind;

/// Rules of all families together.
const RULES_MAX: usize = 200;
/// Readings that one rule can count at one place.
pub(crate) const READINGS_MAX: usize = 32;
/// The longest time a rule looks back.
const SPAN_MAX_S: u32 = 7 * 86_400;
const PARTS_MAX: usize = 8;
const HOURS_A_DAY: u32 = 24;
const CLASSES_MAX: usize = 100;
const LIFE_MAX_YEARS: f64 = 100.0;
const LOW_DAYS_MAX: u32 = 365;
/// Words for a device that was taken away.
const WITHDRAWN_MAX: usize = 16;
/// Kinds of alerts that are silenced for a shorter time only.
const HAZARDS_MAX: usize = 64;
/// Each home keeps a bit for each.
const INACTIVITY_MAX: usize = 7;
/// Each home with such readings keeps its nights for each.
const NIGHT_RULES_MAX: usize = 8;
const NIGHTS_MAX: u32 = 35;
/// The longest limit of an inactivity rule.
const LIMIT_MAX_H: f64 = 336.0;
/// A habit is of 28 days.
const KNOWN_MAX_DAYS: u32 = 28;
const DEAF_BEATS_MAX: u32 = 100;

impl Rules {
    /// Why the set cannot be used, in one line.
    pub fn check(&self) -> Result<(), String> {
        let all = self.alerts.len() + self.together.len() + self.flapping.len();
        if all + self.inactivity.len() > RULES_MAX || self.devices.len() > CLASSES_MAX {
            return Err(format!(
                "a set may have {RULES_MAX} rules and {CLASSES_MAX} device classes"
            ));
        }
        if self.inactivity.len() > INACTIVITY_MAX {
            return Err(format!("a set may have {INACTIVITY_MAX} inactivity rules"));
        }
        let mut lists = self.inactivity.iter().map(|rule| &rule.kinds);
        let others = lists.by_ref().filter(|kinds| kinds.iter().any(|kind| kind != "door"));
        if others.collect::<std::collections::BTreeSet<_>>().len() > 1 {
            let said = "inactivity: rules over more than doors must have the same kinds";
            return Err(said.to_owned());
        }
        for (at, rule) in self.alerts.iter().enumerate() {
            check_alert(rule).map_err(|why| format!("alerts[{at}] ({}): {why}", rule.alert))?;
        }
        for (at, rule) in self.together.iter().enumerate() {
            check_together(rule)
                .map_err(|why| format!("together[{at}] ({}): {why}", rule.alert))?;
        }
        for (at, rule) in self.flapping.iter().enumerate() {
            check_flapping(rule).map_err(|why| format!("flapping[{at}] ({}): {why}", rule.kind))?;
        }
        for (at, rule) in self.inactivity.iter().enumerate() {
            check_inactivity(rule)
                .map_err(|why| format!("inactivity[{at}] ({}): {why}", rule.alert))?;
        }
        if self.nights.len() > NIGHT_RULES_MAX {
            return Err(format!("a set may have {NIGHT_RULES_MAX} rules over nights"));
        }
        for (at, rule) in self.nights.iter().enumerate() {
            check_night(rule).map_err(|why| format!("nights[{at}] ({}): {why}", rule.alert))?;
        }
        if let Some(rule) = &self.bed_exit {
            span("bed_exit.out_s", rule.out_s)?;
            level(rule.level).map_err(|why| format!("bed_exit: {why}"))?;
        }
        self.check_devices()?;
        self.check_rest()
    }

    fn check_devices(&self) -> Result<(), String> {
        for (at, class) in self.devices.iter().enumerate() {
            let wrong = |why: &str| Err(format!("devices[{at}] ({}): {why}", class.class));
            if class.class.is_empty() || self.devices[..at].iter().any(|o| o.class == class.class) {
                return wrong("class must be a device.kind that no other entry has");
            }
            if !(1..=SPAN_MAX_S).contains(&class.heartbeat_s) || !(2..=100).contains(&class.missed)
            {
                return wrong("heartbeat_s must be from 1 to 604800 and missed from 2 to 100");
            }
            if !(0.0..=LIFE_MAX_YEARS).contains(&class.life_years) || class.low_days > LOW_DAYS_MAX
            {
                return wrong("life_years must be from 0 to 100 and low_days from 0 to 365");
            }
            if class.offline.is_some_and(|grade| level(grade.level).is_err()) {
                return wrong("offline.level must be 1, 2 or 3");
            }
            let percents = 0.0..=100.0;
            if !percents.contains(&class.battery_low)
                || !percents.contains(&class.battery_critical)
                || class.battery_critical > class.battery_low
            {
                return wrong("battery_low and battery_critical are percents, low above critical");
            }
        }
        Ok(())
    }

    fn check_grades(&self) -> Result<(), String> {
        let all = self.device_alerts;
        for (name, grade) in [
            ("offline", all.offline),
            ("fault", all.fault),
            ("battery_low", all.battery_low),
            ("battery_critical", all.battery_critical),
            ("end_of_life", all.end_of_life),
            ("outage", all.outage),
        ] {
            level(grade.level).map_err(|why| format!("device_alerts.{name}: {why}"))?;
        }
        Ok(())
    }

    fn check_rest(&self) -> Result<(), String> {
        let hours = self.hours;
        if hours.night_from_h >= HOURS_A_DAY || hours.night_to_h >= HOURS_A_DAY {
            return Err("hours: night_from_h and night_to_h are hours from 0 to 23".to_owned());
        }
        if hours.utc_offset_min.abs() > 14 * 60 {
            return Err("hours.utc_offset_min must be from -840 to 840".to_owned());
        }
        if !(self.outage.percent > 0.0 && self.outage.percent <= 100.0) || self.outage.at_least < 2
        {
            return Err("outage: percent must be over 0 to 100 and at_least 2 or more".to_owned());
        }
        self.check_grades()?;
        if self.withdrawn.len() > WITHDRAWN_MAX || self.withdrawn.iter().any(String::is_empty) {
            return Err(format!("withdrawn: up to {WITHDRAWN_MAX} words of device.health"));
        }
        let maintenance = &self.maintenance;
        span("maintenance.silence_max_s", maintenance.silence_max_s)?;
        span("maintenance.hazard_max_s", maintenance.hazard_max_s)?;
        span("maintenance.hazard_pause_s", maintenance.hazard_pause_s)?;
        if maintenance.hazards.len() > HAZARDS_MAX {
            return Err(format!("maintenance.hazards may have {HAZARDS_MAX} kinds of alerts"));
        }
        span("outage.grace_s", self.outage.grace_s.max(1))?;
        span("bed_word_s", self.bed_word_s)?;
        span("paging_age_s", self.paging_age_s)
    }
}

fn span(name: &str, seconds: u32) -> Result<(), String> {
    if (1..=SPAN_MAX_S).contains(&seconds) {
        return Ok(());
    }
    Err(format!("{name} must be from 1 to {SPAN_MAX_S} seconds, it is {seconds}"))
}

fn level(level: u32) -> Result<(), String> {
    if (1..=3).contains(&level) {
        return Ok(());
    }
    Err(format!("level must be 1, 2 or 3, it is {level}"))
}

fn kind(kind: &str) -> Result<(), String> {
    kind.parse::<Kind>().map(|_| ()).map_err(|error| error.to_string())
}

fn finite(name: &str, value: f64) -> Result<(), String> {
    if value.abs() <= features::event::VALUE_MAX {
        return Ok(());
    }
    Err(format!("{name} must be between -1e9 and 1e9"))
}

fn check_alert(rule: &AlertRule) -> Result<(), String> {
    kind(&rule.kind)?;
    level(rule.level)?;
    span("within_s", rule.within_s)?;
    finite("threshold", rule.threshold)?;
    if rule.alert.is_empty() {
        return Err("alert is empty: name the kind of alert".to_owned());
    }
    if !(1..=READINGS_MAX as u32).contains(&rule.count) || rule.of > READINGS_MAX as u32 {
        return Err(format!("count must be from 1 to {READINGS_MAX}, of at most {READINGS_MAX}"));
    }
    if rule.of > 0 && rule.of < rule.count {
        return Err(format!("count {} of {} never happens", rule.count, rule.of));
    }
    let chosen = [rule.of > 0, rule.for_s > 0, rule.slope_per_min.is_some()];
    if chosen.into_iter().filter(|each| *each).count() > 1 {
        return Err("of, for_s and slope_per_min exclude each other".to_owned());
    }
    for seconds in [rule.for_s, rule.for_cap_s, rule.keep_s, rule.paging_age_s] {
        span("for_s, for_cap_s, keep_s and paging_age_s", seconds.max(1))?;
    }
    if rule.for_cap_s > 0 && rule.for_cap_s < rule.for_s {
        return Err("for_cap_s is shorter than for_s: the cap is for silence".to_owned());
    }
    if rule.slope_per_min.is_some_and(|slope| !(slope > 0.0 && slope <= 1e9)) {
        return Err("slope_per_min must be above 0; with below = true it is a fall".to_owned());
    }
    if let Some(clear) = rule.clear {
        finite("clear", clear)?;
        if rule.below && clear < rule.threshold || !rule.below && clear > rule.threshold {
            return Err("clear lies on the wrong side of the threshold".to_owned());
        }
    }
    Ok(())
}

fn check_together(rule: &TogetherRule) -> Result<(), String> {
    level(rule.level)?;
    span("within_s", rule.within_s)?;
    span("keep_s", rule.keep_s.max(1))?;
    if !(2..=PARTS_MAX).contains(&rule.parts.len()) || rule.need as usize > rule.parts.len() {
        return Err(format!("it needs 2 to {PARTS_MAX} parts, and need at most as many"));
    }
    for part in &rule.parts {
        finite("threshold", part.threshold)?;
        if part.kind != super::set::PRESENCE {
            kind(&part.kind)?;
        }
    }
    if rule.parts.iter().all(|part| part.kind == super::set::PRESENCE) {
        return Err("one part at least must be something else than presence".to_owned());
    }
    if rule.alert.is_empty() {
        return Err("alert is empty: name the kind of alert".to_owned());
    }
    Ok(())
}

fn check_flapping(rule: &FlappingRule) -> Result<(), String> {
    kind(&rule.kind)?;
    finite("level", rule.level)?;
    span("within_s", rule.within_s)?;
    span("quiet_s", rule.quiet_s)?;
    if !(2..=64).contains(&rule.changes) {
        return Err(format!("changes must be from 2 to 64, they are {}", rule.changes));
    }
    Ok(())
}

fn check_night(rule: &NightRule) -> Result<(), String> {
    kind(&rule.kind)?;
    level(rule.level)?;
    finite("threshold", rule.threshold)?;
    finite("least", rule.least)?;
    if rule.alert.is_empty() {
        return Err("alert is empty: name the kind of alert".to_owned());
    }
    let (by_sd, by_percentile) = (rule.above_sd != 0.0, rule.above_percentile != 0);
    if by_sd == by_percentile
        || !(0.0..=10.0).contains(&rule.above_sd)
        || rule.above_percentile > 100
        || rule.least < 0.0
    {
        let said = "give above_sd (to 10) or above_percentile (to 100), and a least of 0 or more";
        return Err(said.to_owned());
    }
    if !(3..=NIGHTS_MAX).contains(&rule.nights)
        || !(3..=rule.nights).contains(&rule.known)
        || rule.readings == 0
    {
        return Err(format!(
            "nights must be from 3 to {NIGHTS_MAX}, known from 3 to nights, readings 1 or more"
        ));
    }
    Ok(())
}

fn check_inactivity(rule: &InactivityRule) -> Result<(), String> {
    level(rule.level)?;
    let is_movement = |each: &String| super::defaults::MOVEMENT.contains(&each.as_str());
    if rule.kinds.is_empty() || !rule.kinds.iter().all(is_movement) {
        return Err(format!("kinds are some of {}", super::defaults::MOVEMENT.join(", ")));
    }
    if rule.alert.is_empty() {
        return Err("alert is empty: name the kind of alert".to_owned());
    }
    let later = [rule.after_door_h, rule.first_week_h, rule.asleep_h];
    let limits = 0.01..=LIMIT_MAX_H;
    if !limits.contains(&rule.limit_h)
        || later.iter().any(|hours| !limits.contains(&hours.max(rule.limit_h)) || hours.is_nan())
        || [rule.habit_times, rule.night_times].iter().any(|times| !(0.0..=10.0).contains(times))
    {
        let said = "limits go to 336 hours, habit_times and night_times from 0 to 10";
        return Err(said.to_owned());
    }
    if rule.night_times > 0.0 && rule.night_times < rule.habit_times {
        return Err(
            "night_times is below habit_times: whoever is woken should know more".to_owned()
        );
    }
    if !(1..=KNOWN_MAX_DAYS).contains(&rule.known_days)
        || rule.deaf_beats > DEAF_BEATS_MAX
        || !(0.0..=24.0).contains(&rule.deaf_grace_h)
    {
        let said =
            "known_days go from 1 to 28, deaf_beats from 0 to 100, deaf_grace_h from 0 to 24";
        return Err(said.to_owned());
    }
    Ok(())
}

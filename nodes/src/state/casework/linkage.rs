//! The three-level linkage as configuration: who is told at once, and how long each step may take,
//! by kind, severity and time band.
//!
//! No norm gives these times; the defaults are proposals, and every one is a district's to decide.

use super::moment::{LocalTime, Minute};
use crate::state::{Rules, Severity, Work};
use serde::{Deserialize, Serialize};

/// Levels there are: 1 family and neighbours, 2 the community's grid, 3 the district centre.
pub(crate) const LEVELS: u32 = 3;
const BANDS_MAX: usize = 32;
const POLICIES_MAX: usize = 256;
/// Words in one list of a policy.
const WORDS_MAX: usize = 64;
pub(super) const NAME_BYTES_MAX: usize = 128;
/// The longest deadline: what takes longer than a month has none.
const SECONDS_MAX: u32 = 31 * 86_400;
const ATTEMPTS_MAX: u32 = 100;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LinkageError(pub String);

/// A part of the week with a name, in local time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    pub name: String,
    pub from: Minute,
    /// May be before `from`: then it goes over midnight.
    pub until: Minute,
    /// 1 Monday to 7 Sunday, of the day it begins on; empty for all.
    #[serde(default)]
    pub days: Vec<u8>,
}

/// Seconds that a step may take, by the level whose turn it is: first 1, then 2, then 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDeadlines {
    pub ack_s: [u32; 3],
    /// From the acknowledgement; past it the acknowledgement counts no longer.
    pub dispatch_s: [u32; 3],
    pub arrive_s: [u32; 3],
    pub feedback_s: [u32; 3],
    pub verify_s: [u32; 3],
}

/// What holds for some alerts; of several that fit the first one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Empty for every kind.
    #[serde(default)]
    pub kinds: Vec<String>,
    #[serde(default)]
    pub severities: Vec<Severity>,
    /// Names of time bands; empty for always.
    #[serde(default)]
    pub bands: Vec<String>,
    /// Levels that are told when the alert is raised.
    #[serde(default = "level_one")]
    pub tell_at_once: Vec<u32>,
    /// Where it is silent, those of the alert rules count.
    #[serde(default)]
    pub deadlines: Option<StepDeadlines>,
}

/// How long notices are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivering {
    /// A notice that failed so often is dead.
    pub attempts_max: u32,
    /// The pause after the first failure; it doubles with each...
    pub pause_s: u32,
    /// ...up to this.
    pub pause_max_s: u32,
    /// A notice that is this old is dead, however often it was tried.
    pub give_up_s: u32,
}

impl Default for Delivering {
    fn default() -> Self {
        Self { attempts_max: 20, pause_s: 1, pause_max_s: 300, give_up_s: 86_400 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Linkage {
    /// A later one replaces an earlier one; 0 is the built-in one.
    pub version: u32,
    /// Local time: minutes east of UTC.
    pub utc_offset_min: i32,
    pub bands: Vec<Band>,
    pub policies: Vec<Policy>,
    /// How long verifying and closing may take where no policy says.
    pub verify_s: u32,
    /// The same hazard at the same place within this time of closing reopens the case; 0 for never.
    pub reopen_within_s: u32,
    /// Once the highest level was told, it is reminded this often at the most.
    pub reminder_s: u32,
    /// How long a silence lasts that does not say, and how long one may last.
    pub silence_s: u32,
    pub silence_max_s: u32,
    /// Kinds that are one hazard at one dwelling: the second is added to the case of the first.
    pub same_hazard: Vec<Vec<String>>,
    /// Who is told of a level where nobody is on duty: first level 1, then 2, then 3.
    pub fallback: [String; 3],
    /// Those who were told also hear that it is over.
    pub tell_closed: bool,
    pub delivering: Delivering,
}

/// Kinds of alerts about a device itself.
const DEVICES: [&str; 5] =
    ["device_offline", "device_fault", "battery_low", "tamper", "end_of_life"];

fn level_one() -> Vec<u32> {
    vec![1]
}

impl Default for Linkage {
    fn default() -> Self {
        let told = |kinds: &[&str], levels: &[u32]| Policy {
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            tell_at_once: levels.to_vec(),
            ..Policy::default()
        };
        let centre = || "centre".to_owned();
        Self {
            version: 0,
            utc_offset_min: 480,
            bands: Vec::new(),
            policies: vec![
                told(&["smoke", "gas_leak", "carbon_monoxide", "sos", "no_breath"], &[1, 3]),
                // Devices are not the family's to mend.
                told(&DEVICES, &[2]),
                told(&["outage"], &[3]),
            ],
            verify_s: 86_400,
            reopen_within_s: 900,
            reminder_s: 3_600,
            silence_s: 3_600,
            silence_max_s: 7 * 86_400,
            // Nobody moves, and the door stays shut: one silence.
            same_hazard: vec![vec!["inactivity".to_owned(), "door_not_opened".to_owned()]],
            fallback: [centre(), centre(), centre()],
            tell_closed: true,
            delivering: Delivering::default(),
        }
    }
}

impl Linkage {
    /// The policy of an alert at a time.
    pub(crate) fn policy(&self, kind: &str, severity: Severity, at_us: i64) -> Option<&Policy> {
        self.policies.iter().find(|policy| {
            (policy.kinds.is_empty() || policy.kinds.iter().any(|each| each == kind))
                && (policy.severities.is_empty() || policy.severities.contains(&severity))
                && self.is_in_bands(&policy.bands, at_us)
        })
    }

    /// Whether a time lies in one of these bands, or there are none.
    pub(super) fn is_in_bands(&self, names: &[String], at_us: i64) -> bool {
        let local = LocalTime::of(at_us, self.utc_offset_min);
        let named = |name: &String| self.bands.iter().find(|band| band.name == *name);
        names.is_empty()
            || names
                .iter()
                .filter_map(named)
                .any(|band| local.is_within(band.from, band.until, &band.days))
    }

    pub(super) fn local_day(&self, at_us: i64) -> u8 {
        LocalTime::of(at_us, self.utc_offset_min).day
    }

    /// Levels told at once, in order and each once; `level` is the one that the rule names.
    pub(crate) fn told_at_once(
        &self,
        kind: &str,
        severity: Severity,
        level: u32,
        at_us: i64,
    ) -> Vec<u32> {
        let policy = self.policy(kind, severity, at_us);
        let mut levels = policy.map_or_else(level_one, |policy| policy.tell_at_once.clone());
        if level > 1 || levels.is_empty() {
            levels.push(level.clamp(1, LEVELS));
        }
        levels.sort_unstable();
        levels.dedup();
        levels
    }

    /// Seconds until the step after this one is due; none once the case is closed.
    pub(crate) fn wait_s(
        &self,
        rules: &Rules,
        alert: &crate::state::Alert,
        at_us: i64,
    ) -> Option<u32> {
        let policy = self.policy(&alert.kind, alert.severity, at_us);
        let deadlines = policy.and_then(|policy| policy.deadlines).unwrap_or_else(|| {
            let known = rules.deadlines(alert.severity);
            StepDeadlines {
                ack_s: [known.ack_s; 3],
                dispatch_s: [known.dispatch_s; 3],
                arrive_s: [known.arrive_s; 3],
                feedback_s: [known.feedback_s; 3],
                verify_s: [self.verify_s; 3],
            }
        });
        let by_level = match alert.work {
            Work::New | Work::L1Notified => deadlines.ack_s,
            Work::L1Ack => deadlines.dispatch_s,
            Work::Dispatched | Work::EnRoute => deadlines.arrive_s,
            Work::OnSite => deadlines.feedback_s,
            Work::Feedback | Work::Verified => deadlines.verify_s,
            Work::Closed => return None,
        };
        let level = alert.turn.clamp(1, LEVELS) as usize - 1;
        // At least a second, so that a deadline of 0 cannot fire for ever at one instant.
        Some(by_level[level].clamp(1, SECONDS_MAX))
    }

    /// The kinds that are the same hazard as this one, itself left out.
    pub(crate) fn same_hazard_as<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let groups =
            self.same_hazard.iter().filter(move |group| group.iter().any(|each| each == kind));
        groups.flatten().map(String::as_str).filter(move |each| *each != kind)
    }

    pub(crate) fn silence_us(&self, wanted_s: u32) -> i64 {
        let seconds = if wanted_s == 0 { self.silence_s } else { wanted_s };
        i64::from(seconds.clamp(1, self.silence_max_s.max(1))) * 1_000_000
    }

    /// Refuses what could not be followed; says what to write instead.
    pub fn check(&self) -> Result<(), LinkageError> {
        let fail = |said: String| Err(LinkageError(said));
        if self.utc_offset_min.abs() > 14 * 60 {
            return fail(format!(
                "utc_offset_min is {}: at most 840 either way",
                self.utc_offset_min
            ));
        }
        for (what, count, limit) in [
            ("bands", self.bands.len(), BANDS_MAX),
            ("policies", self.policies.len(), POLICIES_MAX),
            ("same_hazard", self.same_hazard.len(), WORDS_MAX),
        ] {
            if count > limit {
                return fail(format!("{what} may have {limit} entries, it has {count}"));
            }
        }
        for band in &self.bands {
            check_name("a band's name", &band.name)?;
            check_days(&band.days)?;
            if self.bands.iter().filter(|other| other.name == band.name).count() > 1 {
                return fail(format!("two bands are called {:?}", band.name));
            }
        }
        for (at, policy) in self.policies.iter().enumerate() {
            self.check_policy(policy)
                .map_err(|error| LinkageError(format!("policy {}: {error}", at + 1)))?;
        }
        for each in self.same_hazard.iter().flatten() {
            check_name("a kind", each)?;
        }
        for each in &self.fallback {
            check_name("a fallback recipient", each)?;
        }
        let delivering = &self.delivering;
        if !(1..=ATTEMPTS_MAX).contains(&delivering.attempts_max) {
            return fail(format!("delivering.attempts_max must be 1 to {ATTEMPTS_MAX}"));
        }
        if delivering.pause_s == 0
            || delivering.pause_max_s < delivering.pause_s
            || !(1..=SECONDS_MAX).contains(&delivering.give_up_s)
        {
            return fail(
                "delivering: pause_s must be 1 or more, pause_max_s no less, give_up_s 1 second to 31 days"
                    .to_owned(),
            );
        }
        if self.reminder_s < 60 {
            return fail("reminder_s must be 60 or more".to_owned());
        }
        Ok(())
    }

    fn check_policy(&self, policy: &Policy) -> Result<(), LinkageError> {
        if policy.kinds.len().max(policy.bands.len()).max(policy.tell_at_once.len()) > WORDS_MAX {
            return Err(LinkageError(format!("a list may have {WORDS_MAX} entries")));
        }
        for kind in &policy.kinds {
            check_name("a kind", kind)?;
        }
        self.check_bands(&policy.bands)?;
        if let Some(level) = policy.tell_at_once.iter().find(|level| !(1..=LEVELS).contains(level))
        {
            return Err(LinkageError(format!(
                "tell_at_once names level {level}: there are 1, 2, 3"
            )));
        }
        let Some(deadlines) = &policy.deadlines else { return Ok(()) };
        for (name, seconds) in [
            ("ack_s", deadlines.ack_s),
            ("dispatch_s", deadlines.dispatch_s),
            ("arrive_s", deadlines.arrive_s),
            ("feedback_s", deadlines.feedback_s),
            ("verify_s", deadlines.verify_s),
        ] {
            if seconds.iter().any(|each| !(1..=SECONDS_MAX).contains(each)) {
                return Err(LinkageError(format!("{name} must be 1 second to 31 days")));
            }
        }
        Ok(())
    }

    pub(super) fn check_bands(&self, names: &[String]) -> Result<(), LinkageError> {
        let unknown = names.iter().find(|name| self.bands.iter().all(|band| band.name != **name));
        unknown.map_or(Ok(()), |name| {
            Err(LinkageError(format!("band {name:?} is not among the linkage's bands")))
        })
    }
}

pub(super) fn check_name(what: &str, name: &str) -> Result<(), LinkageError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let said = format!("{what} must have 1 to {NAME_BYTES_MAX} bytes of plain text: {name:?}");
        return Err(LinkageError(said));
    }
    Ok(())
}

pub(super) fn check_days(days: &[u8]) -> Result<(), LinkageError> {
    if days.len() > 7 || days.iter().any(|day| !(1..=7).contains(day)) {
        return Err(LinkageError("days are 1 (Monday) to 7 (Sunday)".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
version = 3
reopen_within_s = 600

[[bands]]
name = "night"
from = "22:00"
until = "06:00"

[[policies]]
kinds = ["fall"]
bands = ["night"]
tell_at_once = [1, 2]
[policies.deadlines]
ack_s = [60, 180, 300]
dispatch_s = [180, 180, 180]
arrive_s = [900, 900, 900]
feedback_s = [3600, 3600, 3600]
verify_s = [86400, 86400, 86400]

[[policies]]
severities = ["critical"]
tell_at_once = [1, 3]
"#;
    /// 2026-01-31T12:00:00+08:00.
    const NOON_US: i64 = 1_769_832_000_000_000;
    const HALF_DAY_US: i64 = 43_200_000_000;

    #[test]
    fn a_policy_is_found_by_kind_severity_and_band() {
        let linkage: Linkage = toml::from_str(TEXT).unwrap();
        linkage.check().unwrap();
        let told =
            |kind, severity, level, at_us| linkage.told_at_once(kind, severity, level, at_us);
        assert_eq!(told("fall", Severity::Major, 1, NOON_US), [1]);
        assert_eq!(told("fall", Severity::Major, 1, NOON_US + HALF_DAY_US), [1, 2]);
        assert_eq!(told("smoke", Severity::Critical, 1, NOON_US), [1, 3]);
        assert_eq!(told("water_leak", Severity::Minor, 1, NOON_US), [1]);
        assert_eq!(told("water_leak", Severity::Minor, 3, NOON_US), [1, 3]);
        let own = Linkage::default();
        assert_eq!(own.told_at_once("sos", Severity::Critical, 1, NOON_US), [1, 3]);
        assert_eq!(own.told_at_once("battery_low", Severity::Minor, 1, NOON_US), [2]);
        assert_eq!(own.told_at_once("fall", Severity::Major, 1, NOON_US), [1]);
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let refused = |from: &str, to: &str| {
            let linkage: Linkage = toml::from_str(&TEXT.replace(from, to)).unwrap();
            linkage.check().unwrap_err().to_string()
        };
        assert!(refused("bands = [\"night\"]", "bands = [\"noon\"]").contains("noon"));
        assert!(refused("tell_at_once = [1, 3]", "tell_at_once = [4]").contains("level 4"));
        assert!(refused("ack_s = [60,", "ack_s = [0,").contains("policy 1: ack_s"));
        assert!(refused("version = 3", "reminder_s = 1").contains("reminder_s"));
        assert!(toml::from_str::<Linkage>("verison = 1").is_err());
        Linkage::default().check().unwrap();
    }

    #[test]
    fn the_same_hazard_is_a_matter_of_configuration() {
        let group = vec!["sos".to_owned(), "fall".to_owned()];
        let linkage = Linkage { same_hazard: vec![group], ..Linkage::default() };
        assert_eq!(linkage.same_hazard_as("sos").collect::<Vec<_>>(), ["fall"]);
        assert_eq!(linkage.same_hazard_as("gas_leak").count(), 0);
    }
}

//! Who is on duty for a level in a region, by shift, with substitutes.

use super::linkage::{LEVELS, Linkage, LinkageError, check_days, check_name};
use super::moment::Moment;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const ROSTERS_MAX: usize = 10_000;
const SHIFTS_MAX: usize = 64;
/// People on duty at once, and substitutes of one shift.
const PEOPLE_MAX: usize = 16;
const ABSENCES_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shift {
    pub name: String,
    /// Names of the linkage's time bands; empty for always.
    #[serde(default)]
    pub bands: Vec<String>,
    /// 1 Monday to 7 Sunday; empty for all.
    #[serde(default)]
    pub days: Vec<u8>,
    pub people: Vec<String>,
    /// Who stands in for those who are absent, in this order.
    #[serde(default)]
    pub substitutes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absence {
    pub person: String,
    pub from: Moment,
    pub until: Moment,
}

/// The roster of one level in one region; a later version replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    pub level: u32,
    /// An administrative code or its beginning; empty for everywhere.
    #[serde(default)]
    pub region: String,
    pub version: u32,
    #[serde(default)]
    pub shifts: Vec<Shift>,
    #[serde(default)]
    pub absences: Vec<Absence>,
}

/// Those on duty, and what is worth saying of how they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OnDuty {
    pub(super) people: Vec<String>,
    pub(super) said: Vec<String>,
}

impl Roster {
    pub fn check(&self, linkage: &Linkage) -> Result<(), LinkageError> {
        let fail = |said: String| Err(LinkageError(said));
        if !(1..=LEVELS).contains(&self.level) {
            return fail(format!("level is {}: there are 1, 2, 3", self.level));
        }
        if !self.region.is_empty() {
            check_name("region", &self.region)?;
        }
        if self.shifts.len() > SHIFTS_MAX || self.absences.len() > ABSENCES_MAX {
            return fail(format!(
                "a roster may have {SHIFTS_MAX} shifts and {ABSENCES_MAX} absences"
            ));
        }
        for shift in &self.shifts {
            check_name("a shift's name", &shift.name)?;
            check_days(&shift.days)?;
            linkage.check_bands(&shift.bands)?;
            if shift.people.len() > PEOPLE_MAX || shift.substitutes.len() > PEOPLE_MAX {
                return fail(format!(
                    "shift {:?}: at most {PEOPLE_MAX} people and as many substitutes",
                    shift.name
                ));
            }
            for person in shift.people.iter().chain(&shift.substitutes) {
                check_name("a person", person)?;
            }
        }
        for absence in &self.absences {
            check_name("a person", &absence.person)?;
            if absence.until <= absence.from {
                return fail(format!("the absence of {:?} ends before it begins", absence.person));
            }
        }
        Ok(())
    }

    fn is_absent(&self, person: &str, at_us: i64) -> bool {
        self.absences.iter().any(|absence| {
            absence.person == person && absence.from.0 <= at_us && at_us < absence.until.0
        })
    }

    /// Who is on duty at a time. Shifts may overlap: all of them count.
    pub(super) fn on_duty(&self, linkage: &Linkage, at_us: i64) -> OnDuty {
        let mut duty = OnDuty::default();
        let day = linkage.local_day(at_us);
        for shift in &self.shifts {
            let is_day = shift.days.is_empty() || shift.days.contains(&day);
            if !is_day || !linkage.is_in_bands(&shift.bands, at_us) {
                continue;
            }
            let mut substitutes =
                shift.substitutes.iter().filter(|person| !self.is_absent(person, at_us));
            for person in &shift.people {
                let there = if self.is_absent(person, at_us) {
                    let Some(substitute) = substitutes.next() else {
                        duty.said.push(format!("{person} is absent and nobody stands in"));
                        continue;
                    };
                    duty.said.push(format!("{substitute} stands in for {person}"));
                    substitute
                } else {
                    person
                };
                if !duty.people.contains(there) {
                    duty.people.push(there.clone());
                }
            }
        }
        duty
    }
}

/// Every roster, by level and region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rosters {
    by_place: OrdMap<(u32, String), Arc<Roster>>,
}

impl Rosters {
    pub fn iter(&self) -> impl Iterator<Item = &Roster> {
        self.by_place.values().map(Arc::as_ref)
    }

    pub fn get(&self, level: u32, region: &str) -> Option<&Roster> {
        self.by_place.get(&(level, scope(region).to_owned())).map(Arc::as_ref)
    }

    pub(super) fn put(&mut self, roster: Roster) -> Result<(), LinkageError> {
        let key = (roster.level, scope(&roster.region).to_owned());
        if self.by_place.len() >= ROSTERS_MAX && !self.by_place.contains_key(&key) {
            return Err(LinkageError(format!("there are {ROSTERS_MAX} rosters already")));
        }
        self.by_place.insert(key, Arc::new(roster));
        Ok(())
    }

    /// The rosters of a level whose region holds this one, the smallest first: up the tree from the
    /// community to the street to the district.
    pub(super) fn up_from<'a>(
        &'a self,
        level: u32,
        region: &'a str,
    ) -> impl Iterator<Item = &'a Roster> {
        (0..=region.len()).rev().filter_map(move |length| {
            let part = region.get(..length)?;
            self.by_place.get(&(level, part.to_owned())).map(Arc::as_ref)
        })
    }
}

/// The part of a code that says something: `330106000000` is the district `330106`.
fn scope(region: &str) -> &str {
    let mut scope = region;
    while scope.len() > 6
        && let Some(shorter) = scope.strip_suffix("000")
    {
        scope = shorter;
    }
    scope
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(region: &str, people: &[&str]) -> Roster {
        Roster {
            level: 2,
            region: region.to_owned(),
            version: 1,
            shifts: vec![Shift {
                name: "all".to_owned(),
                bands: Vec::new(),
                days: Vec::new(),
                people: people.iter().map(|each| (*each).to_owned()).collect(),
                substitutes: vec!["s1".to_owned(), "s2".to_owned()],
            }],
            absences: Vec::new(),
        }
    }

    #[test]
    fn the_tree_is_climbed_from_the_community_up() {
        let mut rosters = Rosters::default();
        for region in ["330106000000", "330106001", ""] {
            rosters.put(roster(region, &[region])).unwrap();
        }
        let found: Vec<_> =
            rosters.up_from(2, "330106001004").map(|each| each.region.as_str()).collect();
        assert_eq!(found, ["330106001", "330106000000", ""]);
        let found: Vec<_> =
            rosters.up_from(2, "330107001004").map(|each| each.region.as_str()).collect();
        assert_eq!(found, [""]);
        assert_eq!(rosters.up_from(3, "330106001004").count(), 0);
        assert!(rosters.get(2, "330106").is_some());
    }

    #[test]
    fn a_substitute_stands_in_while_somebody_is_absent() {
        let mut found = roster("", &["a", "b", "c", "d"]);
        let absence = |person: &str| Absence {
            person: person.to_owned(),
            from: Moment(100),
            until: Moment(200),
        };
        found.absences = ["b", "s1", "c", "d"].map(absence).to_vec();
        let linkage = Linkage::default();
        assert_eq!(found.on_duty(&linkage, 99).people, ["a", "b", "c", "d"]);
        let duty = found.on_duty(&linkage, 100);
        assert_eq!(duty.people, ["a", "s2"]);
        assert_eq!(duty.said[0], "s2 stands in for b");
        assert!(duty.said[1].contains("c is absent"), "{duty:?}");
        assert_eq!(found.on_duty(&linkage, 200).people, ["a", "b", "c", "d"]);
    }
}

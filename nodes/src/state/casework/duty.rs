//! Who is told of an alert at each level, and in words how they were found.

use super::Roster;
use super::linkage::LEVELS;
use crate::state::{Alert, Rows, State};
use features::civil;
use features::table::Cell;

/// People told at one level.
const PEOPLE_MAX: usize = 16;
/// Relations read of one resident.
const RELATIONS_MAX: usize = 64;

/// Somebody to tell. Where they can be reached is the notifier's to know, not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) key: String,
    /// What they are to the case: child, neighbour, grid_worker, centre, fallback.
    pub(crate) role: String,
}

/// Those to tell at one level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Duty {
    pub(crate) people: Vec<Person>,
    /// For the audit line: where they stand in for others, or nobody is on duty.
    pub(crate) said: Vec<String>,
}

impl Duty {
    fn add(&mut self, key: &str, role: &str) {
        let is_known = self.people.iter().any(|person| person.key == key);
        if !is_known && !key.is_empty() && self.people.len() < PEOPLE_MAX {
            self.people.push(Person { key: key.to_owned(), role: role.to_owned() });
        }
    }
}

impl State {
    /// Who is to be told at a level, now. Never nobody: the fall-back recipient is there for that.
    pub(crate) fn duty(&self, alert: &Alert, level: u32) -> Duty {
        let mut duty = Duty::default();
        match level {
            1 => {
                self.add_relatives(alert, &mut duty);
                self.add_rostered(alert, level, "volunteer", &mut duty);
            }
            2 => {
                self.add_rostered(alert, level, "grid_worker", &mut duty);
                if duty.people.is_empty()
                    && let Some(leader) = grid_leader(&self.rows, &alert.dwelling_id)
                {
                    duty.add(&leader, "grid_worker");
                }
            }
            _ => self.add_rostered(alert, level, "centre", &mut duty),
        }
        if duty.people.is_empty() {
            let at = level.clamp(1, LEVELS) as usize - 1;
            let recipient = self.casework.linkage.fallback[at].clone();
            duty.said.push(format!("nobody is on duty, fall-back recipient {recipient}"));
            duty.add(&recipient, "fallback");
        }
        duty
    }

    /// Who of a roster is on duty now.
    pub(crate) fn on_duty(&self, roster: &Roster) -> Vec<String> {
        roster.on_duty(&self.casework.linkage, self.clock_us).people
    }

    /// Relatives and neighbours of those who live there, as far as these consent.
    fn add_relatives(&self, alert: &Alert, duty: &mut Duty) {
        let Some(table) = civil::table("relation") else { return };
        let position = |name: &str| table.position(name).unwrap_or_default();
        let (other, kind) = (position("other_key"), position("kind"));
        let consent = position("consent");
        let residents = self.homes().residents_of_dwelling(&alert.dwelling_id);
        let own = vec![alert.resident_key.as_str()];
        for resident in if residents.is_empty() { own } else { residents } {
            for row in self.rows.with_first_key(table, resident, RELATIONS_MAX) {
                let text = |at: usize| row.get(at).and_then(Cell::as_text).unwrap_or_default();
                // The grid worker is of level 2.
                let is_level_one = text(kind) != "grid_worker";
                if row.get(consent) == Some(&Cell::Bool(true)) && is_level_one {
                    duty.add(text(other), text(kind));
                }
            }
        }
    }

    /// The nearest roster on the way up from the alert's region that has somebody on duty.
    fn add_rostered(&self, alert: &Alert, level: u32, role: &str, duty: &mut Duty) {
        let linkage = &self.casework.linkage;
        for roster in self.casework.rosters.up_from(level, &alert.region) {
            let found = roster.on_duty(linkage, self.clock_us);
            duty.said.extend(found.said);
            if found.people.is_empty() {
                let place = if roster.region.is_empty() { "everywhere" } else { &roster.region };
                duty.said.push(format!("nobody on the roster of {place}"));
                continue;
            }
            for person in &found.people {
                duty.add(person, role);
            }
            return;
        }
    }
}

/// The leader of a dwelling's grid, as the register says.
fn grid_leader(rows: &Rows, dwelling: &str) -> Option<String> {
    let grid = rows.homes().grid_of(dwelling)?;
    rows.text("grid", grid, "leader_key").map(str::to_owned)
}

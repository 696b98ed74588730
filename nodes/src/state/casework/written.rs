//! Rows of casework for the warehouse, and the commands that change its configuration.

use super::outbox::{Notice, NoticeState};
use super::{Linkage, Policy, Roster};
use crate::state::{Refusal, Reply, State};
use features::table::Cell;
use raft::Position;
use std::sync::Arc;

fn text_or_null(value: &str) -> Cell {
    if value.is_empty() { Cell::Null } else { Cell::text(value) }
}

fn time_or_null(us: i64) -> Cell {
    if us == 0 { Cell::Null } else { Cell::Time(us) }
}

impl Notice {
    /// The row of the table `notice`.
    pub(super) fn to_row(
        &self,
        state: NoticeState,
        provider_id: &str,
        reason: &str,
        now_us: i64,
        log_index: u64,
    ) -> Vec<Cell> {
        vec![
            Cell::text(&self.notice_id),
            Cell::Int(i64::from(self.lines)),
            Cell::text(&self.alert_id),
            Cell::Int(i64::from(self.step)),
            Cell::Int(i64::from(self.level)),
            Cell::text(&self.person),
            Cell::text(&self.role),
            Cell::text(&self.what),
            Cell::text(state.as_str()),
            Cell::Int(i64::from(self.attempts)),
            Cell::Time(now_us),
            if state == NoticeState::Failed { time_or_null(self.next_us) } else { Cell::Null },
            text_or_null(provider_id),
            text_or_null(reason),
            Cell::Int(log_index as i64),
        ]
    }
}

impl State {
    pub(crate) fn set_linkage(&mut self, at: Position, linkage: Linkage, actor: &str) -> Reply {
        let known = self.casework.linkage.version;
        if *self.casework.linkage == linkage {
            return Reply::Done;
        }
        if linkage.version <= known {
            let said = format!(
                "linkage of version {known} is in force, this is of version {}: give it a higher one",
                linkage.version
            );
            return Reply::Refused(Refusal::Precondition(said));
        }
        if let Err(error) = linkage.check() {
            return Reply::Refused(Refusal::Invalid(error.to_string()));
        }
        for roster in self.casework.rosters.iter() {
            if let Err(error) = roster.check(&linkage) {
                let said =
                    format!("the roster of level {} {}: {error}", roster.level, roster.region);
                return Reply::Refused(Refusal::Precondition(said));
            }
        }
        // Without policies there is still a row that says what version is in force.
        let none = Policy::default();
        let none = linkage.policies.is_empty().then_some((0, &none));
        let policies = (1..).zip(&linkage.policies).chain(none);
        let now_us = self.clock_us;
        for row in policies.map(|each| policy_row(&linkage, each, actor, (at, now_us))) {
            self.append("linkage_policy", row);
        }
        self.casework.linkage = Arc::new(linkage);
        Reply::Done
    }

    pub(crate) fn set_roster(&mut self, at: Position, roster: Roster, actor: &str) -> Reply {
        if let Err(error) = roster.check(&self.casework.linkage) {
            return Reply::Refused(Refusal::Invalid(error.to_string()));
        }
        if let Some(known) = self.casework.rosters.get(roster.level, &roster.region) {
            if *known == roster {
                return Reply::Done;
            }
            if roster.version <= known.version {
                let said = format!(
                    "the roster of level {} in {:?} is of version {}, this is of version {}: give it a higher one",
                    roster.level, roster.region, known.version, roster.version
                );
                return Reply::Refused(Refusal::Precondition(said));
            }
        }
        let rows = roster_rows(&roster, actor, (at, self.clock_us));
        if let Err(error) = self.casework.rosters.put(roster) {
            return Reply::Refused(Refusal::Exhausted(error.to_string()));
        }
        for row in rows {
            self.append("roster", row);
        }
        Reply::Done
    }
}

fn policy_row(
    linkage: &Linkage,
    (nth, policy): (i64, &Policy),
    actor: &str,
    (at, now_us): (Position, i64),
) -> Vec<Cell> {
    let deadlines = |pick: fn(&super::StepDeadlines) -> [u32; 3]| {
        policy
            .deadlines
            .as_ref()
            .map_or(Cell::Null, |deadlines| Cell::Ints(pick(deadlines).map(i64::from).to_vec()))
    };
    vec![
        Cell::Int(i64::from(linkage.version)),
        Cell::Int(nth),
        Cell::Int(i64::from(linkage.utc_offset_min)),
        Cell::Texts(policy.kinds.clone()),
        Cell::Texts(policy.severities.iter().map(|each| each.as_str().to_owned()).collect()),
        Cell::Texts(policy.bands.clone()),
        Cell::Ints(policy.tell_at_once.iter().map(|level| i64::from(*level)).collect()),
        deadlines(|each| each.ack_s),
        deadlines(|each| each.dispatch_s),
        deadlines(|each| each.arrive_s),
        deadlines(|each| each.feedback_s),
        deadlines(|each| each.verify_s),
        Cell::text(actor),
        Cell::Time(now_us),
        Cell::Int(at.index as i64),
    ]
}

/// A row a shift; a roster without shifts has one row that says so.
fn roster_rows(roster: &Roster, actor: &str, (at, now_us): (Position, i64)) -> Vec<Vec<Cell>> {
    let absent: Vec<String> =
        roster.absences.iter().map(|absence| absence.person.clone()).collect();
    let row = |nth: usize, rest: [Cell; 5]| {
        let mut row = vec![
            Cell::Int(i64::from(roster.level)),
            Cell::text(&roster.region),
            Cell::Int(i64::from(roster.version)),
            Cell::Int(nth as i64),
        ];
        row.extend(rest);
        row.extend([
            Cell::Texts(absent.clone()),
            Cell::text(actor),
            Cell::Time(now_us),
            Cell::Int(at.index as i64),
        ]);
        row
    };
    if roster.shifts.is_empty() {
        return vec![row(0, [Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Null])];
    }
    let shifts = roster.shifts.iter().enumerate().map(|(nth, shift)| {
        let rest = [
            Cell::text(&shift.name),
            Cell::Texts(shift.bands.clone()),
            Cell::Ints(shift.days.iter().map(|day| i64::from(*day)).collect()),
            Cell::Texts(shift.people.clone()),
            Cell::Texts(shift.substitutes.clone()),
        ];
        row(nth + 1, rest)
    });
    shifts.collect()
}

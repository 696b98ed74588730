//! Telling people: each step that tells somebody puts a notice into the outbox, and what became of its
//! delivery comes back through the log.

use super::duty::Person;
use super::outbox::{Notice, NoticeState, Settled};
use crate::state::{Alert, Reply, State};
use raft::Position;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Longest text of a provider kept, in bytes.
const PROVIDER_BYTES_MAX: usize = 256;

/// What a node says of one attempt to deliver a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub notice_id: String,
    /// Which attempt it was, counted from 1: a word that comes twice counts once.
    pub attempt: u32,
    /// The provider's own id of the message, where it was taken.
    pub provider_id: Option<String>,
    /// Why it was not taken.
    pub error: String,
}

/// What people are told, and of whom the line in the history speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling<'a> {
    pub(crate) what: &'a str,
    pub(crate) reason: &'a str,
}

impl State {
    /// Tells everybody who is on duty at a level; the transition that says so has to be noted next.
    /// Gives the words for it.
    pub(crate) fn tell_level(
        &mut self,
        at: Position,
        alert: &mut Alert,
        level: u32,
        telling: Telling<'_>,
    ) -> String {
        let duty = self.duty(alert, level);
        let now_us = self.clock_us;
        if let Some(told_us) = alert.told_us.get_mut(level as usize - 1)
            && *told_us == 0
        {
            *told_us = now_us;
        }
        alert.level = alert.level.max(level);
        let mut said = format!("level {level}: ");
        for (nth, person) in duty.people.iter().enumerate() {
            self.tell_person(at, alert, person, level, telling);
            let comma = if nth > 0 { ", " } else { "" };
            // Writing into a string cannot fail.
            let _ = write!(said, "{comma}{} ({})", person.key, person.role);
        }
        for word in duty.said {
            let _ = write!(said, "; {word}");
        }
        said
    }

    /// Puts a notice to one person into the outbox; once for one step, whatever they are to the case.
    pub(crate) fn tell_person(
        &mut self,
        at: Position,
        alert: &mut Alert,
        person: &Person,
        level: u32,
        telling: Telling<'_>,
    ) {
        let step = alert.transitions + 1;
        let notice_id = notice_id(&alert.alert_id, step, &person.key);
        alert.add_told(&person.key, &person.role, level);
        if self.casework.outbox.get(&notice_id).is_some() {
            return;
        }
        let now_us = self.clock_us;
        let mut notice = Notice {
            notice_id,
            alert_id: alert.alert_id.clone(),
            step,
            level,
            person: person.key.clone(),
            role: person.role.clone(),
            what: telling.what.to_owned(),
            kind: alert.kind.clone(),
            severity: alert.severity,
            work: alert.work.as_str().to_owned(),
            resident_key: alert.resident_key.clone(),
            dwelling_id: alert.dwelling_id.clone(),
            region: alert.region.clone(),
            reason: telling.reason.to_owned(),
            raised_us: alert.raised_us,
            due_us: alert.due_us,
            at_us: now_us,
            attempts: 0,
            next_us: now_us,
            lines: 0,
        };
        if self.casework.outbox.is_full() {
            self.casework.outbox.refused += 1;
            self.write_notice(at, &mut notice, NoticeState::Refused, "", "the outbox is full");
            return;
        }
        self.write_notice(at, &mut notice, NoticeState::Waiting, "", telling.reason);
        self.casework.outbox.put(notice);
    }

    /// What nobody has got yet of a case that is over is not sent any more.
    pub(crate) fn withdraw_notices(&mut self, at: Position, alert_id: &str, why: &str) {
        let waiting: Vec<String> =
            self.casework.outbox.of_alert(alert_id).map(|each| each.notice_id.clone()).collect();
        for notice_id in waiting {
            self.withdraw_notice(at, &notice_id, why);
        }
    }

    pub(super) fn withdraw_notice(&mut self, at: Position, notice_id: &str, why: &str) {
        if let Some(mut notice) = self.casework.outbox.take(notice_id) {
            self.casework.outbox.withdrawn += 1;
            self.write_notice(at, &mut notice, NoticeState::Withdrawn, "", why);
        }
    }

    pub(crate) fn record_deliveries(&mut self, at: Position, deliveries: &[Delivery]) -> Reply {
        for delivery in deliveries {
            let is_known = self.casework.outbox.get(&delivery.notice_id);
            if is_known.is_none_or(|notice| notice.attempts + 1 != delivery.attempt) {
                continue;
            }
            let Some(mut notice) = self.casework.outbox.take(&delivery.notice_id) else { continue };
            let delivering = self.casework.linkage.delivering;
            let settled = match delivery.provider_id {
                Some(_) => {
                    notice.attempts += 1;
                    Settled::Delivered
                }
                None => notice.fail(&delivering, self.clock_us),
            };
            let provider_id = bounded(delivery.provider_id.as_deref().unwrap_or_default());
            let error = bounded(&delivery.error);
            let outbox = &mut self.casework.outbox;
            let state = match settled {
                Settled::Delivered => {
                    outbox.delivered += 1;
                    self.reached(at, &notice);
                    NoticeState::Delivered
                }
                Settled::TryAgain => {
                    outbox.failures += 1;
                    NoticeState::Failed
                }
                Settled::Dead => {
                    outbox.failures += 1;
                    outbox.dead += 1;
                    NoticeState::Dead
                }
            };
            self.write_notice(at, &mut notice, state, provider_id, error);
            if settled == Settled::TryAgain {
                self.casework.outbox.put(notice);
            }
        }
        Reply::Done
    }

    fn reached(&mut self, at: Position, notice: &Notice) {
        let Some(mut alert) = self.alerts.get(&notice.alert_id).cloned() else { return };
        for told in alert.told.iter_mut().filter(|told| told.person == notice.person) {
            if told.reached_us == 0 {
                told.reached_us = self.clock_us;
                alert.log_index = at.index;
            }
        }
        if alert.log_index == at.index {
            self.keep_alert(alert);
        }
    }

    /// Gives up what was not delivered in time; called with the other timers.
    pub(crate) fn give_notices_up(&mut self, at: Position) {
        let give_up_s = self.casework.linkage.delivering.give_up_s;
        let before_us = self.clock_us - i64::from(give_up_s) * 1_000_000;
        while let Some(oldest) = self.casework.outbox.older_than(before_us).map(str::to_owned) {
            let Some(mut notice) = self.casework.outbox.take(&oldest) else { return };
            self.casework.outbox.dead += 1;
            let said = format!("not delivered within {give_up_s} s");
            self.write_notice(at, &mut notice, NoticeState::Dead, "", &said);
        }
    }

    fn write_notice(
        &mut self,
        at: Position,
        notice: &mut Notice,
        state: NoticeState,
        provider_id: &str,
        reason: &str,
    ) {
        notice.lines += 1;
        let row = notice.to_row(state, provider_id, reason, self.clock_us, at.index);
        self.append("notice", row);
    }
}

/// Alert, step and person; what no HTTP header carries is written as `%E6`.
fn notice_id(alert_id: &str, step: u32, person: &str) -> String {
    let mut id = format!("{alert_id}.{step}.");
    for byte in person.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.@+:".contains(&byte) {
            id.push(char::from(byte));
        } else {
            let _ = write!(id, "%{byte:02X}");
        }
    }
    id
}

fn bounded(text: &str) -> &str {
    let mut end = text.len().min(PROVIDER_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_fits_into_a_header_and_two_people_never_share_one() {
        assert_eq!(notice_id("a1-1", 2, "wang.li"), "a1-1.2.wang.li");
        assert_eq!(notice_id("a1-1", 2, "王"), "a1-1.2.%E7%8E%8B");
        assert_ne!(notice_id("a1", 2, "a%20"), notice_id("a1", 2, "a "));
    }

    #[test]
    fn a_providers_text_is_cut_between_letters() {
        assert_eq!(bounded("short"), "short");
        let long = "王".repeat(PROVIDER_BYTES_MAX);
        assert!(bounded(&long).len() <= PROVIDER_BYTES_MAX);
    }
}

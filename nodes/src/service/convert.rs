//! The state's words into protocol messages and back.

use crate::proto::hearth;
use crate::state;
use features::{Event, EventRef};

impl From<Event> for hearth::Event {
    fn from(event: Event) -> Self {
        Self {
            event_id: event.event_id,
            device_id: event.device_id,
            kind: event.kind,
            event_time_us: event.event_time_us,
            value: event.value,
            unit: event.unit,
            source: event.source,
            boot_id: event.boot_id,
            seq: event.seq,
            attributes: event.attributes.into_iter().collect(),
        }
    }
}

impl<'a> From<&'a hearth::Event> for EventRef<'a> {
    fn from(message: &'a hearth::Event) -> Self {
        let named = message.attributes.iter();
        let mut attributes: Vec<_> =
            named.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        attributes.sort_unstable();
        Self {
            event_id: &message.event_id,
            device_id: &message.device_id,
            kind: &message.kind,
            event_time_us: message.event_time_us,
            value: message.value,
            unit: &message.unit,
            source: &message.source,
            boot_id: message.boot_id,
            seq: message.seq,
            attributes,
        }
    }
}

pub fn alert_message(alert: &state::Alert) -> hearth::Alert {
    hearth::Alert {
        alert_id: alert.alert_id.clone(),
        kind: alert.kind.clone(),
        severity: alert.severity.as_str().to_owned(),
        dwelling_id: alert.dwelling_id.clone(),
        resident_key: alert.resident_key.clone(),
        region: alert.region.clone(),
        condition: alert.condition.as_str().to_owned(),
        work: alert.work.as_str().to_owned(),
        level: alert.level,
        raised_us: alert.raised_us,
        due_us: alert.due_us,
        closed_us: alert.closed_us,
        evidence: alert.evidence.clone(),
        model: alert.model.clone(),
        version: alert.version.clone(),
        decision_id: alert.decision_id.clone(),
        outcome: alert.outcome.clone(),
        log_index: alert.log_index,
        history: alert.history.iter().map(transition_message).collect(),
        turn: alert.turn,
        awaited: state::awaited(alert.work).to_owned(),
        to_act: to_act(alert),
        possible: state::possible(alert).into_iter().map(|each| each.as_str().to_owned()).collect(),
        assignee: alert.assignee.clone(),
        closed_as: alert.closed_as.clone(),
        reference: alert.reference.clone(),
        missed: alert.missed.clone(),
        escalations: alert.escalations,
        reopened: alert.reopened,
        event_us: alert.event_us,
        opened_us: alert.opened_us,
        silent_until_us: alert.silent_until_us,
        merged_into: alert.merged_into.clone(),
        suppressed_by: alert.suppressed_by.clone(),
        told: alert.told.iter().map(told_message).collect(),
    }
}

/// Who is to do the next step: whoever has the case in hand, else those of the level whose turn it is.
fn to_act(alert: &state::Alert) -> Vec<String> {
    if !alert.is_open() {
        return Vec::new();
    }
    if !alert.assignee.is_empty() {
        return vec![alert.assignee.clone()];
    }
    let theirs = alert.told.iter().filter(|told| told.level == alert.turn);
    theirs.map(|told| told.person.clone()).collect()
}

fn told_message(told: &state::Told) -> hearth::Told {
    hearth::Told {
        person: told.person.clone(),
        role: told.role.clone(),
        level: told.level,
        reached_us: told.reached_us,
    }
}

fn transition_message(transition: &state::Transition) -> hearth::Transition {
    hearth::Transition {
        from: transition.from.clone(),
        to: transition.to.clone(),
        actor: transition.actor.clone(),
        at_us: transition.at_us,
        reason: transition.reason.clone(),
        log_index: transition.log_index,
        actor_role: transition.actor_role.clone(),
        event_us: transition.event_us,
    }
}

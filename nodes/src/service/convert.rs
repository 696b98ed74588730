//! State into protocol messages.

use crate::proto::hearth;
use crate::state;

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
    }
}

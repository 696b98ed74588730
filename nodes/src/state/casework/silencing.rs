//! Silences begin, hold and end, each with its line in the table `silence`.

use super::silences::{PlaceSilence, Scope, SilenceMode, SilenceWanted};
use crate::state::cases::{Actor, MACHINE};
use crate::state::conditions::Registers;
use crate::state::{Alert, Condition, Refusal, Reply, State, Transition, Work};
use features::EntityKind;
use features::table::Cell;
use raft::Position;

/// The shortest that is worth a command.
const SECONDS_MIN: u32 = 60;
const KINDS_MAX: usize = 16;
/// Longest name and longest reason, in bytes.
const NAME_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 2_048;

impl State {
    pub(crate) fn begin_silence(&mut self, at: Position, wanted: &SilenceWanted) -> Reply {
        let repeated = self.casework.silences.at(wanted.scope, &wanted.key).find(|known| {
            !wanted.request_id.is_empty() && known.wanted.request_id == wanted.request_id
        });
        if let Some(known) = repeated {
            return Reply::Silence(Box::new(known.clone()));
        }
        if let Err(refusal) = self.check_silence(wanted) {
            return Reply::Refused(refusal);
        }
        let (now_us, maintenance) = (self.clock_us, &self.rules.maintenance);
        let after = |from_us: i64, seconds: u32| from_us + i64::from(seconds) * 1_000_000;
        let hazard_max_s = maintenance.hazard_max_s;
        let hazards_since_us = self.hazards_since_us(wanted);
        let limit_us = after(hazards_since_us, hazard_max_s).max(now_us);
        let silence = PlaceSilence {
            silence_id: self.casework.silences.name(at.index),
            wanted: wanted.clone(),
            from_us: now_us,
            until_us: after(now_us, wanted.for_s),
            hazards_until_us: limit_us.min(after(now_us, wanted.for_s)),
            cases: 0,
            lines: 0,
            hazards_since_us,
        };
        let id = silence.silence_id.clone();
        self.casework.silences.put(silence);
        self.write_silence(at, &id, "begun", (&wanted.actor, &wanted.reason));
        let begun = self.casework.silences.get(&id).cloned();
        begun.map_or(Reply::Done, |silence| Reply::Silence(Box::new(silence)))
    }

    fn check_silence(&self, wanted: &SilenceWanted) -> Result<(), Refusal> {
        let invalid = |said: String| Err(Refusal::Invalid(said));
        let maintenance = &self.rules.maintenance;
        let names = [&wanted.key, &wanted.actor, &wanted.request_id].into_iter();
        if names.chain(&wanted.kinds).any(|name| name.len() > NAME_BYTES_MAX)
            || wanted.kinds.len() > KINDS_MAX
            || wanted.reason.len() > REASON_BYTES_MAX
        {
            return invalid(format!(
                "a silence names up to {KINDS_MAX} kinds, each name up to {NAME_BYTES_MAX} bytes, \
                 and a reason of up to {REASON_BYTES_MAX}"
            ));
        }
        if wanted.actor.is_empty() || wanted.reason.is_empty() {
            return invalid("say who silences it and why: actor and reason".to_owned());
        }
        if !(SECONDS_MIN..=maintenance.silence_max_s).contains(&wanted.for_s) {
            return invalid(format!(
                "a silence lasts {SECONDS_MIN} to {} seconds, this one {}",
                maintenance.silence_max_s, wanted.for_s
            ));
        }
        if !self.is_place(wanted.scope, &wanted.key) {
            let scope = wanted.scope.as_str();
            return Err(Refusal::NotFound(format!("no {scope} {:?} is known", wanted.key)));
        }
        self.check_hazards(wanted)?;
        match self.casework.silences.full(wanted.scope, &wanted.key) {
            Some(why) => Err(Refusal::Exhausted(why)),
            None => Ok(()),
        }
    }

    fn is_place(&self, scope: Scope, key: &str) -> bool {
        let device = || {
            self.rows.get("device", key.as_bytes()).is_some()
                || self.features.find(EntityKind::Device, key).is_some()
        };
        match scope {
            Scope::Device => device(),
            Scope::Gateway => self.conditions.knows_gateway(key) || device(),
            Scope::Dwelling | Scope::Building => {
                self.rows.get(scope.as_str(), key.as_bytes()).is_some()
            }
        }
    }

    pub(crate) fn end_silence_early(
        &mut self,
        at: Position,
        id: &str,
        (actor, reason): (&str, &str),
    ) -> Reply {
        if actor.is_empty() || actor.len() > NAME_BYTES_MAX || reason.len() > REASON_BYTES_MAX {
            let said = format!("say who ends it: actor has 1 to {NAME_BYTES_MAX} bytes");
            return Reply::Refused(Refusal::Invalid(said));
        }
        let Some(silence) = self.casework.silences.get(id).cloned() else {
            let said = format!("no silence {id:?} is on: `hearth alert silences` lists them");
            return Reply::Refused(Refusal::NotFound(said));
        };
        self.end_place_silence(at, id, "lifted", Actor { name: actor, role: "" }, reason);
        Reply::Silence(Box::new(silence))
    }

    /// Silences whose time has come; called with the other timers.
    pub(crate) fn end_silences(&mut self, at: Position) {
        while let Some((due_us, id)) = self.casework.silences.take_due(self.clock_us) {
            let Some(silence) = self.casework.silences.get(&id).cloned() else { continue };
            if due_us < silence.until_us {
                let words = (MACHINE.name, "hazards are told again");
                self.write_silence(at, &id, "hazards", words);
                self.settle_silenced(at, &silence, true);
            } else {
                self.end_place_silence(at, &id, "ended", MACHINE, "its time is over");
            }
        }
    }

    fn end_place_silence(
        &mut self,
        at: Position,
        id: &str,
        what: &str,
        actor: Actor<'_>,
        reason: &str,
    ) {
        self.write_silence(at, id, what, (actor.name, reason));
        if let Some(silence) = self.casework.silences.take(id) {
            self.settle_silenced(at, &silence, false);
            let pause_us = i64::from(self.rules.maintenance.hazard_pause_s) * 1_000_000;
            let times = (self.clock_us - pause_us, self.clock_us);
            self.casework.silences.remember(silence, times);
        }
    }

    /// What was recorded under a silence: told where it goes on and another silence does not hold,
    /// closed where it is over or was the test.
    fn settle_silenced(&mut self, at: Position, silence: &PlaceSilence, only_hazards: bool) {
        let id = &silence.silence_id;
        let cases: Vec<Alert> = self.alerts.explained_by(id).cloned().collect();
        for mut alert in cases {
            let is_hazard = self.rules.maintenance.hazards.contains(&alert.kind);
            if only_hazards && !is_hazard {
                continue;
            }
            let place = (silence.wanted.scope, silence.wanted.key.as_str());
            let of_kind = (alert.kind.as_str(), is_hazard);
            let silences = &self.casework.silences;
            let same_place = silences.over(place, of_kind, self.clock_us);
            let other = same_place
                .map(|other| other.silence_id.clone())
                .or_else(|| self.silence_over(&alert.kind, alert.place(), &[]));
            if let Some(other) = other {
                let why = format!("still nobody is told: silence {other}");
                alert.suppressed_by = other;
                let said = self.said(at, &alert, MACHINE, why);
                alert.note(said);
                self.keep_alert(alert);
            } else if !matches!(alert.work, Work::New | Work::L1Notified) {
                self.lift(at, &alert.alert_id, 1);
            } else if silence.wanted.mode == SilenceMode::Test {
                self.close_silenced(at, alert, ("test", &format!("it was the test of {id}")));
            } else if alert.condition == Condition::Cleared {
                self.close_silenced(at, alert, ("handled", &format!("over before {id} was")));
            } else {
                self.lift(at, &alert.alert_id, 1);
            }
        }
    }

    fn close_silenced(&mut self, at: Position, mut alert: Alert, (how, why): (&str, &str)) {
        let from = alert.work;
        alert.work = Work::Closed;
        alert.closed_us = self.clock_us;
        alert.due_us = 0;
        how.clone_into(&mut alert.closed_as);
        how.clone_into(&mut alert.outcome);
        let said = self.said(at, &alert, MACHINE, format!("close: {why}"));
        alert.note(Transition { from: from.as_str().to_owned(), ..said });
        self.keep_alert(alert);
    }

    /// The silence that holds over an alert of a kind at a place that rests on the word of these
    /// devices. One device that is not silenced is enough to be heard.
    pub(crate) fn silence_over(
        &self,
        kind: &str,
        place: &str,
        devices: &[String],
    ) -> Option<String> {
        let silences = &self.casework.silences;
        if silences.is_empty() {
            return None;
        }
        let of_kind = (kind, self.rules.maintenance.hazards.iter().any(|each| each == kind));
        let over = |scope, key: &str| {
            let found = silences.over((scope, key), of_kind, self.clock_us);
            found.map(|found| found.silence_id.clone())
        };
        let registers = Registers { rows: &self.rows, store: &self.features };
        let building = registers.text("dwelling", place, "building_id");
        let group = match place.split_once(':') {
            Some(("gateway", key)) => over(Scope::Gateway, key),
            Some(("building", key)) => over(Scope::Building, key),
            _ => None,
        };
        let whole = over(Scope::Dwelling, place)
            .or_else(|| building.and_then(|building| over(Scope::Building, &building)))
            .or(group);
        if whole.is_some() {
            return whole;
        }
        let heard_by = |device: &str| {
            let slot = self.features.find(EntityKind::Device, device)?;
            over(Scope::Gateway, self.conditions.gateway_of(slot as u32)?)
        };
        if devices.is_empty() {
            // Silence of a home whose gateway is worked on says nothing.
            return self.homes().devices_of_dwelling(place).find_map(heard_by);
        }
        let of_device = |device: &String| {
            over(Scope::Device, device)
                .or_else(|| over(Scope::Gateway, device))
                .or_else(|| heard_by(device))
        };
        let all: Option<Vec<String>> = devices.iter().map(of_device).collect();
        all?.into_iter().next()
    }

    /// One more case that nobody is told of.
    pub(crate) fn count_in_silence(&mut self, id: &str) {
        if let Some(silence) = self.casework.silences.change(id) {
            silence.cases += 1;
        }
    }

    fn write_silence(&mut self, at: Position, id: &str, what: &str, (actor, why): (&str, &str)) {
        let now_us = self.clock_us;
        let Some(silence) = self.casework.silences.change(id) else { return };
        silence.lines += 1;
        let row = vec![
            Cell::text(id),
            Cell::Int(i64::from(silence.lines)),
            Cell::text(what),
            Cell::text(silence.wanted.scope.as_str()),
            Cell::text(&silence.wanted.key),
            Cell::Texts(silence.wanted.kinds.clone()),
            Cell::text(silence.wanted.mode.as_str()),
            Cell::text(actor),
            Cell::text(why),
            Cell::Time(silence.from_us),
            Cell::Time(silence.until_us),
            Cell::Time(silence.hazards_until_us),
            Cell::Int(i64::from(silence.cases)),
            Cell::Time(now_us),
            Cell::Int(at.index as i64),
        ];
        self.append("silence", row);
    }
}

//! Where the two axes meet: verdicts become cases, or join, clear and correct those that are open.

use super::groups::Registers;
use super::verdict::{Spot, Verdict, What};
use super::{PlaceId, Sight};
use crate::state::cases::Raise;
use crate::state::{Condition, State};
use features::{EntityKind, EventRef, Kind, fixed};
use raft::Position;

/// What stands as the model of an alert that a rule raised; its version is that of the set.
const MODEL: &str = "rules";
/// The kind of the one alert that explains many.
pub(super) const OUTAGE: &str = "outage";

/// Where an event is from, by the slots of its device and its home.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From {
    pub(crate) device: u32,
    pub(crate) home: Option<u32>,
}

impl State {
    /// Lets the rules see that time has passed; called before each entry's commands.
    pub(crate) fn watch_time(&mut self, at: Position) {
        let mut verdicts = Vec::new();
        let Self { conditions, rows, features, .. } = self;
        let registers = Registers { rows, store: features };
        conditions.advance(self.clock_us, registers, &mut verdicts);
        self.tell(at, verdicts);
    }

    /// Lets the rules see an event.
    pub(crate) fn watch_event(
        &mut self,
        at: Position,
        (event, kind, at_us): (&EventRef<'_>, Kind, i64),
        from: From,
    ) {
        let Some(value) = fixed::to_micros(event.value) else { return };
        let sight = Sight {
            place: from.home.map_or(PlaceId::device(from.device), PlaceId::home),
            device: from.device,
            kind,
            value,
            at_us,
            now_us: self.clock_us,
            boot: event.boot_id,
            id: event.event_id,
            source: event.source,
        };
        let mut verdicts = Vec::new();
        let Self { conditions, rows, features, .. } = self;
        conditions.see(&sight, Registers { rows, store: features }, &mut verdicts);
        if !verdicts.is_empty() {
            self.tell(at, verdicts);
        }
    }

    pub(super) fn tell(&mut self, at: Position, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            if let What::Withdrawn { health } = &verdict.what {
                self.tell_withdrawn(at, &verdict, health);
                continue;
            }
            let Self { rows, features, .. } = &*self;
            let (dwelling, other) = Registers { rows, store: features }.names_of(&verdict.spot);
            let place = if dwelling.is_empty() { &other } else { &dwelling };
            // What fires joins the case of the same hazard; what is over ends only its own kind's.
            let joins = matches!(verdict.what, What::Fire { .. } | What::Again { .. });
            let open = if joins {
                self.open_case(&verdict.alert, place)
            } else {
                self.alerts.open_at(&verdict.alert, place)
            };
            let open = open.map(|open| open.alert_id.clone());
            if matches!(verdict.what, What::Fire { .. }) {
                if !verdict.alert.is_empty() {
                    self.tell_fire(at, verdict, (dwelling, other), open.as_deref());
                }
                continue;
            }
            match (verdict.what, open) {
                (What::Again { id, device, .. }, Some(open)) => {
                    self.speak_up(at, &open, &self.device_names(&[device]));
                    let is_known =
                        self.alerts.get(&open).is_some_and(|open| open.evidence.contains(&id));
                    if is_known {
                        self.set_condition(at, &open, Condition::Firing);
                    } else {
                        self.seen_again(at, &open, &id);
                    }
                }
                (What::Again { id, rule, .. }, None) => {
                    if let Spot::Place(place) = verdict.spot
                        && let Some(again) = self.conditions.begin_anew(place, rule, &id)
                    {
                        self.tell(at, vec![again]);
                    }
                }
                (What::Over, Some(open)) => self.set_condition(at, &open, Condition::Cleared),
                (What::Wrong { event_us, reason }, Some(open)) => {
                    self.correct(at, &open, (Condition::Cleared, event_us), &reason);
                }
                (What::Explained { by }, Some(open)) => {
                    let parent = self.alerts.open_at(OUTAGE, &by).map(|it| it.alert_id.clone());
                    if let Some(parent) = parent {
                        self.suppress(at, &open, &parent);
                    }
                }
                (What::Fire { .. } | What::Withdrawn { .. }, _)
                | (What::Over | What::Wrong { .. } | What::Explained { .. }, None) => {}
            }
        }
    }

    /// What fires joins the case that is open, or becomes one.
    fn tell_fire(
        &mut self,
        at: Position,
        verdict: Verdict,
        (dwelling, resident): (String, String),
        open: Option<&str>,
    ) {
        let What::Fire { severity, level, event_us, mut evidence, devices, reason } = verdict.what
        else {
            return;
        };
        let mut devices = self.device_names(&devices);
        match &verdict.spot {
            Spot::Device(slot) => {
                let device = self.features.key(EntityKind::Device, *slot as usize);
                evidence.insert(0, device.to_owned());
            }
            Spot::Named(device) => {
                evidence.insert(0, device.to_string());
                devices.push(device.to_string());
            }
            Spot::Place(_) | Spot::Group(_) => {}
        }
        if let Some(open) = open {
            self.speak_up(at, open, &devices);
        }
        if let Some(open) = open.and_then(|open| self.alerts.get(open)) {
            let had = evidence.len();
            evidence.retain(|id| !open.evidence.contains(id));
            let is_old = had > 0 && evidence.is_empty();
            if is_old && open.severity <= severity && open.level >= level {
                let id = open.alert_id.clone();
                return self.set_condition(at, &id, Condition::Firing);
            }
        }
        let raise = Raise {
            kind: verdict.alert.to_string(),
            severity,
            level,
            resident,
            dwelling,
            evidence,
            event_us,
            model: MODEL.to_owned(),
            version: self.rules.version.to_string(),
            reason,
            devices,
            suppressed_by: String::new(),
        };
        self.raise(at, raise);
    }

    fn device_names(&self, slots: &[u32]) -> Vec<String> {
        let name = |slot: &u32| self.features.key(EntityKind::Device, *slot as usize).to_owned();
        slots.iter().map(name).collect()
    }
}

//! Rules over readings, each at its place.

use super::engine::Conditions;
use super::home::Bed;
use super::judge::Seen;
use super::kept::Timer;
use super::plan::{Judge, Test};
use super::sight::{PlaceId, Sight};
use super::tick;
use super::verdict::{Spot, Verdict, What};
use super::watch::{Judgement, Look, Phase, Watch};
use crate::state::rules::When;
use std::sync::Arc;

impl Conditions {
    /// Holds an event against the rules that name its kind.
    pub(super) fn hold(&mut self, sight: &Sight<'_>, restarted: bool, out: &mut Vec<Verdict>) {
        let plan = Arc::clone(&self.plan);
        let is_busy = self.is_busy(sight.place);
        for (rule, part) in plan.of_kind(sight.kind) {
            let Some(judge) = plan.judge(*rule) else { continue };
            let Some(about) = judge.parts.get(usize::from(*part)) else { continue };
            let applies = about.counts(sight.value) && self.applies(judge.when, sight);
            let is_watched = is_busy && self.kept.watches.contains_key(&(sight.place, *rule));
            if !applies && !is_watched {
                continue;
            }
            let clears = about.clears(sight.value) || about.counts(sight.value);
            let mut seen = seen(sight, *part, applies);
            seen.is_first = restarted;
            self.feed(sight, (*rule, judge), Look { seen: &seen, clears }, out);
        }
        if is_busy && plan.is_movement(sight.kind) {
            for (rule, part) in &plan.presence {
                if let Some(judge) = plan.judge(*rule)
                    && self.kept.watches.contains_key(&(sight.place, *rule))
                {
                    let seen = seen(sight, *part, true);
                    self.feed(sight, (*rule, judge), Look { seen: &seen, clears: false }, out);
                }
            }
        }
    }

    pub(super) fn applies(&self, when: When, sight: &Sight<'_>) -> bool {
        match when {
            When::Always => true,
            When::InBed => self.bed_of(sight.place, sight.at_us) == Bed::Taken,
            When::NotOutOfBed => self.bed_of(sight.place, sight.at_us) != Bed::Empty,
            When::Day => !self.plan.hours.is_night(sight.at_us),
            When::Night => self.plan.hours.is_night(sight.at_us),
        }
    }

    fn feed(
        &mut self,
        sight: &Sight<'_>,
        (rule, judge): (u16, &Judge),
        look: Look<'_>,
        out: &mut Vec<Verdict>,
    ) {
        let key = (sight.place, rule);
        // Taken out and put back: its readings are many, and a copy of them is dear.
        let known = self.kept.watches.get_mut(&key);
        let known = known.map(|watch| std::mem::take(Arc::make_mut(watch)));
        if known.is_none() && !look.seen.counts {
            return;
        }
        let mut watch = known.unwrap_or_default();
        let due_us = watch.due_us;
        let was_there = look.seen.counts.then(|| self.presence(judge, sight)).flatten();
        let said = match &was_there {
            Some(there) => {
                let first = watch.see(judge, Look { seen: there, clears: false }, sight.now_us);
                let second = watch.see(judge, look, sight.now_us);
                first.or(second)
            }
            None => watch.see(judge, look, sight.now_us),
        };
        self.keep_watch(key, watch, due_us);
        if let Some(said) = said {
            self.say(key, judge, said, sight, out);
        }
    }

    /// The last movement at a place, as a reading of a rule that asks for presence.
    fn presence(&self, judge: &Judge, sight: &Sight<'_>) -> Option<Seen> {
        let Test::Together { within_us, .. } = judge.test else { return None };
        let part = judge.parts.iter().position(|part| part.kind.is_none())?;
        let moved = self.home(sight.place)?.moved;
        let at_us = tick::to_us(moved);
        let is_near = moved != 0 && (sight.at_us - at_us).abs() <= within_us;
        // Without an id: what moved is not remembered, only when.
        is_near.then(|| Seen { at_us, id: String::new(), ..seen(sight, part as u8, true) })
    }

    /// Puts a watch in its place, or away where nothing is left of it.
    pub(super) fn keep_watch(&mut self, key: (PlaceId, u16), watch: Watch, was_due_us: i64) {
        let timer = Timer::Watch(key.0, key.1);
        let due_us = if watch.is_empty() { 0 } else { watch.due_us };
        if was_due_us != due_us {
            self.kept.timers.remove(was_due_us, timer);
            if due_us > 0 {
                self.kept.timers.insert(due_us, timer);
            }
        }
        if watch.is_empty() {
            self.kept.watches.remove(&key);
            let from = (key.0, 0);
            let is_busy = self.kept.watches.range(from..=(key.0, u16::MAX)).next().is_some();
            self.set_busy(key.0, is_busy);
        } else {
            match self.kept.watches.get_mut(&key) {
                Some(kept) => *Arc::make_mut(kept) = watch,
                None => drop(self.kept.watches.insert(key, Arc::new(watch))),
            }
            self.set_busy(key.0, true);
        }
    }

    fn say(
        &self,
        (place, rule): (PlaceId, u16),
        judge: &Judge,
        said: Judgement,
        sight: &Sight<'_>,
        out: &mut Vec<Verdict>,
    ) {
        let what = match said {
            Judgement::Fire { evidence, devices, event_us } => {
                fire(judge, (evidence, devices), event_us)
            }
            Judgement::Again => What::Again { id: sight.id.to_owned(), rule, device: sight.device },
            Judgement::Over | Judgement::Wrong if self.fires_otherwise(place, rule, judge) => {
                return;
            }
            Judgement::Over => What::Over,
            Judgement::Wrong => {
                let time = crate::clock::text(sight.at_us);
                let reason =
                    format!("event {} of {time} came late: it was not {}", sight.id, judge.says);
                What::Wrong { event_us: sight.at_us, reason }
            }
        };
        out.push(Verdict { alert: Arc::clone(&judge.alert), spot: Spot::Place(place), what });
    }

    /// Another rule sees the same hazard at the place.
    pub(super) fn fires_otherwise(&self, place: PlaceId, rule: u16, judge: &Judge) -> bool {
        self.kept.watches.range((place, 0)..=(place, u16::MAX)).any(|((_, other), watch)| {
            *other != rule
                && watch.is_firing()
                && self.plan.judge(*other).is_some_and(|other| other.alert == judge.alert)
        })
    }

    /// The time of a watch has come.
    pub(super) fn look_at_watch(&mut self, key: (PlaceId, u16), out: &mut Vec<Verdict>) {
        let plan = Arc::clone(&self.plan);
        let (Some(watch), Some(judge)) = (self.kept.watches.get(&key), plan.judge(key.1)) else {
            return;
        };
        let mut watch = Watch::clone(watch);
        let said = watch.look_again(judge, self.kept.now_us);
        // Its timer has just been taken out.
        self.keep_watch(key, watch, 0);
        let what = match said {
            Some(Judgement::Fire { evidence, devices, event_us }) => {
                fire(judge, (evidence, devices), event_us)
            }
            Some(Judgement::Over) if !self.fires_otherwise(key.0, key.1, judge) => What::Over,
            _ => return,
        };
        out.push(Verdict { alert: Arc::clone(&judge.alert), spot: Spot::Place(key.0), what });
    }

    /// Takes a watch away; gives the event time that it rested on, where it was firing.
    pub(super) fn drop_watch(&mut self, place: PlaceId, rule: u16) -> Option<i64> {
        let key = (place, rule);
        let watch = self.kept.watches.get(&key)?;
        let due_us = watch.due_us;
        let rested_on_us = self.rests_on_us(place, rule);
        self.keep_watch(key, Watch::default(), due_us);
        rested_on_us
    }

    /// The event time that a watch rests on, where it is firing.
    pub(super) fn rests_on_us(&self, place: PlaceId, rule: u16) -> Option<i64> {
        match self.kept.watches.get(&(place, rule))?.phase {
            Phase::Idle => None,
            Phase::Firing { at_us } | Phase::Clearing { since_us: at_us, .. } => Some(at_us),
        }
    }

    /// A device is broken: nothing rests on what it said.
    pub(super) fn forget_device(&mut self, sight: &Sight<'_>, out: &mut Vec<Verdict>) {
        let plan = Arc::clone(&self.plan);
        for (rule, _) in plan.of_kind(sight.kind) {
            let key = (sight.place, *rule);
            let (Some(watch), Some(judge)) = (self.kept.watches.get(&key), plan.judge(*rule))
            else {
                continue;
            };
            let (due_us, mut watch) = (watch.due_us, Watch::clone(watch));
            let is_over = watch.forget_device(sight.device);
            self.keep_watch(key, watch, due_us);
            if is_over && !self.fires_otherwise(sight.place, *rule, judge) {
                let reason = format!("the {} sensor flaps: a fault of its own", sight.kind);
                let what = What::Wrong { event_us: sight.at_us, reason };
                let spot = Spot::Place(sight.place);
                out.push(Verdict { alert: Arc::clone(&judge.alert), spot, what });
            }
        }
    }

    /// The case of a watch that fires has been closed: the event is the first of the next one.
    pub(in crate::state) fn begin_anew(
        &mut self,
        place: PlaceId,
        rule: u16,
        id: &str,
    ) -> Option<Verdict> {
        let plan = Arc::clone(&self.plan);
        let (judge, key) = (plan.judge(rule)?, (place, rule));
        let mut watch = Watch::clone(self.kept.watches.get(&key)?);
        let due_us = watch.due_us;
        let said = watch.begin_anew(judge, id, self.kept.now_us);
        self.keep_watch(key, watch, due_us);
        let Some(Judgement::Fire { evidence, devices, event_us }) = said else { return None };
        let what = fire(judge, (evidence, devices), event_us);
        let alert = Arc::clone(&judge.alert);
        Some(Verdict { alert, spot: Spot::Place(place), what })
    }
}

fn seen(sight: &Sight<'_>, part: u8, counts: bool) -> Seen {
    Seen {
        at_us: sight.at_us,
        id: sight.id.to_owned(),
        device: sight.device,
        value: sight.value,
        boot: sight.boot,
        came_us: sight.now_us,
        part,
        counts,
        is_first: false,
    }
}

fn fire(judge: &Judge, (mut evidence, devices): (Vec<String>, Vec<u32>), event_us: i64) -> What {
    evidence.retain(|id| !id.is_empty());
    What::Fire {
        severity: judge.severity,
        level: judge.level,
        event_us,
        evidence,
        devices,
        reason: judge.says.clone(),
    }
}

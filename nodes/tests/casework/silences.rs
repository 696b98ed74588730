//! What people work on is silenced: recorded, seen, told to nobody, and over by itself.

use crate::street::{SECOND_US, Street, street};
use nodes::state::{
    Action, CaseStep, Command, Condition, PlaceSilence, Reply, RulePush, Rules, Scope, SilenceMode,
    SilenceWanted, Work,
};

fn wanted(scope: Scope, key: &str, for_s: u32) -> SilenceWanted {
    SilenceWanted {
        scope,
        key: key.to_owned(),
        kinds: Vec::new(),
        mode: SilenceMode::Maintenance,
        for_s,
        actor: "fitter".to_owned(),
        reason: "new detector".to_owned(),
        request_id: String::new(),
    }
}

impl Street {
    fn silence(&mut self, wanted: SilenceWanted) -> PlaceSilence {
        match self.done(&Command::BeginSilence(Box::new(wanted))) {
            Reply::Silence(silence) => *silence,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&mut self, wanted: SilenceWanted) -> String {
        match self.done(&Command::BeginSilence(Box::new(wanted))) {
            Reply::Refused(refusal) => refusal.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_hazard_in_a_maintenance_is_recorded_and_told_at_its_end_if_it_goes_on() {
    for (scope, key) in [
        (Scope::Device, "d1"),
        (Scope::Dwelling, "w1"),
        (Scope::Building, "b1"),
        (Scope::Gateway, "gateway"),
    ] {
        let mut street = street();
        // The gateway is known once somebody was heard by it.
        street.reads(1, "first", "heartbeat", 1.0);
        let silence = street.silence(wanted(scope, key, 600));
        assert_eq!(silence.until_us, street.now_us + 600 * SECOND_US);
        let case = street.gas(1, "g");
        assert_eq!((case.suppressed_by.as_str(), case.due_us), (silence.silence_id.as_str(), 0));
        assert_eq!((case.work, case.condition), (Work::New, Condition::Firing), "{scope:?}");
        assert!(street.state.casework.outbox.is_empty(), "{scope:?}");
        street.restart();
        street.wait_s(599);
        assert!(street.state.casework.outbox.is_empty(), "{scope:?}");
        street.wait_s(1);
        let case = street.alert(&case.alert_id);
        assert_eq!((case.work, case.suppressed_by.as_str()), (Work::L1Notified, ""), "{scope:?}");
        assert_eq!(street.waiting(&case.alert_id).len(), 3, "family, neighbour and centre");
        assert!(street.state.casework.silences.is_empty());
        assert_eq!(street.written("silence", "what"), ["begun", "ended"]);
        assert_eq!(street.written("silence", "actor"), ["fitter", "hearth"]);
        assert_eq!(street.written("silence", "cases"), ["0", "1"]);
    }
}

#[test]
fn another_place_is_heard_as_ever_and_so_is_a_device_that_is_not_worked_on() {
    let mut street = street();
    street.silence(wanted(Scope::Device, "d1", 600));
    let other = street.gas(2, "h");
    assert!(!street.waiting(&other.alert_id).is_empty());
    // A case of the silenced device; the bedroom's sensor sees the gas as well.
    let case = street.gas(1, "g");
    assert!(street.waiting(&case.alert_id).is_empty());
    street.done(&crate::street::device("bedroom", "w1"));
    street.reads_of("bedroom", "b", "gas", 9.0);
    let case = street.alert(&case.alert_id);
    assert_eq!((case.suppressed_by.as_str(), case.work), ("", Work::L1Notified));
    assert_eq!(street.waiting(&case.alert_id).len(), 3);
}

#[test]
fn hazards_are_silenced_no_longer_than_the_rules_say() {
    let mut street = street();
    let limit_s = street.state.rules.maintenance.hazard_max_s;
    let silence = street.silence(wanted(Scope::Dwelling, "w1", 2 * limit_s));
    assert_eq!(silence.hazards_until_us, street.now_us + i64::from(limit_s) * SECOND_US);
    let gas = street.gas(1, "g").alert_id;
    let fall = street.fall(1, "f").alert_id;
    assert!(street.state.casework.outbox.is_empty());
    street.wait_s(i64::from(limit_s));
    assert_eq!(street.waiting(&gas).len(), 3, "gas is told again");
    assert!(street.waiting(&fall).is_empty(), "a fall is no hazard of that list");
    street.reads(1, "s", "sos", 1.0);
    let sos = street.newest().alert_id;
    assert!(!street.waiting(&sos).is_empty(), "a new one is, too");
    street.wait_s(i64::from(limit_s));
    assert!(!street.waiting(&fall).is_empty());
    assert_eq!(street.written("silence", "what"), ["begun", "hazards", "ended"]);
    // Asked for by name it is refused; with other numbers in the rules it is not.
    let kinds = vec!["gas_leak".to_owned()];
    let long = SilenceWanted { kinds, ..wanted(Scope::Dwelling, "w1", limit_s + 1) };
    let said = street.refused(long.clone());
    assert!(said.contains(&limit_s.to_string()), "{said}");
    let mut rules = street.state.rules.clone();
    rules.version += 1;
    rules.maintenance.hazard_max_s = limit_s + 1;
    street.done(&Command::PushRules(Box::new(RulePush::new(&rules, "test", ""))));
    street.silence(long);
}

#[test]
fn a_test_is_closed_as_one_and_what_comes_after_it_is_told() {
    let mut street = street();
    let test = SilenceWanted { mode: SilenceMode::Test, ..wanted(Scope::Dwelling, "w1", 600) };
    street.silence(test);
    street.reads(1, "s", "sos", 1.0);
    let pressed = street.newest().alert_id;
    street.wait_s(600);
    let closed = street.alert(&pressed);
    assert_eq!((closed.work, closed.closed_as.as_str()), (Work::Closed, "test"));
    assert!(street.state.casework.outbox.is_empty());
    street.wait_s(1);
    street.reads(1, "s2", "sos", 1.0);
    let real = street.newest();
    assert_ne!(real.alert_id, pressed);
    assert_eq!(street.waiting(&real.alert_id).len(), 3);
}

#[test]
fn what_was_over_before_the_maintenance_was_is_closed_and_tells_nobody() {
    let mut street = street();
    street.silence(wanted(Scope::Building, "b1", 600));
    let case = street.gas(1, "g").alert_id;
    street.reads(1, "clear", "gas", 0.0);
    street.wait_s(600);
    let closed = street.alert(&case);
    assert_eq!((closed.work, closed.closed_as.as_str()), (Work::Closed, "handled"));
    assert!(street.state.casework.outbox.is_empty());
    // The same again a moment later: the same case, and now it is told.
    street.gas(1, "h");
    let again = street.alert(&case);
    assert_eq!((again.reopened, street.waiting(&case).len()), (1, 3));
}

#[test]
fn only_the_kinds_that_were_named() {
    let mut street = street();
    let kinds = vec!["fall".to_owned()];
    street.silence(SilenceWanted { kinds, ..wanted(Scope::Dwelling, "w1", 600) });
    let fall = street.fall(1, "f").alert_id;
    assert!(street.waiting(&fall).is_empty());
    let gas = street.gas(1, "g").alert_id;
    assert_eq!(street.waiting(&gas).len(), 3);
}

#[test]
fn it_can_be_ended_before_its_time_and_a_second_one_goes_on() {
    let mut street = street();
    let first = street.silence(wanted(Scope::Dwelling, "w1", 600));
    let second = street.silence(wanted(Scope::Dwelling, "w1", 1_200));
    assert_ne!(first.silence_id, second.silence_id);
    let case = street.gas(1, "g").alert_id;
    let end = |id: &str| Command::EndSilence {
        silence_id: id.to_owned(),
        actor: "fitter".to_owned(),
        reason: "done".to_owned(),
    };
    assert!(matches!(street.done(&end(&first.silence_id)), Reply::Silence(_)));
    assert_eq!(street.alert(&case).suppressed_by, second.silence_id);
    assert!(matches!(street.done(&end(&first.silence_id)), Reply::Refused(_)));
    assert!(matches!(street.done(&end(&second.silence_id)), Reply::Silence(_)));
    assert_eq!(street.waiting(&case).len(), 3);
    let what = street.written("silence", "what");
    assert_eq!(what, ["begun", "begun", "lifted", "lifted"]);
}

#[test]
fn who_acts_on_a_silenced_case_keeps_it() {
    let mut street = street();
    street.silence(wanted(Scope::Dwelling, "w1", 600));
    let case = street.fall(1, "f").alert_id;
    street.try_step(CaseStep::new(&case, Action::Ack, "wang")).unwrap();
    assert_eq!(street.alert(&case).due_us, 0, "no deadline runs meanwhile");
    street.wait_s(600);
    let case = street.alert(&case);
    assert_eq!((case.work, case.suppressed_by.as_str()), (Work::L1Ack, ""));
    assert!(case.due_us > street.now_us);
}

#[test]
fn a_case_that_is_known_is_not_told_anew_by_what_is_silenced() {
    let mut street = street();
    let case = street.fall(1, "f").alert_id;
    street.deliver_all();
    street.silence(wanted(Scope::Device, "d1", 600));
    street.reads(1, "f2", "fall", 1.0);
    assert!(street.waiting(&case).is_empty());
    assert_eq!(street.state.alerts.iter().count(), 1);
    // Its deadlines run on: people know of it.
    street.wait_s(300);
    assert_eq!(street.alert(&case).turn, 2);
}

#[test]
fn what_cannot_be_is_refused_in_one_line_and_a_repeat_changes_nothing() {
    let mut street = street();
    let good = wanted(Scope::Dwelling, "w1", 600);
    for (wrong, says) in [
        (SilenceWanted { actor: String::new(), ..good.clone() }, "who"),
        (SilenceWanted { reason: String::new(), ..good.clone() }, "why"),
        (SilenceWanted { for_s: 0, ..good.clone() }, "lasts"),
        (SilenceWanted { for_s: u32::MAX, ..good.clone() }, "lasts"),
        (SilenceWanted { key: "nowhere".to_owned(), ..good.clone() }, "nowhere"),
        (SilenceWanted { kinds: vec!["x".repeat(200)], ..good.clone() }, "bytes"),
    ] {
        let said = street.refused(wrong);
        assert!(said.contains(says) && said.lines().count() == 1, "{said}");
    }
    let once = SilenceWanted { request_id: "q1".to_owned(), ..good.clone() };
    let first = street.silence(once.clone());
    street.wait_s(10);
    assert_eq!(street.silence(once), first);
    for n in 0..7 {
        street.silence(SilenceWanted { request_id: format!("r{n}"), ..good.clone() });
    }
    let said = street.refused(SilenceWanted { request_id: "r8".to_owned(), ..good });
    assert!(said.contains("8 silences"), "{said}");
}

fn holds(street: &Street, silence: &PlaceSilence) -> i64 {
    (silence.hazards_until_us - street.now_us) / SECOND_US
}

/// However often it is asked for, whether before or just after the one before ends, and by whatever
/// name the place goes: hazards are silent for the limit, and are told then.
#[test]
fn silences_that_follow_each_other_are_no_longer_than_one_may_be() {
    let limit_s = i64::from(Rules::default().maintenance.hazard_max_s);
    let scopes = [(Scope::Dwelling, "w1"), (Scope::Device, "d1"), (Scope::Gateway, "gateway")];
    for first in scopes.into_iter().chain([(Scope::Building, "b1")]) {
        for second in scopes.into_iter().chain([(Scope::Building, "b1")]) {
            let mut street = street();
            street.reads(1, "first", "heartbeat", 1.0);
            let ends_us = street.now_us + limit_s * SECOND_US;
            let silence = |street: &mut Street, (scope, key), n: u32| {
                let request_id = format!("q{n}");
                street.silence(SilenceWanted { request_id, ..wanted(scope, key, 7_200) })
            };
            let one = silence(&mut street, first, 0);
            assert_eq!(one.hazards_until_us, ends_us);
            let gas = street.gas(1, "g").alert_id;
            street.wait_s(limit_s - 60);
            let two = silence(&mut street, second, 1);
            assert_eq!(holds(&street, &two), 60, "{first:?} {second:?}");
            assert_eq!(two.until_us, street.now_us + 7_200 * SECOND_US, "what is no hazard");
            street.restart();
            street.wait_s(59);
            assert!(street.waiting(&gas).is_empty(), "{first:?} {second:?}");
            street.wait_s(1);
            assert_eq!(street.waiting(&gas).len(), 3, "{first:?} {second:?}");
            // The first is over now; a third one next to it begins nothing anew.
            let three = silence(&mut street, second, 2);
            assert!(holds(&street, &three) <= 0, "{first:?} {second:?}");
            street.reads(1, "s", "sos", 1.0);
            assert!(!street.waiting(&street.newest().alert_id).is_empty(), "{first:?} {second:?}");
        }
    }
}

#[test]
fn a_pause_in_which_hazards_were_told_begins_a_new_limit() {
    let mut street = street();
    let maintenance = street.state.rules.maintenance.clone();
    let limit_s = i64::from(maintenance.hazard_max_s);
    let pause_s = i64::from(maintenance.hazard_pause_s);
    let kinds = || vec!["smoke".to_owned()];
    street.silence(SilenceWanted { kinds: kinds(), ..wanted(Scope::Dwelling, "w1", 3_600) });
    // Ended early, it counts to its end; another hazard and another home have their own.
    let id = street.state.casework.silences.iter().next().unwrap().silence_id.clone();
    street.wait_s(1_800);
    let (actor, reason) = ("fitter".to_owned(), "done".to_owned());
    street.done(&Command::EndSilence { silence_id: id, actor, reason });
    street.wait_s(60);
    let other =
        SilenceWanted { kinds: vec!["sos".to_owned()], ..wanted(Scope::Dwelling, "w1", 7_200) };
    let other = street.silence(other);
    assert_eq!(holds(&street, &other), limit_s);
    let elsewhere = street.silence(wanted(Scope::Dwelling, "w2", 7_200));
    assert_eq!(holds(&street, &elsewhere), limit_s);
    let said =
        street.refused(SilenceWanted { kinds: kinds(), ..wanted(Scope::Dwelling, "w1", 7_200) });
    assert!(said.contains("5340") && said.lines().count() == 1, "{said}");
    let rest = SilenceWanted { kinds: kinds(), ..wanted(Scope::Dwelling, "w1", 5_340) };
    let rest = street.silence(rest);
    assert_eq!(holds(&street, &rest), 5_340);
    street.wait_s(5_340 + pause_s - 1);
    let said =
        street.refused(SilenceWanted { kinds: kinds(), ..wanted(Scope::Dwelling, "w1", 60) });
    assert!(said.contains("0 more"), "{said}");
    street.wait_s(1);
    let again = SilenceWanted { kinds: kinds(), ..wanted(Scope::Dwelling, "w1", 7_200) };
    let again = street.silence(again);
    assert_eq!(holds(&street, &again), limit_s);
}

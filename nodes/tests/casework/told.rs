//! Who is told at which level, and when the turn goes on.

use crate::street::{SECOND_US, relation, street};
use nodes::state::{
    Action, CaseStep, Linkage, Policy, Reply, Rules, Severity, StepDeadlines, Work,
};

fn people(waiting: &[(String, String, u32, String)], level: u32) -> Vec<&str> {
    waiting.iter().filter(|each| each.2 == level).map(|each| each.0.as_str()).collect()
}

#[test]
fn gas_is_told_to_the_family_and_the_centre_at_once_and_to_whoever_consents() {
    let mut street = street();
    let alert = street.gas(1, "g");
    let waiting = street.waiting(&alert.alert_id);
    assert_eq!(people(&waiting, 1), ["daughter", "next door"]);
    assert_eq!(people(&waiting, 2), [""; 0]);
    assert_eq!(people(&waiting, 3), ["centre"]);
    assert_eq!((alert.level, alert.turn, alert.work), (3, 1, Work::L1Notified));
    assert!(alert.told_us[0] > 0 && alert.told_us[1] == 0 && alert.told_us[2] > 0);
    let said = &alert.history.last().unwrap().reason;
    assert!(said.contains("level 1: daughter (child), next door (neighbour)"), "{said}");
    assert!(said.contains("fall-back recipient centre"), "{said}");
    assert_eq!(alert.due_us, alert.raised_us + 60 * SECOND_US);
}

#[test]
fn an_unanswered_case_skips_no_level_and_is_then_reminded() {
    let mut street = street();
    let alert = street.fall(1, "f");
    let id = alert.alert_id.clone();
    assert_eq!((alert.level, people(&street.waiting(&id), 1).len()), (1, 2));
    street.deliver_all();
    for (level, person) in [(2, "leader"), (3, "centre")] {
        street.wait_s(300);
        assert_eq!(street.alert(&id).turn, level);
        let waiting = street.waiting(&id);
        assert_eq!(waiting.len(), 1, "{waiting:?}");
        assert_eq!((waiting[0].0.as_str(), waiting[0].3.as_str()), (person, "escalated"));
        street.deliver_all();
    }
    assert_eq!(street.alert(&id).escalations, 2);
    for seconds in [300, 3_600] {
        street.wait_s(seconds);
        assert_eq!(street.waiting(&id)[0].3, "reminder");
        assert_eq!(street.alert(&id).due_us - street.now_us, 3_600 * SECOND_US);
        street.deliver_all();
    }
    let missed: Vec<String> = street.written("alert_history", "reason");
    assert_eq!(missed.iter().filter(|each| each.starts_with("no ack by")).count(), 4);
    assert_eq!(street.alert(&id).missed, ["ack"]);
}

#[test]
fn gas_that_nobody_answers_is_told_to_the_grid_too() {
    let mut street = street();
    let alert = street.gas(1, "g");
    street.deliver_all();
    street.wait_s(60);
    let waiting = street.waiting(&alert.alert_id);
    assert_eq!(people(&waiting, 2), ["leader"]);
    assert_eq!((street.newest().level, street.newest().turn), (3, 2));
    assert!(street.newest().told_us.iter().all(|us| *us > 0));
}

#[test]
fn an_acknowledgement_that_sends_nobody_counts_no_longer() {
    let mut street = street();
    let id = street.fall(1, "f").alert_id;
    let acked = street.steps(&id, &[Action::Ack]);
    assert_eq!((acked.assignee.as_str(), acked.work), ("wang", Work::L1Ack));
    let dispatch_s = i64::from(Rules::default().major.dispatch_s);
    street.wait_s(dispatch_s - 1);
    assert_eq!(street.alert(&id).work, Work::L1Ack);
    street.wait_s(1);
    let back = street.alert(&id);
    assert_eq!((back.work, back.turn, back.assignee.as_str()), (Work::L1Notified, 2, ""));
    assert_eq!(back.missed, ["dispatch"]);
    // And it goes on from there.
    street.wait_s(300);
    assert_eq!(street.alert(&id).turn, 3);
    street.steps(&id, &[Action::Ack, Action::Dispatch]);
}

#[test]
fn who_answers_is_not_pressed_again_and_lower_notices_still_go_out() {
    let mut street = street();
    let id = street.gas(1, "g").alert_id;
    let centre = CaseStep::new(&id, Action::Ack, "centre");
    let acked = street.try_step(centre).unwrap();
    assert_eq!(acked.history.last().unwrap().actor_role, "fallback");
    assert_eq!(people(&street.waiting(&id), 1), ["daughter", "next door"]);
    street.wait_s(60);
    assert_eq!(street.alert(&id).turn, 1, "an acknowledged case is not escalated for want of one");
}

#[test]
fn rosters_are_found_up_the_tree_with_substitutes_and_bands() {
    let mut street = street();
    let linkage: Linkage = toml::from_str(
        r#"version = 1
        [[bands]]
        name = "night"
        from = "22:00"
        until = "06:00"
        [[bands]]
        name = "day"
        from = "06:00"
        until = "22:00""#,
    )
    .unwrap();
    street.link(linkage);
    // From 2026-09-21T22:13:20+08:00, a Monday, to the next morning.
    street.wait_s(8 * 3_600);
    let roster = |version: u32, absence: &str| {
        format!(
            r#"level = 2
            region = "990101001000"
            version = {version}
            [[shifts]]
            name = "day"
            bands = ["day"]
            people = ["li"]
            substitutes = ["zhao"]
            [[shifts]]
            name = "night"
            bands = ["night"]
            people = ["sun"]
            {absence}"#
        )
    };
    assert_eq!(street.roster(&roster(1, "")), Reply::Done);
    let told = |street: &mut crate::street::Street, id: &str| {
        let alert = street.fall(2, id);
        street.wait_s(300);
        let told = street.alert(&alert.alert_id);
        let second: Vec<String> = told
            .told
            .iter()
            .filter(|each| each.level == 2)
            .map(|each| each.person.clone())
            .collect();
        let reason = told.history.last().unwrap().reason.clone();
        street.handle(&alert.alert_id);
        street.wait_s(3_600);
        (second, reason)
    };
    assert_eq!(told(&mut street, "f1").0, ["li"]);
    street.wait_s(15 * 3_600);
    assert_eq!(told(&mut street, "f2").0, ["sun"], "it is night");
    let absence = r#"
            [[absences]]
            person = "sun"
            from = "2026-09-21T00:00:00+08:00"
            until = "2026-09-23T00:00:00+08:00""#;
    assert_eq!(street.roster(&roster(2, absence)), Reply::Done);
    let (people, said) = told(&mut street, "f3");
    assert_eq!(people, ["leader"], "nobody of the roster is there, the grid's leader is");
    assert!(said.contains("sun is absent and nobody stands in"), "{said}");
    assert!(matches!(street.roster(&roster(2, "")), Reply::Refused(_)), "not a later version");
    assert_eq!(street.roster(&roster(2, absence)), Reply::Done, "the same again");
    let unknown = roster(3, "").replace("bands = [\"day\"]", "bands = [\"noon\"]");
    assert!(matches!(street.roster(&unknown), Reply::Refused(_)));
    assert_eq!(street.written("roster", "name").len(), 4);
    street.restart();
    assert_eq!(street.state.casework.rosters.iter().count(), 1);
}

#[test]
fn deadlines_are_those_of_kind_severity_and_level() {
    let mut street = street();
    let deadlines = StepDeadlines {
        ack_s: [10, 20, 30],
        dispatch_s: [40; 3],
        arrive_s: [50; 3],
        feedback_s: [60; 3],
        verify_s: [70; 3],
    };
    let policy = Policy {
        kinds: vec!["fall".to_owned()],
        severities: vec![Severity::Major],
        bands: Vec::new(),
        tell_at_once: vec![1, 2],
        deadlines: Some(deadlines),
    };
    street.link(Linkage { version: 1, policies: vec![policy], ..Linkage::default() });
    let id = street.fall(1, "f").alert_id;
    let due_s =
        |street: &crate::street::Street| (street.alert(&id).due_us - street.now_us) / SECOND_US;
    assert_eq!((due_s(&street), street.alert(&id).level), (10, 2));
    street.wait_s(10);
    assert_eq!(due_s(&street), 20);
    street.wait_s(20);
    assert_eq!(due_s(&street), 30);
    for (action, seconds) in [
        (Action::Ack, 40),
        (Action::Dispatch, 50),
        (Action::Depart, 50),
        (Action::Arrive, 60),
        (Action::Feedback, 70),
        (Action::Verify, 70),
    ] {
        street.steps(&id, &[action]);
        assert_eq!(due_s(&street), seconds, "after {action:?}");
    }
    let closed = street.steps(&id, &[Action::Close]);
    assert_eq!(closed.due_us, 0);
    assert_eq!(street.written("linkage_policy", "version"), ["1"]);
}

#[test]
fn a_relative_who_withdraws_consent_is_told_no_more() {
    let mut street = street();
    street.done(&relation("r1", "daughter", "child", false));
    let alert = street.fall(1, "f");
    assert_eq!(people(&street.waiting(&alert.alert_id), 1), ["next door"]);
}

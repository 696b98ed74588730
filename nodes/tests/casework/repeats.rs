//! The same hazard again: reopened, merged, or a case of its own.

use crate::street::{SECOND_US, street};
use nodes::state::{Action, CaseStep, Linkage, Severity, Work};

#[test]
fn what_fires_again_soon_after_closing_is_the_same_case() {
    let mut street = street();
    let id = street.gas(1, "g").alert_id;
    street.handle(&id);
    street.deliver_all();
    street.wait_s(899);
    let again = street.gas(1, "h");
    assert_eq!((again.alert_id.as_str(), again.reopened), (id.as_str(), 1));
    assert_eq!((again.work, again.closed_us), (Work::L1Notified, 0));
    assert_eq!((again.outcome.as_str(), again.closed_as.as_str()), ("", ""));
    assert_eq!(again.evidence.len(), 6);
    assert_eq!(again.opened_us, street.now_us);
    assert_eq!(again.due_us, street.now_us + 60 * SECOND_US);
    let whats: Vec<String> = street.waiting(&id).into_iter().map(|each| each.3).collect();
    assert_eq!(whats, ["reopened"; 3], "everybody is told again");
    let last: Vec<(&str, &str)> = again.history[again.history.len() - 2..]
        .iter()
        .map(|step| (step.from.as_str(), step.to.as_str()))
        .collect();
    assert_eq!(last, [("closed", "new"), ("new", "l1_notified")]);
    // Later it is a case of its own.
    street.handle(&id);
    street.wait_s(901);
    assert_ne!(street.gas(1, "i").alert_id, id);
    assert_eq!(street.state.alerts.iter().count(), 2);
}

#[test]
fn a_test_is_not_reopened_by_an_alarm() {
    let mut street = street();
    let id = street.gas(1, "g").alert_id;
    street.steps(&id, &[Action::Ack]);
    for action in [Action::Feedback, Action::Close] {
        let plain = CaseStep::new(&id, action, "wang");
        street.try_step(CaseStep { outcome: "test".to_owned(), ..plain }).unwrap();
    }
    assert_ne!(street.gas(1, "h").alert_id, id);
}

#[test]
fn a_closed_case_is_not_reopened_beside_an_open_one() {
    let mut street = street();
    let id = street.gas(1, "g").alert_id;
    street.handle(&id);
    street.wait_s(1_000);
    let second = street.gas(1, "h").alert_id;
    let said = street.try_step(CaseStep::new(&id, Action::Reopen, "wang")).unwrap_err();
    assert!(said.contains(&second), "{said}");
    street.handle(&second);
    let open = street.steps(&id, &[Action::Reopen]);
    assert_eq!((open.work, open.reopened), (Work::L1Notified, 1));
    assert_eq!(street.state.alerts.open_count(), 1);
}

#[test]
fn a_duplicate_is_merged_by_hand_and_stays_merged() {
    let mut street = street();
    let fall = street.fall(1, "f").alert_id;
    street.deliver_all();
    street.reads(1, "s", "sos", 1.0);
    let sos = street.newest().alert_id;
    let merge = |from: &str, into: &str| CaseStep {
        into: into.to_owned(),
        note: "the same fall".to_owned(),
        ..CaseStep::new(from, Action::Merge, "wang")
    };
    assert!(street.try_step(merge(&fall, &fall)).is_err());
    assert!(street.try_step(merge(&fall, "a0")).is_err());
    let merged = street.try_step(merge(&sos, &fall)).unwrap();
    assert_eq!((merged.work, merged.closed_as.as_str()), (Work::Closed, "duplicate"));
    assert_eq!(merged.merged_into, fall);
    assert!(street.waiting(&sos).is_empty());
    let into = street.alert(&fall);
    assert_eq!(into.severity, Severity::Critical, "the graver of the two counts");
    assert_eq!(into.evidence, ["f", "s"]);
    // The button again: still the same case, and nobody is told twice.
    street.deliver_all();
    street.reads(1, "s2", "sos", 1.0);
    assert_eq!(street.state.alerts.open_count(), 1);
    assert_eq!(street.alert(&fall).evidence, ["f", "s", "s2"]);
    assert!(street.try_step(merge(&fall, &sos)).is_err(), "that one is closed");
}

#[test]
fn two_kinds_of_one_hazard_are_one_case_where_the_linkage_says_so() {
    let mut street = street();
    let group = vec!["sos".to_owned(), "fall".to_owned()];
    street.link(Linkage { version: 1, same_hazard: vec![group], ..Linkage::default() });
    let fall = street.fall(1, "f");
    assert_eq!(fall.level, 1);
    street.deliver_all();
    street.reads(1, "s", "sos", 1.0);
    assert_eq!(street.state.alerts.iter().count(), 1);
    let both = street.newest();
    assert_eq!((both.level, both.severity), (3, Severity::Critical));
    assert_eq!(street.waiting(&both.alert_id).len(), 1, "only the centre has not heard of it");
    // What the raise said is in the history, and again changes nothing.
    assert!(both.history.last().unwrap().reason.contains("told level 3"), "{both:?}");
    let lines = both.transitions;
    street.reads(1, "s3", "sos", 1.0);
    street.reads(1, "f2", "fall", 1.0);
    assert_eq!(street.newest().transitions, lines, "another reading of either kind is no step");
    // In another home it is another case.
    street.reads(2, "s2", "sos", 1.0);
    assert_eq!(street.state.alerts.open_count(), 2);
}

//! Notices: one for a person and step, tried until they are delivered, dead or of no use.

use crate::street::{SECOND_US, Street, relation, street};
use nodes::state::{Action, Delivering, Linkage};
use std::collections::BTreeSet;

#[test]
fn nobody_is_told_twice_of_one_step() {
    let mut street = street();
    let roster =
        "level = 3\nversion = 1\n[[shifts]]\nname = \"all\"\npeople = [\"daughter\", \"wang\"]";
    street.roster(roster);
    let alert = street.gas(1, "g");
    // The daughter happens to work at the centre.
    let ids = street.deliver_all();
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), unique.len()), (3, 3), "{ids:?}");
    assert!(ids.iter().all(|id| id.starts_with(&format!("{}.2.", alert.alert_id))));
    assert!(street.state.casework.outbox.is_empty());
    assert_eq!(street.state.casework.outbox.delivered, 3);
    assert_eq!(street.written("notice", "state"), [["waiting"; 3], ["delivered"; 3]].concat());
}

#[test]
fn a_failure_is_tried_again_after_a_pause_and_a_word_that_comes_twice_counts_once() {
    let mut street = street();
    let id = street.fall(2, "f").alert_id;
    let notice = street.state.casework.outbox.of_alert(&id).next().unwrap().notice_id.clone();
    street.delivery(&notice, 1, None);
    street.delivery(&notice, 1, None);
    let outbox = &street.state.casework.outbox;
    let waiting = outbox.get(&notice).unwrap();
    assert_eq!((waiting.attempts, waiting.next_us), (1, street.now_us + SECOND_US));
    assert_eq!(outbox.ready(street.now_us).count(), 0);
    street.restart();
    assert_eq!(street.state.casework.outbox.ready(street.now_us + SECOND_US).count(), 1);
    street.delivery(&notice, 2, Some("provider-7"));
    street.delivery(&notice, 2, Some("provider-7"));
    assert!(street.state.casework.outbox.is_empty());
    assert_eq!(street.written("notice", "state"), ["waiting", "failed", "delivered"]);
    assert_eq!(street.written("notice", "provider_id").last().unwrap(), "provider-7");
    assert_eq!(street.written("notice", "seq"), ["1", "2", "3"]);
}

#[test]
fn what_cannot_be_delivered_dies_and_is_counted() {
    let mut street = street();
    let delivering = Delivering { attempts_max: 3, give_up_s: 100, ..Delivering::default() };
    street.link(Linkage { version: 1, delivering, ..Linkage::default() });
    let first = street.fall(2, "f").alert_id;
    let notice = street.state.casework.outbox.of_alert(&first).next().unwrap().notice_id.clone();
    for attempt in 1..=4 {
        street.delivery(&notice, attempt, None);
    }
    assert_eq!((street.state.casework.outbox.dead, street.state.casework.outbox.len()), (1, 0));
    // Where nothing takes them, they are given up in time.
    street.fall(1, "f2");
    assert_eq!(street.state.casework.outbox.len(), 2);
    street.wait_s(99);
    assert_eq!(street.state.casework.outbox.len(), 2);
    street.wait_s(1);
    assert_eq!((street.state.casework.outbox.dead, street.state.casework.outbox.len()), (3, 0));
    assert!(street.written("notice", "reason").last().unwrap().contains("within 100 s"));
}

#[test]
fn nobody_is_called_to_a_case_that_is_over() {
    let mut street = street();
    let id = street.gas(1, "g").alert_id;
    let waiting: Vec<String> =
        street.state.casework.outbox.of_alert(&id).map(|each| each.notice_id.clone()).collect();
    let reached = waiting.iter().find(|each| each.contains("daughter")).unwrap();
    street.delivery(reached, 1, Some("p"));
    street.handle(&id);
    let told = street.waiting(&id);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0.as_str(), told[0].3.as_str()), ("daughter", "closed"));
    assert_eq!(street.state.casework.outbox.withdrawn, 2);
    street.deliver_all();
    // Nothing of it fires months later.
    street.wait_s(86_400 * 90);
    assert!(street.waiting(&id).is_empty());
    assert_eq!(street.alert(&id).work.as_str(), "closed");
}

#[test]
fn the_most_urgent_notice_goes_first_however_many_wait() {
    let mut street = street();
    street.reads(2, "w", "water", 5.0);
    street.fall(2, "f");
    let gas = street.gas(1, "g").alert_id;
    let outbox = &street.state.casework.outbox;
    let order: Vec<&str> = outbox.ready(i64::MAX).map(|each| each.kind.as_str()).collect();
    assert_eq!(order, ["gas_leak", "gas_leak", "gas_leak", "fall", "water_leak"]);
    assert_eq!(outbox.ready(i64::MAX).next().unwrap().alert_id, gas);
    let merged = street.steps(&gas, &[Action::Ack]);
    assert!(merged.due_us > 0);
}

#[test]
fn a_consent_that_is_withdrawn_takes_back_what_is_on_its_way() {
    let mut street = street();
    street.done(&relation("r1", "daughter", "guardian", true));
    let id = street.gas(1, "g").alert_id;
    let people = |street: &Street| {
        let waiting = street.waiting(&id);
        waiting.into_iter().map(|each| each.0).collect::<Vec<_>>()
    };
    assert_eq!(people(&street), ["centre", "daughter", "next door"]);
    // She is two things to the resident: one of them is enough.
    street.done(&relation("r1", "daughter", "child", false));
    assert_eq!(people(&street), ["centre", "daughter", "next door"]);
    street.done(&relation("r1", "daughter", "guardian", false));
    assert_eq!(people(&street), ["centre", "next door"]);
    assert!(street.written("notice", "reason").contains(&"consent was withdrawn".to_owned()));
    // Who has heard of it before and may not any more does not hear its end either.
    street.deliver_all();
    street.done(&relation("r1", "next door", "neighbour", false));
    street.handle(&id);
    assert_eq!(people(&street), ["centre"]);
}

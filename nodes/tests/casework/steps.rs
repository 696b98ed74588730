//! What people may do, and what they may not.

use crate::street::{SECOND_US, street};
use nodes::state::{Action, CaseStep, Work, possible};

#[test]
fn an_illegal_step_says_what_is_possible_now() {
    let mut street = street();
    let id = street.gas(1, "g").alert_id;
    let said = street.try_step(CaseStep::new(&id, Action::Close, "wang")).unwrap_err();
    assert!(
        said.contains("possible now: ack, silence, reassign, escalate, inform, merge"),
        "{said}"
    );
    let words: Vec<&str> = possible(&street.alert(&id)).into_iter().map(Action::as_str).collect();
    assert_eq!(words, ["ack", "silence", "reassign", "escalate", "inform", "merge"]);
    let said = street.try_step(CaseStep::new("a0", Action::Ack, "wang")).unwrap_err();
    assert!(said.contains("no alert"), "{said}");
}

#[test]
fn what_was_found_outlives_how_it_was_closed() {
    let mut street = street();
    let id = street.gas(1, "g").alert_id;
    street.steps(&id, &[Action::Ack, Action::Dispatch, Action::Arrive]);
    let feedback = CaseStep {
        outcome: "pipe_replaced".to_owned(),
        reference: "photo-17".to_owned(),
        ..CaseStep::new(&id, Action::Feedback, "leader")
    };
    street.try_step(feedback).unwrap();
    let closed = street.steps(&id, &[Action::Verify, Action::Close]);
    assert_eq!((closed.outcome.as_str(), closed.closed_as.as_str()), ("pipe_replaced", "handled"));
    assert_eq!(closed.reference, "photo-17");
    assert!(closed.steps.feedback_us > 0 && closed.steps.verify_us > 0);
}

#[test]
fn a_false_alarm_known_by_telephone_is_closed_without_sending_anybody() {
    let mut street = street();
    let id = street.gas(1, "g").alert_id;
    street.steps(&id, &[Action::Ack]);
    let feedback = |outcome: &str| CaseStep {
        outcome: outcome.to_owned(),
        ..CaseStep::new(&id, Action::Feedback, "wang")
    };
    assert!(street.try_step(feedback("handled")).is_err());
    street.try_step(feedback("false_alarm")).unwrap();
    let close = CaseStep::new(&id, Action::Close, "wang");
    let closed = street.try_step(close).unwrap();
    assert_eq!(closed.closed_as, "false_alarm");
}

#[test]
fn a_step_may_have_happened_earlier_but_not_at_any_time() {
    let mut street = street();
    let id = street.gas(1, "g").alert_id;
    street.now_us += 50 * SECOND_US;
    let ago = |seconds: i64, now_us: i64| CaseStep {
        happened_us: now_us - seconds * SECOND_US,
        ..CaseStep::new(&id, Action::Ack, "wang")
    };
    let now_us = street.now_us;
    assert!(street.try_step(ago(51, now_us)).unwrap_err().contains("between"));
    assert!(street.try_step(ago(-301, now_us)).unwrap_err().contains("between"));
    let acked = street.try_step(ago(40, now_us)).unwrap();
    assert_eq!(acked.steps.ack_us, now_us - 40 * SECOND_US);
    let step = acked.history.last().unwrap();
    assert_eq!((step.event_us, step.at_us), (now_us - 40 * SECOND_US, now_us));
    assert_eq!(
        street.written("alert_history", "event_ts").last().unwrap(),
        &step.event_us.to_string()
    );
}

#[test]
fn who_is_sent_is_told_and_has_it_in_hand() {
    let mut street = street();
    let id = street.fall(1, "f").alert_id;
    street.steps(&id, &[Action::Ack]);
    street.deliver_all();
    let to = |action, who: &str| CaseStep {
        assignee: who.to_owned(),
        ..CaseStep::new(&id, action, "wang")
    };
    let sent = street.try_step(to(Action::Dispatch, "li")).unwrap();
    assert_eq!(sent.assignee, "li");
    let waiting = street.waiting(&id);
    assert_eq!((waiting[0].0.as_str(), waiting[0].3.as_str()), ("li", "dispatched"));
    street.deliver_all();
    let moved = street.try_step(to(Action::Reassign, "zhao")).unwrap();
    assert_eq!((moved.assignee.as_str(), moved.work), ("zhao", Work::Dispatched));
    assert_eq!(street.waiting(&id)[0].3, "reassigned");
}

#[test]
fn pushing_up_gives_the_turn_away_and_a_copy_does_not() {
    let mut street = street();
    let id = street.fall(1, "f").alert_id;
    street.deliver_all();
    let copied = street.steps(&id, &[Action::Inform]);
    assert_eq!((copied.turn, copied.level), (1, 2));
    assert_eq!(street.waiting(&id)[0].3, "informed");
    street.steps(&id, &[Action::Ack]);
    let pushed = street.steps(&id, &[Action::Escalate]);
    assert_eq!((pushed.turn, pushed.work, pushed.assignee.as_str()), (2, Work::L1Notified, ""));
    street.steps(&id, &[Action::Escalate]);
    let said = street.try_step(CaseStep::new(&id, Action::Escalate, "wang")).unwrap_err();
    assert!(said.contains("highest level"), "{said}");
    assert!(!possible(&street.alert(&id)).contains(&Action::Escalate));
}

#[test]
fn a_silence_ends_by_itself_and_pages_nobody_meanwhile() {
    let mut street = street();
    let id = street.fall(1, "f").alert_id;
    let silence = CaseStep { silence_s: 600, ..CaseStep::new(&id, Action::Silence, "wang") };
    let silent = street.try_step(silence).unwrap();
    assert_eq!(silent.silent_until_us, street.now_us + 600 * SECOND_US);
    assert!(street.waiting(&id).is_empty(), "what nobody got yet is withdrawn");
    street.wait_s(599);
    assert_eq!(street.alert(&id).turn, 1);
    street.wait_s(1);
    let awake = street.alert(&id);
    assert_eq!((awake.silent_until_us, awake.turn), (0, 1));
    assert_eq!(awake.due_us, street.now_us + 300 * SECOND_US);
    street.wait_s(300);
    assert_eq!(street.alert(&id).turn, 2);
    // For ever there is no silence.
    let silent = street.steps(&id, &[Action::Silence]);
    assert_eq!(silent.silent_until_us, street.now_us + 3_600 * SECOND_US);
    let for_ever = CaseStep { silence_s: u32::MAX, ..CaseStep::new(&id, Action::Silence, "wang") };
    let silent = street.try_step(for_ever).unwrap();
    assert_eq!(silent.silent_until_us, street.now_us + 7 * 86_400 * SECOND_US);
}

#[test]
fn a_repeat_of_an_action_changes_nothing_and_tells_nobody_again() {
    let mut street = street();
    let id = street.fall(1, "f").alert_id;
    let ack = CaseStep { action_id: "x".to_owned(), ..CaseStep::new(&id, Action::Ack, "wang") };
    let first = street.try_step(ack.clone()).unwrap();
    street.restart();
    assert_eq!(street.try_step(ack).unwrap(), first);
    assert_eq!(street.alert(&id).transitions, first.transitions);
}

//! Homes in which nobody moves.

use crate::street::{DAY_US, HOUR_US, MINUTE_US, SECOND_US, Street};
use nodes::state::{
    Command, Condition, InactivityRule, Reply, Rules, Scope, Severity, SilenceMode, SilenceWanted,
};

fn still(limit_h: f64, habit_times: f64) -> InactivityRule {
    InactivityRule {
        alert: "inactivity".to_owned(),
        kinds: ["door", "motion", "bed"].map(str::to_owned).to_vec(),
        limit_h,
        habit_times,
        after_door_h: 24.0,
        first_week_h: 0.0,
        known_days: 7,
        at_night: false,
        night_times: 0.0,
        asleep_h: 0.0,
        deaf_beats: 0,
        deaf_grace_h: 0.0,
        severity: Severity::Major,
        level: 1,
    }
}

fn street(rules: Vec<InactivityRule>) -> Street {
    let mut street = Street::new(&Rules { inactivity: rules, ..Rules::bare() }, 1);
    for (device, class) in [("pir", "motion"), ("front", "door")] {
        street.device(device, class, "w0");
    }
    street
}

#[test]
fn twelve_hours_by_day_are_told_and_the_night_does_not_count() {
    let mut street = street(vec![still(12.0, 0.0)]);
    // It is ten in the morning: twelve hours end as the night begins.
    street.now("pir", "motion", 1.0);
    street.wait(12 * HOUR_US - SECOND_US);
    assert_eq!(street.count(), 0);
    street.wait(2 * SECOND_US);
    assert_eq!(street.count(), 1);
    let alert = &street.alerts("inactivity")[0];
    assert_eq!((alert.dwelling_id.as_str(), alert.resident_key.as_str()), ("w0", "r0"));
    // A reading of a sensor that sees nobody is no movement.
    street.now("pir", "motion", 0.0);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing));
    street.now("pir", "motion", 1.0);
    assert_eq!(street.condition("inactivity"), Some(Condition::Cleared));
    // From ten in the evening: nothing before six in the evening of the next day.
    street.wait(20 * HOUR_US - 2 * SECOND_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Cleared));
    street.wait(3 * SECOND_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing));
}

#[test]
fn at_night_too_where_it_is_configured() {
    let mut street = street(vec![InactivityRule { at_night: true, ..still(12.0, 0.0) }]);
    street.wait(12 * HOUR_US);
    street.now("pir", "motion", 1.0);
    street.wait(12 * HOUR_US + SECOND_US);
    assert_eq!(street.count(), 1);
}

#[test]
fn a_silence_that_was_usual_at_that_hour_is_waited_for_half_as_long_again() {
    // A limit of five hours teaches a habit of four; then the limit is three.
    let mut street = street(vec![still(5.0, 1.5)]);
    for _ in 0..7 {
        while (street.now_us / HOUR_US + 8) % 24 != 12 {
            street.now("pir", "motion", 1.0);
            street.wait(HOUR_US);
        }
        street.now("pir", "motion", 1.0);
        street.wait(4 * HOUR_US);
        street.now("pir", "motion", 1.0);
    }
    assert_eq!(street.count(), 0);
    let rules = Rules { version: 2, inactivity: vec![still(3.0, 1.5)], ..Rules::bare() };
    street.push(&rules);
    while (street.now_us / HOUR_US + 8) % 24 != 12 {
        street.now("pir", "motion", 1.0);
        street.wait(HOUR_US);
    }
    street.now("pir", "motion", 1.0);
    // Around three and four in the afternoon the longest was four hours: six. At five it never was so.
    street.wait(4 * HOUR_US + 59 * MINUTE_US);
    assert_eq!(street.count(), 0);
    street.wait(2 * MINUTE_US);
    assert_eq!(street.count(), 1, "{}", street.said("inactivity"));
    assert!(street.said("inactivity").contains("no movement since"));
}

#[test]
fn who_left_by_the_door_may_be_out() {
    let mut street = street(vec![still(4.0, 0.0)]);
    street.now("pir", "motion", 1.0);
    street.wait(SECOND_US);
    street.now("front", "door", 1.0);
    street.wait(11 * HOUR_US);
    assert_eq!(street.count(), 0, "out for a day at most");
    street.now("front", "door", 1.0);
    street.wait(SECOND_US);
    street.now("pir", "motion", 1.0);
    street.wait(9 * HOUR_US + 8 * HOUR_US);
    assert_eq!(street.count(), 1, "in, and still");
}

#[test]
fn a_door_that_is_not_opened_is_told_twice() {
    let door = |limit_h, severity| InactivityRule {
        alert: "door_not_opened".to_owned(),
        kinds: vec!["door".to_owned()],
        after_door_h: 0.0,
        at_night: true,
        severity,
        ..still(limit_h, 0.0)
    };
    let mut street = street(vec![door(24.0, Severity::Minor), door(48.0, Severity::Major)]);
    street.now("front", "door", 1.0);
    street.wait(DAY_US - SECOND_US);
    street.now("pir", "motion", 1.0);
    assert_eq!(street.count(), 0);
    street.wait(2 * SECOND_US);
    assert_eq!(street.alerts("door_not_opened")[0].severity, Severity::Minor);
    street.wait(DAY_US);
    let alerts = street.alerts("door_not_opened");
    assert_eq!((alerts.len(), alerts[0].severity), (1, Severity::Major), "one case, worse now");
    street.now("front", "door", 1.0);
    assert_eq!(street.condition("door_not_opened"), Some(Condition::Cleared));
}

#[test]
fn a_first_door_that_comes_late_is_waited_for_from_its_own_time() {
    let door = InactivityRule {
        alert: "door_not_opened".to_owned(),
        kinds: vec!["door".to_owned()],
        at_night: true,
        ..still(24.0, 0.0)
    };
    let mut street = street(vec![door]);
    street.now("pir", "motion", 1.0);
    street.at("front", "door", 1.0, street.now_us - 23 * HOUR_US);
    street.wait(HOUR_US + 2 * SECOND_US);
    assert_eq!(street.condition("door_not_opened"), Some(Condition::Firing));
}

#[test]
fn a_movement_that_comes_late_corrects_the_alarm() {
    let mut street = street(vec![still(4.0, 0.0)]);
    let begin_us = street.now_us;
    street.now("pir", "motion", 1.0);
    street.wait(4 * HOUR_US + MINUTE_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing));
    // From before the one that is known: says nothing.
    street.at("pir", "motion", 1.0, begin_us - HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing));
    let late = street.at("pir", "motion", 1.0, begin_us + HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Cleared));
    let said = street.said("inactivity");
    assert!(said.contains("corrected") && said.contains(&late), "{said}");
    // The silence counts from the late movement on.
    street.wait(HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing));
}

#[test]
fn nobody_is_missed_where_nobody_lives_or_nothing_can_be_heard() {
    let mut street = street(vec![still(4.0, 0.0)]);
    street.row("dwelling", &[("dwelling_id", "empty"), ("building_id", "b0")]);
    street.device("ghost", "motion", "empty");
    street.now("ghost", "motion", 1.0);
    street.wait(12 * HOUR_US);
    assert_eq!(street.count(), 0);
    // The home's only sensor is dead: told as that, and not as a person's silence.
    let devices = Rules::default().devices;
    let mut rules =
        Rules { version: 2, inactivity: vec![still(4.0, 0.0)], devices, ..Rules::bare() };
    rules.devices.retain(|class| class.class == "motion");
    rules.devices[0].heartbeat_s = 3_600;
    street.push(&rules);
    street.now("pir", "motion", 1.0);
    street.wait(20 * HOUR_US);
    assert_eq!(street.alerts("inactivity").len(), 0);
    assert_eq!(street.alerts("device_offline").len(), 2);
}

#[test]
fn one_reading_in_a_home_that_was_left_is_nobody() {
    let mut street = street(vec![still(4.0, 0.0)]);
    street.now("pir", "motion", 1.0);
    street.wait(SECOND_US);
    street.now("front", "door", 1.0);
    // Whoever comes in is seen at once; whoever left is not.
    street.wait(3 * HOUR_US);
    street.now("pir", "motion", 1.0);
    street.wait(6 * HOUR_US);
    assert_eq!(street.count(), 0, "still out");
    // Two within three hours are somebody.
    street.now("pir", "motion", 1.0);
    street.wait(10 * MINUTE_US);
    street.now("pir", "motion", 1.0);
    street.wait(13 * HOUR_US);
    assert_eq!(street.count(), 1, "in, and still");
}

#[test]
fn who_comes_in_and_falls_behind_the_door_is_seen_once_and_missed() {
    let mut street = street(vec![still(4.0, 0.0)]);
    street.now("front", "door", 1.0);
    street.wait(5 * MINUTE_US);
    street.now("pir", "motion", 1.0);
    street.wait(4 * HOUR_US + MINUTE_US);
    assert_eq!(street.count(), 1);
}

#[test]
fn days_out_are_no_habit_of_being_still() {
    let mut street = street(vec![InactivityRule { after_door_h: 48.0, ..still(4.0, 1.5) }]);
    for _ in 0..8 {
        street.now("pir", "motion", 1.0);
        street.wait(SECOND_US);
        street.now("front", "door", 1.0);
        street.wait(10 * HOUR_US);
        street.now("front", "door", 1.0);
        for _ in 0..14 {
            street.wait(HOUR_US - SECOND_US / 14);
            street.now("pir", "motion", 1.0);
        }
    }
    assert_eq!(street.count(), 0);
    street.wait(4 * HOUR_US + MINUTE_US);
    assert_eq!(street.count(), 1, "in, and still for longer than ever");
}

#[test]
fn a_home_without_a_habit_is_given_more_time_for_a_week() {
    let rule = InactivityRule { first_week_h: 8.0, ..still(4.0, 0.0) };
    let mut street = street(vec![rule]);
    street.now("pir", "motion", 1.0);
    street.wait(8 * HOUR_US - MINUTE_US);
    assert_eq!(street.count(), 0);
    street.wait(2 * MINUTE_US);
    assert_eq!(street.count(), 1);
    for _ in 0..7 * 24 {
        street.now("pir", "motion", 1.0);
        street.wait(HOUR_US);
    }
    let told = street.count();
    street.now("pir", "motion", 1.0);
    while (street.now_us / HOUR_US + 8) % 24 != 8 {
        street.now("pir", "motion", 1.0);
        street.wait(HOUR_US);
    }
    street.now("pir", "motion", 1.0);
    street.wait(4 * HOUR_US + MINUTE_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing), "{told}");
}

#[test]
fn a_home_whose_gateway_is_worked_on_is_missed_when_that_is_over() {
    let mut street = street(vec![still(4.0, 0.0)]);
    street.now("pir", "motion", 1.0);
    let silence = SilenceWanted {
        scope: Scope::Gateway,
        key: "gw".to_owned(),
        kinds: Vec::new(),
        mode: SilenceMode::Maintenance,
        for_s: 6 * 3_600,
        actor: "fitter".to_owned(),
        reason: "a new gateway".to_owned(),
        request_id: String::new(),
    };
    let reply = street.apply(&Command::BeginSilence(Box::new(silence)));
    assert!(matches!(reply, Reply::Silence(_)), "{reply:?}");
    street.wait(5 * HOUR_US);
    let alert = street.alerts("inactivity").pop().unwrap();
    assert!(!alert.suppressed_by.is_empty() && street.state.casework.outbox.is_empty());
    street.wait(HOUR_US + SECOND_US);
    let alert = street.alerts("inactivity").pop().unwrap();
    assert_eq!(alert.suppressed_by, "");
    assert!(!street.state.casework.outbox.is_empty(), "nobody has moved yet");
}

//! People who lie still, and people who only seem to: the default rule over days made by hand.

use crate::street::{DAY_US, HOUR_US, MINUTE_US, SECOND_US, Street};
use nodes::state::{Command, Condition, Rules};

/// The default set without what speaks of doors that stay shut and of batteries.
fn rules() -> Rules {
    let mut rules = Rules::default();
    rules.inactivity.retain(|rule| rule.alert == "inactivity");
    rules
}

/// A home with a gateway that is heard every hour, a motion sensor, a door and a sleep monitor.
fn street() -> Street {
    let mut street = Street::new(&rules(), 1);
    for (device, class) in
        [("pir", "motion"), ("front", "door"), ("sleep", "resp"), ("gw", "gateway")]
    {
        street.device(device, class, "w0");
    }
    street
}

/// The local hour.
fn hour(street: &Street) -> i64 {
    (street.now_us / HOUR_US + 8) % 24
}

fn minute_of_day(street: &Street) -> i64 {
    (street.now_us / MINUTE_US + 8 * 60) % (24 * 60)
}

/// What a home says in the half hours of so long.
#[derive(Clone, Copy)]
struct Says {
    gateway: bool,
    moves: bool,
    breathes: bool,
}

const WELL: Says = Says { gateway: true, moves: true, breathes: true };
const STILL: Says = Says { gateway: true, moves: false, breathes: false };
const SILENT: Says = Says { gateway: false, moves: false, breathes: false };

/// Lives from 6 to 22 o'clock with a movement every half hour but for a nap from 13 to 15, sleeps
/// beside a monitor.
fn live(street: &mut Street, says: Says, us: i64) {
    let to_us = street.now_us + us;
    while street.now_us < to_us {
        let minute = minute_of_day(street);
        let of_hour = minute % 60;
        if says.gateway && of_hour == 30 {
            street.now("gw", "heartbeat", 1.0);
        }
        let is_awake = (6 * 60..22 * 60).contains(&minute);
        let naps = (13 * 60 + 30..15 * 60).contains(&minute);
        if says.moves && is_awake && !naps {
            street.now("pir", "motion", 1.0);
        }
        if says.breathes && !is_awake {
            street.now("sleep", "respiration", 15.0);
        }
        street.wait((30 * MINUTE_US).min(to_us - street.now_us));
    }
}

/// Lives for so many days and then until an hour.
fn settle(street: &mut Street, days: i64, until: i64) {
    live(street, WELL, days * DAY_US);
    while hour(street) != until {
        live(street, WELL, HOUR_US);
    }
}

#[test]
fn who_falls_in_the_afternoon_is_missed_in_the_evening_and_is_told_why() {
    let mut street = street();
    settle(&mut street, 8, 16);
    assert_eq!(street.count(), 0);
    live(&mut street, STILL, 5 * HOUR_US);
    assert_eq!(street.alerts("inactivity").len(), 0, "not before six hours");
    live(&mut street, STILL, HOUR_US);
    let said = street.said("inactivity");
    assert_eq!(street.alerts("inactivity").len(), 1, "{said}");
    assert!(said.contains("(15:30 local time), for 6 h 00 min"), "{said}");
    assert!(said.contains("between 20 and 23 o'clock"), "{said}");
}

#[test]
fn who_falls_before_the_evening_is_missed_at_night_unless_breath_is_seen() {
    for breathes in [false, true] {
        let mut street = street();
        settle(&mut street, 8, 17);
        // From half past four; five and a half hours of the day are left.
        live(&mut street, Says { breathes, ..STILL }, 5 * HOUR_US + 20 * MINUTE_US);
        assert_eq!(street.count(), 0);
        live(&mut street, Says { breathes, ..STILL }, 20 * MINUTE_US);
        assert_eq!(street.alerts("inactivity").len(), usize::from(!breathes), "{breathes}");
    }
}

#[test]
fn who_falls_at_dusk_is_missed_in_the_morning() {
    let mut street = street();
    settle(&mut street, 8, 20);
    // From half past seven: the night is as still as ever, the morning is not.
    live(&mut street, STILL, 13 * HOUR_US);
    assert_eq!(street.count(), 0);
    live(&mut street, STILL, 40 * MINUTE_US);
    assert_eq!(street.alerts("inactivity").len(), 1);
}

#[test]
fn who_sleeps_late_beside_a_monitor_is_left_asleep() {
    let mut street = street();
    settle(&mut street, 8, 22);
    live(&mut street, Says { moves: false, ..WELL }, 8 * HOUR_US);
    // Breath until half past five, then neither: missed six hours later.
    live(&mut street, STILL, 5 * HOUR_US + 29 * MINUTE_US);
    assert_eq!(street.count(), 0, "{}", street.said("inactivity"));
    live(&mut street, STILL, 16 * MINUTE_US);
    assert_eq!(street.alerts("inactivity").len(), 1);
    assert!(street.said("inactivity").contains("breath was seen until 05:30"));
}

#[test]
fn who_stays_in_bed_and_breathes_is_missed_after_twelve_hours_of_day() {
    let mut street = street();
    settle(&mut street, 8, 21);
    let ill_us = street.now_us;
    let us_left = |street: &Street| street.now_us - ill_us;
    while us_left(&street) < 24 * HOUR_US && street.count() == 0 {
        street.now("sleep", "respiration", 15.0);
        street.now("gw", "heartbeat", 1.0);
        street.wait(15 * MINUTE_US);
    }
    // From half past eight: half an hour or so of that evening, the rest of the next day.
    let hours = us_left(&street) / HOUR_US;
    assert!((19..=21).contains(&hours), "told after {hours} h");
}

#[test]
fn a_night_is_no_alarm() {
    let mut street = street();
    settle(&mut street, 8, 22);
    // No sleep monitor, and four hours longer in bed than ever.
    live(&mut street, Says { breathes: false, ..WELL }, 8 * HOUR_US);
    live(&mut street, STILL, 4 * HOUR_US);
    live(&mut street, Says { breathes: false, ..WELL }, 3 * DAY_US);
    assert_eq!(street.alerts("inactivity").len(), 0, "{}", street.said("inactivity"));
}

#[test]
fn a_holiday_of_a_week_is_told_once_and_its_end_is_no_habit() {
    let mut street = street();
    settle(&mut street, 8, 9);
    street.now("front", "door", 1.0);
    live(&mut street, STILL, 47 * HOUR_US);
    assert_eq!(street.count(), 0, "the door was the last: out");
    live(&mut street, STILL, 5 * DAY_US);
    assert_eq!(street.alerts("inactivity").len(), 1);
    street.now("front", "door", 1.0);
    assert_eq!(street.condition("inactivity"), Some(Condition::Cleared));
    settle(&mut street, 1, 16);
    live(&mut street, STILL, 6 * HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing), "missed as before");
}

#[test]
fn a_new_home_has_no_habit_for_three_days() {
    let mut street = street();
    settle(&mut street, 1, 8);
    live(&mut street, STILL, 14 * HOUR_US);
    assert_eq!(street.count(), 0, "a day without movement may be a day of fitting");
    live(&mut street, WELL, 10 * HOUR_US);
    settle(&mut street, 2, 9);
    live(&mut street, STILL, 6 * HOUR_US);
    assert_eq!(street.count(), 1, "on the fifth day");
}

#[test]
fn a_gateway_that_is_away_is_no_person_who_lies_still_nor_is_its_return() {
    let mut street = street();
    settle(&mut street, 8, 10);
    live(&mut street, SILENT, 10 * HOUR_US);
    // It is back, and an hour later the person is seen.
    live(&mut street, STILL, HOUR_US);
    assert_eq!(street.alerts("inactivity").len(), 0, "{}", street.said("inactivity"));
    live(&mut street, WELL, DAY_US);
    assert_eq!(street.alerts("inactivity").len(), 0);
    // Who fell behind it is missed within the hours of grace.
    settle(&mut street, 0, 10);
    live(&mut street, SILENT, 8 * HOUR_US);
    live(&mut street, STILL, 4 * HOUR_US);
    assert_eq!(street.alerts("inactivity").len(), 1);
}

#[test]
fn a_dead_gateway_does_not_make_a_home_deaf_for_ever() {
    let mut street = street();
    settle(&mut street, 8, 10);
    // The others speak by another way, once a day.
    street.gateway = "other".to_owned();
    for _ in 0..8 {
        for _ in 0..16 {
            street.now("pir", "motion", 1.0);
            street.wait(HOUR_US);
        }
        street.now("sleep", "respiration", 15.0);
        street.wait(8 * HOUR_US);
    }
    street.now("pir", "motion", 1.0);
    street.wait(14 * HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing));
}

#[test]
fn visitors_who_leave_do_not_take_the_person_along_when_somebody_is_seen_after_them() {
    let mut street = street();
    settle(&mut street, 8, 14);
    for _ in 0..6 {
        street.now("front", "door", 1.0);
        street.wait(5 * MINUTE_US);
        street.now("pir", "motion", 1.0);
        street.wait(5 * MINUTE_US);
    }
    live(&mut street, STILL, 6 * HOUR_US);
    assert_eq!(street.count(), 1, "{}", street.said("inactivity"));
}

#[test]
fn clocks_that_change_move_the_habit_by_an_hour_and_raise_nothing() {
    let mut street = street();
    settle(&mut street, 14, 4);
    // The country puts its clocks on: the home does everything an hour earlier by the old offset.
    let mut rules = rules();
    rules.version = 2;
    rules.hours.utc_offset_min += 60;
    street.push(&rules);
    live(&mut street, WELL, 3 * DAY_US);
    // And back.
    rules.version = 3;
    rules.hours.utc_offset_min -= 60;
    street.push(&rules);
    live(&mut street, WELL, 3 * DAY_US);
    assert_eq!(street.count(), 0, "{}", street.said("inactivity"));
}

#[test]
fn a_movement_that_was_held_back_corrects_what_was_told() {
    let mut street = street();
    settle(&mut street, 8, 9);
    live(&mut street, STILL, 6 * HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing));
    street.at("pir", "motion", 1.0, street.now_us - 2 * HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Cleared));
    assert!(street.said("inactivity").contains("corrected"));
    // What was told is not told again for the same silence until it is long enough.
    live(&mut street, STILL, HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Cleared));
}

#[test]
fn a_replay_of_six_days_pages_nobody() {
    let mut street = street();
    let begin_us = street.now_us - 6 * DAY_US;
    for half in 0..2 * 24 * 4 {
        let at_us = begin_us + half * HOUR_US / 2;
        street.at("gw", "heartbeat", 1.0, at_us);
        street.at("pir", "motion", 1.0, at_us);
        street.at("sleep", "respiration", 15.0, at_us);
    }
    street.wait(3 * DAY_US);
    assert_eq!(street.alerts("inactivity").len(), 0, "{}", street.said("inactivity"));
}

#[test]
fn who_takes_to_long_afternoons_is_told_of_once_or_twice_and_not_every_day() {
    let mut street = street();
    settle(&mut street, 8, 11);
    let mut told = 0;
    for _ in 0..10 {
        // Still from 11 to 18 o'clock, and up again by themselves.
        live(&mut street, STILL, 7 * HOUR_US);
        told += usize::from(street.condition("inactivity") == Some(Condition::Firing));
        settle(&mut street, 0, 11);
    }
    assert!((1..=2).contains(&told), "{told} times in ten days");
}

#[test]
fn who_was_helped_through_the_door_taught_no_habit() {
    let mut street = street();
    settle(&mut street, 8, 11);
    live(&mut street, STILL, 7 * HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing));
    street.now("front", "door", 1.0);
    settle(&mut street, 1, 11);
    live(&mut street, STILL, 6 * HOUR_US);
    assert_eq!(street.condition("inactivity"), Some(Condition::Firing), "as soon as before");
}

#[test]
fn it_is_the_same_after_a_snapshot() {
    let mut street = street();
    settle(&mut street, 8, 22);
    live(&mut street, WELL, 3 * HOUR_US);
    let bytes = street.state.to_bytes().unwrap();
    let again = nodes::state::State::from_reader(&mut bytes.as_slice()).unwrap();
    let mut other = Street::new(&rules(), 0);
    (other.state, other.now_us) = (again, street.now_us);
    for each in [&mut street, &mut other] {
        for _ in 0..24 * 60 {
            each.now_us += MINUTE_US - SECOND_US;
            each.apply(&Command::Tick);
            each.now_us += SECOND_US;
            each.apply(&Command::Tick);
        }
    }
    assert_eq!(street.state.hash, other.state.hash);
    assert_eq!(street.state.to_bytes().unwrap(), other.state.to_bytes().unwrap());
}

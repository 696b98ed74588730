//! Nights that are unlike the home's own.

use crate::street::{HOUR_US, MINUTE_US, Street, TEN_US};
use nodes::state::{Condition, Rules, State};

fn street() -> Street {
    let mut rules = Rules { nights: Rules::default().nights, ..Rules::bare() };
    rules.nights[0].readings = 5;
    let mut street = Street::new(&rules, 1);
    street.device("belt", "resp", "w0");
    street.device("mat", "bed", "w0");
    street
}

/// From ten in the morning to the next: breaths a minute each half hour of the night, and one time out
/// of bed.
fn day(street: &mut Street, breaths: f64, out_min: i64) {
    street.wait(12 * HOUR_US + MINUTE_US);
    street.now("mat", "bed", 1.0);
    for half_hour in 0..14 {
        // Neighbouring readings differ, as those of people do.
        let swing = if half_hour % 2 == 0 { 0.5 } else { -0.5 };
        street.now("belt", "respiration", breaths + swing);
        if half_hour == 6 {
            street.now("mat", "bed", 0.0);
            street.wait(out_min * MINUTE_US);
            street.now("mat", "bed", 1.0);
            street.wait((30 - out_min) * MINUTE_US);
        } else {
            street.wait(30 * MINUTE_US);
        }
    }
    let until_us = street.now_us + 24 * HOUR_US - (street.now_us - TEN_US) % (24 * HOUR_US);
    street.wait(until_us - street.now_us);
}

#[test]
fn breath_three_deviations_above_the_own_fourteen_nights_is_told_at_dawn() {
    let mut street = street();
    for night in 0..6 {
        day(&mut street, if night % 2 == 0 { 22.0 } else { 14.0 }, 5);
    }
    // Far above, but six nights are no habit: it becomes part of it.
    day(&mut street, 18.0, 5);
    assert_eq!(street.count(), 0);
    day(&mut street, 29.0, 5);
    assert_eq!(street.count(), 0, "three deviations of this restless sleeper are more");
    for night in 0..14 {
        day(&mut street, if night % 2 == 0 { 15.5 } else { 14.5 }, 5);
    }
    street.state = State::from_reader(&mut street.state.to_bytes().unwrap().as_slice()).unwrap();
    day(&mut street, 16.5, 5);
    assert_eq!(street.count(), 0, "less than two a minute above the mean");
    day(&mut street, 20.0, 5);
    let alerts = street.alerts("breath_unusual");
    assert_eq!(alerts.len(), 1);
    assert!(
        street.said("breath_unusual").contains("was 20.00"),
        "{}",
        street.said("breath_unusual")
    );
    day(&mut street, 15.0, 5);
    assert_eq!(street.condition("breath_unusual"), Some(Condition::Cleared));
}

#[test]
fn a_longer_time_out_of_bed_than_in_95_of_100_nights_is_told() {
    let mut street = street();
    for night in 0..15 {
        day(&mut street, 15.0, 5 + night % 3);
    }
    assert_eq!(street.count(), 0);
    day(&mut street, 15.0, 20);
    assert_eq!(street.count(), 0, "a quarter of an hour more at least");
    day(&mut street, 15.0, 28);
    assert_eq!(street.alerts("long_out_of_bed").len(), 1);
}

#[test]
fn readings_by_day_and_what_comes_after_dawn_are_of_no_night() {
    let mut street = street();
    for _ in 0..14 {
        day(&mut street, 15.0, 5);
    }
    for _ in 0..60 {
        street.now("belt", "respiration", 40.0);
    }
    day(&mut street, 15.0, 5);
    // At ten in the morning, of four in the night.
    for n in 0..20 {
        street.at("belt", "respiration", 60.0, street.now_us - 6 * HOUR_US + n);
    }
    day(&mut street, 15.0, 5);
    assert_eq!(street.count(), 0);
}

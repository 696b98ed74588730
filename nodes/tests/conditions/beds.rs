//! Breath and heart only where somebody lies in bed, and who does not come back to it.

use crate::street::{HOUR_US, MINUTE_US, SECOND_US, Street};
use nodes::state::{Condition, Rules};

fn street() -> Street {
    let mut street = Street::new(&Rules { devices: Vec::new(), ..Rules::default() }, 1);
    street.device("mat", "", "w0");
    street.device("resp", "", "w0");
    street
}

#[test]
fn no_breath_in_an_empty_bed_is_none_and_in_a_taken_one_is_told_at_once() {
    let mut street = street();
    street.now("resp", "respiration", 0.0);
    assert_eq!(street.alerts("no_breath").len(), 0, "nobody says that anybody lies there");
    street.now("mat", "bed", 0.0);
    street.wait(SECOND_US);
    street.now("resp", "respiration", 0.0);
    assert_eq!(street.alerts("no_breath").len(), 0);
    street.now("mat", "bed", 1.0);
    street.wait(SECOND_US);
    street.now("resp", "respiration", 0.0);
    let alert = street.alerts("no_breath").pop().unwrap();
    assert_eq!((alert.level, alert.raised_us), (3, street.now_us));
    street.wait(SECOND_US);
    street.now("resp", "respiration", 14.0);
    assert_eq!(street.condition("no_breath"), Some(Condition::Cleared));
}

#[test]
fn a_bed_that_was_left_in_time_corrects_the_alarm() {
    let mut street = street();
    street.now("mat", "bed", 1.0);
    street.wait(HOUR_US);
    let left_us = street.now_us;
    street.wait(20 * SECOND_US);
    street.now("resp", "respiration", 0.0);
    assert_eq!(street.condition("no_breath"), Some(Condition::Firing));
    // The mat's word was on its way for longer.
    street.wait(SECOND_US);
    let late = street.at("mat", "bed", 0.0, left_us);
    assert_eq!(street.condition("no_breath"), Some(Condition::Cleared));
    let said = street.said("no_breath");
    assert!(said.contains("corrected") && said.contains(&late), "{said}");
}

#[test]
fn breath_out_of_its_band_is_told_after_half_an_hour() {
    let mut street = street();
    let breathe = |street: &mut Street, per_minute: f64, minutes: i64| {
        for _ in 0..minutes {
            street.now("resp", "respiration", per_minute);
            street.wait(MINUTE_US);
        }
    };
    breathe(&mut street, 26.0, 30);
    assert_eq!(street.alerts("breath_high").len(), 0);
    breathe(&mut street, 26.0, 1);
    assert_eq!(street.alerts("breath_high").len(), 1);
    breathe(&mut street, 18.0, 1);
    assert_eq!(street.condition("breath_high"), Some(Condition::Cleared));
    assert_eq!(street.count(), 1);
    // Spells of slow breath, six within the hour.
    for _ in 0..6 {
        breathe(&mut street, 7.0, 1);
        breathe(&mut street, 15.0, 4);
    }
    assert_eq!(street.alerts("breath_low").len(), 1);
    // Out of bed nothing of it counts.
    let mut out = self::street();
    out.now("mat", "bed", 0.0);
    breathe(&mut out, 26.0, 40);
    assert_eq!(out.count(), 0);
}

#[test]
fn out_of_bed_for_half_an_hour_at_night() {
    let mut street = street();
    street.now("mat", "bed", 1.0);
    // By day nobody minds.
    street.wait(HOUR_US);
    street.now("mat", "bed", 0.0);
    street.wait(HOUR_US);
    assert_eq!(street.alerts("out_of_bed").len(), 0);
    street.wait(11 * HOUR_US);
    street.now("mat", "bed", 1.0);
    street.wait(2 * HOUR_US);
    // One in the morning: to the bathroom and back.
    street.now("mat", "bed", 0.0);
    street.wait(20 * MINUTE_US);
    street.now("mat", "bed", 1.0);
    street.wait(HOUR_US);
    assert_eq!(street.alerts("out_of_bed").len(), 0);
    let left_us = street.now_us;
    street.now("mat", "bed", 0.0);
    street.wait(30 * MINUTE_US + SECOND_US);
    assert_eq!(street.condition("out_of_bed"), Some(Condition::Firing));
    // Back after twenty minutes, as it turns out.
    let late = street.at("mat", "bed", 1.0, left_us + 20 * MINUTE_US);
    assert_eq!(street.condition("out_of_bed"), Some(Condition::Cleared));
    assert!(street.said("out_of_bed").contains(&late));
}

#[test]
fn a_breath_of_the_very_moment_in_which_the_bed_was_left_is_none() {
    let mut street = street();
    street.now("mat", "bed", 1.0);
    street.wait(HOUR_US);
    street.now("mat", "bed", 0.0);
    street.now("resp", "respiration", 0.0);
    assert_eq!(street.count(), 0);
    // A moment before, sent a moment after: somebody lay there.
    street.wait(SECOND_US);
    street.at("resp", "respiration", 0.0, street.now_us - 2 * SECOND_US);
    assert_eq!(street.alerts("no_breath").len(), 1);
}

#[test]
fn a_bed_that_says_nothing_any_more_says_nothing() {
    let mut street = street();
    street.now("mat", "bed", 1.0);
    street.wait(23 * HOUR_US);
    // Its word holds for a day, from whatever it said last.
    street.now("mat", "bed", 1.0);
    street.wait(23 * HOUR_US);
    street.now("resp", "respiration", 0.0);
    assert_eq!(street.alerts("no_breath").len(), 1);
    street.now("resp", "respiration", 14.0);
    street.wait(2 * HOUR_US);
    street.now("resp", "respiration", 0.0);
    assert_eq!(street.condition("no_breath"), Some(Condition::Cleared), "who knows where they are");
    // What asks only that nobody says otherwise goes on.
    for _ in 0..31 {
        street.now("resp", "respiration", 26.0);
        street.wait(MINUTE_US);
    }
    assert_eq!(street.alerts("breath_high").len(), 1);
}

/// They got up and lay down again; that they got up is heard last.
#[test]
fn a_word_of_the_bed_that_comes_late_does_not_turn_over_what_it_said_since() {
    let mut street = street();
    let slept_us = street.now_us;
    street.now("mat", "bed", 1.0);
    street.wait(HOUR_US);
    street.now("resp", "respiration", 0.0);
    assert_eq!(street.condition("no_breath"), Some(Condition::Firing));
    street.wait(HOUR_US);
    street.now("mat", "bed", 1.0);
    street.wait(MINUTE_US);
    street.at("mat", "bed", 0.0, slept_us + HOUR_US / 2);
    assert_eq!(street.condition("no_breath"), Some(Condition::Cleared), "nobody lay there then");
    assert!(street.said("no_breath").contains("the bed was empty"));
    street.now("resp", "respiration", 0.0);
    assert_eq!(street.condition("no_breath"), Some(Condition::Firing), "somebody lies there now");
    // Late once more: what rests on a reading of since then stands.
    street.at("mat", "bed", 0.0, slept_us + HOUR_US);
    assert_eq!(street.condition("no_breath"), Some(Condition::Firing));
}

#[test]
fn who_was_back_in_bed_in_between_is_waited_for_from_when_they_left_again() {
    let mut street = street();
    // 11 at night.
    street.wait(13 * HOUR_US);
    street.now("mat", "bed", 1.0);
    street.wait(MINUTE_US);
    let left_us = street.now_us;
    street.now("mat", "bed", 0.0);
    street.wait(31 * MINUTE_US);
    assert_eq!(street.condition("out_of_bed"), Some(Condition::Firing));
    street.now("mat", "bed", 0.0);
    street.wait(MINUTE_US);
    street.at("mat", "bed", 1.0, left_us + 10 * MINUTE_US);
    assert_eq!(street.condition("out_of_bed"), Some(Condition::Cleared));
    assert!(street.said("out_of_bed").contains("corrected"), "{}", street.said("out_of_bed"));
    street.wait(28 * MINUTE_US);
    assert_eq!(street.condition("out_of_bed"), Some(Condition::Cleared));
    street.wait(2 * MINUTE_US);
    assert_eq!(street.condition("out_of_bed"), Some(Condition::Firing), "out since its last word");
}

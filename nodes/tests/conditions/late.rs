//! Events that come late: they count where they belong, correct what rested on their absence, and wake
//! nobody when they are old.

use crate::street::{DAY_US, HOUR_US, MINUTE_US, SECOND_US, Street};
use nodes::state::{AlertRule, Condition, Rules, Severity};

fn rule(count: u32, within_s: u32) -> AlertRule {
    AlertRule::counting(("gas", "found"), 5.0, (count, within_s), (Severity::Major, 1))
}

fn street(rule: AlertRule) -> Street {
    let rules = Rules { alerts: vec![rule], paging_age_s: 7_200, ..Rules::bare() };
    let mut street = Street::new(&rules, 1);
    street.device("a", "", "w0");
    street
}

#[test]
fn a_late_reading_completes_the_count_it_belongs_to() {
    let mut street = street(rule(3, 600));
    let begin_us = street.now_us;
    let first = street.now("a", "gas", 6.0);
    let second = street.now("a", "gas", 6.0);
    // Much later, and far outside the window, another one; then the one that was missing.
    street.wait(HOUR_US);
    street.now("a", "gas", 6.0);
    assert_eq!(street.count(), 0);
    let late = street.at("a", "gas", 6.0, begin_us + MINUTE_US);
    let found = &street.alerts("found")[0];
    assert_eq!(found.evidence, [first, second, late]);
}

#[test]
fn what_is_older_than_the_paging_age_counts_and_wakes_nobody() {
    let mut street = street(rule(3, 600));
    let old_us = street.now_us;
    street.wait(2 * HOUR_US + SECOND_US);
    for _ in 0..3 {
        street.at("a", "gas", 6.0, old_us);
    }
    assert_eq!(street.count(), 0, "two hours old");
    // It counted all the same: with a younger one of the same window it is three within ten minutes.
    street.at("a", "gas", 6.0, old_us + 5 * MINUTE_US);
    assert_eq!(street.count(), 1);
}

#[test]
fn a_backfill_of_a_week_ago_is_held_against_nothing() {
    let mut street = street(rule(1, 60));
    street.at("a", "gas", 9.0, street.now_us - 8 * DAY_US);
    street.now("a", "gas", 1.0);
    assert_eq!(street.count(), 0);
}

#[test]
fn a_clock_that_runs_ahead_does_not_make_readings_last() {
    let mut street = street(AlertRule { for_s: 600, ..rule(1, 60) });
    street.now("a", "gas", 6.0);
    street.wait(SECOND_US);
    street.at("a", "gas", 6.0, street.now_us + 30 * MINUTE_US);
    assert_eq!(street.count(), 0, "it counts at its receipt");
}

#[test]
fn a_late_reading_shows_that_it_did_not_last() {
    let mut street = street(AlertRule { for_s: 600, ..rule(1, 60) });
    let begin_us = street.now_us;
    for _ in 0..3 {
        street.now("a", "gas", 6.0);
        street.wait(5 * MINUTE_US);
    }
    assert_eq!(street.condition("found"), Some(Condition::Firing));
    // One that was low before all of it changes nothing.
    street.at("a", "gas", 1.0, begin_us - MINUTE_US);
    assert_eq!(street.condition("found"), Some(Condition::Firing));
    let late = street.at("a", "gas", 1.0, begin_us + 7 * MINUTE_US);
    assert_eq!(street.condition("found"), Some(Condition::Cleared));
    let said = street.said("found");
    assert!(said.contains("corrected") && said.contains(&late), "{said}");
    // The run after it goes on and may fire by itself.
    street.now("a", "gas", 6.0);
    street.wait(5 * MINUTE_US);
    street.now("a", "gas", 6.0);
    assert_eq!(street.condition("found"), Some(Condition::Firing));
    assert_eq!(street.count(), 1);
}

#[test]
fn late_readings_thin_out_k_of_n() {
    let mut street = street(AlertRule { of: 3, ..rule(2, 60) });
    let begin_us = street.now_us;
    street.now("a", "gas", 6.0);
    street.wait(5 * MINUTE_US);
    street.now("a", "gas", 6.0);
    assert_eq!(street.condition("found"), Some(Condition::Firing));
    street.at("a", "gas", 1.0, begin_us + MINUTE_US);
    assert_eq!(street.condition("found"), Some(Condition::Firing), "two of three still");
    let late = street.at("a", "gas", 1.0, begin_us + 2 * MINUTE_US);
    assert_eq!(street.condition("found"), Some(Condition::Cleared));
    assert!(street.said("found").contains(&late));
}

/// Five days of a home that nobody has heard of, sent at once: learned from, held against what it says,
/// and told to nobody.
#[test]
fn a_replay_of_the_last_days_pages_nobody() {
    let mut rules = Rules::default();
    rules.alerts.retain(|rule| rule.kind != "gas");
    let mut street = Street::new(&rules, 2);
    for (device, class) in [
        ("d", "door"),
        ("s", "smoke"),
        ("g", "gas"),
        ("m", "motion"),
        ("b", "bed"),
        ("box", "gateway"),
    ] {
        street.device(device, class, "w0");
    }
    let begin_us = street.now_us - 5 * DAY_US;
    for hour in 0..96 {
        let at_us = begin_us + hour * HOUR_US;
        street.at("box", "heartbeat", 1.0, at_us);
        street.at("d", "door", 1.0, at_us);
        street.at("m", "motion", 1.0, at_us);
        street.at("s", "battery", 5.0, at_us);
        street.at("b", "bed", if hour % 2 == 0 { 1.0 } else { 0.0 }, at_us);
        for second in 0..20 {
            let value = if second % 2 == 0 { 9.0 } else { 0.0 };
            street.at("g", "gas", value, at_us + second * SECOND_US);
            street.at("s", "smoke", value, at_us + second * SECOND_US);
        }
    }
    street.wait(2 * DAY_US);
    assert_eq!(street.count(), 0, "{:?}", street.state.alerts.iter().next());
    // Live from here on: the battery is low, and who falls silent now is missed.
    street.now("s", "battery", 5.0);
    street.now("m", "motion", 1.0);
    assert_eq!(street.alerts("battery_low").len(), 1);
    street.wait(4 * DAY_US);
    assert_eq!(street.alerts("device_offline").len(), 1);
    assert!(!street.alerts("inactivity").is_empty());
}

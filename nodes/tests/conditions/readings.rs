//! Rules over readings.

use crate::street::{HOUR_US, MINUTE_US, SECOND_US, Street};
use nodes::state::{AlertRule, Condition, FlappingRule, Part, Rules, Severity, TogetherRule};

fn rule(kind: &str, threshold: f64, count: u32, within_s: u32) -> AlertRule {
    AlertRule::counting((kind, "found"), threshold, (count, within_s), (Severity::Major, 1))
}

fn street(rule: AlertRule) -> Street {
    let mut street = Street::new(&Rules { alerts: vec![rule], ..Rules::bare() }, 1);
    for device in ["a", "b"] {
        street.device(device, "", "w0");
    }
    street
}

/// Sends values a step apart and says after how many of them the alert was there.
fn fires_at(street: &mut Street, step_us: i64, values: &[f64]) -> Option<usize> {
    values.iter().position(|value| {
        street.wait(step_us);
        street.now("a", "gas", *value);
        street.count() > 0
    })
}

#[test]
fn so_many_within_the_time_fire_and_one_fewer_does_not() {
    let mut near = street(rule("gas", 5.0, 3, 60));
    assert_eq!(fires_at(&mut near, 30 * SECOND_US, &[5.0, 4.9, 5.0, 5.0, 9.0]), Some(4));
    let mut far = street(rule("gas", 5.0, 3, 59));
    assert_eq!(fires_at(&mut far, 30 * SECOND_US, &[5.0, 5.0, 4.9, 5.0, 4.9, 5.0]), None);
    // From two sensors of one home, too.
    let mut two = street(rule("gas", 5.0, 2, 60));
    two.now("a", "gas", 6.0);
    let id = two.now("b", "gas", 7.0);
    assert_eq!(two.alerts("found")[0].evidence, ["e1".to_owned(), id]);
}

#[test]
fn k_of_n_counts_readings_in_a_row() {
    let of = AlertRule { of: 5, ..rule("gas", 5.0, 3, 60) };
    let mut fires = street(of.clone());
    assert_eq!(fires_at(&mut fires, HOUR_US, &[9.0, 1.0, 9.0, 1.0, 9.0]), Some(4));
    let mut stays = street(of);
    assert_eq!(fires_at(&mut stays, HOUR_US, &[9.0, 1.0, 1.0, 9.0, 1.0, 1.0, 9.0, 1.0]), None);
}

#[test]
fn what_must_last_lasts_in_event_time() {
    let lasting = AlertRule { for_s: 600, ..rule("gas", 5.0, 1, 60) };
    let mut steady = street(lasting.clone());
    assert_eq!(fires_at(&mut steady, 5 * MINUTE_US, &[6.0, 7.0, 6.0]), Some(2));
    let mut broken = street(lasting.clone());
    assert_eq!(fires_at(&mut broken, 5 * MINUTE_US, &[6.0, 1.0, 6.0, 6.0]), None);
    // Ten minutes' readings that come in one second lasted ten minutes all the same.
    let mut together = street(lasting.clone());
    together.wait(HOUR_US);
    for ago in [20, 15, 10] {
        together.at("a", "gas", 6.0, together.now_us - ago * MINUTE_US);
    }
    assert_eq!(together.count(), 1);
    // Silence proves nothing, unless the rule says that the sensor speaks only when something changes.
    let mut silent = street(lasting.clone());
    silent.now("a", "gas", 6.0);
    silent.wait(HOUR_US);
    silent.now("a", "gas", 6.0);
    assert_eq!(silent.count(), 0);
    let mut change = street(AlertRule { for_cap_s: 900, ..lasting });
    change.now("a", "gas", 6.0);
    change.wait(15 * MINUTE_US - SECOND_US);
    assert_eq!(change.count(), 0);
    change.wait(SECOND_US);
    assert_eq!(change.count(), 1);
}

#[test]
fn the_first_value_after_a_restart_proves_nothing() {
    let lasting = AlertRule { for_s: 600, for_cap_s: 1_200, ..rule("gas", 5.0, 1, 60) };
    let mut street = street(lasting);
    assert_eq!(fires_at(&mut street, 5 * MINUTE_US, &[1.0, 6.0, 6.0]), None);
    street.boot = 2;
    assert_eq!(fires_at(&mut street, 5 * MINUTE_US, &[6.0]), None);
    // Alone it does not, however long nothing follows.
    street.wait(2 * HOUR_US);
    assert_eq!(street.count(), 0);
    assert_eq!(fires_at(&mut street, 5 * MINUTE_US, &[6.0, 6.0, 6.0]), Some(2));
}

#[test]
fn it_is_over_only_beyond_the_clear_value_and_for_long_enough() {
    let mut street = street(AlertRule { clear: Some(3.0), keep_s: 300, ..rule("gas", 5.0, 1, 60) });
    street.now("a", "gas", 6.0);
    for (value, condition) in
        [(4.0, Condition::Firing), (2.0, Condition::Firing), (6.0, Condition::Firing)]
    {
        street.wait(MINUTE_US);
        street.now("a", "gas", value);
        assert_eq!(street.condition("found"), Some(condition), "{value}");
    }
    street.wait(MINUTE_US);
    street.now("a", "gas", 2.0);
    street.wait(5 * MINUTE_US - SECOND_US);
    assert_eq!(street.condition("found"), Some(Condition::Firing));
    street.wait(SECOND_US);
    assert_eq!(street.condition("found"), Some(Condition::Cleared));
    assert_eq!(street.count(), 1);
    // Firing again is the same case as long as nobody closed it.
    street.now("a", "gas", 6.0);
    assert_eq!((street.count(), street.condition("found")), (1, Some(Condition::Firing)));
}

#[test]
fn one_sensor_in_order_does_not_clear_another() {
    let mut street = street(rule("gas", 5.0, 1, 60));
    street.now("a", "gas", 6.0);
    street.now("b", "gas", 6.0);
    street.wait(SECOND_US);
    street.now("b", "gas", 0.0);
    assert_eq!(street.condition("found"), Some(Condition::Firing));
    street.now("a", "gas", 0.0);
    assert_eq!(street.condition("found"), Some(Condition::Cleared));
}

#[test]
fn a_steep_rise_fires_and_a_slow_one_does_not() {
    let steep = AlertRule { slope_per_min: Some(1.0), ..rule("gas", 2.0, 3, 600) };
    let mut fast = street(steep.clone());
    assert_eq!(fires_at(&mut fast, MINUTE_US, &[2.0, 3.0, 4.1]), Some(2));
    let mut slow = street(steep.clone());
    assert_eq!(fires_at(&mut slow, MINUTE_US, &[2.0, 2.9, 3.8, 4.7]), None);
    let mut falling = street(steep);
    assert_eq!(fires_at(&mut falling, MINUTE_US, &[9.0, 6.0, 3.0]), None);
}

#[test]
fn readings_nearer_than_the_debounce_are_one() {
    let mut street = street(AlertRule { debounce_ms: 1_000, ..rule("water", 1.0, 3, 60) });
    for ms in [0, 300, 900, 1_100, 1_900] {
        let at_us = street.now_us - MINUTE_US - SECOND_US + ms * 1_000;
        street.at("a", "water", 1.0, at_us);
    }
    assert_eq!(street.count(), 0, "two, however often they were sent");
    street.now("a", "water", 1.0);
    assert_eq!(street.count(), 0, "the third comes 61 s after the first");
    street.now("b", "water", 1.0);
    assert_eq!(street.count(), 1);
}

fn together(parts: &[(&str, f64)], need: u32) -> Rules {
    let part = |(kind, threshold): &(&str, f64)| Part {
        kind: (*kind).to_owned(),
        threshold: *threshold,
        below: false,
    };
    let rule = TogetherRule {
        alert: "found".to_owned(),
        parts: parts.iter().map(part).collect(),
        need,
        within_s: 300,
        severity: Severity::Critical,
        level: 3,
        keep_s: 0,
    };
    Rules { together: vec![rule], ..Rules::bare() }
}

#[test]
fn smoke_and_heat_together_are_a_fire_in_either_order() {
    let parts = [("smoke", 1.0), ("temperature", 54.0)];
    for order in [["smoke", "temperature"], ["temperature", "smoke"]] {
        let mut street = Street::new(&together(&parts, 0), 1);
        street.device("a", "", "w0");
        street.now("a", order[0], 60.0);
        street.wait(5 * MINUTE_US + SECOND_US);
        street.now("a", order[1], 60.0);
        assert_eq!(street.count(), 0, "too far apart");
        street.now("a", order[0], 60.0);
        let alerts = street.alerts("found");
        assert_eq!((alerts.len(), alerts[0].level), (1, 3));
        assert_eq!(alerts[0].evidence, ["e2", "e3"]);
    }
    let mut any = Street::new(&together(&parts, 1), 1);
    any.device("a", "", "w0");
    any.now("a", "temperature", 20.0);
    assert_eq!(any.count(), 0);
    any.now("a", "temperature", 54.0);
    assert_eq!(any.count(), 1);
}

#[test]
fn gas_where_somebody_is_present() {
    let rules = together(&[("gas", 10.0), ("presence", 0.0)], 0);
    // Somebody moved before, somebody moves after, nobody does.
    for (before, after, fires) in [(4, 0, true), (0, 4, true), (6, 6, false), (0, 0, false)] {
        let mut street = Street::new(&rules, 2);
        street.device("a", "", "w0");
        street.device("pir", "", "w0");
        street.device("elsewhere", "", "w1");
        if before > 0 {
            street.now("pir", "motion", 1.0);
            street.wait(before * MINUTE_US);
        }
        street.now("elsewhere", "motion", 1.0);
        street.now("a", "gas", 12.0);
        if after > 0 {
            street.wait(after * MINUTE_US);
            street.now("pir", "motion", 1.0);
        }
        assert_eq!(street.count() == 1, fires, "{before} {after}");
    }
}

#[test]
fn a_flapping_sensor_is_a_fault_and_no_hazard() {
    let flapping = |mute| FlappingRule {
        kind: "water".to_owned(),
        level: 1.0,
        changes: 4,
        within_s: 60,
        quiet_s: 600,
        mute,
    };
    for mute in [true, false] {
        let alerts = vec![rule("water", 1.0, 3, 60)];
        let rules = Rules { alerts, flapping: vec![flapping(mute)], ..Rules::bare() };
        let mut street = Street::new(&rules, 1);
        street.device("a", "", "w0");
        for value in [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0] {
            street.wait(5 * SECOND_US);
            street.now("a", "water", value);
        }
        assert_eq!(street.alerts("device_fault").len(), 1);
        assert_eq!(street.alerts("found").is_empty(), mute);
        // Steady from now on: sound again after ten quiet minutes, and believed.
        street.wait(10 * MINUTE_US);
        assert_eq!(street.condition("device_fault"), Some(Condition::Cleared));
        for _ in 0..3 {
            street.now("a", "water", 1.0);
        }
        assert_eq!(street.alerts("found").len(), 1);
    }
}

#[test]
fn life_is_told_to_all_three_levels_at_once() {
    let mut street = Street::new(&Rules::default(), 4);
    for home in 0..4 {
        street.device(&format!("d{home}"), "", &format!("w{home}"));
    }
    street.now("d0", "smoke", 1.0);
    street.now("d0", "smoke", 1.0);
    street.now("d1", "sos", 1.0);
    for _ in 0..3 {
        street.now("d2", "gas", 6.0);
    }
    street.now("d3", "bed", 1.0);
    street.wait(SECOND_US);
    street.now("d3", "respiration", 0.0);
    for kind in ["smoke", "sos", "gas_leak", "no_breath"] {
        let alerts = street.alerts(kind);
        assert_eq!(alerts.len(), 1, "{kind}");
        assert!(alerts[0].told_us[0] == street.now_us || kind != "no_breath");
        assert!(alerts[0].told_us[2] > 0 && alerts[0].level == 3, "{kind}");
    }
}

#[test]
fn a_reading_between_clear_and_threshold_did_not_stay_clear() {
    let mut street = street(AlertRule { clear: Some(3.0), keep_s: 600, ..rule("gas", 5.0, 1, 60) });
    street.now("a", "gas", 6.0);
    for value in [2.0, 4.0] {
        street.wait(5 * MINUTE_US);
        street.now("a", "gas", value);
    }
    street.wait(6 * MINUTE_US);
    assert_eq!(street.condition("found"), Some(Condition::Firing), "eleven minutes after the 2");
    street.now("a", "gas", 3.0);
    street.wait(10 * MINUTE_US - SECOND_US);
    assert_eq!(street.condition("found"), Some(Condition::Firing));
    street.wait(2 * SECOND_US);
    assert_eq!(street.condition("found"), Some(Condition::Cleared));
}

#[test]
fn a_stricter_set_holds_what_it_saw_before_against_its_own_limit() {
    let lasting = |threshold| AlertRule { for_s: 600, ..rule("gas", threshold, 1, 60) };
    let mut street = street(lasting(5.0));
    street.now("a", "gas", 6.0);
    street.wait(9 * MINUTE_US);
    let stricter = Rules { version: 2, alerts: vec![lasting(8.0)], ..Rules::bare() };
    street.push(&stricter);
    street.now("a", "gas", 9.0);
    street.wait(MINUTE_US);
    street.now("a", "gas", 9.0);
    assert_eq!(street.count(), 0, "ten minutes over five, but one minute over eight");
    street.wait(9 * MINUTE_US);
    street.now("a", "gas", 9.0);
    assert_eq!(street.count(), 1);
    // While it fires another set is pushed: it goes on, and is over by the new one's word.
    street.push(&Rules { version: 3, alerts: vec![lasting(10.0)], ..stricter });
    assert_eq!(street.condition("found"), Some(Condition::Firing));
    street.now("a", "gas", 9.5);
    assert_eq!(street.condition("found"), Some(Condition::Cleared));
}

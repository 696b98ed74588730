//! Sensors that speak often: what they say of no matter does not push out what does.

use crate::street::{HOUR_US, MINUTE_US, SECOND_US, Street};
use nodes::state::{AlertRule, Part, Rules, Severity, TogetherRule};

fn rule(count: u32, within_s: u32) -> AlertRule {
    AlertRule::counting(("gas", "found"), 5.0, (count, within_s), (Severity::Major, 1))
}

fn street(rules: &Rules) -> Street {
    let mut street = Street::new(rules, 1);
    for device in ["a", "b"] {
        street.device(device, "", "w0");
    }
    street
}

fn with(rule: AlertRule) -> Street {
    street(&Rules { alerts: vec![rule], ..Rules::bare() })
}

/// So many readings of a device, a step apart.
fn speak(
    street: &mut Street,
    device: &str,
    kind: &str,
    (times, step_us): (usize, i64),
    value: f64,
) {
    for _ in 0..times {
        street.pause(step_us);
        street.now(device, kind, value);
    }
}

#[test]
fn three_of_a_day_are_three_though_a_thousand_others_lie_between() {
    let mut street = with(rule(3, 86_400));
    for times in 1..=3 {
        assert_eq!(street.count(), 0, "before reading {times}");
        street.now("a", "gas", 9.0);
        speak(&mut street, "a", "gas", (if times < 3 { 500 } else { 0 }, 50 * SECOND_US), 0.5);
        speak(&mut street, "b", "gas", (if times < 3 { 50 } else { 0 }, 50 * SECOND_US), 0.5);
    }
    assert_eq!(street.alerts("found")[0].evidence, ["e1", "e552", "e1103"]);
}

#[test]
fn what_lasts_ten_minutes_lasts_however_often_the_sensor_speaks() {
    for step_us in [SECOND_US, 5 * SECOND_US, 10 * SECOND_US, 30 * SECOND_US, 59 * SECOND_US] {
        let times = (600 * SECOND_US / step_us) as usize;
        let mut steady = with(AlertRule { for_s: 600, ..rule(1, 600) });
        speak(&mut steady, "a", "gas", (times, step_us), 6.0);
        assert_eq!(steady.count(), 0, "{step_us}: not quite ten minutes");
        speak(&mut steady, "a", "gas", (2, step_us), 6.0);
        assert_eq!(steady.count(), 1, "{step_us}");
        // A word against it begins it anew, wherever it stands.
        let mut broken = with(AlertRule { for_s: 600, ..rule(1, 600) });
        speak(&mut broken, "a", "gas", (times - 2, step_us), 6.0);
        speak(&mut broken, "a", "gas", (1, step_us), 1.0);
        speak(&mut broken, "a", "gas", (times, step_us), 6.0);
        assert_eq!(broken.count(), 0, "{step_us}: broken");
        speak(&mut broken, "a", "gas", (3, step_us), 6.0);
        assert_eq!(broken.count(), 1, "{step_us}");
        // A late word against it, from where readings were thinned out, corrects it.
        let late_us = broken.now_us - 5 * MINUTE_US - SECOND_US / 2;
        broken.at("a", "gas", 1.0, late_us);
        assert!(broken.said("found").contains("corrected"), "{step_us}");
        // Another sensor of the home does not take its place.
        let mut two = with(AlertRule { for_s: 600, ..rule(1, 600) });
        for _ in 0..times + 3 {
            two.pause(step_us);
            two.now("a", "gas", 6.0);
            two.now("b", "gas", 0.1);
        }
        assert_eq!(two.count(), 1, "{step_us}: beside another");
    }
}

#[test]
fn a_slope_is_that_of_its_whole_time() {
    for (a_minute, alerts) in [(1.1, 1), (0.9, 0)] {
        let mut street = with(AlertRule { slope_per_min: Some(1.0), ..rule(3, 600) });
        // Up and down by two around a steady rise: over half a minute it is steep, over ten it is not.
        for step in 0..400 {
            street.pause(3 * SECOND_US);
            let rise = a_minute * f64::from(step) * 3.0 / 60.0;
            street.now("a", "gas", 6.0 + rise);
        }
        assert_eq!(street.count(), alerts, "{a_minute} a minute");
    }
}

#[test]
fn smoke_is_not_pushed_out_by_a_thermometer() {
    let part = |kind: &str, threshold| Part { kind: kind.to_owned(), threshold, below: false };
    let rule = TogetherRule {
        alert: "found".to_owned(),
        parts: vec![part("smoke", 1.0), part("temperature", 54.0)],
        need: 0,
        within_s: 3_600,
        severity: Severity::Critical,
        level: 3,
        keep_s: 0,
    };
    let mut street = street(&Rules { together: vec![rule], ..Rules::bare() });
    street.now("a", "smoke", 1.0);
    speak(&mut street, "b", "temperature", (200, 10 * SECOND_US), 30.0);
    speak(&mut street, "a", "smoke", (100, 10 * SECOND_US), 0.0);
    assert_eq!(street.count(), 0);
    street.now("b", "temperature", 60.0);
    assert_eq!(street.count(), 1);
    assert!(street.now_us - crate::street::TEN_US < HOUR_US);
}

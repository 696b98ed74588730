//! Devices: heartbeats that are missing, batteries, and outages that explain many at once.

use crate::street::{HOUR_US, MINUTE_US, SECOND_US, Street};
use nodes::state::{Command, Condition, DeviceClass, Outage, Rules, State};

fn class(class: &str, heartbeat_s: u32, missed: u32) -> DeviceClass {
    DeviceClass {
        class: class.to_owned(),
        heartbeat_s,
        missed,
        battery_low: 20.0,
        battery_critical: 10.0,
        low_days: 0,
        life_years: 0.0,
        offline: None,
    }
}

fn rules() -> Rules {
    Rules {
        devices: vec![class("door", 60, 3), class("smoke", 3_600, 2), class("gateway", 30, 3)],
        outage: Outage { percent: 60.0, at_least: 10, grace_s: 120 },
        ..Rules::bare()
    }
}

/// `count` door sensors in as many homes, all heard now.
fn doors(count: usize) -> Street {
    let mut street = Street::new(&rules(), count);
    for n in 0..count {
        street.device(&format!("d{n}"), "door", &format!("w{n}"));
    }
    beat(&mut street, 0..count);
    street
}

fn beat(street: &mut Street, devices: std::ops::Range<usize>) {
    let at_us = street.now_us;
    let events: Vec<_> =
        devices.map(|n| street.event(&format!("d{n}"), "heartbeat", 1.0, at_us)).collect();
    street.apply(&Command::IngestEvents { events });
}

#[test]
fn a_heartbeat_is_missed_once_and_within_a_second_of_its_time() {
    let mut street = doors(1);
    let seen_us = street.now_us;
    street.wait(3 * MINUTE_US - 10 * SECOND_US);
    while street.count() == 0 {
        street.pause(SECOND_US / 2);
    }
    let late_us = street.now_us - (seen_us + 3 * MINUTE_US);
    assert!((0..SECOND_US).contains(&late_us), "{late_us} us late");
    let alert = &street.alerts("device_offline")[0];
    assert_eq!((alert.dwelling_id.as_str(), alert.evidence[0].as_str()), ("w0", "d0"));
    assert_eq!(alert.transitions, 2);
    street.wait(2 * HOUR_US);
    assert_eq!((street.count(), street.condition("device_offline")), (1, Some(Condition::Firing)));
    beat(&mut street, 0..1);
    assert_eq!(street.condition("device_offline"), Some(Condition::Cleared));
}

#[test]
fn any_event_is_a_sign_of_life_and_other_classes_have_other_times() {
    let mut street = doors(1);
    street.device("s", "smoke", "w0");
    street.device("x", "toaster", "w0");
    street.now("s", "heartbeat", 1.0);
    street.now("x", "heartbeat", 1.0);
    for _ in 0..10 {
        street.wait(2 * MINUTE_US);
        street.now("d0", "motion", 1.0);
    }
    assert_eq!(street.count(), 0);
    for _ in 0..52 {
        street.wait(2 * MINUTE_US);
        street.now("d0", "motion", 1.0);
    }
    let alert = &street.alerts("device_offline")[0];
    assert_eq!(alert.evidence, ["s"], "the smoke detector after two hours, the toaster never");
}

#[test]
fn two_silent_devices_of_a_home_are_one_case_that_ends_with_the_last() {
    let mut street = doors(1);
    street.device("e", "door", "w0");
    street.now("e", "heartbeat", 1.0);
    street.wait(4 * MINUTE_US);
    let alerts = street.alerts("device_offline");
    assert_eq!((alerts.len(), alerts[0].evidence.len()), (1, 2));
    beat(&mut street, 0..1);
    assert_eq!(street.condition("device_offline"), Some(Condition::Firing));
    street.now("e", "heartbeat", 1.0);
    assert_eq!(street.condition("device_offline"), Some(Condition::Cleared));
}

#[test]
fn a_late_heartbeat_shows_that_the_device_was_there() {
    let mut street = doors(1);
    let seen_us = street.now_us;
    street.wait(3 * MINUTE_US + SECOND_US);
    assert_eq!(street.condition("device_offline"), Some(Condition::Firing));
    // So old that it would be missing all the same: no.
    street.at("d0", "heartbeat", 1.0, seen_us - MINUTE_US);
    assert_eq!(street.condition("device_offline"), Some(Condition::Firing));
    let late = street.at("d0", "heartbeat", 1.0, seen_us + 2 * MINUTE_US);
    assert_eq!(street.condition("device_offline"), Some(Condition::Cleared));
    let said = street.said("device_offline");
    assert!(said.contains("corrected") && said.contains(&late), "{said}");
    // From then on it is waited for again.
    street.wait(4 * MINUTE_US);
    assert_eq!(street.condition("device_offline"), Some(Condition::Firing));
}

const GATEWAY: usize = 5_000;

/// Each device of a gateway speaks once a minute, at its own second; those of the second gateway too.
fn minutes(street: &mut Street, minutes: usize, speaking: std::ops::Range<usize>) {
    for step in 0..minutes * 60 {
        for (gateway, devices) in [("gw-7", 0..GATEWAY), ("gw-8", GATEWAY..2 * GATEWAY)] {
            gateway.clone_into(&mut street.gateway);
            let at_us = street.now_us;
            let turn = devices.filter(|n| n % 60 == step % 60 && speaking.contains(n));
            let events: Vec<_> =
                turn.map(|n| street.event(&format!("d{n}"), "heartbeat", 1.0, at_us)).collect();
            if !events.is_empty() {
                street.apply(&Command::IngestEvents { events });
            }
        }
        street.pause(SECOND_US);
    }
}

#[test]
fn five_thousand_devices_of_a_gateway_are_one_alert() {
    let mut street = Street::new(&rules(), 1);
    for n in 0..2 * GATEWAY {
        street.device(&format!("d{n}"), "door", "somewhere");
    }
    minutes(&mut street, 3, 0..2 * GATEWAY);
    assert_eq!(street.count(), 0);
    // Half of all is no outage of the district.
    minutes(&mut street, 8, GATEWAY..2 * GATEWAY);
    assert_eq!(street.count(), 1, "{}", street.said("device_offline"));
    let outage = street.alerts("outage").pop().unwrap();
    assert_eq!(
        (outage.resident_key.as_str(), outage.condition),
        ("gateway:gw-7", Condition::Firing)
    );
    assert!(street.said("outage").contains("5000 of 5000 devices"), "{}", street.said("outage"));
    // All but ten come back: over, and those ten are missing for themselves after some time.
    minutes(&mut street, 1, 10..2 * GATEWAY);
    assert_eq!(street.condition("outage"), Some(Condition::Cleared));
    assert_eq!(street.alerts("device_offline").len(), 0);
    minutes(&mut street, 3, 10..2 * GATEWAY);
    let missing = street.alerts("device_offline");
    assert_eq!(missing.iter().map(|alert| alert.evidence.len()).sum::<usize>(), 10);
    assert_eq!(street.alerts("outage").len(), 1);
}

#[test]
fn a_building_without_power_is_one_alert_and_a_few_devices_are_not() {
    let mut street = doors(40);
    // Another building, so that the district is not out.
    street.row("building", &[("building_id", "b1"), ("grid_id", "g")]);
    street.row("dwelling", &[("dwelling_id", "v"), ("building_id", "b1")]);
    for n in 40..120 {
        street.device(&format!("d{n}"), "door", "v");
    }
    for _ in 0..10 {
        street.wait(MINUTE_US);
        beat(&mut street, 0..31);
        beat(&mut street, 40..120);
    }
    assert_eq!(street.alerts("outage").len(), 0);
    assert_eq!(street.alerts("device_offline").len(), 9);
    for _ in 0..10 {
        street.wait(MINUTE_US);
        beat(&mut street, 40..120);
    }
    assert_eq!(street.alerts("device_offline").len(), 9);
    let outages = street.alerts("outage");
    assert_eq!(outages.len(), 1);
    assert_eq!(outages[0].resident_key, "building:b0");
    assert_eq!(outages[0].region, "990101001001");
    assert!(street.said("outage").contains("31 of 31"), "{}", street.said("outage"));
}

#[test]
fn what_a_silent_gateway_carries_is_not_told_beside_it() {
    let mut street = Street::new(&rules(), 2);
    street.gateway = "box".to_owned();
    street.device("box", "gateway", "w0");
    street.device("d0", "door", "w0");
    street.now("box", "heartbeat", 1.0);
    street.now("d0", "heartbeat", 1.0);
    street.wait(10 * MINUTE_US);
    assert_eq!(street.count(), 1);
    assert_eq!(street.alerts("device_offline")[0].evidence, ["box"]);
    street.now("box", "heartbeat", 1.0);
    assert_eq!(street.condition("device_offline"), Some(Condition::Cleared));
    // The door stays silent: after its time it is missing for itself.
    for _ in 0..5 {
        street.wait(MINUTE_US);
        street.now("box", "heartbeat", 1.0);
    }
    assert_eq!(street.alerts("device_offline").last().unwrap().evidence, ["box", "d0"]);
}

#[test]
fn a_cluster_that_was_away_waits_before_it_misses_anybody() {
    let mut street = doors(3);
    street.pause(HOUR_US);
    street.wait(2 * MINUTE_US);
    assert_eq!(street.count(), 0, "nobody could be heard");
    beat(&mut street, 0..2);
    street.wait(2 * MINUTE_US);
    assert_eq!(street.alerts("device_offline").len(), 1);
}

#[test]
fn a_battery_has_two_thresholds_and_is_good_only_well_above() {
    let mut street = doors(1);
    for (percent, alerts, condition) in [
        (21.0, 0, None),
        (20.0, 1, Some(Condition::Firing)),
        (18.0, 1, Some(Condition::Firing)),
        (22.0, 1, Some(Condition::Firing)),
        (10.0, 1, Some(Condition::Firing)),
        (25.0, 1, Some(Condition::Cleared)),
    ] {
        street.wait(MINUTE_US);
        street.now("d0", "battery", percent);
        assert_eq!(street.alerts("battery_low").len(), alerts, "{percent}");
        assert_eq!(street.condition("battery_low"), condition, "{percent}");
    }
    assert_eq!(street.alerts("battery_low")[0].evidence, ["d0", "e3", "e6"]);
}

#[test]
fn a_wheel_that_was_made_anew_from_a_snapshot_fires_the_same() {
    let mut street = doors(30);
    let mut copies = Vec::new();
    for minute in 0..12_usize {
        beat(&mut street, 0..30 - minute);
        street.wait(MINUTE_US - 7 * SECOND_US);
        let bytes = street.state.to_bytes().unwrap();
        copies.push((street.state.applied, bytes));
        street.wait(7 * SECOND_US);
    }
    assert!(street.count() > 5);
    let log = |street: &mut Street| {
        street.wait(5 * MINUTE_US);
        street.state.to_bytes().unwrap()
    };
    let (index, bytes) = copies.pop().unwrap();
    let mut other = Street::new(&rules(), 0);
    other.state = State::from_reader(&mut bytes.as_slice()).unwrap();
    assert_eq!(other.state.applied, index);
    other.now_us = other.state.clock_us;
    // The same seven seconds, then the same five minutes.
    other.wait(7 * SECOND_US);
    assert_eq!(log(&mut other), log(&mut street));
}

/// Nine of a class that speaks more often are told first: too few for an outage. The doors, which were
/// cut off with them, show that it was one.
#[test]
fn an_outage_inhibits_what_was_told_of_its_devices_and_releases_what_stays_silent() {
    let mut street = Street::new(&rules(), 41);
    street.row("building", &[("building_id", "b1"), ("grid_id", "g")]);
    street.row("dwelling", &[("dwelling_id", "v"), ("building_id", "b1")]);
    let cut: Vec<String> =
        (0..40).map(|n| format!("{}{n}", if n < 9 { "g" } else { "d" })).collect();
    // Another building, so that the district is not out.
    let other: Vec<String> = (0..100).map(|n| format!("o{n}")).collect();
    for (n, device) in cut.iter().enumerate() {
        street.device(device, if n < 9 { "gateway" } else { "door" }, &format!("w{n}"));
    }
    street.device("broken", "door", "w40");
    for device in &other {
        street.device(device, "door", "v");
    }
    let beat = |street: &mut Street, devices: &[&[String]]| {
        let at_us = street.now_us;
        let all = devices.concat();
        let events = all.iter().map(|it| street.event(it, "heartbeat", 1.0, at_us)).collect();
        street.apply(&Command::IngestEvents { events });
    };
    street.now("broken", "heartbeat", 1.0);
    for _ in 0..7 {
        beat(&mut street, &[&cut, &other]);
        street.wait(MINUTE_US);
    }
    let broken = street.alerts("device_offline")[0].alert_id.clone();
    for told in [1, 10, 10, 10] {
        assert_eq!(street.alerts("device_offline").len(), told);
        assert_eq!(street.alerts("outage").len(), 0);
        beat(&mut street, &[&other]);
        street.wait(MINUTE_US / 2 + 5 * SECOND_US);
    }
    let outage = street.alerts("outage").pop().unwrap();
    let offline = street.alerts("device_offline");
    assert_eq!(offline.len(), 10, "nine were told one by one");
    for alert in offline.iter().filter(|alert| alert.alert_id != broken) {
        assert_eq!((alert.suppressed_by.as_str(), alert.due_us), (&*outage.alert_id, 0));
        assert_eq!(street.state.casework.outbox.of_alert(&alert.alert_id).count(), 0);
    }
    let old = street.state.alerts.get(&broken).unwrap();
    assert_eq!(old.suppressed_by, "", "what broke before is broken");
    street.state = State::from_reader(&mut street.state.to_bytes().unwrap().as_slice()).unwrap();
    // All but two come back: the nine that speak are over, g3 and d20 are told after the grace.
    let back: Vec<String> = cut.iter().filter(|it| *it != "g3" && *it != "d20").cloned().collect();
    for _ in 0..10 {
        beat(&mut street, &[&back, &other]);
        street.wait(MINUTE_US);
    }
    assert_eq!(street.condition("outage"), Some(Condition::Cleared));
    let of = |device: &str| {
        let all = street.alerts("device_offline");
        all.into_iter().find(|alert| alert.evidence[0] == device).unwrap()
    };
    assert_eq!(of("g0").condition, Condition::Cleared);
    assert_eq!(of("g0").suppressed_by, outage.alert_id, "it is closed with the outage's case");
    assert_eq!((of("g3").condition, of("g3").suppressed_by.as_str()), (Condition::Firing, ""));
    assert!(of("g3").due_us > 0);
    assert_eq!(of("d20").suppressed_by, "");
    assert_eq!(street.alerts("device_offline").len(), 11);
    assert_eq!(street.alerts("outage").len(), 1);
}

#[test]
fn how_grave_a_fault_of_devices_is_stands_in_the_rules() {
    use nodes::state::{Grade, Severity};
    let mut grave = rules();
    let grade = |severity, level| Grade { severity, level };
    grave.device_alerts.offline = grade(Severity::Major, 2);
    grave.device_alerts.battery_low = grade(Severity::Major, 2);
    grave.device_alerts.battery_critical = grade(Severity::Critical, 3);
    grave.device_alerts.outage = grade(Severity::Critical, 3);
    grave.devices[1].offline = Some(grade(Severity::Critical, 3));
    let mut street = doors(30);
    grave.version = 2;
    street.push(&grave);
    street.device("s", "smoke", "w29");
    street.now("s", "heartbeat", 1.0);
    street.now("d0", "battery", 19.0);
    let of = |street: &Street, kind: &str| {
        let alert = street.alerts(kind).pop().unwrap();
        (alert.severity, alert.level)
    };
    assert_eq!(of(&street, "battery_low"), (Severity::Major, 2));
    street.now("d0", "battery", 9.0);
    assert_eq!(of(&street, "battery_low"), (Severity::Critical, 3));
    for _ in 0..5 {
        street.wait(MINUTE_US);
        beat(&mut street, 1..30);
    }
    assert_eq!(of(&street, "device_offline"), (Severity::Major, 2));
    street.wait(5 * MINUTE_US);
    assert_eq!(of(&street, "outage"), (Severity::Critical, 3));
    street.wait(2 * HOUR_US);
    let smoke = street.alerts("device_offline").into_iter().find(|it| it.dwelling_id == "w29");
    assert!(smoke.is_none_or(|smoke| smoke.severity == Severity::Critical));
    let mut wrong = grave;
    wrong.device_alerts.fault.level = 4;
    assert!(wrong.check().unwrap_err().contains("device_alerts.fault"));
}

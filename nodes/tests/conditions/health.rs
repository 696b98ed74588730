//! Whether devices are sound: batteries that fall, tampering, age, and those that are taken away.

use crate::street::{DAY_US, HOUR_US, MINUTE_US, SECOND_US, Street};
use features::table::{Cell, encode_row};
use nodes::state::{Command, Condition, DeviceClass, Grade, Rules, Severity, State};

fn class(class: &str, heartbeat_s: u32) -> DeviceClass {
    DeviceClass {
        class: class.to_owned(),
        heartbeat_s,
        missed: 3,
        battery_low: 20.0,
        battery_critical: 10.0,
        low_days: 14,
        life_years: 0.0,
        offline: None,
    }
}

fn rules() -> Rules {
    let smoke = DeviceClass { life_years: 10.0, ..class("smoke", 86_400) };
    Rules { devices: vec![class("door", 86_400), smoke, class("box", 60)], ..Rules::bare() }
}

fn street(homes: usize) -> Street {
    Street::new(&rules(), homes)
}

/// A device that was installed so long ago, with what the register says of its health.
fn installed(
    street: &mut Street,
    (id, class): (&str, &str),
    home: &str,
    ago_us: i64,
    health: &str,
) {
    let table = features::civil::table("device").unwrap();
    let mut row = vec![Cell::Null; table.columns.len()];
    let mut set = |name: &str, cell| row[table.position(name).unwrap()] = cell;
    set("device_id", Cell::text(id));
    set("kind", Cell::text(class));
    set("dwelling_id", Cell::text(home));
    set("installed", Cell::Time(street.now_us - ago_us));
    set("health", Cell::text(health));
    let rows = vec![encode_row(&row).unwrap()];
    street.apply(&Command::UpsertRows { table: "device".to_owned(), rows });
}

fn again(street: &mut Street) {
    street.state = State::from_reader(&mut street.state.to_bytes().unwrap().as_slice()).unwrap();
}

#[test]
fn a_battery_that_falls_fast_is_told_while_days_are_left() {
    let mut street = street(2);
    street.device("fast", "door", "w0");
    street.device("slow", "door", "w1");
    for day in 0..13 {
        street.now("fast", "battery", 80.0 - 3.0 * f64::from(day));
        street.now("slow", "battery", 60.0 - f64::from(day));
        assert_eq!(street.count(), 0, "day {day}");
        street.wait(DAY_US);
        if day == 5 {
            again(&mut street);
        }
    }
    // 41 % at 3 a day: under a fortnight.
    street.now("fast", "battery", 41.0);
    let alert = &street.alerts("battery_low")[0];
    assert_eq!((alert.dwelling_id.as_str(), alert.severity), ("w0", Severity::Minor));
    let said = street.said("battery_low");
    assert!(said.contains("41 %") && said.contains("13 days"), "{said}");
    // A day of a little less changes nothing, a new battery does, and what fell before is forgotten.
    street.wait(DAY_US);
    street.now("fast", "battery", 40.0);
    assert_eq!(street.condition("battery_low"), Some(Condition::Firing));
    street.now("fast", "battery", 100.0);
    assert_eq!(street.condition("battery_low"), Some(Condition::Cleared));
    street.wait(DAY_US);
    street.now("fast", "battery", 97.0);
    assert_eq!(street.condition("battery_low"), Some(Condition::Cleared));
    assert_eq!(street.alerts("battery_low").len(), 1);
}

#[test]
fn a_battery_that_wavers_or_is_unknown_for_long_has_no_days() {
    let mut street = street(1);
    street.device("d", "door", "w0");
    for day in 0..30 {
        street.now("d", "battery", if day % 2 == 0 { 31.0 } else { 30.0 });
        street.wait(DAY_US);
    }
    assert_eq!(street.count(), 0, "{}", street.said("battery_low"));
}

#[test]
fn a_battery_is_heard_though_another_word_of_the_device_came_first() {
    let mut street = street(1);
    street.device("d", "door", "w0");
    street.now("d", "motion", 1.0);
    street.at("d", "battery", 15.0, street.now_us - MINUTE_US);
    assert_eq!(street.condition("battery_low"), Some(Condition::Firing));
    // The word of the battery from before that one says nothing any more.
    street.at("d", "battery", 90.0, street.now_us - 2 * HOUR_US);
    assert_eq!(street.condition("battery_low"), Some(Condition::Firing));
}

#[test]
fn who_opens_a_device_is_told_and_several_of_a_home_are_one_case() {
    let mut street = Street::new(&Rules::default(), 1);
    street.device("d", "door", "w0");
    street.device("e", "smoke", "w0");
    let opened = street.now("d", "tamper", 1.0);
    let alert = street.alerts("tamper").pop().unwrap();
    assert_eq!((alert.severity, &alert.evidence), (Severity::Minor, &vec![opened]));
    assert!(alert.told_us[1] > 0 && alert.told_us[0] == 0, "a device is the grid's matter");
    street.now("e", "tamper", 1.0);
    assert_eq!(street.count(), 1);
    street.now("d", "tamper", 0.0);
    street.now("e", "tamper", 0.0);
    assert_eq!(street.condition("tamper"), Some(Condition::Cleared));
}

const YEAR_US: i64 = 365 * DAY_US + DAY_US / 4;

#[test]
fn a_smoke_detector_is_told_at_the_end_of_its_life_once() {
    let mut street = street(3);
    installed(&mut street, ("old", "smoke"), "w0", 10 * YEAR_US + DAY_US, "ok");
    installed(&mut street, ("older", "smoke"), "w0", 12 * YEAR_US, "ok");
    installed(&mut street, ("nearly", "smoke"), "w1", 10 * YEAR_US - 2 * HOUR_US, "ok");
    installed(&mut street, ("door", "door"), "w2", 30 * YEAR_US, "ok");
    street.device("undated", "smoke", "w2");
    street.wait(2 * MINUTE_US);
    let alert = street.alerts("end_of_life").pop().unwrap();
    assert_eq!((alert.severity, alert.dwelling_id.as_str()), (Severity::Minor, "w0"));
    assert_eq!(alert.evidence, ["old", "older"]);
    assert!(alert.told_us[1] > 0 && alert.told_us[0] == 0);
    assert_eq!(street.count(), 1);
    again(&mut street);
    street.wait(2 * HOUR_US + 2 * MINUTE_US);
    let ended = street.alerts("end_of_life");
    assert_eq!((ended.len(), ended[1].evidence[0].as_str()), (2, "nearly"));
    street.wait(HOUR_US);
    installed(&mut street, ("nearly", "smoke"), "w1", 10 * YEAR_US + HOUR_US, "ok");
    street.wait(HOUR_US);
    let ended = street.alerts("end_of_life");
    assert_eq!((ended.len(), ended[1].evidence.len()), (2, 1), "once");
    // Both are replaced: over with the second.
    installed(&mut street, ("old", "smoke"), "w0", 0, "ok");
    assert_eq!(street.alerts("end_of_life")[0].condition, Condition::Firing);
    installed(&mut street, ("older", "smoke"), "w0", 0, "ok");
    assert_eq!(street.alerts("end_of_life")[0].condition, Condition::Cleared);
}

#[test]
fn a_set_that_changes_the_life_of_a_class_is_followed() {
    let mut street = street(1);
    installed(&mut street, ("s", "smoke"), "w0", 8 * YEAR_US, "ok");
    street.wait(2 * MINUTE_US);
    assert_eq!(street.count(), 0);
    let mut shorter = Rules { version: 2, ..rules() };
    shorter.devices[1].life_years = 7.0;
    shorter.device_alerts.end_of_life = Grade { severity: Severity::Major, level: 2 };
    street.push(&shorter);
    street.wait(2 * MINUTE_US);
    assert_eq!(street.alerts("end_of_life")[0].severity, Severity::Major);
    street.push(&Rules { version: 3, ..rules() });
    street.wait(2 * MINUTE_US);
    assert_eq!(street.condition("end_of_life"), Some(Condition::Cleared));
    let mut wrong = rules();
    wrong.devices[1].life_years = -1.0;
    assert!(wrong.check().unwrap_err().contains("life_years"));
}

#[test]
fn a_device_that_was_taken_away_is_no_longer_missed_and_its_cases_are_over() {
    let mut street = street(3);
    for (device, home) in [("a", "w0"), ("b", "w0"), ("c", "w1")] {
        street.device(device, "box", home);
        street.now(device, "battery", 15.0);
    }
    installed(&mut street, ("s", "smoke"), "w2", 11 * YEAR_US, "ok");
    street.wait(4 * MINUTE_US);
    let open = |street: &Street| {
        let firing = street.state.alerts.iter().filter(|it| it.condition == Condition::Firing);
        firing.map(|it| format!("{} {}", it.kind, it.dwelling_id)).collect::<Vec<_>>()
    };
    assert_eq!(open(&street).len(), 5, "{:?}", open(&street));
    installed(&mut street, ("a", "box"), "w0", 0, "removed");
    assert_eq!(open(&street).len(), 5, "b is there");
    again(&mut street);
    // Withdrawn and unhung in one row: its cases are where it was.
    installed(&mut street, ("b", "box"), "", 0, "retired");
    installed(&mut street, ("s", "smoke"), "w2", 11 * YEAR_US, "removed");
    assert_eq!(open(&street), ["battery_low w1", "device_offline w1"]);
    let said = street.said("device_offline");
    assert!(said.contains("b is withdrawn") && said.contains("retired"), "{said}");
    // It still beeps in the fitter's van, and falls silent there.
    street.now("b", "heartbeat", 1.0);
    street.now("c", "heartbeat", 1.0);
    installed(&mut street, ("c", "box"), "w1", 0, "removed");
    street.wait(HOUR_US);
    assert_eq!(open(&street), [""; 0]);
    assert_eq!(street.alerts("device_offline").len(), 2);
    // Back in service it is missed again.
    installed(&mut street, ("c", "box"), "w1", 0, "ok");
    street.now("c", "heartbeat", 1.0);
    street.wait(2 * MINUTE_US);
    assert_eq!(open(&street), [""; 0]);
    street.wait(2 * MINUTE_US);
    assert_eq!(open(&street), ["device_offline w1"]);
}

#[test]
fn a_tampered_device_that_is_taken_away_was_the_fitter() {
    let mut street = Street::new(&Rules::default(), 1);
    street.device("d", "door", "w0");
    street.now("d", "tamper", 1.0);
    installed(&mut street, ("d", "door"), "w0", 0, "removed");
    assert_eq!(street.condition("tamper"), Some(Condition::Cleared));
    street.now("d", "gas", 25.0);
    let gas = street.condition("gas_leak");
    installed(&mut street, ("d", "door"), "w0", 1, "removed");
    assert_eq!((gas, street.condition("gas_leak")), (Some(Condition::Firing), gas));
}

/// Thirty of forty that fell silent go for good: the outage ends, and the others are missing.
#[test]
fn devices_that_are_taken_away_do_not_hold_an_outage_open() {
    let mut street = street(41);
    let beat = |street: &mut Street, minutes: usize| {
        for _ in 0..minutes {
            for n in 0..20 {
                street.now(&format!("o{n}"), "heartbeat", 1.0);
            }
            street.wait(MINUTE_US);
        }
    };
    for n in 0..40 {
        street.device(&format!("d{n}"), "box", &format!("w{n}"));
        street.now(&format!("d{n}"), "heartbeat", 1.0);
    }
    for n in 0..20 {
        street.device(&format!("o{n}"), "box", "w40");
    }
    beat(&mut street, 4);
    assert_eq!(street.condition("outage"), Some(Condition::Firing));
    for n in 0..30 {
        installed(&mut street, (&format!("d{n}"), "box"), "w40", 0, "removed");
    }
    assert_eq!(street.condition("outage"), Some(Condition::Cleared));
    beat(&mut street, 60);
    let missing = street.alerts("device_offline");
    assert_eq!(missing.len(), 10, "those that are there and silent");
    assert_eq!(street.alerts("outage").len(), 1);
}

#[test]
fn a_last_will_is_no_sign_of_life() {
    let mut street = street(1);
    street.device("d", "box", "w0");
    street.now("d", "heartbeat", 1.0);
    street.wait(2 * MINUTE_US);
    street.now("d", "offline", 1.0);
    street.wait(MINUTE_US + 2 * SECOND_US);
    assert_eq!(street.condition("device_offline"), Some(Condition::Firing));
    street.now("d", "offline", 1.0);
    assert_eq!(street.condition("device_offline"), Some(Condition::Firing));
}

#[test]
fn each_class_has_its_own_heartbeat_and_its_own_grade() {
    let grade = |severity, level| Some(Grade { severity, level });
    let mut rules = rules();
    rules.devices = vec![
        DeviceClass { offline: grade(Severity::Critical, 3), ..class("gas", 3_600) },
        DeviceClass { offline: grade(Severity::Major, 2), ..class("smoke", 7_200) },
        class("door", 10_800),
    ];
    let mut street = Street::new(&rules, 3);
    for (device, class, home) in [("g", "gas", "w0"), ("s", "smoke", "w1"), ("d", "door", "w2")] {
        street.device(device, class, home);
        street.now(device, "heartbeat", 1.0);
    }
    let mut told = Vec::new();
    for hours in 1..=9 {
        street.wait(HOUR_US + SECOND_US);
        let all = street.alerts("device_offline");
        if let Some(newest) = all.last().filter(|_| all.len() > told.len()) {
            told.push((hours, newest.evidence[0].clone(), newest.severity, newest.told_us[2] > 0));
        }
    }
    let told: Vec<_> = told.iter().map(|it| (it.0, it.1.as_str(), it.2, it.3)).collect();
    assert_eq!(
        told,
        [
            (3, "g", Severity::Critical, true),
            (6, "s", Severity::Major, false),
            (9, "d", Severity::Minor, false)
        ]
    );
}

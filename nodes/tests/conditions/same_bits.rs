//! The same log, the same bits, also through a snapshot in the middle of whatever goes on.

use crate::street::{MINUTE_US, SECOND_US, Street};
use nodes::state::{Command, Rules, State};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// Device, kind, value, and how many seconds ago.
    Event(usize, &'static str, f64, i64),
    Wait(i64),
    Pause(i64),
    Move(usize, usize),
    Class(usize, &'static str),
    Push(f64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let kinds = prop::sample::select(vec![
        "gas",
        "smoke",
        "door",
        "motion",
        "bed",
        "respiration",
        "heartbeat",
        "battery",
        "water",
    ]);
    let value = prop::sample::select(vec![0.0, 1.0, 4.0, 6.0, 9.0, 26.0]);
    let classes = prop::sample::select(vec!["door", "gas", "gateway", ""]);
    let ago = prop_oneof![4 => Just(0_i64), 1 => 0..90_000_i64];
    prop_oneof![
        12 => (0..12_usize, kinds, value, ago).prop_map(|(d, k, v, a)| Step::Event(d, k, v, a)),
        3 => (1..3_600_i64).prop_map(Step::Wait),
        1 => (60..90_000_i64).prop_map(Step::Pause),
        1 => (0..12_usize, 0..4_usize).prop_map(|(d, h)| Step::Move(d, h)),
        1 => (0..12_usize, classes).prop_map(|(d, c)| Step::Class(d, c)),
        1 => (3.0..7.0_f64).prop_map(Step::Push),
    ]
}

fn rules(version: u32, threshold: f64) -> Rules {
    let mut rules = Rules { version, ..Rules::default() };
    rules.alerts[0].threshold = threshold;
    rules.outage.at_least = 3;
    for class in &mut rules.devices {
        class.heartbeat_s /= 60;
    }
    rules.inactivity[0].limit_h = 2.0;
    rules
}

fn take(street: &mut Street, version: &mut u32, step: &Step) {
    match step {
        Step::Event(device, kind, value, ago) => {
            let at_us = street.now_us - ago * SECOND_US;
            street.gateway = format!("gw{}", device % 2);
            street.at(&format!("d{device}"), kind, *value, at_us);
        }
        Step::Wait(seconds) => street.wait(seconds * SECOND_US),
        Step::Pause(seconds) => street.pause(seconds * SECOND_US),
        Step::Move(device, home) => {
            street.device(&format!("d{device}"), "door", &format!("w{home}"));
        }
        Step::Class(device, class) => street.device(&format!("d{device}"), class, "w1"),
        Step::Push(threshold) => {
            *version += 1;
            street.push(&rules(*version, *threshold));
        }
    }
}

fn street() -> Street {
    let mut street = Street::new(&rules(1, 5.0), 3);
    for device in 0..10 {
        let class = ["door", "gas", "gateway"][device % 3];
        street.device(&format!("d{device}"), class, &format!("w{}", device % 4));
    }
    street
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_in_between_changes_nothing(
        steps in prop::collection::vec(any_step(), 1..60),
        cut in 0_usize..60,
    ) {
        let (mut one, mut two) = (street(), street());
        let (mut first, mut second) = (1, 1);
        for (at, step) in steps.iter().enumerate() {
            take(&mut one, &mut first, step);
            if at == cut {
                two.state = State::from_reader(&mut two.state.to_bytes().unwrap().as_slice()).unwrap();
            }
            take(&mut two, &mut second, step);
            prop_assert_eq!(one.state.hash, two.state.hash, "after step {} {:?}", at, step);
            prop_assert_eq!(one.state.alerts_total, two.state.alerts_total, "after step {} {:?}", at, step);
        }
        one.wait(10 * MINUTE_US);
        two.wait(10 * MINUTE_US);
        prop_assert_eq!(one.state.to_bytes().unwrap(), two.state.to_bytes().unwrap());
    }
}

#[test]
fn a_pause_is_no_reason_to_miss_a_device_twice() {
    let mut street = street();
    for device in 0..10 {
        street.at(&format!("d{device}"), "heartbeat", 1.0, street.now_us);
    }
    street.wait(30 * MINUTE_US);
    let alerts = street.count();
    street.apply(&Command::Tick);
    street.pause(60 * MINUTE_US);
    street.wait(30 * MINUTE_US);
    assert!(street.count() >= alerts);
    for alert in street.state.alerts.iter() {
        let mut evidence = alert.evidence.clone();
        evidence.dedup();
        assert_eq!(evidence, alert.evidence, "{} was told twice", alert.kind);
    }
}

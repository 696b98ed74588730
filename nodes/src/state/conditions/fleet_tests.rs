//! The whole district's devices at once.

use super::engine::Conditions;
use super::groups::Registers;
use super::kept::Kept;
use super::sight::{PlaceId, Sight};
use super::tick::TICK_US;
use super::verdict::{Spot, What};
use crate::state::Rows;
use crate::state::rules::{DeviceClass, Rules};
use features::table::Cell;
use features::{EntityKind, Kind, Store, civil};

const DEVICES: u32 = 1_664_000;
const BYTES_MAX: usize = 100_000_000;
const NOW_US: i64 = 1_790_000_000_000_000;
const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
/// Devices that hang in one building, and are heard by one gateway.
const TOGETHER: u32 = 200;
/// A device in so many falls silent for itself.
const DYING: u32 = 10_007;

fn rules() -> Rules {
    let class = DeviceClass {
        class: "door".to_owned(),
        heartbeat_s: 3_600,
        missed: 3,
        battery_low: 0.0,
        battery_critical: 0.0,
        low_days: 0,
        life_years: 0.0,
        offline: None,
    };
    Rules { devices: vec![class], ..Rules::bare() }
}

fn sight(device: u32, at_us: i64, source: &str) -> Sight<'_> {
    Sight {
        place: PlaceId::device(device),
        device,
        kind: Kind::Heartbeat,
        value: 1_000_000,
        at_us,
        now_us: at_us,
        boot: 1,
        id: "e",
        source,
    }
}

/// 1.66 million timers in under 100 MB, and each that is over fires once, in the second of its time.
#[test]
fn a_district_of_heartbeat_timers_is_small_and_exact() {
    let table = civil::table("device").unwrap();
    let mut row = vec![Cell::Null; table.columns.len()];
    row[table.position("kind").unwrap()] = Cell::text("door");
    let (mut rows, mut store) = (Rows::default(), Store::default());
    // The class is read from the register once a device: one row serves them all here.
    row[0] = Cell::text("d");
    rows.upsert(table, &row).unwrap();
    let first = store.slot(EntityKind::Device, "d").unwrap();
    assert_eq!(first, 0);
    let registers = Registers { rows: &rows, store: &store };
    let mut engine = Conditions::restore(Kept::default(), &rules(), registers);
    let mut out = Vec::new();
    engine.advance(NOW_US, registers, &mut out);
    let class = engine.class("door");
    let gateways: Vec<String> = (0..=DEVICES / TOGETHER).map(|n| format!("gw-{n}")).collect();
    for device in 0..DEVICES {
        let at_us = NOW_US - i64::from(device % 240) * TICK_US;
        let source = &gateways[(device / TOGETHER) as usize];
        engine.hear(&sight(device, at_us, source), registers, &mut out);
        engine.class_by_hand(device, class);
    }
    let bytes = engine.heartbeat_bytes();
    println!("{DEVICES} timers take {bytes} bytes, {} each", bytes / DEVICES as usize);
    assert!(bytes < BYTES_MAX, "{bytes} bytes");

    // All but a few speak once more before their time is over.
    let is_dying = |device: u32| device % DYING == 5;
    let turn = |engine: &mut Conditions, from_us: i64, to_us: i64, step_us: i64| {
        let mut told = Vec::new();
        let mut now_us = from_us;
        while now_us < to_us {
            now_us += step_us;
            let mut out = Vec::new();
            engine.advance(now_us, registers, &mut out);
            told.extend(out.into_iter().map(|verdict| (verdict, now_us)));
        }
        told
    };
    let (again_us, due_us) = (NOW_US + 2 * HOUR_US, NOW_US + 3 * HOUR_US);
    let mut told = turn(&mut engine, NOW_US, again_us, 50 * SECOND_US);
    for device in (0..DEVICES).filter(|device| !is_dying(*device)) {
        let source = &gateways[(device / TOGETHER) as usize];
        engine.hear(&sight(device, again_us, source), registers, &mut out);
    }
    told.extend(turn(&mut engine, again_us, due_us - 120 * SECOND_US, 49 * SECOND_US));
    assert!(told.is_empty(), "{} were told too early", told.len());
    let from_us = engine.kept().now_us;
    let told = turn(&mut engine, from_us, due_us + 60 * SECOND_US, TICK_US);
    let mut once = std::collections::BTreeSet::new();
    for (verdict, told_us) in told {
        let Spot::Device(device) = verdict.spot else { panic!("{verdict:?}") };
        assert!(matches!(verdict.what, What::Fire { .. }) && is_dying(device), "{verdict:?}");
        assert!(once.insert(device), "{device} was told twice");
        let due_us = due_us - i64::from(device % 240) * TICK_US;
        assert!((0..SECOND_US).contains(&(told_us - due_us)), "{device}");
    }
    assert_eq!(once.len(), (0..DEVICES).filter(|device| is_dying(*device)).count());
}

//! What the features of a whole district take: bytes by part, events taken in a second on one core, and
//! how long a vector takes to read.
//!
//! `cargo run --release -p features --example footprint -- [RESIDENTS] [busy|quiet]`
//!
//! Four devices a resident: door, motion, gas, breath. Busy: every device beats each five minutes, gas is
//! measured each ten minutes, breath each minute: 20,000 events a second for 416,000 residents. Quiet: 31
//! events a resident and day, 13 million a day. A week is laid down with three readings in each tile
//! where there would be more: what a tile takes hardly depends on how many it holds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measuring program may stop at once")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use features::window::{DAY_US, HOUR_US, MINUTE_US};
use features::{EntityKind, FeatureRows, Kind, Store, builtin};

const NOW_US: i64 = 1_800_000_000_000_000;
const KINDS: [Kind; 4] = [Kind::Door, Kind::Motion, Kind::Gas, Kind::Respiration];
/// Readings that are timed.
const TIMED: usize = 4_000_000;
const READS: usize = 1_000_000;

/// xorshift64*: the same bytes on every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, most: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(most)) >> 64) as u64
    }
}

fn value(kind: Kind, dice: &mut Dice) -> f64 {
    match kind {
        Kind::Gas => dice.below(30) as f64 / 10.0,
        Kind::Respiration => 12.0 + dice.below(900) as f64 / 100.0,
        _ => 1.0,
    }
}

/// When a device spoke in the last week: at most three times in each tile.
fn times(every_us: i64, dice: &mut Dice) -> Vec<i64> {
    let mut times = Vec::new();
    let mut age_us = dice.below(every_us as u64) as i64;
    while age_us < 7 * DAY_US + 6 * HOUR_US {
        times.push(NOW_US - age_us);
        let tile_us = match age_us {
            age if age < 6 * MINUTE_US => MINUTE_US,
            age if age < 65 * MINUTE_US => 5 * MINUTE_US,
            age if age < 25 * HOUR_US => HOUR_US,
            _ => 6 * HOUR_US,
        };
        age_us += every_us.max(tile_us / 3) * (50 + dice.below(100) as i64) / 100;
    }
    times
}

fn rss_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux");
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn main() {
    let mut words = std::env::args().skip(1);
    let residents: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(416_000);
    let is_busy = words.next().is_none_or(|word| word == "busy");
    let (begun, before) = (Instant::now(), rss_bytes());
    let mut store = Store::new();
    store.advance(NOW_US);
    let mut dice = Dice(7);
    for resident in 0..residents {
        let home = store.slot(EntityKind::Resident, &format!("r-{resident:010}")).unwrap();
        for (number, kind) in KINDS.into_iter().enumerate() {
            let device =
                store.slot(EntityKind::Device, &format!("d-{resident:08}-{number}")).unwrap();
            let (own_us, beat_us) = match (kind, is_busy) {
                (Kind::Door, true) => (5 * HOUR_US, 5 * MINUTE_US),
                (Kind::Motion, true) => (20 * MINUTE_US, 5 * MINUTE_US),
                (Kind::Gas, true) => (10 * MINUTE_US, 5 * MINUTE_US),
                (_, true) => (MINUTE_US, 5 * MINUTE_US),
                (Kind::Motion, false) => (80 * MINUTE_US, 8 * HOUR_US),
                (_, false) => (12 * HOUR_US, 8 * HOUR_US),
            };
            // The oldest first, as they would have come.
            for at_us in times(own_us, &mut dice).into_iter().rev() {
                let value = value(kind, &mut dice);
                store.record_at(EntityKind::Device, device, kind, at_us, value);
                store.record_at(EntityKind::Resident, home, kind, at_us, value);
            }
            for at_us in times(beat_us, &mut dice).into_iter().rev() {
                store.record_at(EntityKind::Device, device, Kind::Heartbeat, at_us, 1.0);
                store.record_at(EntityKind::Resident, home, Kind::Heartbeat, at_us, 1.0);
            }
        }
    }
    println!(
        "{residents} residents, {} devices, {}: {} MB counted, {} MB resident of the process, laid down in {:?}",
        residents * KINDS.len(),
        if is_busy { "busy" } else { "quiet" },
        store.memory_bytes() / 1_000_000,
        (rss_bytes() - before) / 1_000_000,
        begun.elapsed()
    );
    by_part(&store);
    take_in(&mut store, residents, &mut dice);
    read(&store, residents, &mut dice);
}

/// Series and their tiles, by entity, kind and part.
fn by_part(store: &Store) {
    let mut parts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for entity in [EntityKind::Device, EntityKind::Resident] {
        for key in store.entities(entity) {
            for series in store.series(entity, key) {
                let kind = series.kind().map_or("any", Kind::as_str);
                let name = format!("{entity} {kind} {}", series.part().as_str());
                let (count, bytes) = parts.entry(name).or_default();
                *count += 1;
                *bytes += series.heap_bytes();
            }
        }
    }
    for (name, (count, bytes)) in parts {
        let each = bytes as f64 / count as f64;
        let series = count * 48 / 1_000_000;
        println!(
            "  {name}: {count} series, {series} MB + tiles {} MB ({each:.0} bytes each)",
            bytes / 1_000_000
        );
    }
}

/// Events in the order of time, of any home: each into its device and its resident.
fn take_in(store: &mut Store, residents: usize, dice: &mut Dice) {
    let step_us = 50;
    let mut now_us = NOW_US;
    let events: Vec<(usize, usize, f64)> = (0..TIMED)
        .map(|_| {
            let kind = dice.below(KINDS.len() as u64) as usize;
            (dice.below(residents as u64) as usize, kind, value(KINDS[kind], dice))
        })
        .collect();
    let begun = on_processor();
    for (resident, kind, value) in &events {
        now_us += step_us;
        store.advance(now_us);
        let device = resident * KINDS.len() + kind;
        store.record_at(EntityKind::Device, device, KINDS[*kind], now_us, *value);
        store.record_at(EntityKind::Resident, *resident, KINDS[*kind], now_us, *value);
    }
    let spent = on_processor().saturating_sub(begun);
    let rate = TIMED as f64 / spent.as_secs_f64();
    println!(
        "taken in: {:.0} ns an event (device and resident), {rate:.0} events/s on a core",
        1e9 / rate
    );
    let few = (residents / 100).max(1);
    let begun = on_processor();
    for (resident, kind, value) in &events {
        now_us += step_us;
        let resident = resident % few;
        let device = resident * KINDS.len() + kind;
        store.record_at(EntityKind::Device, device, KINDS[*kind], now_us - 1, *value);
        store.record_at(EntityKind::Resident, resident, KINDS[*kind], now_us - 1, *value);
        store.advance(now_us);
    }
    let spent = on_processor().saturating_sub(begun);
    println!("  of {few} homes only: {:.0} ns an event", spent.as_secs_f64() * 1e9 / TIMED as f64);
}

fn read(store: &Store, residents: usize, dice: &mut Dice) {
    let keys: Vec<String> =
        (0..65_536).map(|_| format!("r-{:010}", dice.below(residents as u64))).collect();
    for view in builtin::views().unwrap() {
        if view.entity() != EntityKind::Resident {
            continue;
        }
        let mut into = FeatureRows::with_capacity(view.features().len());
        let begun = on_processor();
        for at in 0..READS {
            into.truncate(0);
            store.read_into(&view, &keys[at % keys.len()], store.now_us(), &(), &mut into);
        }
        let spent = on_processor().saturating_sub(begun);
        let ns = spent.as_secs_f64() * 1e9 / READS as f64;
        println!(
            "read: {} ({} features, no registers) {ns:.0} ns",
            view.name(),
            view.features().len()
        );
    }
}

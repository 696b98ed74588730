//! Rows of the organisations: social ones, care institutions, canteens, cemeteries, funeral firms.

use features::table::Cell;

use super::cells::{Row, date_before, from, int, month_before, real, text};
use super::dice::{Dice, Realm};
use super::district::District;
use super::ground::Ground;
use super::names;

/// A kind, its word, and how many a district of 416,000 old people has.
const KINDS: [(&str, &str, u64); 5] = [
    ("social", "Association", 1_700),
    ("institution", "Care Home", 437),
    ("canteen", "Canteen", 74),
    ("cemetery", "Cemetery", 76),
    ("funeral", "Funeral Service", 12),
];
const FULL_SIZE: u64 = 416_000;
/// Months of activity that are known.
const MONTHS: i32 = 12;
/// How many social organisations do nothing.
const DORMANT: f64 = 0.09;

/// How many of each kind; at least one.
fn counts(district: &District) -> [u32; 5] {
    KINDS.map(|kind| ((kind.2 * u64::from(district.plan.people) / FULL_SIZE) as u32).max(1))
}

pub(super) fn count(district: &District) -> u32 {
    counts(district).iter().sum()
}

/// The kind of an organisation, as a place in [`KINDS`], and its place among that kind.
fn kind_of(district: &District, index: u32) -> (usize, u32) {
    let mut left = index;
    for (kind, count) in counts(district).into_iter().enumerate() {
        if left < count {
            return (kind, left);
        }
        left -= count;
    }
    (KINDS.len() - 1, left)
}

pub(super) fn id(index: u32) -> String {
    format!("o{:05}", index + 1)
}

/// The ids of some kind, as the first and the one after the last.
pub(super) fn of_kind(district: &District, kind: &str) -> (u32, u32) {
    let mut first = 0;
    for ((name, _, _), count) in KINDS.iter().zip(counts(district)) {
        if *name == kind {
            return (first, first + count);
        }
        first += count;
    }
    (0, 1)
}

pub(super) fn organisation(district: &District, index: u32, rows: &mut Vec<Row>) {
    let plan = &district.plan;
    let (kind, place) = kind_of(district, index);
    let (name, word, _) = KINDS[kind];
    let mut dice = Dice::new(plan.seed, Realm::Organisation, u64::from(index), 0);
    let street = dice.whole(0, i64::from(district.ground.streets)) as u32;
    let capacity = match name {
        "institution" => int(dice.whole(30, 320)),
        "canteen" => int(dice.whole(40, 260)),
        _ => Cell::Null,
    };
    let grade = dice.pick(&["1A", "2A", "3A", "4A", "5A", "none"], "none");
    let row = vec![
        text(id(index)),
        text(name),
        text(format!("{} {word}", names::place(place * 11 + kind as u32))),
        text(Ground::street_code(street)),
        date_before(plan, dice.whole(200, 11_000) as i32),
        text(grade),
        capacity,
        text(if dice.chance(0.97) { "active" } else { "suspended" }),
    ];
    rows.push(from(row, "civil_affairs", plan));
}

pub(super) fn months(district: &District, index: u32, rows: &mut Vec<Row>) {
    let (kind, _) = kind_of(district, index);
    if kind != 0 {
        return;
    }
    let plan = &district.plan;
    let mut dice = Dice::new(plan.seed, Realm::Organisation, u64::from(index), 1);
    let dormant = dice.chance(DORMANT);
    let mut vitality = dice.normal();
    for ago in (1..=MONTHS).rev() {
        vitality = 0.8 * vitality + 0.6 * dice.normal();
        let mean = if dormant { 0.02 } else { 1.6 * (0.6 * vitality).exp() };
        let events = dice.poisson(mean.min(20.0));
        let people: u32 = (0..events).map(|_| 5 + dice.poisson(22.0)).sum();
        let check = if ago > 1 {
            ""
        } else if dormant || dice.chance(0.04) {
            "missed"
        } else {
            "passed"
        };
        let row = vec![
            text(id(index)),
            text(month_before(plan.today(), ago)),
            int(events),
            int(people),
            int(u32::from(events > 0) + dice.poisson(0.4 * f64::from(events.min(5)))),
            if check.is_empty() { Cell::Null } else { text(check) },
            int((8e5 * dice.unit() * f64::from(events)) as i64),
            real(f64::from(people) * dice.between(0.2, 0.9), 1),
            Cell::Null,
            Cell::Null,
            Cell::Null,
        ];
        rows.push(from(row, "civil_affairs", plan));
    }
}

pub(super) fn cemetery(district: &District, index: u32, rows: &mut Vec<Row>) {
    let (kind, _) = kind_of(district, index);
    if KINDS[kind].0 != "cemetery" {
        return;
    }
    let plan = &district.plan;
    let mut dice = Dice::new(plan.seed, Realm::Organisation, u64::from(index), 2);
    let total = dice.whole(600, 9_000);
    let left = (total as f64 * dice.between(0.02, 0.6)) as i64;
    let row = vec![
        text(id(index)),
        real(120.25 + 0.08 * dice.normal(), 6),
        real(30.16 + 0.06 * dice.normal(), 6),
        int(total),
        int(left),
        int(left * 2),
        int((total as f64 * dice.between(0.01, 0.05)) as i64),
        real(total as f64 * dice.between(2.5, 4.5), 0),
    ];
    rows.push(from(row, "civil_affairs", plan));
}

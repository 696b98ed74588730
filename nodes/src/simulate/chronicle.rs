//! Rows of the last 90 days: services at home, meals, visits.

use features::table::Cell;

use super::cells::{Row, date_before, from, int, text, time_before};
use super::dice::{Dice, Realm};
use super::district::District;
use super::home::Living;
use super::organisation;

const DAYS: f64 = 90.0;
/// Services a person and year on average.
const SERVICES: f64 = 4.8;
/// Beside them, what alone and dependent people get, as a multiple.
const ALONE_TIMES: f64 = 2.0;

pub(super) fn services(district: &District, index: u32, rows: &mut Vec<Row>) {
    let (person, living) = district.person(index);
    if !person.lives() {
        return;
    }
    let plan = &district.plan;
    let health = district.health(index);
    let mut dice = Dice::new(plan.seed, Realm::Chronicle, u64::from(index), 0);
    let alone = if living == Living::Alone { ALONE_TIMES } else { 1.0 };
    // 0.71 makes the mean of all people what it is in the published count.
    let mean = SERVICES * DAYS / 365.0
        * 0.71
        * alone
        * f64::from(health.level).powf(0.9)
        * dice.exponential(1.0);
    let institutions = organisation::of_kind(district, "institution");
    for number in 0..dice.poisson(mean.min(60.0)) {
        let kinds = ["cleaning", "bathing", "nursing", "errand", "rehabilitation", "haircut"];
        let kind = dice.pick(&kinds, kinds[0]);
        let minutes = dice.whole(2, 9) * 15;
        let price_fen = minutes * dice.whole(60, 110);
        let help = dice.between(0.2, 0.9);
        let row = vec![
            text(format!("v{:07}-{}", index + 1, number + 1)),
            text(person.key_text()),
            text(organisation::id(dice.whole(institutions.0.into(), institutions.1.into()) as u32)),
            text(kind),
            time_before(plan, dice.between(0.2, DAYS)),
            int(minutes),
            int(price_fen),
            int((price_fen as f64 * help) as i64),
            if dice.chance(0.6) {
                int(dice.weighted(&[0.02, 0.04, 0.14, 0.35, 0.45]) as i64 + 1)
            } else {
                Cell::Null
            },
        ];
        rows.push(from(row, "civil_affairs", plan));
    }
}

/// Thirteen of a hundred eat at a canteen; one of three of them has the meal brought.
pub(super) fn meals(district: &District, index: u32, rows: &mut Vec<Row>) {
    let person = &district.people[index as usize];
    let plan = &district.plan;
    let mut dice = Dice::new(plan.seed, Realm::Chronicle, u64::from(index), 1);
    if !person.lives() || !dice.chance(0.13) {
        return;
    }
    let canteens = organisation::of_kind(district, "canteen");
    let canteen = organisation::id(dice.whole(canteens.0.into(), canteens.1.into()) as u32);
    let brought = dice.chance(0.33);
    let often = dice.between(0.05, 0.8);
    let discount = if person.age() >= 80.0 { 0.5 } else { 0.2 };
    // Two weeks are enough to know who eats where.
    for ago in (1..=14).rev() {
        let weekend = matches!((plan.today() - ago).rem_euclid(7), 2 | 3);
        if dice.chance(if weekend { often * 0.4 } else { often }) {
            let price_fen = dice.whole(10, 19) * 100;
            let row = vec![
                text(format!("m{:07}-{ago:02}", index + 1)),
                text(person.key_text()),
                text(canteen.as_str()),
                time_before(plan, f64::from(ago) - 0.47 + dice.between(-0.03, 0.03)),
                int(price_fen),
                int((price_fen as f64 * discount) as i64),
                Cell::Bool(brought),
            ];
            rows.push(from(row, "civil_affairs", plan));
        }
    }
}

/// The next visit that is due and the last one made, for those whom a rule names.
pub(super) fn visits(district: &District, index: u32, rows: &mut Vec<Row>) {
    let (person, living) = district.person(index);
    let plan = &district.plan;
    let health = district.health(index);
    let old_alone = living == Living::Alone && person.age() >= 80.0;
    let (tier, every) = if !person.lives() {
        return;
    } else if old_alone && health.level >= 3 {
        ("daily", 1)
    } else if health.level >= 4 || old_alone {
        ("weekly", 7)
    } else if living == Living::Alone && person.age() >= 70.0 || health.level == 3 {
        ("monthly", 30)
    } else if person.age() >= 85.0 {
        ("quarterly", 91)
    } else {
        return;
    };
    let mut dice = Dice::new(plan.seed, Realm::Chronicle, u64::from(index), 2);
    let worker = format!("worker-{:04}", district.ground.grid_of(person.household) + 1);
    let due = dice.whole(0, every.into()) as i32;
    let last = due - every;
    let late = dice.chance(0.06);
    let mut add = |number: u32, due_in: i32, done: Cell, finding: Cell| {
        let row = vec![
            text(format!("t{:07}-{number}", index + 1)),
            text(person.key_text()),
            text(tier),
            date_before(plan, -due_in),
            done,
            text(worker.as_str()),
            finding,
            date_before(plan, -(due_in + every)),
        ];
        rows.push(from(row, "civil_affairs", plan));
    };
    let findings = ["well", "well", "well", "needs_help", "not_at_home"];
    let finding = text(dice.pick(&findings, "well"));
    let done = time_before(plan, f64::from(-last) + dice.between(-0.7, -0.3));
    if late {
        add(1, last, Cell::Null, Cell::Null);
    } else {
        add(1, last, done, finding);
    }
    add(2, due, Cell::Null, Cell::Null);
}

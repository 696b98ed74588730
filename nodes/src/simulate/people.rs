//! Rows of the people: residents, relations, health, assessments, tags.

use features::table::Cell;

use super::cells::{Row, date_before, from, int, real, text, time_before, year_month};
use super::dice::{Dice, Realm};
use super::district::District;
use super::economy::Class;
use super::health::Health;
use super::home::Living;
use super::names;
use super::person::{Person, key, key_text};
use super::places::{Building, grid_leader, household_id};
use super::register::Register;

pub(super) fn resident(district: &District, index: u32, rows: &mut Vec<Row>) {
    let (person, living) = district.person(index);
    let register = district.register(index);
    let plan = &district.plan;
    let community = district.ground.community_code_of(person.household);
    // Somebody from elsewhere is registered in another invented district.
    let home = if register.local {
        community
    } else {
        format!("99010200{:04}", register.name_draw % 10_000)
    };
    let row = vec![
        text(person.key_text()),
        text(format!("99**************{}", register.id_end)),
        text(names::person(register.name_draw)),
        text(if person.female { "F" } else { "M" }),
        text(year_month(plan.today() - person.age_days)),
        text(register.ethnic_code),
        text(home),
        text(household_id(person.household)),
        text(living.name()),
        text(register.marital),
        text(register.schooling),
        register.disability.map_or(Cell::Null, |each| text(each.0)),
        register.disability.map_or(Cell::Null, |each| int(each.1)),
        Cell::Bool(register.bereaved_only_child),
        Cell::Bool(register.party),
        text(if person.lives() { "living" } else { "deceased" }),
        person.died_days.map_or(Cell::Null, |days| date_before(plan, days)),
    ];
    rows.push(from(row, "police", plan));
}

/// A partner, children (who are in no register of this district), the next door, the grid worker.
pub(super) fn relations(district: &District, index: u32, rows: &mut Vec<Row>) {
    let (person, living) = district.person(index);
    let plan = &district.plan;
    let register = district.register(index);
    let mut dice = Dice::new(plan.seed, Realm::Register, u64::from(index), 1);
    let mut add = |other: String, kind: &str, km: f64, dice: &mut Dice| {
        let phone = format!("190****{:04}", dice.whole(0, 10_000));
        let consent = Cell::Bool(dice.chance(0.9));
        let row = vec![
            text(person.key_text()),
            text(other),
            text(kind),
            text(phone),
            consent,
            real(km, 1),
        ];
        rows.push(from(row, "civil_affairs", plan));
    };
    if living == Living::Couple {
        for (other, partner) in district.members(person.household) {
            if other != index {
                add(partner.key_text(), "spouse", 0.0, &mut dice);
            }
        }
    }
    for child in 0..register.children {
        let number = u64::from(index) << 8 | u64::from(child);
        let km = if child == 0 {
            register.child_km
        } else {
            register.child_km * dice.doubling(1.0, 8.0)
        };
        add(key_text(key(plan.seed, "child", number)), "child", km.min(3_000.0), &mut dice);
    }
    let next = person.household + 1;
    if let Some(next) = district.households.get(next as usize) {
        add(district.people[next.first as usize].key_text(), "neighbour", 0.0, &mut dice);
    }
    let leader = grid_leader(district, district.ground.grid_of(person.household));
    add(leader, "grid_worker", dice.between(0.1, 0.9), &mut dice);
}

pub(super) fn health(district: &District, index: u32, rows: &mut Vec<Row>) {
    let person = &district.people[index as usize];
    let health = district.health(index);
    let mut dice = Dice::new(district.plan.seed, Realm::Register, u64::from(index), 2);
    let row = vec![
        text(person.key_text()),
        Cell::Texts(health.illnesses.iter().map(|code| (*code).to_owned()).collect()),
        int(health.drugs),
        real(health.bmi, 1),
        int(health.vision),
        int(health.hearing),
        int(health.cognition),
        int(health.depression),
        int(health.falls_12m),
        Cell::Bool(health.gait_aid),
        Cell::Bool(health.vertigo),
        time_before(&district.plan, dice.between(1.0, 364.0)),
    ];
    rows.push(from(row, "health", &district.plan));
}

/// Whether somebody has been assessed: everybody who is old or not well, and some others.
pub(super) fn is_assessed(person: &Person, health: &Health, dice: &mut Dice) -> bool {
    person.lives() && (person.age() >= 80.0 || health.level >= 2 || dice.chance(0.1))
}

pub(super) fn assessment(district: &District, index: u32, rows: &mut Vec<Row>) {
    let person = &district.people[index as usize];
    let health = district.health(index);
    let plan = &district.plan;
    let mut dice = Dice::new(plan.seed, Realm::Register, u64::from(index), 3);
    if !is_assessed(person, &health, &mut dice) {
        return;
    }
    let items = health.items(&mut dice);
    let total: i64 = items.iter().sum();
    let days = dice.whole(5, 360) as i32;
    let row = vec![
        text(format!("a{:07}", index + 1)),
        text(person.key_text()),
        text("GB/T 42195-2022"),
        Cell::Ints(items),
        int(total),
        int(health.level),
        text(format!("assessor-{:03}", dice.whole(1, 120))),
        date_before(plan, days),
        date_before(plan, days - 365),
    ];
    rows.push(from(row, "civil_affairs", plan));
}

pub(super) fn tags(district: &District, index: u32, rows: &mut Vec<Row>) {
    let (person, living) = district.person(index);
    if !person.lives() {
        return;
    }
    let health = district.health(index);
    let register = district.register(index);
    let mut codes = Codes(Vec::new());
    let age = person.age();
    codes.when(age >= 80.0, "age_80", "80 or older");
    codes.when(age >= 90.0, "age_90", "90 or older");
    codes.when(age >= 100.0, "age_100", "100 or older");
    codes.when(living == Living::Alone, "alone", "lives alone");
    codes.when(living == Living::Couple, "couple", "lives with the partner only");
    codes.when(living == Living::PureElder, "pure_elder", "everybody at home is 60 or older");
    if age >= 70.0 || health.gait_problem {
        let building = Building::new(district, district.ground.building_of(person.household));
        let high = !building.lift && building.floor(district, person.household) >= 4;
        codes.when(high, "high_no_lift", "4th floor or higher without a lift");
    }
    class_tags(district.economy(person.household).class, &mut codes);
    let ability = ["ability_2", "ability_3", "ability_4", "ability_5"];
    if let Some(code) = usize::from(health.level).checked_sub(2).and_then(|at| ability.get(at)) {
        codes.when(true, code, "level of the last assessment");
    }
    illness_tags(&health, &mut codes);
    disability_tags(&register, &mut codes);
    let monitored = district.households[person.household as usize].monitored;
    codes.when(monitored, "kit_complete", "the home has the sensors");
    codes.when(
        age >= 80.0 && living == Living::Alone && !monitored,
        "kit_missing",
        "80, alone, no sensors",
    );
    let far = register.children == 0 || register.child_km > 30.0;
    codes.when(far, "no_child_near", "no child within 30 km");
    for (code, reason) in codes.0 {
        let row = vec![
            text(person.key_text()),
            text(code),
            int(1),
            text("rule"),
            text("yes"),
            Cell::Real(1.0),
            date_before(&district.plan, 30),
            Cell::Null,
            text(reason),
        ];
        rows.push(from(row, "civil_affairs", &district.plan));
    }
}

/// Tags and why.
struct Codes(Vec<(&'static str, &'static str)>);

impl Codes {
    fn when(&mut self, holds: bool, code: &'static str, reason: &'static str) {
        if holds {
            self.0.push((code, reason));
        }
    }
}

fn class_tags(class: Class, codes: &mut Codes) {
    codes.when(class == Class::Dibao, "dibao", "minimum living allowance");
    codes.when(class == Class::Tekun, "tekun", "special hardship");
    codes.when(class == Class::Edge, "edge", "just above the line");
    codes.when(class == Class::Rigid, "rigid", "heavy spending");
}

fn illness_tags(health: &Health, codes: &mut Codes) {
    let has = |code: &str| health.illnesses.contains(&code);
    codes.when(has("I10"), "hypertension", "health record");
    codes.when(has("E11"), "diabetes", "health record");
    codes.when(has("F03"), "dementia", "health record");
    codes.when(has("G20"), "parkinson", "health record");
    codes.when(health.falls_12m > 0, "fell_12m", "a fall in the last 12 months");
    codes.when(health.drugs >= 5, "many_drugs", "5 drugs or more");
}

fn disability_tags(register: &Register, codes: &mut Codes) {
    codes.when(register.disability.is_some(), "disabled", "certificate");
    codes.when(register.bereaved_only_child, "bereaved", "lost the only child");
    codes.when(register.party, "party", "register");
    codes.when(register.ethnic_code != "01", "ethnic", "register");
}

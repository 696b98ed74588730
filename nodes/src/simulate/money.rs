//! Rows of policies and of what was granted under them; and who should have been granted it.

use features::table::Cell;

use super::cells::{Row, date_before, from, int, text, time_before, year_month};
use super::dice::{Dice, Realm};
use super::district::District;
use super::policy::{Facts, PAPERS, POLICIES, Policy};

/// How many of those who could have a grant ask for it.
const TAKE_UP: f64 = 0.8;
/// How many applications lack a paper.
const PAPER_MISSING: f64 = 0.05;
/// How many people have a grant that they should not have, by their own doing or a clerk's.
const WRONG_GRANT: f64 = 0.004;

pub(super) fn policy(district: &District, index: u32, rows: &mut Vec<Row>) {
    let Some(policy) = POLICIES.get(index as usize) else { return };
    let plan = &district.plan;
    let row = vec![
        text(Policy::id(index as usize)),
        int(1),
        text(policy.name),
        text(policy.rule_json()),
        date_before(plan, 800),
        Cell::Null,
        Cell::Int(policy.amount_fen * 12 * i64::from(plan.people) / 20),
    ];
    rows.push(from(row, "civil_affairs", plan));
}

/// What the policies see of a person; `truly` by the facts, otherwise by the register.
fn facts(district: &District, index: u32, truly: bool) -> Facts {
    let (person, living) = district.person(index);
    let economy = district.economy(person.household);
    let health = district.health(index);
    let register = district.register(index);
    Facts {
        age: person.age(),
        class: if truly { economy.true_class } else { economy.class },
        living,
        level: health.level,
        disability: register.disability.map(|each| each.1),
        bereaved: register.bereaved_only_child,
        income_pc: economy.income_pc,
        illnesses: health.illnesses.len(),
        local: register.local,
    }
}

/// Who is entitled to what, by the facts.
pub(super) fn eligible(district: &District, index: u32, rows: &mut Vec<Row>) {
    let person = &district.people[index as usize];
    if !person.lives() {
        return;
    }
    let facts = facts(district, index, true);
    for (at, policy) in POLICIES.iter().enumerate() {
        if policy.holds(&facts) {
            rows.push(vec![text(person.key_text()), text(Policy::id(at)), int(policy.amount_fen)]);
        }
    }
}

pub(super) fn subsidies(district: &District, index: u32, rows: &mut Vec<Row>) {
    let person = &district.people[index as usize];
    if !person.lives() {
        return;
    }
    let plan = &district.plan;
    let facts = facts(district, index, false);
    let mut dice = Dice::new(plan.seed, Realm::Money, u64::from(index), 0);
    let wrong = dice.chance(WRONG_GRANT).then(|| dice.whole(0, POLICIES.len() as i64) as usize);
    for (at, policy) in POLICIES.iter().enumerate() {
        let holds = policy.holds(&facts);
        let asked = dice.chance(TAKE_UP);
        let partial = dice.chance(PAPER_MISSING);
        let missing = dice.pick(&PAPERS, PAPERS[0]);
        let reviewer = dice.whole(1, 60);
        if !(holds && asked || wrong == Some(at)) {
            continue;
        }
        let waits = partial && holds;
        let row = vec![
            text(format!("s{:07}-{}", index + 1, Policy::id(at))),
            text(person.key_text()),
            text(Policy::id(at)),
            int(1),
            int(policy.amount_fen),
            text(year_month(plan.today() - 20)),
            text(if waits { "review" } else { "paid" }),
            text(if waits { "partial" } else { "full" }),
            Cell::Texts(if waits { vec![missing.to_owned()] } else { Vec::new() }),
            text(format!("clerk-{reviewer:03}")),
            if waits { Cell::Null } else { time_before(plan, 12.0) },
        ];
        rows.push(from(row, "civil_affairs", plan));
    }
}

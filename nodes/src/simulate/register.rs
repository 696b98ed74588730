//! What the population register says of a person beside age and sex.

use super::dice::{Dice, Realm, logistic};
use super::home::Living;
use super::person::Person;

const SCHOOLING: [&str; 5] = ["none", "primary", "middle", "high", "college"];
const DISABILITIES: [&str; 5] = ["physical", "hearing", "vision", "mental", "multiple"];

#[derive(Clone, Debug)]
pub(super) struct Register {
    /// The last two signs of an invented number; the rest is never made.
    pub(super) id_end: String,
    pub(super) name_draw: u32,
    pub(super) ethnic_code: &'static str,
    pub(super) marital: &'static str,
    pub(super) schooling: &'static str,
    /// Kind and grade of the certificate, 1 the severest of 4.
    pub(super) disability: Option<(&'static str, i64)>,
    pub(super) bereaved_only_child: bool,
    pub(super) party: bool,
    pub(super) children: u32,
    /// Kilometres to the nearest child.
    pub(super) child_km: f64,
    pub(super) local: bool,
}

impl Register {
    pub(super) fn new(seed: u64, index: u32, person: &Person, living: Living) -> Self {
        let mut dice = Dice::new(seed, Realm::Register, u64::from(index), 0);
        let age = person.age();
        let marital = match living {
            Living::Couple => "married",
            Living::Alone => ["widowed", "divorced", "single"][dice.weighted(&[0.72, 0.16, 0.12])],
            _ => ["married", "widowed", "divorced"][dice.weighted(&[0.55, 0.4, 0.05])],
        };
        let older = (age - 60.0) / 10.0;
        let weights = [0.1 + 0.12 * older, 0.3 + 0.1 * older, 0.32, 0.2, 0.08];
        let bereaved_only_child = dice.chance(0.008);
        let children = if bereaved_only_child || marital == "single" {
            0
        } else {
            1 + dice.poisson(0.3 + 0.5 * older.min(2.5))
        };
        let disabled = dice.chance(logistic(-3.1 + 0.45 * person.frailty));
        Self {
            id_end: format!("{}{}", dice.whole(0, 10), dice.pick(b"0123456789X", b'0') as char),
            name_draw: dice.whole(0, 10_000) as u32,
            ethnic_code: ["01", "03", "11", "15", "08"]
                [dice.weighted(&[0.98, 0.006, 0.005, 0.005, 0.004])],
            marital,
            schooling: SCHOOLING[dice.weighted(&weights)],
            disability: disabled.then(|| {
                let kind = DISABILITIES[dice.weighted(&[0.5, 0.2, 0.15, 0.08, 0.07])];
                (kind, dice.weighted(&[0.15, 0.25, 0.3, 0.3]) as i64 + 1)
            }),
            bereaved_only_child,
            party: dice.chance(0.08),
            children,
            child_km: dice.doubling(0.3, 900.0),
            local: dice.chance(0.93),
        }
    }
}

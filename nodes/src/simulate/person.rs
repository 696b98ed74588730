//! One registered person: age, sex, and the frailty that everything about health follows.

use sha2::{Digest, Sha256};

use super::dice::{Dice, Realm, even, weighted_at};
use super::home::{Household, Living};

/// 60 to 69, 70 to 79, 80 and more: of people alone, and of the others, so that together they are
/// 57.8, 25.1 and 17.1 of 100.
const BANDS_ALONE: [f64; 3] = [0.42, 0.30, 0.28];
const BANDS_OTHERS: [f64; 3] = [0.6016, 0.2437, 0.1547];
pub(super) const DAYS_A_YEAR: f64 = 365.25;

#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    /// The start of a hash, shown in hex as the resident's key.
    pub(super) key: u64,
    pub(super) household: u32,
    pub(super) female: bool,
    /// Days before the day of the registers.
    pub(super) age_days: i32,
    pub(super) frailty: f64,
    /// Days before the day of the registers on which this person died.
    pub(super) died_days: Option<i32>,
}

impl Person {
    /// Person `index` of `household`, its `place`-th.
    pub(super) fn new(seed: u64, index: u32, at: u32, household: Household, place: u8) -> Self {
        let mut dice = Dice::new(seed, Realm::Person, u64::from(index), 0);
        // What a household has in common comes from its own stream, so that two partners need not
        // know of each other.
        let mut shared = Dice::new(seed, Realm::Household, u64::from(at), 1);
        let bands = if household.living == Living::Alone { BANDS_ALONE } else { BANDS_OTHERS };
        let couple = household.living == Living::Couple;
        let spot = if couple {
            even(seed, Realm::Household, at)
        } else {
            even(seed, Realm::Person, index)
        };
        let band = if at == 0 { 2 } else { weighted_at(&bands, spot) };
        let age = match band {
            0 => dice.between(60.0, 70.0),
            1 => 70.0 + 10.0 * dice.unit().powf(1.2),
            _ => 80.0 + dice.exponential(4.5).min(24.0),
        };
        let first_female = shared.chance(0.5);
        let female = match household.living {
            Living::Couple => first_female == (place == 0),
            Living::Alone => dice.chance([0.55, 0.62, 0.68][band]),
            _ => dice.chance([0.505, 0.53, 0.57][band]),
        };
        let frailty = dice.normal() + 0.06 * (age - 72.0);
        // Only somebody who lived with others is in the register as dead: whoever dies alone leaves
        // no household behind.
        let yearly = 0.0115 * (0.089 * (age - 60.0)).exp() * if female { 0.62 } else { 1.0 };
        let shared_home = matches!(household.living, Living::Grand | Living::Other);
        let dead =
            shared_home && household.elders > 1 && place > 0 && dice.chance(yearly.min(0.5) / 2.0);
        let died_days = dead.then(|| dice.whole(3, 180) as i32);
        Self {
            key: key(seed, "resident", u64::from(index)),
            household: at,
            female,
            age_days: (age * DAYS_A_YEAR) as i32,
            frailty,
            died_days,
        }
    }

    pub(super) fn age(&self) -> f64 {
        f64::from(self.age_days) / DAYS_A_YEAR
    }

    pub(super) fn lives(&self) -> bool {
        self.died_days.is_none()
    }

    pub(super) fn key_text(&self) -> String {
        key_text(self.key)
    }
}

/// 64 bits that stand for an invented person and lead back to nobody.
pub(super) fn key(seed: u64, realm: &str, index: u64) -> u64 {
    let mut hash = Sha256::new();
    hash.update(b"hearth simulated ");
    hash.update(realm.as_bytes());
    hash.update(seed.to_le_bytes());
    hash.update(index.to_le_bytes());
    hash.finalize().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

pub(super) fn key_text(key: u64) -> String {
    format!("{key:016x}")
}

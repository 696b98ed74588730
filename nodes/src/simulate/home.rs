//! Households, and who of them live in a home with sensors.

use super::dice::{Dice, Realm};

/// Who lives together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Living {
    Alone,
    Couple,
    /// Two old people who are not a couple.
    PureElder,
    /// With grandchildren.
    Grand,
    /// With grown children or others.
    Other,
}

impl Living {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Couple => "couple",
            Self::PureElder => "pure_elder",
            Self::Grand => "grand",
            Self::Other => "other",
        }
    }
}

/// How many households of 10,000 are of each kind. With the sizes below 13 of 100 old people live
/// alone; the exact share is asked for by a test.
const KINDS: [(Living, f64); 5] = [
    (Living::Alone, 2_063.0),
    (Living::Couple, 3_175.0),
    (Living::PureElder, 317.0),
    (Living::Grand, 1_587.0),
    (Living::Other, 2_858.0),
];
/// The share of [`Living::Alone`] among households.
const ALONE_SHARE: f64 = 0.2063;
/// How much likelier somebody alone gets sensors.
const ALONE_WEIGHT: f64 = 2.0;

/// A household of at least one registered person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Household {
    /// Its first person; the others follow.
    pub(super) first: u32,
    /// Registered persons.
    pub(super) elders: u8,
    /// Everybody.
    pub(super) size: u8,
    pub(super) living: Living,
    pub(super) monitored: bool,
}

impl Household {
    /// Household `index`, whose first person is `first` and which has room for `room` persons.
    pub(super) fn new(seed: u64, index: u32, first: u32, room: u32, homes: f64) -> Self {
        let mut dice = Dice::new(seed, Realm::Household, u64::from(index), 0);
        let weights = KINDS.map(|kind| kind.1);
        let mut living = KINDS[dice.weighted(&weights)].0;
        if index == 0 {
            living = Living::Alone;
        }
        let mut elders = match living {
            Living::Alone => 1,
            Living::Couple | Living::PureElder => 2,
            Living::Grand => 1 + u8::from(dice.chance(0.6)),
            Living::Other => 1 + u8::from(dice.chance(0.5)),
        };
        let others = match living {
            Living::Alone | Living::Couple | Living::PureElder => 0,
            Living::Grand => dice.whole(1, 5) as u8,
            Living::Other => dice.whole(1, 4) as u8,
        };
        if u32::from(elders) > room {
            // The last place of the district goes to somebody who lives with others.
            elders = 1;
            if others == 0 {
                living = Living::Other;
            }
        }
        let size = elders + if living == Living::Other { others.max(1) } else { others };
        let alone = (homes * ALONE_WEIGHT).min(1.0);
        let share = if living == Living::Alone {
            alone
        } else {
            (homes - alone * ALONE_SHARE) / (1.0 - ALONE_SHARE)
        };
        let monitored = dice.chance(share) || (index == 0 && homes > 0.0);
        Self { first, elders, size, living, monitored }
    }
}

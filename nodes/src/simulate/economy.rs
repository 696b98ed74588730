//! What a household has and must spend, and which class of help that makes it.

use super::dice::{Dice, Realm};
use super::home::Living;

/// The local line of the minimum living allowance, yuan a person and month.
pub(super) const LINE: f64 = 1_160.0;
/// The band above the line, as a multiple of it.
const EDGE: f64 = 1.5;
/// Below this income, yuan a person and month, heavy spending counts.
const RIGID_INCOME: f64 = 5_500.0;
/// From this share of a year's income on, spending that cannot be avoided is heavy.
const RIGID_SHARE: f64 = 0.6;

/// The classes of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    None,
    Edge,
    Dibao,
    Tekun,
    Rigid,
}

impl Class {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Edge => "edge",
            Self::Dibao => "dibao",
            Self::Tekun => "tekun",
            Self::Rigid => "rigid",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Economy {
    /// Yuan a person and month.
    pub(super) income_pc: f64,
    /// Yuan of the household in twelve months.
    pub(super) rigid_exp_12m: f64,
    /// Above what the rules allow.
    pub(super) assets: bool,
    /// The class that the facts make.
    pub(super) true_class: Class,
    /// The class in the register: somebody who never asked is not in it, some clerks err.
    pub(super) class: Class,
}

impl Economy {
    pub(super) fn new(seed: u64, household: u32, living: Living, size: u8) -> Self {
        let mut dice = Dice::new(seed, Realm::Economy, u64::from(household), 0);
        let income_pc = (4_000.0 * (0.55 * dice.normal()).exp()).max(150.0);
        let yearly = income_pc * 12.0 * f64::from(size.max(1));
        let share = 0.12 * (0.75 * dice.normal()).exp();
        let assets = dice.chance(0.35);
        let unsupported = living == Living::Alone && dice.chance(0.25);
        let true_class = if assets {
            Class::None
        } else if income_pc < LINE && unsupported {
            Class::Tekun
        } else if income_pc < LINE {
            Class::Dibao
        } else if income_pc < EDGE * LINE {
            Class::Edge
        } else if income_pc < RIGID_INCOME && share >= RIGID_SHARE {
            Class::Rigid
        } else {
            Class::None
        };
        let class = if true_class == Class::None {
            if dice.chance(0.002) { Class::Edge } else { Class::None }
        } else if dice.chance(0.85) {
            true_class
        } else {
            Class::None
        };
        Self { income_pc, rigid_exp_12m: yearly * share, assets, true_class, class }
    }
}

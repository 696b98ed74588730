//! What goes wrong in a home, and when: the truth that detectors are measured against.

use super::dice::{Dice, Realm};
use super::habit::trip;
use super::kit::Device;
use super::plan::{DAY_US, DAYS_MAX, HOUR_US, Plan, SECOND_US};

/// Times a home and year, by cause. Together with the nuisance they stay near the one hazard in
/// ten home-years that a real district of 20,000 homes handled, gas depending on the pipe's age.
const GAS: f64 = 0.03;
const SMOKE: f64 = 0.01;
const SMOKE_NUISANCE: f64 = 1.0;
const INACTIVITY: f64 = 0.06;
/// Only for those who are prone to it.
const APNOEA: f64 = 1.2;
const FAULT: f64 = 0.3;

/// Minutes between two readings of a gas sensor that smells something.
const GAS_STEP_MIN: (f64, f64) = (3.0, 7.0);
const SMOKE_STEP_US: i64 = 20 * SECOND_US;
/// %LEL: the reading at the start of a leak and what is added a reading.
const GAS_START: f64 = 3.4;
const GAS_RISE: f64 = 2.4;
const GAS_TOP: f64 = 24.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Gas,
    Smoke,
    /// Smoke of a pan: one reading, nothing burns.
    SmokeNuisance,
    /// Somebody alone lies still.
    Inactivity,
    Apnoea,
    /// The device says nothing.
    Silent(Device),
    /// The motion sensor fires on its own.
    Chatter,
    /// The respiration sensor repeats one value.
    Stuck,
}

impl Trouble {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gas => "gas",
            Self::Smoke | Self::SmokeNuisance => "smoke",
            Self::Inactivity => "inactivity",
            Self::Apnoea => "apnoea",
            Self::Silent(_) => "silent",
            Self::Chatter => "chatter",
            Self::Stuck => "stuck",
        }
    }

    /// The device that is broken, where one is.
    pub(super) const fn fault(self) -> Option<Device> {
        match self {
            Self::Silent(device) => Some(device),
            Self::Chatter => Some(Device::Motion),
            Self::Stuck => Some(Device::Resp),
            _ => None,
        }
    }
}

/// One hazard. Times count from the start of the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hazard {
    pub(super) trouble: Trouble,
    pub(super) start_us: i64,
    pub(super) end_us: i64,
    pub(super) cause: &'static str,
    /// Between two readings, where the hazard has its own.
    step_us: i64,
}

impl Hazard {
    pub(super) fn covers(&self, at_us: i64) -> bool {
        (self.start_us..self.end_us).contains(&at_us)
    }

    /// The hazard's own readings between two moments: their number and time.
    pub(super) fn readings(
        &self,
        from_us: i64,
        to_us: i64,
    ) -> impl Iterator<Item = (i64, i64)> + use<> {
        let (start_us, step_us) = (self.start_us, self.step_us.max(1));
        let none = self.step_us == 0;
        let to_us = if none { from_us } else { to_us.min(self.end_us) };
        let first = (from_us - start_us).max(0).div_euclid(step_us)
            + i64::from((from_us - start_us).max(0).rem_euclid(step_us) > 0);
        (first..)
            .map(move |number| (number, start_us + number * step_us))
            .take_while(move |each| each.1 < to_us)
    }

    /// %LEL of the reading of that number, `noise` being at most 0.5 either way.
    pub(super) fn gas(number: i64, noise: f64) -> f64 {
        (GAS_START + GAS_RISE * number as f64).min(GAS_TOP) + noise
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start_us < other.end_us && other.start_us < self.end_us
    }
}

/// What a home's hazards depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) alone: bool,
    /// Breathes badly in some nights.
    pub(super) prone: bool,
    /// Years.
    pub(super) pipe_age: f64,
}

/// Everything that goes wrong in a home, as far as any plan reaches, so that more days change
/// nothing about the days before them. What falls together with a fault is left out: the truth must
/// be visible to the sensors.
pub(super) fn schedule(plan: &Plan, home: u32, traits: Traits) -> Vec<Hazard> {
    let mut faults: Vec<Hazard> = Vec::new();
    for fault in draw(plan, home, 0, FAULT, fault) {
        if !faults.iter().any(|other| other.overlaps(&fault)) {
            faults.push(fault);
        }
    }
    let ageing = 0.3 + (traits.pipe_age / 18.0).powf(1.5);
    let alone = if traits.alone { INACTIVITY } else { 0.0 };
    let prone = if traits.prone { APNOEA } else { 0.0 };
    let mut hazards = draw(plan, home, 1, GAS * ageing, gas);
    hazards.extend(draw(plan, home, 2, SMOKE, smoke));
    hazards.extend(draw(plan, home, 3, SMOKE_NUISANCE, nuisance));
    hazards.extend(draw(plan, home, 4, alone, inactivity));
    hazards.extend(draw(plan, home, 5, prone, apnoea));
    let mut kept: Vec<Hazard> = Vec::new();
    for hazard in hazards {
        let hidden = faults.iter().any(|fault| fault.overlaps(&hazard));
        let again = kept
            .iter()
            .any(|other| other.trouble.name() == hazard.trouble.name() && other.overlaps(&hazard));
        let absent = matches!(hazard.trouble, Trouble::Inactivity | Trouble::Apnoea)
            && (hazard.start_us / DAY_US..=hazard.end_us / DAY_US)
                .any(|day| trip(plan.seed, home, day as u32).is_some());
        // Who lies still does not cook, and breathes for no sensor.
        let still = hazard.trouble != Trouble::Gas
            && kept
                .iter()
                .any(|other| other.trouble == Trouble::Inactivity && other.overlaps(&hazard));
        if !(hidden || again || absent || still) {
            kept.push(hazard);
        }
    }
    kept.extend(faults);
    kept.sort_by_key(|each| each.start_us);
    kept
}

/// The days on which a kind of trouble begins, each made a hazard by `make`.
fn draw(
    plan: &Plan,
    home: u32,
    part: u64,
    rate: f64,
    make: fn(&mut Dice, i64) -> Hazard,
) -> Vec<Hazard> {
    let mut dice = Dice::new(plan.seed, Realm::Hazard, u64::from(home), part);
    let rate = rate * plan.hazard_rate;
    let mut hazards = Vec::new();
    if rate <= 0.0 {
        return hazards;
    }
    let mut day = 0.0;
    loop {
        day += dice.exponential(365.0 / rate);
        if day >= f64::from(DAYS_MAX) {
            return hazards;
        }
        hazards.push(make(&mut dice, day as i64 * DAY_US));
    }
}

fn hours(dice: &mut Dice, low: f64, high: f64) -> i64 {
    (dice.between(low, high) * HOUR_US as f64) as i64
}

fn gas(dice: &mut Dice, day_us: i64) -> Hazard {
    let start_us = day_us + hours(dice, 6.0, 21.5);
    let causes = ["valve_left_open", "misuse", "equipment", "ageing_pipe"];
    Hazard {
        trouble: Trouble::Gas,
        start_us,
        end_us: start_us + hours(dice, 0.75, 1.4),
        cause: causes[dice.weighted(&[0.29, 0.29, 0.26, 0.16])],
        step_us: hours(dice, GAS_STEP_MIN.0 / 60.0, GAS_STEP_MIN.1 / 60.0),
    }
}

fn smoke(dice: &mut Dice, day_us: i64) -> Hazard {
    let start_us = day_us + hours(dice, 5.0, 23.0);
    let causes = ["cooking_left_on", "electric", "bedding"];
    let readings = dice.whole(6, 12);
    Hazard {
        trouble: Trouble::Smoke,
        start_us,
        end_us: start_us + readings * SMOKE_STEP_US,
        cause: causes[dice.weighted(&[0.6, 0.28, 0.12])],
        step_us: SMOKE_STEP_US,
    }
}

fn nuisance(dice: &mut Dice, day_us: i64) -> Hazard {
    let meal_h = dice.pick(&[6.8, 11.3, 17.2], 11.3);
    let start_us = day_us + hours(dice, meal_h, meal_h + 0.8);
    Hazard {
        trouble: Trouble::SmokeNuisance,
        start_us,
        end_us: start_us + SMOKE_STEP_US,
        cause: "cooking",
        step_us: SMOKE_STEP_US,
    }
}

fn inactivity(dice: &mut Dice, day_us: i64) -> Hazard {
    let start_us = day_us + hours(dice, 7.0, 20.0);
    Hazard {
        trouble: Trouble::Inactivity,
        start_us,
        end_us: start_us + hours(dice, 10.0, 36.0),
        cause: "collapse",
        step_us: 0,
    }
}

fn apnoea(_: &mut Dice, day_us: i64) -> Hazard {
    let start_us = day_us + 45 * HOUR_US / 2;
    Hazard {
        trouble: Trouble::Apnoea,
        start_us,
        end_us: start_us + 6 * HOUR_US,
        cause: "apnoea",
        step_us: 0,
    }
}

fn fault(dice: &mut Dice, day_us: i64) -> Hazard {
    let silent = dice.pick(&Device::ALL, Device::Door);
    let trouble = match dice.weighted(&[0.7, 0.15, 0.15]) {
        0 => Trouble::Silent(silent),
        1 => Trouble::Chatter,
        _ => Trouble::Stuck,
    };
    let start_us = day_us + hours(dice, 0.0, 24.0);
    let end_us = start_us + (dice.doubling(6.0, 240.0) * HOUR_US as f64) as i64;
    Hazard { trouble, start_us, end_us, cause: "device", step_us: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_the_same_in_whatever_pieces_they_are_asked_for() {
        let mut dice = Dice::new(1, Realm::Hazard, 0, 0);
        let hazard = gas(&mut dice, 3 * DAY_US);
        let whole: Vec<_> = hazard.readings(0, 10 * DAY_US).collect();
        let pieces: Vec<_> = (0..240)
            .flat_map(|hour| hazard.readings(hour * HOUR_US, (hour + 1) * HOUR_US))
            .collect();
        assert_eq!(whole, pieces);
        assert!(whole.len() >= 6 && whole[0] == (0, hazard.start_us));
        let above = whole
            .iter()
            .filter(|each| each.1 < hazard.start_us + HOUR_US && Hazard::gas(each.0, -0.5) > 5.0);
        assert!(above.count() >= 3);
        assert_eq!(apnoea(&mut dice, 0).readings(0, 10 * DAY_US).count(), 0);
    }
}

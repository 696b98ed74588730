//! What the sensors of a home read in an hour.

use features::kind::Kind;

use super::dice::{Dice, Realm, rounded};
use super::district::District;
use super::habit::{DOOR, Habit, MOTION};
use super::hazard::{Hazard, Trouble};
use super::kit::{Device, Home};
use super::plan::{Detail, HOUR_US, Plan};

const MINUTE_US: i64 = HOUR_US / 60;
/// A gas sensor in clean air reports every so many hours.
const GAS_HOURS: u32 = 6;
/// How likely cooking makes one lonely reading above the alarm in an hour.
const GAS_BLIP: f64 = 0.000_06;
/// The hours of the daily reports.
const BATTERY_HOUR: u32 = 3;
const GAIT_HOUR: u32 = 10;
/// Loss of gait speed a week before a fall, in metres a second, and for how many weeks.
const GAIT_LOSS: f64 = 0.001;
const GAIT_WEEKS: f64 = 12.0;

/// One reading. The time counts from the start of the plan, by a clock that is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) at_us: i64,
    pub(super) device: Device,
    pub(super) kind: Kind,
    pub(super) value: f64,
}

impl Reading {
    /// Whether the gateway sends this by mobile network though its line is down.
    pub(super) const fn is_urgent(&self) -> bool {
        matches!(self.kind, Kind::Gas | Kind::Smoke)
    }

    pub(super) const fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Gas => "%LEL",
            Kind::Respiration => "/min",
            Kind::Battery => "%",
            Kind::GaitSpeed => "m/s",
            _ => "1",
        }
    }
}

/// One hour of one home.
struct Hour<'a> {
    plan: &'a Plan,
    home: &'a Home,
    habit: Habit,
    hazards: Vec<&'a Hazard>,
    day: u32,
    of_day: u32,
    start_us: i64,
    dice: Dice,
    readings: Vec<Reading>,
}

/// The readings of hour `slot` since the start, in order of time.
pub(super) fn read_hour(district: &District, home: &Home, slot: u32) -> Vec<Reading> {
    let plan = &district.plan;
    let start_us = i64::from(slot) * HOUR_US;
    let end_us = start_us + HOUR_US;
    // A hazard that ended in this hour is still of interest: its end may be seen.
    let hazards =
        home.hazards.iter().filter(|each| each.start_us < end_us && each.end_us >= start_us);
    let mut hour = Hour {
        plan,
        home,
        habit: Habit::new(plan.seed, home, slot / 24),
        hazards: hazards.collect(),
        day: slot / 24,
        of_day: slot % 24,
        start_us,
        dice: Dice::new(plan.seed, Realm::Readings, u64::from(home.household), u64::from(slot)),
        readings: Vec::new(),
    };
    hour.live();
    hour.sleep();
    hour.report();
    hour.smell();
    hour.suffer();
    let mut readings = hour.readings;
    readings.retain(|each| !hour.hazards.iter().any(|hazard| silences(hazard, each)));
    readings.sort_by_key(|each| (each.at_us, each.device));
    readings
}

/// A gateway that says nothing says nothing of its sensors either.
fn silences(hazard: &Hazard, reading: &Reading) -> bool {
    matches!(hazard.trouble, Trouble::Silent(device) if device == reading.device || device == Device::Gateway)
        && hazard.covers(reading.at_us)
}

impl Hour<'_> {
    fn push(&mut self, at_us: i64, device: Device, kind: Kind, value: f64) {
        self.readings.push(Reading { at_us, device, kind, value });
    }

    fn sometime(&mut self) -> i64 {
        self.start_us + (self.dice.unit() * HOUR_US as f64) as i64
    }

    /// Whether nobody moves.
    fn is_still(&self, at_us: i64) -> bool {
        self.habit.is_away(at_us) || self.suffers(Trouble::Inactivity, at_us)
    }

    fn suffers(&self, trouble: Trouble, at_us: i64) -> bool {
        self.hazards.iter().any(|each| each.trouble == trouble && each.covers(at_us))
    }

    /// Motion and the front door.
    fn live(&mut self) {
        let phase_h = self.home.phase_h;
        let rates = [
            (Device::Motion, Kind::Motion, self.home.motion_rate * self.habit.lively, &MOTION),
            (Device::Door, Kind::Door, self.home.door_rate, &DOOR),
        ];
        for (device, kind, rate, weights) in rates {
            let mean = rate * Habit::share(weights, self.of_day, phase_h);
            for _ in 0..self.dice.poisson(mean) {
                let at_us = self.sometime();
                if !self.is_still(at_us) {
                    self.push(at_us, device, kind, 1.0);
                }
            }
        }
    }

    fn sleep(&mut self) {
        let every = self.plan.detail.respiration_minutes();
        for minute in (0..60).step_by(every as usize) {
            let at_us = self.start_us
                + i64::from(minute) * MINUTE_US
                + (self.dice.unit() * 20.0 * 1e6) as i64;
            let (noise, spell) = (self.dice.normal(), self.dice.unit());
            if !self.habit.sleeps(at_us) || self.is_still(at_us) || spell > 0.985 {
                continue;
            }
            let value = if self.suffers(Trouble::Stuck, at_us) {
                self.home.breath
            } else if self.suffers(Trouble::Apnoea, at_us) {
                if spell < 0.36 { 6.0 + noise } else { self.home.breath + 3.0 + 2.5 * noise }
            } else {
                self.home.breath + 1.1 * noise
            };
            self.push(at_us, Device::Resp, Kind::Respiration, rounded(value.max(0.0), 1));
        }
    }

    /// Heartbeats, batteries, the walk of the day.
    fn report(&mut self) {
        let places = [11, 17, 23, 31, 37, 43].map(|minute| minute * MINUTE_US);
        for device in Device::ALL {
            let offset_us = places[device as usize] + self.dice.whole(0, MINUTE_US);
            let kit = matches!(device, Device::Door | Device::Smoke | Device::Gas | Device::Resp);
            if device == Device::Gateway || kit && self.plan.detail == Detail::Full {
                self.push(self.start_us + offset_us, device, Kind::Heartbeat, 1.0);
            }
            if device.has_battery() && self.of_day == BATTERY_HOUR {
                let left = self.home.battery(self.plan, device, self.day).round();
                self.push(self.start_us + offset_us + MINUTE_US, device, Kind::Battery, left);
            }
        }
        if self.of_day == GAIT_HOUR {
            let at_us = self.sometime();
            let noise = self.dice.normal();
            if !self.is_still(at_us) {
                let before_fall = self.home.gait_falls_on.map_or(0.0, |on| {
                    let weeks = (f64::from(on) - f64::from(self.day)) / 7.0;
                    if weeks < 0.0 { 0.0 } else { (GAIT_WEEKS - weeks).max(0.0) }
                });
                let speed = self.home.gait_speed - GAIT_LOSS * before_fall + 0.03 * noise;
                self.push(at_us, Device::Motion, Kind::GaitSpeed, rounded(speed.max(0.1), 3));
            }
        }
    }

    /// The gas sensor in air that is as it should be, or for a moment is not.
    fn smell(&mut self) {
        let (at_us, value, blip) = (self.sometime(), self.dice.between(0.0, 0.7), self.dice.unit());
        if self.of_day % GAS_HOURS == self.home.number % GAS_HOURS
            && !self.suffers(Trouble::Gas, at_us)
        {
            self.push(at_us, Device::Gas, Kind::Gas, rounded(value, 1));
        }
        if blip < GAS_BLIP && (6..21).contains(&self.of_day) && !self.is_still(at_us) {
            self.push(at_us + MINUTE_US / 2, Device::Gas, Kind::Gas, rounded(5.2 + value, 1));
        }
    }

    /// The readings that hazards make themselves.
    fn suffer(&mut self) {
        let (from_us, to_us) = (self.start_us, self.start_us + HOUR_US);
        for hazard in self.hazards.clone() {
            for (number, at_us) in hazard.readings(from_us, to_us) {
                let noise = self.dice.between(-0.5, 0.5);
                match hazard.trouble {
                    Trouble::Gas => {
                        let value = rounded(Hazard::gas(number, noise), 1);
                        self.push(at_us, Device::Gas, Kind::Gas, value);
                    }
                    _ => self.push(at_us, Device::Smoke, Kind::Smoke, 1.0),
                }
            }
            if hazard.trouble == Trouble::Chatter {
                for step in 0..30 {
                    let at_us = from_us + step * 2 * MINUTE_US + self.dice.whole(0, MINUTE_US);
                    if hazard.covers(at_us) {
                        self.push(at_us, Device::Motion, Kind::Motion, 1.0);
                    }
                }
            }
            // Somebody comes in and finds them.
            let found =
                hazard.trouble == Trouble::Inactivity && (from_us..to_us).contains(&hazard.end_us);
            if found {
                self.push(hazard.end_us, Device::Door, Kind::Door, 1.0);
            }
        }
    }
}

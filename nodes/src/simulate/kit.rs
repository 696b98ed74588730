//! The sensors of a home, and the habits and hazards that they will show.

use features::table::Cell;

use super::cells::{Row, from, real, text, time_before, year};
use super::dice::{Dice, Realm};
use super::district::District;
use super::hazard::{Hazard, Traits, schedule};
use super::home::Living;
use super::places::{Building, dwelling_id};
use super::plan::{Plan, SECOND_US};

/// A sensor of the kit, or the box that speaks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Device {
    Door,
    Smoke,
    Gas,
    Resp,
    Motion,
    Gateway,
}

impl Device {
    pub(super) const ALL: [Self; 6] =
        [Self::Door, Self::Smoke, Self::Gas, Self::Resp, Self::Motion, Self::Gateway];

    const fn name(self) -> &'static str {
        match self {
            Self::Door => "door",
            Self::Smoke => "smoke",
            Self::Gas => "gas",
            Self::Resp => "resp",
            Self::Motion => "motion",
            Self::Gateway => "gateway",
        }
    }

    /// Whether a battery drives it; the others hang on the mains.
    pub(super) const fn has_battery(self) -> bool {
        matches!(self, Self::Door | Self::Smoke | Self::Motion)
    }
}

/// A monitored home.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// Its place among the monitored ones.
    pub(super) number: u32,
    pub(super) household: u32,
    /// The person whom the sensors are about.
    pub(super) resident: u32,
    pub(super) alone: bool,
    /// Openings of the front door a day.
    pub(super) door_rate: f64,
    pub(super) motion_rate: f64,
    /// How much later than others this home does everything, in hours.
    pub(super) phase_h: f64,
    pub(super) sleep_h: f64,
    pub(super) wake_h: f64,
    /// Breaths a minute asleep.
    pub(super) breath: f64,
    /// Metres a second at the start.
    pub(super) gait_speed: f64,
    /// The day of the next fall, where the gait says it beforehand.
    pub(super) gait_falls_on: Option<u16>,
    /// How wrong the clock of each device is.
    skew_us: [i64; 6],
    /// Days between two starts of each device, and how many had passed of them at the start.
    boots: [(u32, u32); 6],
    pub(super) hazards: Vec<Hazard>,
}

impl Home {
    pub(super) fn new(district: &District, number: u32, household: u32) -> Self {
        let plan = &district.plan;
        let seed = plan.seed;
        let mut dice = Dice::new(seed, Realm::Home, u64::from(household), 0);
        let living = district.households[household as usize].living;
        let resident = district.households[household as usize].first;
        let health = district.health(resident);
        let alone = living == Living::Alone;
        let prone = dice.chance(0.05);
        let building = Building::new(district, district.ground.building_of(household));
        let pipe_age = f64::from((year(plan.today()) - building.gas_pipe_year).max(0));
        let traits = Traits { alone, prone, pipe_age };
        let company = if alone { 1.0 } else { 1.25 };
        Self {
            number,
            household,
            resident,
            alone,
            door_rate: dice.between(2.2, 3.7),
            motion_rate: dice.doubling(29.0, 111.0 / company) * company,
            phase_h: dice.between(-1.0, 1.0),
            sleep_h: 21.4 + 0.5 * dice.normal().clamp(-2.0, 2.0),
            wake_h: 5.6 + 0.5 * dice.normal().clamp(-2.0, 2.0),
            breath: 16.0 + 1.5 * dice.normal().clamp(-2.5, 2.5),
            gait_speed: health.gait_speed,
            gait_falls_on: health.falls_on.filter(|_| dice.chance(0.4)),
            skew_us: Device::ALL.map(|_| skew_us(&mut dice)),
            boots: Device::ALL.map(|_| {
                let every = dice.whole(20, 120) as u32;
                (every, dice.whole(0, i64::from(every)) as u32)
            }),
            hazards: schedule(plan, household, traits),
        }
    }

    pub(super) fn device_id(&self, device: Device) -> String {
        format!("d{:07}-{}", self.household + 1, device.name())
    }

    pub(super) fn dwelling_id(&self) -> String {
        dwelling_id(self.household)
    }

    /// How far the device's clock is ahead.
    pub(super) fn skew_us(&self, device: Device) -> i64 {
        self.skew_us[device as usize]
    }

    /// Which start of the device a day belongs to, from 1.
    pub(super) fn boot(&self, device: Device, day: u32) -> u32 {
        let (every, passed) = self.boots[device as usize];
        1 + (day + passed) / every
    }

    /// What is left in the battery, in percent; it is changed when little is left.
    pub(super) fn battery(&self, plan: &Plan, device: Device, day: u32) -> f64 {
        let mut dice = Dice::new(plan.seed, Realm::Kit, u64::from(self.household), device as u64);
        let (used, a_day) = (dice.between(0.0, 92.0), dice.between(0.06, 0.25));
        100.0 - (used + a_day * f64::from(day)) % 92.0
    }
}

/// Most clocks are right, some are minutes off, a few are far ahead (but less than an hour, so that
/// their events are still taken).
fn skew_us(dice: &mut Dice) -> i64 {
    let seconds = match dice.weighted(&[0.965, 0.032, 0.003]) {
        0 => 0.0,
        1 => dice.between(-240.0, 240.0),
        _ => dice.between(600.0, 3_000.0),
    };
    (seconds * SECOND_US as f64) as i64
}

pub(super) fn devices(district: &District, index: u32, rows: &mut Vec<Row>) {
    let home = &district.homes[index as usize];
    let plan = &district.plan;
    let mut dice = Dice::new(plan.seed, Realm::Kit, u64::from(home.household), 9);
    let installed = dice.between(30.0, 1_500.0);
    for device in Device::ALL {
        let battery = home.battery(plan, device, 0);
        let row = vec![
            text(home.device_id(device)),
            text(home.dwelling_id()),
            text(device.name()),
            text(format!("H{}-{}", device as u8 + 1, dice.whole(1, 4))),
            time_before(plan, installed),
            time_before(plan, dice.between(0.0, 0.04)),
            if device.has_battery() { real(battery, 0) } else { Cell::Null },
            text(if device.has_battery() && battery < 12.0 { "weak" } else { "ok" }),
        ];
        rows.push(from(row, "civil_affairs", plan));
    }
}

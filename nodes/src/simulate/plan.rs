//! What is simulated: how many people and days, from which seed.

use serde::{Deserialize, Serialize};

/// The fewest people a district is made of.
pub const PEOPLE_MIN: u32 = 50;
/// The most people a district is made of.
pub const PEOPLE_MAX: u32 = 1_000_000;
/// The most days of events.
pub const DAYS_MAX: u32 = 400;
/// 2026-01-01T00:00:00+08:00.
const START_US: i64 = 1_767_196_800_000_000;
/// How many times the published rate of hazards may be asked for.
const HAZARD_RATE_MAX: f64 = 1_000.0;
pub(super) const SECOND_US: i64 = 1_000_000;
pub(super) const HOUR_US: i64 = 3_600 * SECOND_US;
pub(super) const DAY_US: i64 = 24 * HOUR_US;

/// How closely the sensors report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Respiration every minute of sleep, a heartbeat an hour from every device: about 650 events
    /// a home and day.
    Full,
    /// Respiration every 5 minutes, heartbeats of the gateway only.
    Thin,
    /// Respiration every 15 minutes, heartbeats of the gateway only.
    Sparse,
}

impl Detail {
    pub(super) const fn respiration_minutes(self) -> u32 {
        match self {
            Self::Full => 1,
            Self::Thin => 5,
            Self::Sparse => 15,
        }
    }
}

/// The whole order of a simulation: the same plan gives the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Residents of 60 and more in the register.
    pub people: u32,
    /// Days of sensor events.
    pub days: u32,
    pub seed: u64,
    /// The first midnight of the district, in microseconds since 1970; the registers are of that
    /// moment. Hours of the day count from here.
    pub start_us: i64,
    /// The share of households with sensors, 0 to 1. Above 0, household 0 (somebody of 80 or more
    /// who lives alone) is always one of them.
    pub homes_monitored: f64,
    pub detail: Detail,
    /// How many times the published rates hazards and faults occur.
    pub hazard_rate: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            people: 10_000,
            days: 7,
            seed: 1,
            start_us: START_US,
            homes_monitored: 0.075,
            detail: Detail::Full,
            hazard_rate: 1.0,
        }
    }
}

/// Why nothing is simulated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error("a district has {PEOPLE_MIN} to {PEOPLE_MAX} people, not {got}")]
    People { got: u32 },
    #[error("a simulation has at most {DAYS_MAX} days, not {got}")]
    Days { got: u32 },
    #[error("the share of monitored homes is 0 to 1, not {got}")]
    Homes { got: f64 },
    #[error("the hazard rate is 0 to {HAZARD_RATE_MAX}, not {got}")]
    HazardRate { got: f64 },
    #[error("the start is a time between 1990 and 2100 in microseconds since 1970, not {got}")]
    Start { got: i64 },
}

impl Plan {
    pub fn check(&self) -> Result<(), PlanError> {
        if !(PEOPLE_MIN..=PEOPLE_MAX).contains(&self.people) {
            return Err(PlanError::People { got: self.people });
        }
        if self.days > DAYS_MAX {
            return Err(PlanError::Days { got: self.days });
        }
        if !(0.0..=1.0).contains(&self.homes_monitored) {
            return Err(PlanError::Homes { got: self.homes_monitored });
        }
        if !(0.0..=HAZARD_RATE_MAX).contains(&self.hazard_rate) {
            return Err(PlanError::HazardRate { got: self.hazard_rate });
        }
        if !(631_152_000_000_000..4_102_444_800_000_000).contains(&self.start_us) {
            return Err(PlanError::Start { got: self.start_us });
        }
        Ok(())
    }

    /// The day of the registers, in days since 1970. The start is a midnight somewhere east or
    /// west of Greenwich, so half a day is added before it is cut to a date.
    pub(super) fn today(&self) -> i32 {
        i32::try_from((self.start_us + DAY_US / 2).div_euclid(DAY_US)).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_out_of_its_limits_is_refused() {
        let plan = Plan::default();
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(Plan { people: 49, ..plan }.check(), Err(PlanError::People { got: 49 }));
        assert!(Plan { people: 1_000_001, ..plan }.check().is_err());
        assert!(Plan { days: 401, ..plan }.check().is_err());
        assert!(Plan { homes_monitored: 1.1, ..plan }.check().is_err());
        assert!(Plan { homes_monitored: f64::NAN, ..plan }.check().is_err());
        assert!(Plan { hazard_rate: -1.0, ..plan }.check().is_err());
        assert!(Plan { start_us: 1_767_196_800, ..plan }.check().is_err());
        // 2026-01-01, though the start is the evening before in Greenwich.
        assert_eq!(plan.today(), 20_454);
    }
}

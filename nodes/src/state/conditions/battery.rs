//! Batteries that run low, by what is left and by how fast that falls.

use super::device::Battery;
use super::engine::Conditions;
use super::groups::Registers;
use super::plan::ClassPlan;
use super::sight::Sight;
use super::verdict::{Spot, Verdict, What};
use features::Kind;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Percent, in millionths, above the threshold at which a battery is good again.
const MARGIN: i64 = 5_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// Half a percent, in millionths of a percent.
const HALF: i64 = 500_000;
/// A rise by so many halves of a percent is another battery.
const NEW_BATTERY: u8 = 10;
/// So many hours and halves of a percent make a fall; less may be the weather.
const KNOWN_H: u16 = 72;
const KNOWN_FALL: u8 = 4;
/// When a fall is known for so many hours, that of the newest of them stands for it.
const LONG_H: u16 = 14 * 24;
const KEPT_H: u16 = 7 * 24;

/// How a battery falls: six bytes. Hours count from 1970 and go around in seven years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charge {
    from_h: u16,
    last_h: u16,
    /// In halves of a percent.
    from: u8,
    last: u8,
}

impl Charge {
    /// Takes a reading; false for one that is older than the newest.
    fn see(&mut self, percent: i64, at_us: i64) -> bool {
        // A whole turn apart is the same hour: no battery is asked so late.
        let at_h = (at_us.div_euclid(HOUR_US) & 0xffff) as u16;
        let now = (percent / HALF).clamp(0, 200) as u8;
        let is_new = *self == Self::default() || now >= self.last.saturating_add(NEW_BATTERY);
        if *self != Self::default() && (at_h.wrapping_sub(self.last_h) as i16) < 0 {
            return false;
        }
        (self.last_h, self.last) = (at_h, now);
        if is_new {
            (self.from_h, self.from) = (at_h, now);
        }
        let span = self.span_h();
        if span > LONG_H {
            let fall = i64::from(self.from) - i64::from(now);
            let kept = fall * i64::from(KEPT_H) / i64::from(span);
            self.from = (i64::from(now) + kept).clamp(0, 200) as u8;
            self.from_h = at_h.wrapping_sub(KEPT_H);
        }
        true
    }

    fn span_h(self) -> u16 {
        self.last_h.wrapping_sub(self.from_h)
    }

    /// Whole days until it is empty, where it falls.
    fn days_left(self) -> Option<i64> {
        let fall = self.from.checked_sub(self.last).filter(|fall| *fall >= KNOWN_FALL)?;
        let span = self.span_h();
        let left = i64::from(self.last) * i64::from(span) / i64::from(fall) / 24;
        (span >= KNOWN_H).then_some(left)
    }
}

/// What a reading says of a battery that was such before.
fn judge(class: ClassPlan, percent: i64, days: Option<i64>, before: Battery) -> Battery {
    let has_low = class.battery_low > 0;
    let is_short = |limit: i64| class.low_days > 0 && days.is_some_and(|days| days < limit);
    if has_low && percent <= class.battery_critical {
        return Battery::Critical;
    }
    if has_low && percent <= class.battery_low || is_short(class.low_days) {
        return Battery::Low;
    }
    let is_good = (!has_low || percent >= class.battery_low + MARGIN)
        && !is_short(class.low_days + class.low_days / 2);
    if before != Battery::Good && !is_good { Battery::Low } else { Battery::Good }
}

impl Conditions {
    pub(super) fn charge(
        &mut self,
        sight: &Sight<'_>,
        registers: Registers<'_>,
        out: &mut Vec<Verdict>,
    ) {
        debug_assert_eq!(sight.kind, Kind::Battery);
        let slot = sight.device as usize;
        let Some(device) = self.kept.devices.get(slot).copied() else { return };
        let class = self.class_plan(&device);
        let Some(class) = class.filter(|class| class.battery_low > 0 || class.low_days > 0) else {
            return;
        };
        // A reading of the past says nothing.
        if self.is_old(sight) {
            return;
        }
        while self.kept.charges.len() <= slot {
            self.kept.charges.push(Charge::default());
        }
        let Some(charge) = self.kept.charges.get_mut(slot) else { return };
        if !charge.see(sight.value, sight.at_us.min(sight.now_us)) {
            return;
        }
        let days = charge.days_left();
        let battery = judge(class, sight.value, days, device.battery());
        if let Some(device) = self.kept.devices.get_mut(slot) {
            device.set_battery(battery);
        }
        let alert = Arc::clone(&self.plan.words.battery);
        let spot = Spot::Device(sight.device);
        if battery as u8 > device.battery() as u8 {
            let grades = self.plan.grades;
            let is_critical = battery == Battery::Critical;
            let grade = if is_critical { grades.battery_critical } else { grades.battery_low };
            let left = days.map_or_else(String::new, |days| format!(", {days} days are left"));
            let what = What::Fire {
                severity: grade.severity,
                level: grade.level,
                event_us: sight.at_us,
                evidence: vec![sight.id.to_owned()],
                devices: vec![sight.device],
                reason: format!(
                    "the battery of {} is at {} %{left}",
                    registers.device(sight.device),
                    sight.value / 1_000_000
                ),
            };
            out.push(Verdict { alert, spot, what });
        } else if battery == Battery::Good
            && device.battery() != Battery::Good
            && !self.any_other(sight.device, registers, |it| it.battery() != Battery::Good)
        {
            out.push(Verdict { alert, spot, what: What::Over });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn falling(a_day: f64, days: u32, from_us: i64) -> Charge {
        let mut charge = Charge::default();
        for day in 0..=days {
            let percent = ((100.0 - a_day * f64::from(day)) * 1e6) as i64;
            assert!(charge.see(percent, from_us + i64::from(day) * 24 * HOUR_US));
        }
        charge
    }

    #[test]
    fn days_are_those_of_the_last_two_weeks_and_over_the_turn_of_the_hours() {
        assert_eq!(size_of::<Charge>(), 6);
        let turn_us = 65_536 * HOUR_US;
        for from_us in [1_790_000_000_000_000, 8 * turn_us - 5 * 24 * HOUR_US] {
            assert_eq!(falling(3.0, 2, from_us).days_left(), None, "too short");
            assert_eq!(falling(3.0, 10, from_us).days_left(), Some(23));
            assert_eq!(falling(0.5, 3, from_us).days_left(), None, "too little");
            // Two months at half a percent, then ten days at four.
            let mut charge = falling(0.5, 60, from_us);
            assert!((110..=170).contains(&charge.days_left().unwrap()), "{charge:?}");
            for day in 1..=20 {
                let at_us = from_us + (60 + day) * 24 * HOUR_US;
                assert!(charge.see((70 - 3 * day) * 1_000_000, at_us));
            }
            assert!((3..=4).contains(&charge.days_left().unwrap()), "{charge:?}");
        }
    }
}

//! Devices at the end of their life, by the register: also those that never say a word.

use super::engine::Conditions;
use super::groups::Registers;
use super::verdict::{Spot, Verdict, What};
use features::{CellRef, Key, RowSource as _, civil};
use std::sync::{Arc, LazyLock};

/// Devices that are looked at a minute: a district of 1.66 million in 28 hours, where lives last years.
const A_MINUTE: usize = 1_000;

/// The register of devices among the tables, and where in it class and installation stand.
static DEVICES: LazyLock<Option<(usize, [usize; 2])>> = LazyLock::new(|| {
    let place = civil::TABLES.iter().position(|table| table.name == "device")?;
    let table = civil::TABLES.get(place)?;
    Some((place, [table.position("kind")?, table.position("installed")?]))
});

impl Conditions {
    /// The next devices of the register in the order of their keys.
    pub(super) fn look_at_ages(&mut self, registers: Registers<'_>) {
        let has_lives = self.plan.classes.values().any(|class| class.life_us > 0);
        if !has_lives && self.kept.worn.is_empty() {
            return;
        }
        let Some((_, [class, _])) = *DEVICES else { return };
        let after = Arc::clone(&self.kept.aged);
        let mut seen = 0;
        let mut last = None;
        let mut look = Vec::new();
        for cells in registers.rows.after("device", &after).take(A_MINUTE) {
            seen += 1;
            let Some(key) = cells.clone().text_at(0).and_then(|it| std::str::from_utf8(it).ok())
            else {
                continue;
            };
            last = Some(key);
            let class = cells.text_at(class).and_then(|it| std::str::from_utf8(it).ok());
            let plan = class.and_then(|class| self.plan.classes.get(class));
            if plan.is_some_and(|plan| plan.life_us > 0) || self.kept.worn.contains(key) {
                look.push(key);
            }
        }
        self.kept.aged = if seen < A_MINUTE { "".into() } else { last.unwrap_or_default().into() };
        for key in look {
            self.look_at_age(key, registers);
        }
    }

    /// Whether a device has become too old, or is no longer.
    pub(super) fn look_at_age(&mut self, device: &str, registers: Registers<'_>) {
        let ends_us = self.end_of_life_us(device, registers);
        let is_worn = ends_us.is_some_and(|ends_us| ends_us <= self.kept.now_us);
        if is_worn == self.kept.worn.contains(device) {
            return;
        }
        let name: Arc<str> = device.into();
        if !is_worn {
            self.kept.worn.remove(device);
            let other = |other: &str| self.kept.worn.contains(other);
            let homes = registers.rows.homes();
            let home = homes.dwelling_of_device(device);
            if home.is_some_and(|home| homes.devices_of_dwelling(home).any(other)) {
                return;
            }
            self.say_of_age(name, What::Over);
            return;
        }
        self.kept.worn.insert(Arc::clone(&name));
        let grade = self.plan.grades.end_of_life;
        let ended = crate::clock::text(ends_us.unwrap_or_default());
        let what = What::Fire {
            severity: grade.severity,
            level: grade.level,
            event_us: 0,
            evidence: Vec::new(),
            devices: Vec::new(),
            reason: format!("{device} was to be replaced by {ended}"),
        };
        self.say_of_age(name, what);
    }

    fn say_of_age(&mut self, device: Arc<str>, what: What) {
        let alert = Arc::clone(&self.plan.words.age);
        self.unsaid.push(Verdict { alert, spot: Spot::Named(device), what });
    }

    /// When the life of a device in service ends; nothing where its class has none, or nobody knows
    /// since when it hangs there.
    fn end_of_life_us(&self, device: &str, registers: Registers<'_>) -> Option<i64> {
        let (place, [_, installed]) = (*DEVICES)?;
        let class = registers.text("device", device, "kind")?;
        let life_us = self.plan.classes.get(&class).map(|class| class.life_us)?;
        if life_us == 0 || self.withdrawn_as(device, registers).is_some() {
            return None;
        }
        match registers.rows.row(place, Key::of(device))?.nth(installed)? {
            CellRef::Time(since_us) => Some(since_us.saturating_add(life_us)),
            _ => None,
        }
    }
}

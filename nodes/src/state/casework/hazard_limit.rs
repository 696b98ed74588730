//! How long hazards are silent at a place, however many silences that takes and by whatever name the place
//! goes in each: silences with less than a pause between them are one to the limit.

use super::silences::{Scope, SilenceWanted};
use crate::state::conditions::Registers;
use crate::state::{Refusal, State};
use features::EntityKind;

/// A name by which something is silenced.
type Place = (Scope, String);

impl State {
    /// When the row of silences began in which a silence that begins now would stand.
    pub(super) fn hazards_since_us(&self, wanted: &SilenceWanted) -> i64 {
        let now_us = self.clock_us;
        let maintenance = &self.rules.maintenance;
        let pause_us = i64::from(maintenance.hazard_pause_s) * 1_000_000;
        let covers = |kinds: &[String], hazard| kinds.is_empty() || kinds.contains(hazard);
        let place = (wanted.scope, wanted.key.clone());
        let around = self.around(&place);
        let row = self.casework.silences.since(now_us - pause_us).filter(|known| {
            let other = (known.wanted.scope, known.wanted.key.clone());
            let mut hazards = maintenance.hazards.iter();
            hazards.any(|it| covers(&wanted.kinds, it) && covers(&known.wanted.kinds, it))
                && (around.contains(&other) || self.around(&other).contains(&place))
        });
        row.map(|known| known.hazards_since_us).min().unwrap_or(now_us)
    }

    /// Refuses a silence of hazards alone that is longer than they may be silent any more.
    pub(super) fn check_hazards(&self, wanted: &SilenceWanted) -> Result<(), Refusal> {
        let maintenance = &self.rules.maintenance;
        let is_hazard = |kind: &String| maintenance.hazards.contains(kind);
        if wanted.kinds.is_empty() || !wanted.kinds.iter().all(is_hazard) {
            return Ok(());
        }
        let silent_s = (self.clock_us - self.hazards_since_us(wanted)) / 1_000_000;
        let left_s = (i64::from(maintenance.hazard_max_s) - silent_s).max(0);
        if i64::from(wanted.for_s) <= left_s {
            return Ok(());
        }
        let kinds = wanted.kinds.join(", ");
        let (limit_s, asked_s) = (maintenance.hazard_max_s, wanted.for_s);
        Err(Refusal::Invalid(if silent_s == 0 {
            format!("{kinds} may be silenced for {limit_s} seconds, not {asked_s}")
        } else {
            format!(
                "{kinds} may be silenced for {limit_s} seconds, began to be {silent_s} seconds ago, \
                 and may be for {left_s} more, not {asked_s}; after {} seconds without a silence \
                 that begins anew",
                maintenance.hazard_pause_s
            )
        }))
    }

    /// The place, and everything that silences some of the same devices with it.
    fn around(&self, (scope, key): &Place) -> Vec<Place> {
        let mut all = vec![(*scope, key.clone())];
        match scope {
            Scope::Building => {}
            Scope::Dwelling => {
                self.add_home(key, &mut all);
                for device in self.homes().devices_of_dwelling(key) {
                    self.add_gateway(device, &mut all);
                }
            }
            Scope::Device | Scope::Gateway => {
                all.extend([(Scope::Device, key.clone()), (Scope::Gateway, key.clone())]);
                self.add_gateway(key, &mut all);
                self.add_home_of(key, &mut all);
                if *scope == Scope::Gateway {
                    for slot in self.conditions.heard_by(key) {
                        let device = self.features.key(EntityKind::Device, slot as usize);
                        self.add_home_of(device, &mut all);
                    }
                }
            }
        }
        all
    }

    fn add_home_of(&self, device: &str, all: &mut Vec<Place>) {
        if let Some(home) = self.homes().dwelling_of_device(device) {
            self.add_home(home, all);
        }
    }

    fn add_home(&self, home: &str, all: &mut Vec<Place>) {
        all.push((Scope::Dwelling, home.to_owned()));
        let registers = Registers { rows: &self.rows, store: &self.features };
        let building = registers.text("dwelling", home, "building_id");
        all.extend(building.map(|building| (Scope::Building, building)));
    }

    fn add_gateway(&self, device: &str, all: &mut Vec<Place>) {
        let slot = self.features.find(EntityKind::Device, device);
        let gateway = slot.and_then(|slot| self.conditions.gateway_of(slot as u32));
        all.extend(gateway.map(|gateway| (Scope::Gateway, gateway.to_owned())));
    }
}

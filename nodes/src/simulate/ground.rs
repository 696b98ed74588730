//! How households lie in buildings, buildings in grids, grids in communities and streets.

use super::dice::{Dice, Realm};

/// Households a grid has on average; grids keep within 300 to 500 as soon as there are enough.
const GRID_HOUSEHOLDS: u32 = 400;
/// How far a grid's border is moved from an even cut, in households.
const BORDER_SHIFT: i64 = 45;
/// Registered households a building has at most.
const BUILDING_HOUSEHOLDS: u32 = 12;
/// Communities a street has on average.
const STREET_COMMUNITIES: u32 = 22;
/// The district's own code: 99 and 01 are given to no province and city.
pub(super) const DISTRICT: &str = "990101";

/// The borders, as indices of households. Everything of a lower level lies within one of a higher.
#[derive(Debug)]
pub(super) struct Ground {
    /// The first household of each grid, and the end.
    grids: Vec<u32>,
    /// The first building of each grid, and the end.
    buildings: Vec<u32>,
    pub(super) communities: u32,
    pub(super) streets: u32,
}

impl Ground {
    pub(super) fn new(seed: u64, households: u32) -> Self {
        let count = ((households + GRID_HOUSEHOLDS / 2) / GRID_HOUSEHOLDS).max(1);
        let mut grids: Vec<u32> = Vec::with_capacity(count as usize + 1);
        let mut buildings = Vec::with_capacity(count as usize + 1);
        let mut building = 0;
        for grid in 0..=count {
            let even = i64::from(households) * i64::from(grid) / i64::from(count);
            let shift = if grid == 0 || grid == count {
                0
            } else {
                Dice::new(seed, Realm::Ground, u64::from(grid), 0)
                    .whole(-BORDER_SHIFT, BORDER_SHIFT + 1)
            };
            let border = (even + shift) as u32;
            if let Some(&last) = grids.last() {
                building += (border - last).div_ceil(BUILDING_HOUSEHOLDS);
            }
            grids.push(border);
            buildings.push(building);
        }
        let communities = (count * 6 / 7).max(1);
        Self { grids, buildings, communities, streets: communities.div_ceil(STREET_COMMUNITIES) }
    }

    pub(super) fn grid_count(&self) -> u32 {
        self.grids.len() as u32 - 1
    }

    pub(super) fn building_count(&self) -> u32 {
        self.buildings.last().copied().unwrap_or(0)
    }

    pub(super) fn grid_of(&self, household: u32) -> u32 {
        place(&self.grids, household)
    }

    pub(super) fn grid_households(&self, grid: u32) -> u32 {
        self.grids[grid as usize + 1] - self.grids[grid as usize]
    }

    pub(super) fn grid_of_building(&self, building: u32) -> u32 {
        place(&self.buildings, building)
    }

    pub(super) fn building_of(&self, household: u32) -> u32 {
        let grid = self.grid_of(household) as usize;
        self.buildings[grid] + (household - self.grids[grid]) / BUILDING_HOUSEHOLDS
    }

    /// The household's place among those of its building.
    pub(super) fn door_of(&self, household: u32) -> u32 {
        (household - self.grids[self.grid_of(household) as usize]) % BUILDING_HOUSEHOLDS
    }

    pub(super) fn community_of_grid(&self, grid: u32) -> u32 {
        spread(grid, self.communities, self.grid_count())
    }

    pub(super) fn street_of_community(&self, community: u32) -> u32 {
        spread(community, self.streets, self.communities)
    }

    pub(super) fn street_code(street: u32) -> String {
        format!("{DISTRICT}{:03}000", street + 1)
    }

    pub(super) fn community_code(&self, community: u32) -> String {
        let street = self.street_of_community(community);
        // The first community that `spread` gives to this street.
        let first =
            (u64::from(street) * u64::from(self.communities)).div_ceil(u64::from(self.streets));
        format!("{DISTRICT}{:03}{:03}", street + 1, u64::from(community) - first + 1)
    }

    pub(super) fn community_code_of(&self, household: u32) -> String {
        self.community_code(self.community_of_grid(self.grid_of(household)))
    }
}

/// The stretch of sorted borders that `index` lies in.
fn place(borders: &[u32], index: u32) -> u32 {
    borders.partition_point(|border| *border <= index).saturating_sub(1) as u32
}

/// `index` of `of` laid evenly over `over` places.
fn spread(index: u32, over: u32, of: u32) -> u32 {
    (u64::from(index) * u64::from(over) / u64::from(of.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn grids_keep_their_size_and_codes_are_one_for_one() {
        let ground = Ground::new(3, 262_000);
        assert_eq!(ground.grid_count(), 655);
        assert!((0..655).all(|grid| (300..=500).contains(&ground.grid_households(grid))));
        assert_eq!((ground.communities, ground.streets), (561, 26));
        let codes: BTreeSet<_> = (0..561).map(|each| ground.community_code(each)).collect();
        assert_eq!(codes.len(), 561);
        assert!(codes.iter().all(|code| code.len() == 12));
        assert!((0..26).all(|street| codes.contains(&format!("990101{:03}001", street + 1))));
    }

    #[test]
    fn a_building_lies_in_one_grid() {
        let ground = Ground::new(3, 5_000);
        for household in 0..5_000 {
            let building = ground.building_of(household);
            assert_eq!(ground.grid_of_building(building), ground.grid_of(household));
        }
        let last = ground.building_of(4_999);
        assert_eq!(last + 1, ground.building_count());
    }
}

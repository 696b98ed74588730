//! Rows of the places: regions, grids, buildings, dwellings, households.

use features::table::Cell;

use super::cells::{Row, date_before, from, int, real, text, year};
use super::dice::{Dice, Realm};
use super::district::District;
use super::ground::{DISTRICT, Ground};
use super::names;
use super::person::{key, key_text};

/// Where the district lies, and how far its streets are from each other, in degrees.
const CENTRE: (f64, f64) = (120.25, 30.16);
const STREET_STEP: f64 = 0.03;

/// A building, made from its own stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Building {
    pub(super) year_built: i32,
    pub(super) storeys: i64,
    pub(super) lift: bool,
    pub(super) gas_pipe_year: i32,
    lon: f64,
    lat: f64,
}

impl Building {
    pub(super) fn new(district: &District, index: u32) -> Self {
        let mut dice = Dice::new(district.plan.seed, Realm::Ground, u64::from(index), 1);
        let today = year(district.plan.today());
        let year_built = dice.whole(1976, 2023) as i32;
        let tall = year_built >= 2000 && dice.chance(0.6);
        let storeys = if tall { dice.whole(11, 34) } else { dice.whole(4, 8) };
        let lift = tall || dice.chance(0.06);
        let renewed = today - year_built > 20 && dice.chance(0.45);
        let gas_pipe_year = if renewed {
            dice.whole(i64::from(today) - 15, i64::from(today)) as i32
        } else {
            year_built
        };
        let community = district.ground.community_of_grid(district.ground.grid_of_building(index));
        let (lon, lat) = community_spot(district, community);
        let (lon, lat) = (lon + 0.002 * dice.normal(), lat + 0.002 * dice.normal());
        Self { year_built, storeys, lift, gas_pipe_year, lon, lat }
    }

    /// The floor of a household.
    pub(super) fn floor(&self, district: &District, household: u32) -> i64 {
        let door = i64::from(district.ground.door_of(household));
        (Dice::new(district.plan.seed, Realm::Ground, u64::from(household), 2).whole(0, 3) + door)
            % self.storeys
            + 1
    }
}

fn street_spot(street: u32) -> (f64, f64) {
    let (across, along) = (f64::from(street % 6), f64::from(street / 6));
    (CENTRE.0 + (across - 2.5) * STREET_STEP, CENTRE.1 + (along - 2.0) * STREET_STEP)
}

fn community_spot(district: &District, community: u32) -> (f64, f64) {
    let (lon, lat) = street_spot(district.ground.street_of_community(community));
    let mut dice = Dice::new(district.plan.seed, Realm::Ground, u64::from(community), 3);
    let half = STREET_STEP / 2.0;
    (lon + dice.between(-half, half), lat + dice.between(-half, half))
}

/// Province, city, district, then the streets, then the communities.
pub(super) fn region_count(district: &District) -> u32 {
    3 + district.ground.streets + district.ground.communities
}

pub(super) fn region(district: &District, index: u32, rows: &mut Vec<Row>) {
    let ground = &district.ground;
    let (code, parent, level, name, kind, spot) = if index < 3 {
        let names = ["Fictitious Province", "Fictitious City", "Hearth District"];
        let kinds = ["province", "city", "district"];
        let codes = ["990000000000", "990100000000", "990101000000"];
        let at = index as usize;
        let parent = at.checked_sub(1).map(|up| codes[up].to_owned());
        (codes[at].to_owned(), parent, index + 1, names[at].to_owned(), kinds[at], CENTRE)
    } else if index < 3 + ground.streets {
        let street = index - 3;
        let name = format!("{} Street", names::place(street * 7));
        let parent = Some(format!("{DISTRICT}000000"));
        (Ground::street_code(street), parent, 4, name, "street", street_spot(street))
    } else {
        let community = index - 3 - ground.streets;
        let name = format!("{} Community", names::place(community));
        let parent = Some(Ground::street_code(ground.street_of_community(community)));
        let spot = community_spot(district, community);
        (ground.community_code(community), parent, 5, name, "community", spot)
    };
    let row = vec![
        text(code),
        parent.map_or(Cell::Null, text),
        int(level),
        text(name),
        text(kind),
        real(spot.0, 5),
        real(spot.1, 5),
        date_before(&district.plan, 9_131),
        Cell::Null,
    ];
    rows.push(from(row, "civil_affairs", &district.plan));
}

pub(super) fn grid_id(grid: u32) -> String {
    format!("g{:05}", grid + 1)
}

/// The key of the worker who looks after a grid.
pub(super) fn grid_leader(district: &District, grid: u32) -> String {
    key_text(key(district.plan.seed, "grid worker", u64::from(grid)))
}

pub(super) fn grid(district: &District, index: u32, rows: &mut Vec<Row>) {
    let households = district.ground.grid_households(index);
    let mut dice = Dice::new(district.plan.seed, Realm::Ground, u64::from(index), 4);
    let row = vec![
        text(grid_id(index)),
        text(district.ground.community_code(district.ground.community_of_grid(index))),
        text(grid_leader(district, index)),
        int(households),
        real(f64::from(households) * dice.between(180.0, 420.0), 0),
    ];
    rows.push(from(row, "politics_law", &district.plan));
}

fn building_id(building: u32) -> String {
    format!("b{:06}", building + 1)
}

pub(super) fn building(district: &District, index: u32, rows: &mut Vec<Row>) {
    let building = Building::new(district, index);
    let grid = district.ground.grid_of_building(index);
    let community = district.ground.community_of_grid(grid);
    let row = vec![
        text(building_id(index)),
        text(grid_id(grid)),
        text(format!("{}{:06}", district.ground.community_code(community), index + 1)),
        int(building.year_built),
        int(building.storeys),
        Cell::Bool(building.lift),
        int(building.gas_pipe_year),
        real(building.lon, 6),
        real(building.lat, 6),
    ];
    rows.push(from(row, "housing", &district.plan));
}

pub(super) fn dwelling_id(household: u32) -> String {
    format!("w{:07}", household + 1)
}

pub(super) fn dwelling(district: &District, index: u32, rows: &mut Vec<Row>) {
    let number = district.ground.building_of(index);
    let floor = Building::new(district, number).floor(district, index);
    let door = district.ground.door_of(index);
    let mut dice = Dice::new(district.plan.seed, Realm::Household, u64::from(index), 2);
    let tenure = ["owned", "rented", "public"][dice.weighted(&[0.82, 0.11, 0.07])];
    let row = vec![
        text(dwelling_id(index)),
        text(building_id(number)),
        text((door / 4 + 1).to_string()),
        text(format!("{floor}{:02}", door % 4 + 1)),
        int(floor),
        real((78.0 * (0.35 * dice.normal()).exp()).clamp(22.0, 260.0), 1),
        text(tenure),
        Cell::Bool(dice.chance(0.09)),
    ];
    rows.push(from(row, "housing", &district.plan));
}

pub(super) fn household_id(household: u32) -> String {
    format!("h{:07}", household + 1)
}

pub(super) fn household(district: &District, index: u32, rows: &mut Vec<Row>) {
    let household = &district.households[index as usize];
    let economy = district.economy(index);
    let dead = district.members(index).filter(|(_, person)| !person.lives()).count() as i64;
    let row = vec![
        text(household_id(index)),
        text(dwelling_id(index)),
        Cell::Int(i64::from(household.size) - dead),
        text(household.living.name()),
        real(economy.income_pc, 0),
        real(economy.rigid_exp_12m, 0),
        Cell::Bool(economy.assets),
        text(economy.class.name()),
    ];
    rows.push(from(row, "civil_affairs", &district.plan));
}

//! Who lives where, and which device hangs in which home: read off the reference tables.

use super::Rows;
use features::civil;
use features::table::Cell;
use std::collections::HashMap;

/// Derived from [`Rows`] and rebuilt after a restore; never stored.
#[derive(Clone, Debug, Default)]
pub struct Homes {
    dwelling_of_device: HashMap<String, String>,
    dwelling_of_household: HashMap<String, String>,
    household_of_resident: HashMap<String, String>,
    residents_of_household: HashMap<String, Vec<String>>,
    /// What every event asks for, so it is kept and not followed through the households.
    residents_of_dwelling: HashMap<String, Vec<String>>,
    devices_of_dwelling: HashMap<String, Vec<String>>,
    subsidies_of_resident: HashMap<String, Vec<String>>,
    /// How often somebody moved, counted from 1.
    changes: u64,
}

impl Homes {
    pub fn rebuild(rows: &Rows) -> Self {
        let mut homes = Self { changes: 1, ..Self::default() };
        for name in ["device", "household", "resident", "subsidy"] {
            for row in rows.scan(name) {
                homes.learn(name, &row);
            }
        }
        homes
    }

    /// Grows when who belongs where may have changed; never 0 where anybody is known.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes in one row of a table that says who belongs where.
    pub fn learn(&mut self, table: &str, row: &[Cell]) {
        self.changes += u64::from(matches!(table, "device" | "household" | "resident"));
        match table {
            "device" => {
                if let Some(device) = text(table, row, "device_id") {
                    let dwelling = text(table, row, "dwelling_id");
                    if let Some(old) = put(&mut self.dwelling_of_device, &device, dwelling.clone())
                    {
                        forget(&mut self.devices_of_dwelling, &old, &device);
                    }
                    if let Some(dwelling) = dwelling {
                        join(&mut self.devices_of_dwelling, dwelling, device);
                    }
                }
            }
            "household" => {
                if let Some(household) = text(table, row, "household_id") {
                    self.move_household(&household, text(table, row, "dwelling_id").as_ref());
                }
            }
            "resident" => {
                if let Some(resident) = text(table, row, "resident_key") {
                    self.move_resident(resident, text(table, row, "household_id"));
                }
            }
            "subsidy" => {
                if let (Some(grant), Some(resident)) =
                    (text(table, row, "grant_id"), text(table, row, "resident_key"))
                {
                    join(&mut self.subsidies_of_resident, resident, grant);
                }
            }
            _ => {}
        }
    }

    /// A row that is gone, as it was.
    pub(crate) fn forget(&mut self, table: &str, row: &[Cell]) {
        if table == "subsidy" {
            if let (Some(grant), Some(resident)) =
                (text(table, row, "grant_id"), text(table, row, "resident_key"))
            {
                forget(&mut self.subsidies_of_resident, &resident, &grant);
            }
            return;
        }
        // Its key alone says that nothing is known of it.
        let key = row.iter().take(1).cloned();
        let rest = std::iter::repeat_n(Cell::Null, row.len().saturating_sub(1));
        self.learn(table, &key.chain(rest).collect::<Vec<_>>());
    }

    fn move_household(&mut self, household: &str, dwelling: Option<&String>) {
        let old = put(&mut self.dwelling_of_household, household, dwelling.cloned());
        for resident in self.residents_of_household.get(household).into_iter().flatten() {
            if let Some(old) = &old {
                forget(&mut self.residents_of_dwelling, old, resident);
            }
            if let Some(dwelling) = dwelling {
                join(&mut self.residents_of_dwelling, dwelling.clone(), resident.clone());
            }
        }
    }

    fn move_resident(&mut self, resident: String, household: Option<String>) {
        if let Some(old) = put(&mut self.household_of_resident, &resident, household.clone()) {
            forget(&mut self.residents_of_household, &old, &resident);
            if let Some(dwelling) = self.dwelling_of_household.get(&old) {
                forget(&mut self.residents_of_dwelling, dwelling, &resident);
            }
        }
        let Some(household) = household else { return };
        if let Some(dwelling) = self.dwelling_of_household.get(&household) {
            join(&mut self.residents_of_dwelling, dwelling.clone(), resident.clone());
        }
        join(&mut self.residents_of_household, household, resident);
    }

    pub fn devices_of_dwelling(&self, dwelling: &str) -> impl Iterator<Item = &str> {
        self.devices_of_dwelling.get(dwelling).into_iter().flatten().map(String::as_str)
    }

    pub fn subsidies_of(&self, resident: &str) -> impl Iterator<Item = &str> {
        self.subsidies_of_resident.get(resident).into_iter().flatten().map(String::as_str)
    }

    /// The community code of a dwelling: dwelling, building, grid, community.
    pub fn region_of(rows: &Rows, dwelling: &str) -> Option<String> {
        follow(rows, "grid", &Self::grid_of(rows, dwelling)?, "community")
    }

    /// The community of whatever a case is about: a dwelling, `building:b1`, `grid:g1`, `community:code`.
    pub(crate) fn region_of_place(rows: &Rows, place: &str) -> Option<String> {
        let grid = |building: &str| follow(rows, "building", building, "grid_id");
        match place.split_once(':') {
            Some(("community", code)) => Some(code.to_owned()),
            Some(("grid", grid)) => follow(rows, "grid", grid, "community"),
            Some(("building", building)) => follow(rows, "grid", &grid(building)?, "community"),
            _ => Self::region_of(rows, place),
        }
    }

    pub(crate) fn grid_of(rows: &Rows, dwelling: &str) -> Option<String> {
        let building = follow(rows, "dwelling", dwelling, "building_id")?;
        follow(rows, "building", &building, "grid_id")
    }

    pub fn dwelling_of_device(&self, device: &str) -> Option<&str> {
        self.dwelling_of_device.get(device).map(String::as_str)
    }

    pub fn dwelling_of_resident(&self, resident: &str) -> Option<&str> {
        let household = self.household_of_resident.get(resident)?;
        self.dwelling_of_household.get(household).map(String::as_str)
    }

    /// Residents of a dwelling in key order.
    pub fn residents_of_dwelling(&self, dwelling: &str) -> &[String] {
        self.residents_of_dwelling.get(dwelling).map_or(&[], Vec::as_slice)
    }
}

fn follow(rows: &Rows, table: &str, key: &str, column: &str) -> Option<String> {
    text(table, &rows.get(table, key.as_bytes())?, column)
}

fn text(table: &str, row: &[Cell], column: &str) -> Option<String> {
    let position = civil::table(table)?.position(column)?;
    row.get(position)?.as_text().map(str::to_owned)
}

/// What stood there before. A row that says nothing takes away what an earlier one said: a state that
/// was restored reads the newest rows only, and has to come out the same.
fn put(map: &mut HashMap<String, String>, key: &str, to: Option<String>) -> Option<String> {
    match to {
        Some(to) => map.insert(key.to_owned(), to),
        None => map.remove(key),
    }
}

fn join(map: &mut HashMap<String, Vec<String>>, key: String, member: String) {
    let members = map.entry(key).or_default();
    if let Err(place) = members.binary_search(&member) {
        members.insert(place, member);
    }
}

fn forget(map: &mut HashMap<String, Vec<String>>, key: &str, member: &str) {
    if let Some(members) = map.get_mut(key) {
        members.retain(|each| each != member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(homes: &mut Homes, table: &str, cells: [(&str, &str); 2]) {
        let table = civil::table(table).unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        for (column, text) in cells {
            row[table.position(column).unwrap()] = Cell::text(text);
        }
        homes.learn(table.name, &row);
    }

    #[test]
    fn residents_follow_their_household_in_any_order() {
        let mut homes = Homes::default();
        learn(&mut homes, "resident", [("resident_key", "r2"), ("household_id", "h1")]);
        assert!(homes.residents_of_dwelling("w1").is_empty());
        learn(&mut homes, "household", [("household_id", "h1"), ("dwelling_id", "w1")]);
        learn(&mut homes, "household", [("household_id", "h2"), ("dwelling_id", "w1")]);
        learn(&mut homes, "resident", [("resident_key", "r1"), ("household_id", "h2")]);
        learn(&mut homes, "resident", [("resident_key", "r1"), ("household_id", "h2")]);
        assert_eq!(homes.residents_of_dwelling("w1"), ["r1", "r2"]);
        learn(&mut homes, "household", [("household_id", "h1"), ("dwelling_id", "w2")]);
        assert_eq!(homes.residents_of_dwelling("w1"), ["r1"]);
        assert_eq!(homes.residents_of_dwelling("w2"), ["r2"]);
        learn(&mut homes, "resident", [("resident_key", "r1"), ("household_id", "h1")]);
        assert!(homes.residents_of_dwelling("w1").is_empty());
        assert_eq!(homes.residents_of_dwelling("w2"), ["r1", "r2"]);
        assert_eq!(homes.dwelling_of_resident("r1"), Some("w2"));
    }

    #[test]
    fn a_row_without_a_home_takes_the_old_one_away() {
        let mut homes = Homes::default();
        learn(&mut homes, "household", [("household_id", "h1"), ("dwelling_id", "w1")]);
        learn(&mut homes, "resident", [("resident_key", "r1"), ("household_id", "h1")]);
        learn(&mut homes, "device", [("device_id", "d1"), ("dwelling_id", "w1")]);
        learn_no(&mut homes, "device", ("device_id", "d1"));
        assert_eq!(
            (homes.dwelling_of_device("d1"), homes.devices_of_dwelling("w1").count()),
            (None, 0)
        );
        learn_no(&mut homes, "resident", ("resident_key", "r1"));
        assert!(homes.residents_of_dwelling("w1").is_empty());
        assert_eq!(homes.dwelling_of_resident("r1"), None);
        learn(&mut homes, "resident", [("resident_key", "r1"), ("household_id", "h1")]);
        learn_no(&mut homes, "household", ("household_id", "h1"));
        assert!(homes.residents_of_dwelling("w1").is_empty());
    }

    /// A row that has its key only.
    fn learn_no(homes: &mut Homes, table: &str, (column, key): (&str, &str)) {
        learn(homes, table, [(column, key), (column, key)]);
    }
}

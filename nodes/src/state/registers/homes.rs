//! Who lives where, and which device hangs in which home: read off the register rows.

use super::Rows;
use features::civil;

/// A look at the rows. What belongs to something comes in the order of its keys.
#[derive(Clone, Copy, Debug)]
pub struct Homes<'a> {
    pub(super) rows: &'a Rows,
}

/// Tables and columns that say who belongs where.
pub(super) const BELONGING: [(&str, &str); 3] =
    [("device", "dwelling_id"), ("household", "dwelling_id"), ("resident", "household_id")];

impl<'a> Homes<'a> {
    /// Another number when somebody moved; never 0 where anybody is known.
    pub(crate) fn changes(self) -> u32 {
        self.rows.moves()
    }

    pub fn devices_of_dwelling(self, dwelling: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.rows.belonging("device", "dwelling_id", dwelling).into_iter()
    }

    pub fn subsidies_of(self, resident: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.rows.belonging("subsidy", "resident_key", resident).into_iter()
    }

    pub fn dwelling_of_device(self, device: &str) -> Option<&'a str> {
        self.rows.text("device", device, "dwelling_id")
    }

    pub fn dwelling_of_resident(self, resident: &str) -> Option<&'a str> {
        let household = self.rows.text("resident", resident, "household_id")?;
        self.rows.text("household", household, "dwelling_id")
    }

    pub fn residents_of_dwelling(self, dwelling: &str) -> Vec<&'a str> {
        let households = self.rows.belonging("household", "dwelling_id", dwelling);
        let members = |household| self.rows.belonging("resident", "household_id", household);
        let mut residents: Vec<&str> = households.into_iter().flat_map(members).collect();
        residents.sort_unstable();
        residents
    }

    /// The community code of a dwelling: dwelling, building, grid, community.
    pub fn region_of(self, dwelling: &str) -> Option<&'a str> {
        self.rows.text("grid", self.grid_of(dwelling)?, "community")
    }

    /// The community of whatever a case is about: a dwelling, `building:b1`, `grid:g1`, `community:code`.
    pub(crate) fn region_of_place(self, place: &str) -> Option<String> {
        let grid = |building: &str| self.rows.text("building", building, "grid_id");
        let community = |grid: &str| self.rows.text("grid", grid, "community").map(str::to_owned);
        match place.split_once(':') {
            Some(("community", code)) => Some(code.to_owned()),
            Some(("grid", grid)) => community(grid),
            Some(("building", building)) => community(grid(building)?),
            _ => self.region_of(place).map(str::to_owned),
        }
    }

    pub(crate) fn grid_of(self, dwelling: &str) -> Option<&'a str> {
        let building = self.rows.text("dwelling", dwelling, "building_id")?;
        self.rows.text("building", building, "grid_id")
    }
}

/// The column of a table that says where its rows belong.
pub(super) fn belonging_of(table: &str) -> Option<usize> {
    let (name, column) = BELONGING.iter().find(|each| each.0 == table)?;
    civil::table(name)?.position(column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::table::Cell;

    fn learn(rows: &mut Rows, table: &str, cells: [(&str, &str); 2]) {
        let table = civil::table(table).unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        for (column, text) in cells {
            row[table.position(column).unwrap()] = Cell::text(text);
        }
        rows.upsert(table, &row).unwrap();
    }

    #[test]
    fn residents_follow_their_household_in_any_order() {
        let mut rows = Rows::default();
        learn(&mut rows, "resident", [("resident_key", "r2"), ("household_id", "h1")]);
        assert!(rows.homes().residents_of_dwelling("w1").is_empty());
        learn(&mut rows, "household", [("household_id", "h1"), ("dwelling_id", "w1")]);
        learn(&mut rows, "household", [("household_id", "h2"), ("dwelling_id", "w1")]);
        learn(&mut rows, "resident", [("resident_key", "r1"), ("household_id", "h2")]);
        learn(&mut rows, "resident", [("resident_key", "r1"), ("household_id", "h2")]);
        assert_eq!(rows.homes().residents_of_dwelling("w1"), ["r1", "r2"]);
        learn(&mut rows, "household", [("household_id", "h1"), ("dwelling_id", "w2")]);
        assert_eq!(rows.homes().residents_of_dwelling("w1"), ["r1"]);
        assert_eq!(rows.homes().residents_of_dwelling("w2"), ["r2"]);
        let before = rows.homes().changes();
        learn(&mut rows, "resident", [("resident_key", "r1"), ("household_id", "h1")]);
        assert!(rows.homes().changes() > before);
        assert!(rows.homes().residents_of_dwelling("w1").is_empty());
        assert_eq!(rows.homes().residents_of_dwelling("w2"), ["r1", "r2"]);
        assert_eq!(rows.homes().dwelling_of_resident("r1"), Some("w2"));
    }

    #[test]
    fn a_row_without_a_home_takes_the_old_one_away() {
        let mut rows = Rows::default();
        learn(&mut rows, "household", [("household_id", "h1"), ("dwelling_id", "w1")]);
        learn(&mut rows, "resident", [("resident_key", "r1"), ("household_id", "h1")]);
        learn(&mut rows, "device", [("device_id", "d1"), ("dwelling_id", "w1")]);
        learn_no(&mut rows, "device", ("device_id", "d1"));
        let homes = rows.homes();
        assert_eq!(
            (homes.dwelling_of_device("d1"), homes.devices_of_dwelling("w1").count()),
            (None, 0)
        );
        learn_no(&mut rows, "resident", ("resident_key", "r1"));
        assert!(rows.homes().residents_of_dwelling("w1").is_empty());
        assert_eq!(rows.homes().dwelling_of_resident("r1"), None);
        learn(&mut rows, "resident", [("resident_key", "r1"), ("household_id", "h1")]);
        learn_no(&mut rows, "household", ("household_id", "h1"));
        assert!(rows.homes().residents_of_dwelling("w1").is_empty());
    }

    #[test]
    fn a_row_that_moves_nobody_is_no_move() {
        let mut rows = Rows::default();
        learn(&mut rows, "device", [("device_id", "d1"), ("dwelling_id", "w1")]);
        let before = rows.homes().changes();
        let table = civil::table("device").unwrap();
        let mut row = rows.get("device", b"d1").unwrap();
        row[table.position("battery").unwrap()] = Cell::Real(12.0);
        rows.upsert(table, &row).unwrap();
        assert_eq!((rows.homes().changes(), before), (before, 1));
    }

    /// A row that has its key only.
    fn learn_no(rows: &mut Rows, table: &str, (column, key): (&str, &str)) {
        learn(rows, table, [(column, key), (column, key)]);
    }
}

//! Whose relative may see what: the rows of `relation` with consent, by the relative's key.

use super::Rows;
use features::{CellRef, civil};

/// Residents that one relative may follow.
const RESIDENTS_MAX: usize = 64;
pub(super) const RELATION: &str = "relation";

impl Rows {
    /// The residents who let this relative know, each once, in the order of their keys. Consent is what
    /// the row says in so many words; an empty cell is none.
    pub(crate) fn residents_of_relative(&self, relative: &str) -> Vec<String> {
        let Some(consent) = civil::table(RELATION).and_then(|table| table.position("consent"))
        else {
            return Vec::new();
        };
        let relations = self.by_text(RELATION, "other_key", relative);
        let agreed = relations
            .filter(|cells| cells.clone().nth(consent) == Some(CellRef::Bool(true)))
            .filter_map(|mut cells| cells.next_text());
        let mut residents: Vec<String> =
            agreed.map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        residents.sort_unstable();
        residents.dedup();
        residents.truncate(RESIDENTS_MAX);
        residents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::table::Cell;

    fn learn(rows: &mut Rows, (resident, other, kind): (&str, &str, &str), consent: Cell) {
        let table = civil::table(RELATION).unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        for (name, cell) in [
            ("resident_key", Cell::text(resident)),
            ("other_key", Cell::text(other)),
            ("kind", Cell::text(kind)),
            ("consent", consent),
        ] {
            row[table.position(name).unwrap()] = cell;
        }
        rows.upsert(table, &row).unwrap();
    }

    #[test]
    fn only_consent_lets_a_relative_follow_and_it_can_be_withdrawn() {
        let mut rows = Rows::default();
        for (resident, kind, consent) in [
            ("r2", "child", Cell::Bool(true)),
            ("r1", "child", Cell::Bool(true)),
            ("r1", "guardian", Cell::Bool(true)),
            ("r3", "child", Cell::Bool(false)),
            ("r4", "child", Cell::Null),
        ] {
            learn(&mut rows, (resident, "daughter", kind), consent);
        }
        learn(&mut rows, ("r9", "somebody", "child"), Cell::Bool(true));
        assert_eq!(rows.residents_of_relative("daughter"), ["r1", "r2"]);
        let changes = rows.relation_changes();
        learn(&mut rows, ("r2", "daughter", "child"), Cell::Bool(false));
        assert_eq!(rows.residents_of_relative("daughter"), ["r1"]);
        assert!(rows.relation_changes() > changes);
        // Two relations, one of them withdrawn: the other one still holds.
        learn(&mut rows, ("r1", "daughter", "guardian"), Cell::Bool(false));
        assert_eq!(rows.residents_of_relative("daughter"), ["r1"]);
        learn(&mut rows, ("r1", "daughter", "child"), Cell::Bool(false));
        assert!(rows.residents_of_relative("daughter").is_empty());
        assert!(rows.residents_of_relative("").is_empty());
    }
}

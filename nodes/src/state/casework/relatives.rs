//! Whose relative may see what: the rows of `relation` with consent, by the relative's key.

use super::super::Rows;
use features::Cells;
use features::civil;
use features::table::{Cell, decode_row};
use hashbrown::HashTable;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

/// Residents that one relative may follow.
const RESIDENTS_MAX: usize = 64;

/// Derived from [`Rows`] and rebuilt after a restore; never stored. It shares the rows' bytes: 16 bytes
/// for each of a million relations, and only those with consent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relatives {
    by_relative: HashTable<Arc<[u8]>>,
    hasher: BuildHasherDefault<DefaultHasher>,
    /// Counts every change, so that who follows somebody knows when to look again.
    changes: u64,
}

impl Relatives {
    pub(crate) fn rebuild(rows: &Rows) -> Self {
        let mut relatives = Self::default();
        for bytes in rows.stored("relation") {
            relatives.learn(bytes);
        }
        relatives
    }

    /// Takes in a row of `relation`, in the place of the one that had its key; gives the relative whose
    /// consent it withdraws.
    pub(crate) fn learn(&mut self, bytes: &Arc<[u8]>) -> Option<String> {
        let key = key_of(bytes)?;
        self.changes += 1;
        let hash = self.hasher.hash_one(key.1);
        let same = |other: &Arc<[u8]>| key_of(other) == Some(key);
        let known = self.by_relative.find_entry(hash, same);
        let had_consent = known.is_ok();
        if let Ok(known) = known {
            known.remove();
        }
        if has_consent(bytes) {
            let hasher = &self.hasher;
            self.by_relative.insert_unique(hash, Arc::clone(bytes), |each| {
                hasher.hash_one(key_of(each).map_or(&[][..], |key| key.1))
            });
            return None;
        }
        had_consent.then(|| String::from_utf8_lossy(key.1).into_owned())
    }

    /// The residents who let this relative know, each once, in the order of their keys.
    pub(crate) fn residents_of(&self, relative: &str) -> Vec<String> {
        let hash = self.hasher.hash_one(relative.as_bytes());
        let mut residents: Vec<String> = self
            .by_relative
            .iter_hash(hash)
            .filter_map(|bytes| key_of(bytes))
            .filter(|key| key.1 == relative.as_bytes())
            .map(|key| String::from_utf8_lossy(key.0).into_owned())
            .collect();
        residents.sort_unstable();
        residents.dedup();
        residents.truncate(RESIDENTS_MAX);
        residents
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }
}

/// Resident, relative and kind.
#[inline]
fn key_of(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut cells = Cells::of(bytes);
    Some((cells.next_text()?, cells.next_text()?, cells.next_text()?))
}

/// Consent is what the row says in so many words; an empty cell is none.
fn has_consent(bytes: &[u8]) -> bool {
    let position = civil::table("relation").and_then(|table| table.position("consent"));
    decode_row(bytes)
        .is_ok_and(|row| position.and_then(|position| row.get(position)) == Some(&Cell::Bool(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::table::encode_row;

    fn relation(resident: &str, other: &str, kind: &str, consent: Cell) -> Arc<[u8]> {
        let table = civil::table("relation").unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        for (name, cell) in [
            ("resident_key", Cell::text(resident)),
            ("other_key", Cell::text(other)),
            ("kind", Cell::text(kind)),
            ("consent", consent),
        ] {
            row[table.position(name).unwrap()] = cell;
        }
        encode_row(&row).unwrap().into()
    }

    #[test]
    fn only_consent_lets_a_relative_follow_and_it_can_be_withdrawn() {
        let mut relatives = Relatives::default();
        for (resident, kind, consent) in [
            ("r2", "child", Cell::Bool(true)),
            ("r1", "child", Cell::Bool(true)),
            ("r1", "guardian", Cell::Bool(true)),
            ("r3", "child", Cell::Bool(false)),
            ("r4", "child", Cell::Null),
        ] {
            relatives.learn(&relation(resident, "daughter", kind, consent));
        }
        relatives.learn(&relation("r9", "somebody", "child", Cell::Bool(true)));
        assert_eq!(relatives.residents_of("daughter"), ["r1", "r2"]);
        let changes = relatives.changes();
        relatives.learn(&relation("r2", "daughter", "child", Cell::Bool(false)));
        assert_eq!(relatives.residents_of("daughter"), ["r1"]);
        assert!(relatives.changes() > changes);
        // Two relations, one of them withdrawn: the other one still holds.
        relatives.learn(&relation("r1", "daughter", "guardian", Cell::Bool(false)));
        assert_eq!(relatives.residents_of("daughter"), ["r1"]);
        relatives.learn(&relation("r1", "daughter", "child", Cell::Bool(false)));
        assert!(relatives.residents_of("daughter").is_empty());
        assert!(relatives.residents_of("").is_empty());
    }
}

//! Rows that their departments took back: what is left of each are its versions, so that an older row
//! that comes late does not bring it back.

use features::table::Table;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

type Bytes = Arc<[u8]>;

/// The newest of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstones {
    /// By table and key: the row as it is stored, all empty and with its stamps, and its turn.
    rows: OrdMap<Bytes, (Bytes, u64)>,
    /// Whose turn it is to be forgotten, the lowest first.
    turns: OrdMap<u64, Bytes>,
    next: u64,
}

impl Tombstones {
    /// Past it the one that was taken back longest ago is forgotten: an older row of it that comes
    /// after that is a new one. About 200 bytes each.
    pub const KEPT: usize = 262_144;

    pub(crate) fn keep(&mut self, table: &Table, key: &[u8], stored: Bytes) {
        let place = place(table, key);
        self.take(table, key);
        self.turns.insert(self.next, Arc::clone(&place));
        self.rows.insert(place, (stored, self.next));
        self.next += 1;
        if self.rows.len() > Self::KEPT
            && let Some((turn, place)) = self.turns.get_min().cloned()
        {
            self.turns.remove(&turn);
            self.rows.remove(&place);
        }
    }

    pub(crate) fn take(&mut self, table: &Table, key: &[u8]) -> Option<Bytes> {
        if self.rows.is_empty() {
            return None;
        }
        let (stored, turn) = self.rows.remove(&place(table, key))?;
        self.turns.remove(&turn);
        Some(stored)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Table and key, a zero between, and what is left of the row.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter().map(|(place, (stored, _))| (&**place, &**stored))
    }
}

fn place(table: &Table, key: &[u8]) -> Bytes {
    [table.name.as_bytes(), &[0], key].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::civil;

    #[test]
    fn the_oldest_are_forgotten_past_the_limit() {
        let table = civil::table("grid").unwrap();
        let mut tombstones = Tombstones::default();
        let key = |at: usize| at.to_le_bytes();
        for at in 0..Tombstones::KEPT + 2 {
            tombstones.keep(table, &key(at), Arc::from(&[1_u8][..]));
            // Taken back again: it is as new as can be.
            tombstones.keep(table, &key(0), Arc::from(&[2_u8][..]));
        }
        assert_eq!(
            (tombstones.len(), tombstones.turns.len()),
            (Tombstones::KEPT, Tombstones::KEPT)
        );
        assert_eq!(tombstones.take(table, &key(1)), None);
        assert_eq!(tombstones.take(table, &key(0)).as_deref(), Some(&[2][..]));
        assert_eq!(tombstones.take(civil::table("dwelling").unwrap(), &key(3)), None);
        assert!(tombstones.take(table, &key(3)).is_some());
    }
}

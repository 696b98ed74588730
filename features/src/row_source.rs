//! The register rows, wherever they are kept; and many rows of a view looked at before they are read.

use std::hint::black_box;

use crate::bundle::Bundle;
use crate::cell_ref::Cells;
use crate::key::Key;
use crate::store::Store;
use crate::view::FeatureView;

/// The register rows, wherever they are kept.
pub trait RowSource {
    /// The row with this key of the table at this place in [`crate::civil::TABLES`]; nothing where
    /// there is no such row.
    fn row(&self, table: usize, key: Key<'_>) -> Option<Cells<'_>>;

    /// Looks at the rows with these keys, one step of the way to each at a time, so that they wait for
    /// memory together; gives something that depends on them.
    fn warm(&self, table: usize, keys: &[&str]) -> usize {
        keys.iter().filter(|key| self.row(table, Key::of(key)).is_some()).count()
    }
}

/// No rows at all: every column takes its default.
impl RowSource for () {
    fn row(&self, _: usize, _: Key<'_>) -> Option<Cells<'_>> {
        None
    }
}

impl Store {
    /// Entities whose rows are looked at together: enough to overlap their waits, few enough to stay in
    /// the cache.
    pub const ROWS_AHEAD: usize = 32;

    /// Looks at what [`Store::read_into`] will read for some entities, so that it need not wait for
    /// memory. It changes nothing.
    pub fn warm_rows(&self, view: &FeatureView, keys: &[&str], rows: &dyn RowSource) {
        let roster = &self.rosters[view.entity() as usize];
        let (mut hashes, mut found) = (Vec::new(), Vec::new());
        roster.find_each(keys.iter().copied(), &mut hashes, &mut found);
        let all = || found.iter().flatten().filter_map(|slot| roster.series(*slot));
        let sizes: usize = all().map(Bundle::heap_bytes).sum();
        let series: usize = all().map(Bundle::warm).sum();
        let own = view.plan().rows.iter().filter(|row| row.key.is_none());
        let rows: usize = own.map(|row| rows.warm(row.table, keys)).sum();
        black_box(sizes + series + rows);
    }
}

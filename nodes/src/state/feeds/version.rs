//! Which of two values of a column is the newer one.
//!
//! Every column that a feed wrote has a version: the source's time, the feed's number, the feed. The
//! greater version stands, whatever came first, so the rows depend on what was sent and not on the
//! order it came in. Columns of one version share one [`Stamp`], a few bytes behind the row itself.

use super::spec::{KEPT_BY_STATE, bit};
use features::table::{Cell, Column, RowError, Table};
use serde::{Deserialize, Serialize};

/// Beside the feed's number: it took back what it had said.
const TAKES_BACK: u16 = 1 << 15;

/// Later is greater; of one instant the greater number of the feed, then whoever takes back, then the
/// later declared feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) time_us: i64,
    pub(crate) seq: u64,
    /// The feed's number, and [`TAKES_BACK`].
    pub(crate) feed: u16,
}

impl Version {
    pub(crate) fn taking_back(self) -> Self {
        Self { feed: self.feed | TAKES_BACK, ..self }
    }

    pub(crate) fn takes_back(self) -> bool {
        self.feed & TAKES_BACK != 0
    }

    pub(crate) fn feed_number(self) -> usize {
        usize::from(self.feed & !TAKES_BACK)
    }
}

/// The columns of a row, by bits, that came with one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) version: Version,
    pub(crate) columns: u64,
}

/// Columns of a row as a feed sends them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    /// The whole row; only `columns` of it and the key count.
    pub(crate) cells: &'a [Cell],
    pub(crate) columns: u64,
    pub(crate) version: Version,
    /// By the number of a feed: columns that it wrote under an earlier declaration and owns no more.
    pub(crate) released: &'a [u64],
}

impl Write<'_> {
    /// Whether it is newer than what the same feed said.
    fn is_after(&self, stamp: &Stamp) -> bool {
        self.version.feed_number() == stamp.version.feed_number() && self.version > stamp.version
    }

    fn has_released(&self, feed: usize, at: usize) -> bool {
        self.released.get(feed).is_some_and(|columns| columns & bit(at) != 0)
    }
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Merged {
    /// The row as it is now, and which columns moved.
    Written { row: Vec<Cell>, columns: u64 },
    /// What stands there is newer.
    Superseded,
    /// It stood there already.
    Same,
}

/// Puts the newer columns of a write into a row; `stamps` are those of the row.
pub(crate) fn merge(
    row: &mut [Cell],
    stamps: &mut Vec<Stamp>,
    write: &Write<'_>,
) -> Result<Option<u64>, RowError> {
    let (mut won, mut left) = (0, 0);
    for (at, (old, new)) in row.iter_mut().zip(write.cells).enumerate() {
        let stands = stamps.iter().find(|stamp| stamp.columns & bit(at) != 0);
        let is_released =
            stands.is_some_and(|stamp| write.has_released(stamp.version.feed_number(), at));
        if write.columns & bit(at) == 0 {
            // What the department said while the column was its own goes with the record. Nothing is
            // left of it, so that it is in nobody's way.
            let is_own = is_released && write.version.takes_back();
            if is_own && stands.is_some_and(|stamp| write.is_after(stamp)) {
                *old = Cell::Null;
                left |= bit(at);
            }
            continue;
        }
        // Whoever owns the column now says what it holds, however old that is.
        let stands = stands.filter(|_| !is_released);
        let wins = match stands.map(|stamp| write.version.cmp(&stamp.version)) {
            None | Some(std::cmp::Ordering::Greater) => true,
            Some(std::cmp::Ordering::Less) => false,
            // A sender that uses a version twice: the same cell wins in any order.
            Some(std::cmp::Ordering::Equal) => encoded(new)? > encoded(old)?,
        };
        if wins {
            old.clone_from(new);
            won |= bit(at);
        }
    }
    if won | left == 0 {
        return Ok(None);
    }
    for stamp in stamps.iter_mut() {
        stamp.columns &= !(won | left);
    }
    match stamps.iter_mut().find(|stamp| stamp.version == write.version) {
        Some(stamp) => stamp.columns |= won,
        None => stamps.push(Stamp { version: write.version, columns: won }),
    }
    stamps.retain(|stamp| stamp.columns != 0);
    // One order, so that the bytes say the same on every way to the same row.
    stamps.sort_by_key(|stamp| stamp.version);
    Ok(Some(won | left))
}

/// Whether all the columns of a write stand there with its very version.
pub(crate) fn stands(stamps: &[Stamp], write: &Write<'_>) -> bool {
    let own = stamps.iter().find(|stamp| stamp.version == write.version);
    own.is_some_and(|stamp| stamp.columns & write.columns == write.columns)
}

/// Writes who sent the newest of a row, and as of when, into the row.
pub(crate) fn sign(table: &Table, row: &mut [Cell], stamps: &[Stamp], departments: &[&str]) {
    let Some(newest) = stamps.last() else { return };
    if let Some(cell) = table.position("as_of").and_then(|at| row.get_mut(at)) {
        *cell = Cell::Time(newest.version.time_us);
    }
    let department = departments.get(newest.version.feed_number());
    if let (Some(department), Some(cell)) =
        (department, table.position("src_dept").and_then(|at| row.get_mut(at)))
    {
        *cell = Cell::text(*department);
    }
}

/// Whether nobody says anything of a row any more, and a department took it back.
pub(crate) fn is_taken_back(table: &Table, row: &[Cell], stamps: &[Stamp]) -> bool {
    let is_said = |(column, cell): (&Column, &Cell)| {
        !matches!(cell, Cell::Null) && !KEPT_BY_STATE.contains(&column.name)
    };
    !stamps.is_empty()
        && stamps.iter().all(|stamp| stamp.version.takes_back())
        && !table.columns.iter().zip(row).skip(table.key).any(is_said)
}

fn encoded(cell: &Cell) -> Result<Vec<u8>, RowError> {
    postcard::to_stdvec(cell).map_err(|_| RowError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(time_us: i64, seq: u64, feed: u16) -> Version {
        Version { time_us, seq, feed }
    }

    /// What is sent: versions of few values, so that they meet, and columns at will.
    fn writes() -> impl Strategy<Value = Vec<(Version, u64, Vec<i64>)>> {
        let version = (0_i64..4, 0_u64..3, 0_u16..2).prop_map(|(t, s, f)| version(t, s, f));
        let write = (version, 1_u64..16, prop::collection::vec(0_i64..5, 4));
        prop::collection::vec(write, 1..12)
    }

    fn after(writes: &[(Version, u64, Vec<i64>)]) -> (Vec<Cell>, Vec<Stamp>) {
        let (mut row, mut stamps) = (vec![Cell::Null; 4], Vec::new());
        for (version, columns, values) in writes {
            let cells: Vec<Cell> = values.iter().map(|value| Cell::Int(*value)).collect();
            let (columns, version) = (*columns, *version);
            let write = Write { cells: &cells, columns, version, released: &[] };
            merge(&mut row, &mut stamps, &write).unwrap();
        }
        (row, stamps)
    }

    proptest! {
        #[test]
        fn no_order_and_no_repeat_changes_the_row(
            sent in writes(),
            order in prop::collection::vec(0_usize..100, 0..24),
        ) {
            let mut shuffled = sent.clone();
            for (at, with) in order.iter().enumerate() {
                let (at, with) = (at % sent.len(), with % sent.len());
                shuffled.swap(at, with);
            }
            shuffled.extend(order.iter().map(|at| sent[at % sent.len()].clone()));
            prop_assert_eq!(after(&shuffled), after(&sent));
        }
    }

    /// Feed 0 wrote both columns and gave the second up; feed 1 owns it now. However what they send is
    /// shuffled, the row is the same.
    #[test]
    fn what_was_given_up_yields_to_whoever_owns_it_in_any_order() {
        let cells = |value: &str| vec![Cell::text(value); 2];
        let back = |version: Version| version.taking_back();
        let sent = [
            ("old owner", 0b01, version(12, 0, 0)),
            ("", 0b01, back(version(10, 0, 0))),
            ("new owner", 0b10, version(5, 0, 1)),
            ("", 0b10, back(version(4, 0, 1))),
        ];
        for given_up_us in [8, 11] {
            for skipped in 0..=sent.len() {
                let kept: Vec<_> = sent
                    .iter()
                    .enumerate()
                    .filter(|each| each.0 != skipped)
                    .map(|it| it.1)
                    .collect();
                let mut ends = std::collections::BTreeSet::new();
                for turn in 0..24_usize {
                    let mut order: Vec<_> = kept.clone();
                    let last = order.len() - 1;
                    order.swap(0, turn % (last + 1));
                    order.swap(last, turn / 4 % (last + 1));
                    let (mut row, mut stamps) = (vec![Cell::Null; 2], Vec::new());
                    let first = cells("given up");
                    let (columns, version) = (0b11, version(given_up_us, 0, 0));
                    let first = Write { cells: &first, columns, version, released: &[] };
                    merge(&mut row, &mut stamps, &first).unwrap();
                    for (value, columns, version) in order {
                        let cells =
                            if value.is_empty() { vec![Cell::Null; 2] } else { cells(value) };
                        let (columns, version) = (*columns, *version);
                        let write = Write { cells: &cells, columns, version, released: &[0b10] };
                        merge(&mut row, &mut stamps, &write).unwrap();
                    }
                    ends.insert(format!("{row:?} {stamps:?}"));
                }
                assert_eq!(ends.len(), 1, "{given_up_us} without {skipped}: {ends:?}");
            }
        }
    }

    #[test]
    fn an_older_value_never_wins_and_a_neighbour_column_is_not_touched() {
        let cells = |value: &str| vec![Cell::text(value); 3];
        let (mut row, mut stamps) = (vec![Cell::Null; 3], Vec::new());
        let mut send = |value: &str, columns, version| {
            let cells = cells(value);
            let write = Write { cells: &cells, columns, version, released: &[] };
            merge(&mut row, &mut stamps, &write).unwrap()
        };
        assert_eq!(send("a", 0b011, version(10, 1, 0)), Some(0b011));
        assert_eq!(send("b", 0b110, version(5, 9, 1)), Some(0b100));
        assert_eq!(send("c", 0b001, version(9, 2, 0)), None);
        assert_eq!(send("d", 0b010, version(11, 3, 0)), Some(0b010));
        assert_eq!(row, [Cell::text("a"), Cell::text("d"), Cell::text("b")]);
        assert_eq!(stamps.len(), 3);
    }
}

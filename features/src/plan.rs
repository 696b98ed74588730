//! How a view is read: each register row once, each series once, whatever the order of its features.

use crate::aggregate::Aggregate;
use crate::civil;
use crate::column::{Step, Transform};
use crate::kind::Kind;
use crate::view::{FeatureDef, Source};
use crate::window::Window;

/// The column that says when a register row held.
const HELD_COLUMN: &str = "as_of";

/// Follows from the features alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// A row comes behind the one that holds its key.
    pub(crate) rows: Vec<RowPlan>,
    /// How many cells all rows together give.
    pub(crate) cells: usize,
    pub(crate) series: Vec<SeriesPlan>,
    /// By feature: its default, and after how long it is stale.
    pub(crate) defaults: Vec<f32>,
    pub(crate) ttls_us: Vec<Option<i64>>,
}

/// What is read of one register row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowPlan {
    /// The table's place in [`civil::TABLES`].
    pub(crate) table: usize,
    /// The cell with its key; the entity's own key where there is none.
    pub(crate) key: Option<usize>,
    /// Columns in rising order; their cells go to `first` and behind it.
    pub(crate) columns: Vec<usize>,
    pub(crate) first: usize,
    /// The cell that says since when the row holds.
    pub(crate) held: Option<usize>,
    pub(crate) features: Vec<CellPlan>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CellPlan {
    pub(crate) feature: usize,
    pub(crate) cell: usize,
    pub(crate) transform: Transform,
}

/// A window, or the newest reading, and the features that are made of it.
type WindowPlan = (Option<Window>, Vec<(usize, Aggregate)>);

/// What is read of the readings of one kind, or of all kinds together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeriesPlan {
    pub(crate) kind: Option<Kind>,
    pub(crate) windows: Vec<WindowPlan>,
}

impl Plan {
    pub(crate) fn of(features: &[FeatureDef]) -> Self {
        let mut draft = Draft::default();
        let mut series: Vec<SeriesPlan> = Vec::new();
        for (feature, def) in features.iter().enumerate() {
            match &def.source {
                Source::Window { kind, aggregate, window } => {
                    let of = place(
                        &mut series,
                        |each| each.kind == *kind,
                        || SeriesPlan { kind: *kind, windows: Vec::new() },
                    );
                    let windows = &mut series[of].windows;
                    let at = place(windows, |each| each.0 == *window, || (*window, Vec::new()));
                    windows[at].1.push((feature, *aggregate));
                }
                Source::Column { path, transform } => {
                    draft.add(feature, path.steps(), transform);
                }
            }
        }
        let (rows, cells) = draft.lay_out();
        Self {
            rows,
            cells,
            series,
            defaults: features.iter().map(|def| def.default as f32).collect(),
            ttls_us: features.iter().map(|def| def.ttl_us).collect(),
        }
    }
}

/// The place of the thing that fits, a new one's where none does.
fn place<T>(all: &mut Vec<T>, fits: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    all.iter().position(fits).unwrap_or_else(|| {
        all.push(make());
        all.len() - 1
    })
}

/// Rows with the columns that are wanted of them, while paths are still being added.
#[derive(Default)]
struct Draft<'a> {
    rows: Vec<RowDraft<'a>>,
}

struct RowDraft<'a> {
    table: usize,
    /// The row and the column that hold the key.
    from: Option<(usize, usize)>,
    columns: Vec<usize>,
    held: Option<usize>,
    features: Vec<(usize, usize, &'a Transform)>,
}

impl<'a> Draft<'a> {
    fn add(&mut self, feature: usize, steps: &[Step], transform: &'a Transform) {
        let mut from = None;
        let mut row = 0;
        for step in steps {
            let table = civil::TABLES.iter().position(|each| each.name == step.table.name);
            let table = table.unwrap_or_default();
            row = place(
                &mut self.rows,
                |each| each.table == table && each.from == from,
                || {
                    let held = step.table.position(HELD_COLUMN);
                    let columns = held.into_iter().collect();
                    RowDraft { table, from, columns, held, features: Vec::new() }
                },
            );
            let columns = &mut self.rows[row].columns;
            if let Err(at) = columns.binary_search(&step.column) {
                columns.insert(at, step.column);
            }
            from = Some((row, step.column));
        }
        if let Some((_, column)) = from {
            self.rows[row].features.push((feature, column, transform));
        }
    }

    /// Gives every wanted cell its number. A row was made behind the one that its key comes from.
    fn lay_out(self) -> (Vec<RowPlan>, usize) {
        let mut rows: Vec<RowPlan> = Vec::with_capacity(self.rows.len());
        let mut cells = 0;
        for draft in self.rows {
            let first = cells;
            cells += draft.columns.len();
            let cell = |column: usize| first + draft.columns.partition_point(|at| *at < column);
            rows.push(RowPlan {
                table: draft.table,
                key: draft.from.map(|(row, column)| {
                    let holder: &RowPlan = &rows[row];
                    holder.first + holder.columns.partition_point(|at| *at < column)
                }),
                held: draft.held.map(cell),
                features: (draft.features.into_iter())
                    .map(|(feature, column, transform)| CellPlan {
                        feature,
                        cell: cell(column),
                        transform: transform.clone(),
                    })
                    .collect(),
                columns: draft.columns,
                first,
            });
        }
        (rows, cells)
    }
}

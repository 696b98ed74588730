//! How a view is read: each register row once, each series once, whatever the order of its features.

use crate::aggregate::Aggregate;
use crate::civil;
use crate::column::{Step, Transform};
use crate::expression::{Expression, REQUEST_PREFIX};
use crate::part::Part;
use crate::topic::Topic;
use crate::vector::{FeatureRows, Status};
use crate::view::{FeatureDef, RequestValue, Source};
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
    /// In the order of the features: each reads only what stands before it.
    pub(crate) expressions: Vec<ExpressionPlan>,
    /// The row of an entity of which nothing is known yet.
    pub(crate) blank: FeatureRows,
    /// By feature: after how long it is stale.
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

/// A window, or the newest reading, and the features that are made of its values.
type WindowPlan = (Option<Window>, Vec<(usize, Aggregate)>);

/// What is read of the readings of one kind, or of all kinds together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeriesPlan {
    pub(crate) topic: Topic,
    /// The shortest first.
    pub(crate) windows: Vec<WindowPlan>,
    pub(crate) parts: Vec<PartPlan>,
}

/// A feature that more than the values is kept for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartPlan {
    pub(crate) feature: usize,
    pub(crate) part: Part,
    pub(crate) aggregate: Aggregate,
    pub(crate) window: Window,
    /// Of the UTC day.
    pub(crate) hour: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExpressionPlan {
    pub(crate) feature: usize,
    pub(crate) expression: Expression,
    pub(crate) inputs: Vec<Input>,
}

/// Where an expression's name leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Input {
    Feature(usize),
    /// A value of the request, and what stands in where none is sent.
    Request(usize, Option<f64>),
}

impl Plan {
    pub(crate) fn of(features: &[FeatureDef], utc_offset_h: i8, request: &[RequestValue]) -> Self {
        let mut draft = Draft::default();
        let mut series: Vec<SeriesPlan> = Vec::new();
        let mut expressions = Vec::new();
        for (feature, def) in features.iter().enumerate() {
            match &def.source {
                Source::Window { kind, aggregate, window, hour } => {
                    let topic = Topic::from(*kind);
                    let of = place(
                        &mut series,
                        |each| each.topic == topic,
                        || SeriesPlan { topic, windows: Vec::new(), parts: Vec::new() },
                    );
                    let part = aggregate.part();
                    if let Some(window) = window.filter(|_| part != Part::Values) {
                        let hour = i16::from(hour.unwrap_or(0)) - i16::from(utc_offset_h);
                        let hour = hour.rem_euclid(24) as u8;
                        let plan = PartPlan { feature, part, aggregate: *aggregate, window, hour };
                        series[of].parts.push(plan);
                        continue;
                    }
                    let windows = &mut series[of].windows;
                    let at = place(windows, |each| each.0 == *window, || (*window, Vec::new()));
                    windows[at].1.push((feature, *aggregate));
                }
                Source::Column { path, transform } => {
                    draft.add(feature, path.steps(), transform);
                }
                Source::Expression(expression) => expressions.push(ExpressionPlan {
                    feature,
                    expression: expression.clone(),
                    inputs: inputs(expression, &features[..feature], request),
                }),
            }
        }
        for each in &mut series {
            each.windows.sort_by_key(|(window, _)| *window);
        }
        let (rows, cells) = draft.lay_out();
        Self {
            rows,
            cells,
            series,
            expressions,
            blank: FeatureRows {
                values: features.iter().map(|def| def.default as f32).collect(),
                statuses: vec![Status::Default; features.len()],
                event_times_us: vec![0; features.len()],
            },
            ttls_us: features.iter().map(|def| def.ttl_us).collect(),
        }
    }
}

/// Where the names lead; that they lead somewhere was checked.
fn inputs(expression: &Expression, before: &[FeatureDef], request: &[RequestValue]) -> Vec<Input> {
    let of = |name: &String| match name.strip_prefix(REQUEST_PREFIX) {
        Some(sent) => {
            let at = request.iter().position(|value| value.name == sent).unwrap_or_default();
            Input::Request(at, request.get(at).and_then(|value| value.default))
        }
        None => Input::Feature(before.iter().position(|def| def.name == *name).unwrap_or_default()),
    };
    expression.names().iter().map(of).collect()
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

//! A register column as a feature: where it is, and how its cell becomes a number.

use std::fmt;
use std::str::FromStr;

use crate::calendar::Day;
use crate::cell_ref::CellRef;
use crate::civil;
use crate::entity::EntityKind;
use crate::nearest::nearest;
use crate::table::{Column, ColumnType, Table};

/// How many tables a path may pass through.
pub const STEPS_MAX: usize = 4;

/// A column of a table, and of each row the path goes through before it the column that holds the
/// key of the next: `resident.household_id>household.income_pc`.
#[derive(Clone, Debug)]
pub struct ColumnPath {
    text: String,
    steps: Vec<Step>,
}

/// One column on the way.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub table: &'static Table,
    pub column: usize,
}

impl Step {
    fn column(&self) -> &'static Column {
        &self.table.columns[self.column]
    }

    /// What the table's rows are found by.
    fn key(&self) -> &'static str {
        self.table.columns[0].name
    }
}

/// What is wrong with a column path or its transform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("{0:?} is no column path: write table.column, or table.key>table.column")]
    Form(String),
    #[error("a column path may pass {STEPS_MAX} tables, this one passes {0}")]
    Long(usize),
    #[error("there is no table {table:?}: the nearest is {nearest:?}")]
    Table { table: String, nearest: &'static str },
    #[error("table {table} has no column {column:?}: the nearest is {nearest:?}")]
    Column { table: &'static str, column: String, nearest: &'static str },
    #[error("table {table} has a key of several columns: a feature needs one row a key")]
    Key { table: &'static str },
    #[error("column {from} does not hold the key of table {to}, which is {key}")]
    Foreign { from: String, to: &'static str, key: &'static str },
    #[error("table {table} is found by {key}, which is not the key of the entity {entity}")]
    Entity { table: &'static str, key: &'static str, entity: EntityKind },
    #[error("transform {transform} cannot read column {column}, which holds {kind:?}")]
    Transform { transform: Transform, column: String, kind: ColumnType },
    #[error("transform {0:?} is unknown: it is number, years_since, is_true or equals:TEXT")]
    UnknownTransform(String),
}

impl ColumnPath {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether the path begins at the entity's own key and `transform` can read what it ends at.
    pub fn check(&self, entity: EntityKind, transform: &Transform) -> Result<(), PathError> {
        let (Some(first), Some(last)) = (self.steps.first(), self.steps.last()) else {
            return Err(PathError::Form(self.text.clone()));
        };
        if entity.table().is_none_or(|table| table.columns[0].name != first.key()) {
            return Err(PathError::Entity { table: first.table.name, key: first.key(), entity });
        }
        let kind = last.column().kind;
        if !transform.reads(kind) {
            let column = format!("{}.{}", last.table.name, last.column().name);
            return Err(PathError::Transform { transform: transform.clone(), column, kind });
        }
        Ok(())
    }
}

impl PartialEq for ColumnPath {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FromStr for ColumnPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let count = text.split('>').count();
        if count > STEPS_MAX {
            return Err(PathError::Long(count));
        }
        let steps = text.split('>').map(parse_step).collect::<Result<Vec<_>, _>>()?;
        for pair in steps.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            if from.column().kind != ColumnType::Text || from.column().name != to.key() {
                let from = format!("{}.{}", from.table.name, from.column().name);
                return Err(PathError::Foreign { from, to: to.table.name, key: to.key() });
            }
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

fn parse_step(text: &str) -> Result<Step, PathError> {
    let short = || text.chars().take(128).collect::<String>();
    let (table_name, column_name) = text.split_once('.').ok_or_else(|| PathError::Form(short()))?;
    let Some(table) = civil::table(table_name) else {
        let nearest = nearest(&short(), civil::TABLES.iter().map(|table| table.name));
        return Err(PathError::Table { table: table_name.chars().take(64).collect(), nearest });
    };
    let Some(column) = table.position(column_name) else {
        let column: String = column_name.chars().take(64).collect();
        let nearest = nearest(&column, table.columns.iter().map(|column| column.name));
        return Err(PathError::Column { table: table.name, column, nearest });
    };
    if table.key != 1 || table.columns[0].kind != ColumnType::Text {
        return Err(PathError::Key { table: table.name });
    }
    Ok(Step { table, column })
}

/// How a cell becomes a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transform {
    /// A truth counts 0 or 1, a date its day, a time its microseconds.
    Number,
    /// Whole years, as an age is counted, in UTC; the text `YYYY-MM` is the first of its month.
    YearsSince,
    /// 1 for this text, 0 for every other.
    Equals(String),
    /// 1 or 0.
    IsTrue,
}

impl Transform {
    fn reads(&self, kind: ColumnType) -> bool {
        use ColumnType as Type;
        match self {
            Self::Number => {
                matches!(kind, Type::Bool | Type::Int | Type::Real | Type::Time | Type::Date)
            }
            Self::YearsSince => matches!(kind, Type::Text | Type::Date | Type::Time),
            Self::Equals(_) => kind == Type::Text,
            Self::IsTrue => kind == Type::Bool,
        }
    }

    /// The cell as a number; nothing for an empty or unreadable one.
    pub fn apply(&self, cell: CellRef<'_>, as_of_us: i64) -> Option<f64> {
        match (self, cell) {
            (Self::Number | Self::IsTrue, _) => cell.as_number(),
            (Self::Equals(want), CellRef::Text(text)) => Some(f64::from(u8::from(text == want))),
            (Self::YearsSince, _) => {
                let from = match cell {
                    CellRef::Text(text) => Day::of_text(text)?,
                    CellRef::Date(days) => Day::of_days(i64::from(days)),
                    CellRef::Time(at_us) => Day::of_time(at_us),
                    _ => return None,
                };
                Some(from.years_until(Day::of_time(as_of_us)) as f64)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => out.write_str("number"),
            Self::YearsSince => out.write_str("years_since"),
            Self::IsTrue => out.write_str("is_true"),
            Self::Equals(text) => write!(out, "equals:{text}"),
        }
    }
}

impl FromStr for Transform {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        match text {
            "number" => Ok(Self::Number),
            "years_since" => Ok(Self::YearsSince),
            "is_true" => Ok(Self::IsTrue),
            _ => match text.strip_prefix("equals:") {
                Some(want) if !want.is_empty() => Ok(Self::Equals(want.to_owned())),
                _ => Err(PathError::UnknownTransform(text.chars().take(64).collect())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cell;

    fn refusal(path: &str, transform: &Transform) -> String {
        let checked =
            path.parse::<ColumnPath>().and_then(|path| path.check(EntityKind::Resident, transform));
        checked.unwrap_err().to_string()
    }

    #[test]
    fn a_path_leads_to_its_column() {
        let path: ColumnPath =
            "resident.household_id>household.dwelling_id>dwelling.floor".parse().unwrap();
        assert_eq!(path.steps().len(), 3);
        assert_eq!(path.steps()[2].column().name, "floor");
        assert_eq!(path.check(EntityKind::Resident, &Transform::Number), Ok(()));
        assert!(path.check(EntityKind::Device, &Transform::Number).is_err());
    }

    #[test]
    fn a_wrong_path_says_what_was_meant() {
        assert!(refusal("resident", &Transform::Number).contains("table.column"));
        assert!(refusal("residents.sex", &Transform::Number).contains("\"resident\""));
        assert!(refusal("health_summary.drugs", &Transform::Number).contains("\"drugs_n\""));
        assert!(refusal("org_month.events", &Transform::Number).contains("several columns"));
        assert!(
            refusal("resident.sex>household.size", &Transform::Number).contains("household_id")
        );
        assert!(
            refusal("household.size", &Transform::Number).contains("key of the entity resident")
        );
        assert!(refusal("resident.sex", &Transform::Number).contains("resident.sex"));
        assert!(
            refusal(&["device.dwelling_id"; 5].join(">"), &Transform::Number).contains("passes 5")
        );
    }

    #[test]
    fn cells_become_numbers() {
        let now_us = 1_800_000_000_000_000; // 2027-01-15
        let years = |cell: Cell| Transform::YearsSince.apply(CellRef::from(&cell), now_us);
        assert_eq!(years(Cell::text("1940-02")), Some(86.0));
        assert_eq!(years(Cell::Date(0)), Some(57.0));
        assert_eq!(years(Cell::Time(-1)), Some(57.0));
        assert_eq!(years(Cell::text("unknown")), None);
        let alone = Transform::Equals("alone".into());
        assert_eq!(alone.apply(CellRef::from(&Cell::text("alone")), 0), Some(1.0));
        assert_eq!(alone.apply(CellRef::from(&Cell::text("couple")), 0), Some(0.0));
        assert_eq!(alone.apply(CellRef::from(&Cell::Null), 0), None);
        assert_eq!(Transform::IsTrue.apply(CellRef::from(&Cell::Bool(true)), 0), Some(1.0));
        assert_eq!(Transform::Number.apply(CellRef::from(&Cell::Real(2.5)), 0), Some(2.5));
    }

    #[test]
    fn transforms_lead_back() {
        for transform in [
            Transform::Number,
            Transform::YearsSince,
            Transform::IsTrue,
            Transform::Equals("a:b".into()),
        ] {
            assert_eq!(transform.to_string().parse(), Ok(transform));
        }
        assert!("equals:".parse::<Transform>().is_err());
    }
}

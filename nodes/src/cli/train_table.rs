//! The answer of a query as rows to fit on.

use super::output::Failure;
use super::train::refused;
use models::{Family, Table, Target};
use reports::{Answer, Value};

/// Rows that are fitted in memory at most.
const ROWS_MAX: usize = 2_000_000;

pub(super) fn of(answer: &Answer, family: Family, label: &str) -> Result<Table, Failure> {
    if answer.rows.len() > ROWS_MAX {
        let said = format!(
            "{} rows; at most {ROWS_MAX} are fitted: sample in the query",
            answer.rows.len()
        );
        return Err(Failure::refused(said));
    }
    let place = answer.columns.iter().position(|(name, _)| name == label);
    if place.is_none() && !label.is_empty() {
        return Err(Failure::refused(format!("the query has no column {label:?}")));
    }
    let is_feature = |at: &usize| Some(*at) != place;
    let columns = || (0..answer.columns.len()).filter(is_feature);
    let names: Vec<String> = columns().map(|at| answer.columns[at].0.clone()).collect();
    let mut rows = Vec::with_capacity(answer.rows.len() * names.len());
    for (at, row) in answer.rows.iter().enumerate() {
        for column in columns() {
            rows.push(number(&row[column]).ok_or_else(|| cell(answer, at, column))? as f32);
        }
    }
    let labels = || {
        let column = place.unwrap_or(0);
        answer.rows.iter().enumerate().map(move |(at, row)| (at, column, &row[column]))
    };
    let target = match (family.has_label(), family.classifies()) {
        (false, _) => Target::Nothing,
        (true, true) => {
            let classes = labels()
                .map(|(at, column, value)| class(value).ok_or_else(|| cell(answer, at, column)));
            Target::of_labels(&classes.collect::<Result<Vec<_>, _>>()?).map_err(refused)?
        }
        (true, false) => {
            let numbers = labels()
                .map(|(at, column, value)| number(value).ok_or_else(|| cell(answer, at, column)));
            Target::Numbers(numbers.collect::<Result<_, _>>()?)
        }
    };
    Table::new(names, rows, target).map_err(refused)
}

/// Takes the first two columns away: whom a row is about, and when.
pub(super) fn without_keys(answer: &mut Answer) {
    answer.columns.drain(..answer.columns.len().min(2));
    for row in &mut answer.rows {
        row.drain(..row.len().min(2));
    }
}

fn cell(answer: &Answer, row: usize, column: usize) -> Failure {
    Failure::refused(format!(
        "row {}: column {:?} is not a number or, as a label, no class: fill or cast it in the query",
        row + 1,
        answer.columns[column].0
    ))
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        other => other.as_number(),
    }
}

/// A label as text: whole numbers as such, whatever type the query gives them.
fn class(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Real(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
            Some((*value as i64).to_string())
        }
        Value::Text(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::Kind;

    fn answer(label: Vec<Value>) -> Answer {
        let rows = label.into_iter().enumerate();
        Answer {
            columns: [("x", Kind::Int), ("y", Kind::Text), ("on", Kind::Bool)]
                .map(|(name, kind)| (name.to_owned(), kind))
                .to_vec(),
            rows: rows
                .map(|(at, label)| vec![Value::Int(at as i64), label, Value::Bool(at == 0)])
                .collect(),
            log_index: 1,
            asked_us: 0,
        }
    }

    #[test]
    fn the_label_stands_apart_from_the_features() {
        let words = || vec![Value::Text("b".into()), Value::Text("a".into())];
        let table = of(&answer(words()), Family::Tree, "y").unwrap();
        assert_eq!(table.names(), ["x", "on"]);
        assert_eq!(table.rows(), [0.0, 1.0, 1.0, 0.0]);
        let want = Target::Classes { names: vec!["a".into(), "b".into()], of_row: vec![1, 0] };
        assert_eq!(*table.target(), want);
        let real = vec![Value::Real(2.0), Value::Real(10.0)];
        let table = of(&answer(real.clone()), Family::Bayes, "y").unwrap();
        assert!(matches!(table.target(), Target::Classes { names, .. } if *names == ["2", "10"]));
        let table = of(&answer(real), Family::Linear, "y").unwrap();
        assert_eq!(*table.target(), Target::Numbers(vec![2.0, 10.0]));
        let said = |family, label: Vec<Value>, name: &str| {
            of(&answer(label), family, name).unwrap_err().to_string()
        };
        assert!(
            said(Family::Linear, words(), "y").starts_with("row 1: column \"y\" is not a number")
        );
        assert!(said(Family::Pca, words(), "").contains("column \"y\""));
        assert!(said(Family::Tree, vec![Value::Null, Value::Int(1)], "y").starts_with("row 1"));
        assert!(said(Family::Tree, words(), "z").contains("no column \"z\""));
    }
}

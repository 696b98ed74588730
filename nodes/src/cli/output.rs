//! Lists as a table, JSON or CSV, and errors as one line with an exit status.

use crate::client::ClientError;
use crate::exit;
use serde_json::Value;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Csv,
}

/// A refusal with the status that the process ends with.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub(crate) struct Failure {
    pub(crate) said: String,
    pub(crate) code: i32,
}

impl Failure {
    pub(crate) fn usage(said: impl Into<String>) -> Self {
        Self { said: said.into(), code: exit::USAGE }
    }

    pub(crate) fn refused(said: impl Into<String>) -> Self {
        Self { said: said.into(), code: exit::REFUSED }
    }
}

/// The exit status for whatever went wrong.
pub(crate) fn exit_code(error: &anyhow::Error) -> i32 {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.code;
        }
        if let Some(client) = cause.downcast_ref::<ClientError>() {
            return client.exit_code();
        }
        if let Some(config) = cause.downcast_ref::<crate::config::ConfigError>() {
            return match config {
                crate::config::ConfigError::Unreadable { .. } => exit::REFUSED,
                crate::config::ConfigError::Invalid { .. } => exit::USAGE,
            };
        }
        if let Some(backup) = cause.downcast_ref::<crate::backup::BackupError>() {
            return backup.exit_code();
        }
        if let Some(node) = cause.downcast_ref::<crate::node::NodeError>() {
            return node.exit_code();
        }
    }
    exit::REFUSED
}

/// Prints rows under their headings.
pub(crate) fn print_rows(format: Format, headings: &[&str], rows: &[Vec<Value>]) {
    match format {
        Format::Table => print!("{}", table(headings, rows)),
        Format::Json => {
            let objects: Vec<Value> = rows
                .iter()
                .map(|row| {
                    Value::Object(
                        headings
                            .iter()
                            .map(|name| (*name).to_owned())
                            .zip(row.iter().cloned())
                            .collect(),
                    )
                })
                .collect();
            println!("{}", Value::Array(objects));
        }
        Format::Csv => {
            println!("{}", headings.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(","));
            for row in rows {
                println!(
                    "{}",
                    row.iter().map(|cell| quoted(&plain(cell))).collect::<Vec<_>>().join(",")
                );
            }
        }
    }
}

fn table(headings: &[&str], rows: &[Vec<Value>]) -> String {
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(plain).collect()).collect();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let widest = cells
                .iter()
                .filter_map(|row| row.get(at))
                .map(|cell| width(cell))
                .max()
                .unwrap_or(0);
            widest.max(width(name))
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide.saturating_sub(width(cell)))))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in &cells {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// Columns on a terminal: a Han character takes two.
fn width(text: &str) -> usize {
    text.chars().map(|letter| if ('\u{1100}'..='\u{ffef}').contains(&letter) { 2 } else { 1 }).sum()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Microseconds since 1970 as UTC text.
pub(crate) fn time_text(us: i64) -> Value {
    if us == 0 { Value::Null } else { Value::String(crate::clock::text(us)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_han_letters() {
        let rows = [vec![Value::from("王"), Value::from(1)], vec![Value::from("ab"), Value::Null]];
        assert_eq!(table(&["n", "v"], &rows), "n   v\n王  1\nab\n");
    }
}

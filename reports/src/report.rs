//! A report as data: one question, its SQL, its parameters, its columns and its charts.

use crate::Words;
use serde::Deserialize;

/// One reviewed report. Read from TOML by [`Report::parse`].
#[derive(Clone, Debug)]
pub struct Report {
    /// Lower-case words joined by `-`.
    pub id: String,
    pub title: Words,
    pub question: Words,
    /// What part of the bureau's work it belongs to: population, safety, care, devices, subsidy.
    pub domain: String,
    /// Prepared-statement SQL; `$1` is the first of `parameters`, and so on.
    pub sql: String,
    pub parameters: Vec<Parameter>,
    pub columns: Vec<Column>,
    pub charts: Vec<Chart>,
    /// SHA-256 of the definition and the shared SQL it uses, in hexadecimal. With the parameters
    /// and the log index it names one exact result.
    pub sha256: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ParameterKind,
    /// The text that is used when none is given. A date may be `today`, `today-30`.
    pub default: Option<String>,
    #[serde(default)]
    pub required: bool,
    /// Smallest and largest value of an `int`, both included.
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub help: Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    Text,
    Int,
    Date,
    /// An administrative code or its beginning. A 12-digit code stands for everything below it.
    Region,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    pub title: Words,
    #[serde(default)]
    pub format: Format,
}

/// How a cell is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Plain,
    /// A whole number with separators.
    Count,
    /// One decimal.
    Number,
    /// A share between 0 and 1, shown as per cent.
    Percent,
    /// Fen in the database, yuan for people.
    Yuan,
    /// A code of the tables, shown by what it is called.
    Term,
}

/// One picture of the answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    pub kind: ChartKind,
    pub title: Words,
    /// The column along the axis.
    pub x: String,
    /// The columns that are drawn, one series each.
    pub y: Vec<String>,
    /// A column whose values become the series; then `y` has one column.
    pub split: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// Groups of bars side by side.
    Bar,
    /// Bars on top of each other.
    Stack,
    Line,
    /// Two series back to back.
    Pyramid,
}

impl Report {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

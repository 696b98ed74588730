//! From a definition file to a [`Report`]: shared SQL is put in, named parameters become numbered
//! ones, and whatever does not fit together is refused before it can be asked.

use crate::error::nearest_hint;
use crate::report::{Chart, ChartKind, Column, Parameter, ParameterKind, Report};
use crate::{Error, Words};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The largest definition, in bytes.
const DEFINITION_BYTES_MAX: usize = 64 * 1024;
const PARAMETERS_MAX: usize = 16;
const COLUMNS_MAX: usize = 64;

/// SQL that several reports begin with, by the name that stands for it in braces.
const SHARED: &[(&str, &str)] = &[
    // `person` begins with `{place}`, so it goes first.
    ("{person}", include_str!("../catalogue/shared/person.sql")),
    ("{place}", include_str!("../catalogue/shared/place.sql")),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    id: String,
    title: Words,
    question: Words,
    domain: String,
    sql: String,
    #[serde(default)]
    parameters: Vec<Parameter>,
    columns: Vec<Column>,
    #[serde(default)]
    charts: Vec<Chart>,
}

impl Report {
    /// Reads and checks a definition.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > DEFINITION_BYTES_MAX {
            return Err(refused(
                "?",
                format!("it may have {DEFINITION_BYTES_MAX} bytes, it has {}", text.len()),
            ));
        }
        let definition: Definition = toml::from_str(text)
            .map_err(|error| refused("?", error.to_string().trim().replace('\n', " ")))?;
        let id = definition.id.clone();
        definition.into_report(text).map_err(|reason| refused(&id, reason))
    }
}

fn refused(report: &str, reason: String) -> Error {
    Error::Definition { report: report.to_owned(), reason }
}

impl Definition {
    fn into_report(self, text: &str) -> Result<Report, String> {
        if self.id.is_empty()
            || !self.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err("an id is lower-case letters, digits and `-`".to_owned());
        }
        check_parameters(&self.parameters)?;
        check_columns(&self.columns)?;
        for chart in &self.charts {
            check_chart(chart, &self.columns)?;
        }
        let mut digest = Sha256::new();
        digest.update(text);
        let mut sql = self.sql;
        for (name, shared) in SHARED {
            if sql.contains(name) {
                digest.update(shared);
                sql = sql.replace(name, shared.trim_end());
            }
        }
        let first = sql.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        if first != "SELECT" && first != "WITH" {
            return Err("its SQL must begin with SELECT or WITH".to_owned());
        }
        let sql = number_parameters(&sql, &self.parameters)?;
        let sha256 = digest.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Report {
            id: self.id,
            title: self.title,
            question: self.question,
            domain: self.domain,
            sql: sql.trim().to_owned(),
            parameters: self.parameters,
            columns: self.columns,
            charts: self.charts,
            sha256,
        })
    }
}

fn check_parameters(parameters: &[Parameter]) -> Result<(), String> {
    if parameters.len() > PARAMETERS_MAX {
        return Err(format!(
            "it may have {PARAMETERS_MAX} parameters, it has {}",
            parameters.len()
        ));
    }
    for (at, each) in parameters.iter().enumerate() {
        let name = &each.name;
        if name.is_empty() || !name.bytes().all(is_name_byte) {
            return Err(format!(
                "parameter `{name}`: a name is lower-case letters, digits and `_`"
            ));
        }
        if parameters[..at].iter().any(|other| other.name == *name) {
            return Err(format!("parameter `{name}` stands twice"));
        }
        if each.required == each.default.is_some() {
            return Err(format!("parameter `{name}` must be required or have a default, not both"));
        }
        if each.kind != ParameterKind::Int && (each.min.is_some() || each.max.is_some()) {
            return Err(format!("parameter `{name}`: only an int has min and max"));
        }
    }
    Ok(())
}

fn check_columns(columns: &[Column]) -> Result<(), String> {
    if columns.is_empty() || columns.len() > COLUMNS_MAX {
        return Err(format!("it needs 1 to {COLUMNS_MAX} columns, it has {}", columns.len()));
    }
    for (at, each) in columns.iter().enumerate() {
        if columns[..at].iter().any(|other| other.name == each.name) {
            return Err(format!("column `{}` stands twice", each.name));
        }
    }
    Ok(())
}

fn check_chart(chart: &Chart, columns: &[Column]) -> Result<(), String> {
    for name in chart.y.iter().chain([&chart.x]).chain(&chart.split) {
        if !columns.iter().any(|column| column.name == *name) {
            let hint = nearest_hint(name, columns.iter().map(|column| column.name.as_str()));
            return Err(format!("a chart draws the column `{name}`: {hint}"));
        }
    }
    match (chart.kind, chart.y.len(), &chart.split) {
        (_, 0, _) => Err("a chart needs a column to draw".to_owned()),
        (ChartKind::Pyramid, 2, None) => Ok(()),
        (ChartKind::Pyramid, ..) => Err("a pyramid draws two columns".to_owned()),
        (_, 1, Some(_)) | (_, _, None) => Ok(()),
        (_, _, Some(_)) => Err("a chart that is split draws one column".to_owned()),
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

/// Turns `$name` into `$n`, leaving quoted text and comments alone.
fn number_parameters(sql: &str, parameters: &[Parameter]) -> Result<String, String> {
    let mut out = String::with_capacity(sql.len());
    let mut used = vec![false; parameters.len()];
    let mut rest = sql;
    while let Some(at) = rest.find(['$', '\'', '"', '-', ';']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match rest.as_bytes()[0] {
            b'$' => {
                let length = rest.bytes().skip(1).take_while(|byte| is_name_byte(*byte)).count();
                let name = &rest[1..=length];
                let position =
                    parameters.iter().position(|each| each.name == name).ok_or_else(|| {
                        let hint =
                            nearest_hint(name, parameters.iter().map(|each| each.name.as_str()));
                        format!("its SQL uses `${name}`, which is no parameter: {hint}")
                    })?;
                used[position] = true;
                let _ = write!(out, "${}", position + 1);
                rest = &rest[1 + length..];
                continue;
            }
            b'-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            b'-' => 1,
            b';' => return Err("its SQL must be one statement without `;`".to_owned()),
            quote => match rest[1..].find(char::from(quote)) {
                Some(end) => end + 2,
                None => return Err("its SQL has an open quote".to_owned()),
            },
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    match used.iter().position(|used| !used) {
        Some(at) => Err(format!("its SQL never uses the parameter `{}`", parameters[at].name)),
        None => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(sql: &str) -> String {
        format!(
            "id='a'\ntitle={{zh='甲',en='A'}}\nquestion={{zh='？',en='?'}}\ndomain='care'\nsql=\"\"\"{sql}\"\"\"\n\
             [[parameters]]\nname='days'\ntype='int'\ndefault='7'\nhelp={{zh='天',en='days'}}\n\
             [[columns]]\nname='n'\ntitle={{zh='数',en='n'}}\n"
        )
    }

    #[test]
    fn names_become_numbers_outside_quotes_and_comments() {
        let report =
            Report::parse(&definition("SELECT '$no', $days -- $not\n + $days AS n")).unwrap();
        assert_eq!(report.sql, "SELECT '$no', $1 -- $not\n + $1 AS n");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (sql, said) in [
            ("SELECT $day AS n", "did you mean `days`?"),
            ("SELECT 1 AS n", "never uses the parameter `days`"),
            ("SELECT $days; DROP TABLE x", "one statement"),
            ("DELETE FROM x WHERE y = $days", "SELECT or WITH"),
            ("SELECT 'x FROM $days", "open quote"),
        ] {
            let error = Report::parse(&definition(sql)).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains('\n'), "{error}");
        }
        let text = definition("SELECT $days AS n").replace("name='n'", "name='n'\nformat='no'");
        assert!(Report::parse(&text).is_err());
        assert!(Report::parse(&" ".repeat(DEFINITION_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn another_word_is_another_definition() {
        let one = Report::parse(&definition("SELECT $days AS n")).unwrap();
        let two = Report::parse(&definition("SELECT $days  AS n")).unwrap();
        assert_eq!(one.sha256.len(), 64);
        assert_ne!(one.sha256, two.sha256);
    }
}

//! Given parameters become the values of a prepared statement, with nothing left open: "today" is
//! settled here, so that the same binding asks the same question next year.

use crate::calendar::{local_day, parse_date, show_date};
use crate::error::nearest_hint;
use crate::report::{Parameter, ParameterKind, Report};
use crate::{Error, Value};
use std::collections::BTreeMap;

/// The longest text parameter, in bytes.
const TEXT_BYTES_MAX: usize = 200;
const REGION_BYTES_MAX: usize = 32;

/// What a report is asked with.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// In the order of [`Report::parameters`], for `$1`, `$2` and so on.
    pub values: Vec<Value>,
    /// Name and settled text of every parameter; giving them again makes the same binding.
    pub shown: Vec<(String, String)>,
}

impl Report {
    /// Checks what was given and settles the rest. `asked_us` (UTC, microseconds since 1970)
    /// decides which day `today` is.
    pub fn bind(&self, given: &BTreeMap<String, String>, asked_us: i64) -> Result<Binding, Error> {
        for name in given.keys() {
            if self.parameter(name).is_none() {
                let hint =
                    nearest_hint(name, self.parameters.iter().map(|each| each.name.as_str()));
                return Err(Error::UnknownParameter {
                    report: self.id.clone(),
                    asked: name.clone(),
                    hint,
                });
            }
        }
        let mut binding = Binding { values: Vec::new(), shown: Vec::new() };
        for parameter in &self.parameters {
            let text =
                given.get(&parameter.name).or(parameter.default.as_ref()).ok_or_else(|| {
                    Error::MissingParameter {
                        report: self.id.clone(),
                        name: parameter.name.clone(),
                        example: example(parameter),
                    }
                })?;
            let (value, shown) =
                read(parameter, text.trim(), asked_us).ok_or_else(|| Error::WrongParameter {
                    report: self.id.clone(),
                    name: parameter.name.clone(),
                    given: text.chars().take(40).filter(|c| !c.is_control()).collect(),
                    wanted: wanted(parameter),
                    example: example(parameter),
                })?;
            binding.values.push(value);
            binding.shown.push((parameter.name.clone(), shown));
        }
        Ok(binding)
    }
}

fn read(parameter: &Parameter, text: &str, asked_us: i64) -> Option<(Value, String)> {
    match parameter.kind {
        ParameterKind::Text => (text.len() <= TEXT_BYTES_MAX
            && !text.chars().any(char::is_control))
        .then(|| (Value::Text(text.to_owned()), text.to_owned())),
        ParameterKind::Int => {
            let value: i64 = text.parse().ok()?;
            (parameter.min.is_none_or(|min| value >= min)
                && parameter.max.is_none_or(|max| value <= max))
            .then(|| (Value::Int(value), value.to_string()))
        }
        ParameterKind::Date => {
            let days = read_date(text, asked_us)?;
            Some((Value::Date(days), show_date(days)))
        }
        ParameterKind::Region => (text.len() <= REGION_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)))
        .then(|| (Value::Text(region_prefix(text).to_owned()), text.to_owned())),
    }
}

/// `YYYY-MM-DD`, `today` or `today-N`.
fn read_date(text: &str, asked_us: i64) -> Option<i32> {
    match text.strip_prefix("today") {
        None => parse_date(text),
        Some("") => Some(local_day(asked_us)),
        Some(back) => {
            let days: u16 = back.strip_prefix('-')?.parse().ok()?;
            Some(local_day(asked_us) - i32::from(days))
        }
    }
}

/// The part of a 12-digit code that everything below it shares. The levels have 2, 4, 6, 9 and 12
/// digits; cutting single zeros would make 330110 out of 33011.
fn region_prefix(code: &str) -> &str {
    if code.len() != 12 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return code;
    }
    [2, 4, 6, 9]
        .into_iter()
        .find(|at| code[*at..].bytes().all(|byte| byte == b'0'))
        .map_or(code, |at| &code[..at])
}

fn wanted(parameter: &Parameter) -> String {
    match (parameter.kind, parameter.min, parameter.max) {
        (ParameterKind::Text, ..) => {
            format!("a text of one line and at most {TEXT_BYTES_MAX} bytes")
        }
        (ParameterKind::Int, Some(min), Some(max)) => format!("a whole number from {min} to {max}"),
        (ParameterKind::Int, Some(min), None) => format!("a whole number from {min}"),
        (ParameterKind::Int, None, Some(max)) => format!("a whole number up to {max}"),
        (ParameterKind::Int, None, None) => "a whole number".to_owned(),
        (ParameterKind::Date, ..) => "a date (YYYY-MM-DD, today or today-N)".to_owned(),
        (ParameterKind::Region, ..) => "an administrative code or its beginning".to_owned(),
    }
}

fn example(parameter: &Parameter) -> String {
    match (&parameter.default, parameter.kind) {
        (Some(default), _) if !default.is_empty() => default.clone(),
        (_, ParameterKind::Text) => "text".to_owned(),
        (_, ParameterKind::Int) => parameter.min.unwrap_or(1).to_string(),
        (_, ParameterKind::Date) => "2026-01-31".to_owned(),
        (_, ParameterKind::Region) => "330106".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED_US: i64 = 20_778 * 86_400_000_000;

    fn report() -> Report {
        Report::parse(
            "id='r'\ntitle={zh='甲',en='A'}\nquestion={zh='？',en='?'}\ndomain='care'\n\
             sql='SELECT $region, $since::DATE, $days, $name'\n\
             parameters=[{name='region',type='region',default='',help={zh='',en=''}},\n\
             {name='since',type='date',default='today-30',help={zh='',en=''}},\n\
             {name='days',type='int',default='7',min=1,max=90,help={zh='',en=''}},\n\
             {name='name',type='text',required=true,help={zh='',en=''}}]\n\
             columns=[{name='n',title={zh='数',en='n'}}]",
        )
        .unwrap()
    }

    fn bind(pairs: &[(&str, &str)]) -> Result<Binding, Error> {
        let given = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        report().bind(&given, ASKED_US)
    }

    #[test]
    fn defaults_are_settled_and_repeatable() {
        let first = bind(&[("name", "王")]).unwrap();
        assert_eq!(
            first.values,
            [
                Value::Text(String::new()),
                Value::Date(20_748),
                Value::Int(7),
                Value::Text("王".into())
            ]
        );
        let again: BTreeMap<String, String> = first.shown.iter().cloned().collect();
        assert_eq!(report().bind(&again, ASKED_US + 86_400_000_000 * 400).unwrap(), first);
    }

    #[test]
    fn wrong_ones_are_told_apart_in_one_line() {
        let said = |pairs: &[(&str, &str)]| bind(pairs).unwrap_err().to_string();
        assert_eq!(
            said(&[("regoin", "33")]),
            "report `r` has no parameter `regoin`: did you mean `region`?"
        );
        assert_eq!(
            said(&[("zzzzzzzz", "33")]),
            "report `r` has no parameter `zzzzzzzz`: it is one of region, since, days, name"
        );
        assert_eq!(said(&[]), "report `r` needs the parameter `name`: pass name=text");
        assert_eq!(
            said(&[("name", "a"), ("days", "91")]),
            "report `r`, parameter `days`: `91` is not a whole number from 1 to 90: pass for example days=7"
        );
        assert!(said(&[("name", "a"), ("since", "2026-02-30")]).contains("is not a date"));
        assert!(said(&[("name", "a"), ("since", "today-99999")]).contains("is not a date"));
        assert!(said(&[("name", "a\nb")]).contains("one line"));
        assert!(said(&[("name", &"a".repeat(201))]).contains("200 bytes"));
        assert!(said(&[("name", "a"), ("region", "33'; --")]).contains("administrative code"));
    }

    #[test]
    fn a_full_code_stands_for_what_is_below_it() {
        for (code, prefix) in [
            ("330000000000", "33"),
            ("330100000000", "3301"),
            ("330110000000", "330110"),
            ("330106001000", "330106001"),
            ("330106001010", "330106001010"),
            ("330106", "330106"),
            ("", ""),
        ] {
            assert_eq!(region_prefix(code), prefix);
        }
    }
}

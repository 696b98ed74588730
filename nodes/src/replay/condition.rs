//! Which rows a block of a mapping takes.

use toml::Value;

use super::keys::Keys;
use super::mapping::MappingError;
use super::place::Place;
use super::row::Row;

const KNOWN: &[&str] = &["column", "pointer", "level", "constant", "template", "is", "is_not"];

/// A row is taken when the text at `place` is one of `is`, or none of `is_not`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) place: Place,
    is: Option<Vec<String>>,
    is_not: Vec<String>,
}

impl Condition {
    /// One condition or a list of them, which must all hold.
    pub(super) fn parse_all(path: &str, value: Value) -> Result<Vec<Self>, MappingError> {
        match value {
            Value::Array(values) => values
                .into_iter()
                .enumerate()
                .map(|(at, each)| Self::parse(format!("{path}[{}]", at + 1), each))
                .collect(),
            one => Ok(vec![Self::parse(path.to_owned(), one)?]),
        }
    }

    fn parse(path: String, value: Value) -> Result<Self, MappingError> {
        let mut keys = Keys::of(path, value, KNOWN)?;
        let place = Place::take(&mut keys)?;
        let (is, is_not) = (keys.texts("is")?, keys.texts("is_not")?);
        if is.is_none() && is_not.is_none() {
            return Err(MappingError::Missing { path: keys.path("is") });
        }
        Ok(Self { place, is, is_not: is_not.unwrap_or_default() })
    }

    /// A missing text counts as "".
    pub(super) fn holds(&self, row: &Row, line: u64) -> bool {
        let text = self.place.read(row, line).unwrap_or_default();
        self.is.as_ref().is_none_or(|texts| texts.contains(&text)) && !self.is_not.contains(&text)
    }
}

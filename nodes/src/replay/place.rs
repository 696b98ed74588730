//! Where in a row a value is, and what is made of it.

use std::collections::BTreeMap;

use toml::Value;

use super::keys::{Keys, scalar, wrong};
use super::mapping::MappingError;
use super::row::Row;

const KNOWN: &[&str] =
    &["column", "pointer", "level", "constant", "template", "map", "otherwise", "scale", "offset"];
/// The part of [`KNOWN`] that says where a value is.
pub(super) const PLACES: [&str; 5] = ["column", "pointer", "level", "constant", "template"];

/// Where a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// Counted from 0, though the mapping file counts from 1.
    Column(usize),
    /// A column by its header, a [`Place::Column`] once the header is read; a level of a message's topic.
    Named(String),
    Pointer(String),
    Constant(String),
    Template(Vec<Place>),
    /// The number of the line, from 1.
    Line,
}

impl Place {
    /// Takes the one key of [`PLACES`] out of a table.
    pub(super) fn take(keys: &mut Keys) -> Result<Self, MappingError> {
        let mut found = Vec::new();
        for name in PLACES {
            if let Some(value) = keys.take(name) {
                found.push((name, value));
            }
        }
        let one = match found.pop() {
            Some(one) if found.is_empty() => one,
            _ => return Err(MappingError::Place { path: keys.here().to_owned() }),
        };
        let path = keys.path(one.0);
        match one {
            ("column", Value::Integer(number)) if number >= 1 => {
                Ok(Self::Column(usize::try_from(number - 1).unwrap_or(usize::MAX)))
            }
            ("column", Value::String(name)) => Ok(Self::Named(name)),
            ("column", other) => Err(wrong(path, "a number from 1 or a header's name", &other)),
            ("pointer", Value::String(text)) if text.is_empty() || text.starts_with('/') => {
                Ok(Self::Pointer(text))
            }
            ("level", Value::String(name)) => Ok(Self::Named(name)),
            ("level", other) => Err(wrong(path, "the name of a level of the topic", &other)),
            ("pointer", other) => {
                Err(wrong(path, "a JSON pointer such as \"/reading/at\"", &other))
            }
            ("template", Value::String(text)) => template(&path, &text),
            ("template", other) => Err(wrong(path, "a text such as \"home-{3}\"", &other)),
            (_, value) => match scalar(&value) {
                Some(text) => Ok(Self::Constant(text)),
                None => Err(wrong(path, "a text, a number or true or false", &value)),
            },
        }
    }

    /// Puts numbers in place of header names.
    pub(super) fn resolve(&mut self, header: &[String]) -> Result<(), String> {
        match self {
            Self::Named(name) => match header.iter().position(|each| each == name) {
                Some(column) => {
                    *self = Self::Column(column);
                    Ok(())
                }
                None => {
                    Err(format!("the header has no column {name:?}; it has {}", header.join(", ")))
                }
            },
            Self::Template(places) => places.iter_mut().try_for_each(|each| each.resolve(header)),
            _ => Ok(()),
        }
    }

    /// Whether every leaf satisfies `test`.
    pub(super) fn all(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        match self {
            Self::Template(places) => places.iter().all(|each| each.all(test)),
            leaf => test(leaf),
        }
    }

    /// The text there; nothing when it is missing or empty.
    pub(super) fn read(&self, row: &Row, line: u64) -> Option<String> {
        let text = match self {
            Self::Column(column) => row.cell(*column)?.to_owned(),
            Self::Pointer(pointer) => row.pointer(pointer)?,
            Self::Constant(text) => text.clone(),
            Self::Line => line.to_string(),
            Self::Named(name) => row.level(name)?.to_owned(),
            Self::Template(places) => {
                let mut joined = String::new();
                for place in places {
                    joined.push_str(&place.read(row, line)?);
                }
                joined
            }
        };
        if text.is_empty() { None } else { Some(text) }
    }
}

/// `home-{3}` in pieces; `{{` and `}}` stand for the braces themselves.
fn template(path: &str, text: &str) -> Result<Place, MappingError> {
    let refuse = || MappingError::Template { path: path.to_owned(), text: text.to_owned() };
    let mut places = Vec::new();
    let mut plain = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '{' && letters.next_if_eq(&'{').is_none() {
            let mut name = String::new();
            loop {
                match letters.next() {
                    Some('}') => break,
                    Some(each) if each != '{' => name.push(each),
                    _ => return Err(refuse()),
                }
            }
            if !plain.is_empty() {
                places.push(Place::Constant(std::mem::take(&mut plain)));
            }
            places.push(match (name.as_str(), name.parse::<usize>()) {
                ("", _) | (_, Ok(0)) => return Err(refuse()),
                ("line", _) => Place::Line,
                (_, Ok(number)) => Place::Column(number - 1),
                (pointer, _) if pointer.starts_with('/') => Place::Pointer(name),
                _ => Place::Named(name),
            });
        } else {
            if letter == '}' && letters.next_if_eq(&'}').is_none() {
                return Err(refuse());
            }
            plain.push(letter);
        }
    }
    if !plain.is_empty() {
        places.push(Place::Constant(plain));
    }
    Ok(Place::Template(places))
}

/// A place and what is made of the text found there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) place: Place,
    map: BTreeMap<String, String>,
    otherwise: Option<String>,
    scale: Option<f64>,
    offset: Option<f64>,
}

impl Field {
    /// A table, or a plain value for a constant.
    pub(super) fn parse(path: String, value: Value) -> Result<Self, MappingError> {
        if let Some(text) = scalar(&value) {
            return Ok(Self::constant(text));
        }
        let mut keys = Keys::of(path, value, KNOWN)?;
        let place = Place::take(&mut keys)?;
        let mut map = BTreeMap::new();
        match keys.take("map") {
            None => {}
            Some(Value::Table(table)) => {
                for (raw, mapped) in table {
                    let text = scalar(&mapped).ok_or_else(|| {
                        wrong(keys.path(&format!("map.{raw}")), "a text or a number", &mapped)
                    })?;
                    map.insert(raw, text);
                }
            }
            Some(other) => return Err(wrong(keys.path("map"), "a table", &other)),
        }
        let otherwise = match keys.take("otherwise") {
            None => None,
            Some(value) => Some(
                scalar(&value)
                    .ok_or_else(|| wrong(keys.path("otherwise"), "a text or a number", &value))?,
            ),
        };
        let (scale, offset) = (keys.number("scale")?, keys.number("offset")?);
        Ok(Self { place, map, otherwise, scale, offset })
    }

    pub(super) fn constant(text: impl Into<String>) -> Self {
        Self {
            place: Place::Constant(text.into()),
            map: BTreeMap::new(),
            otherwise: None,
            scale: None,
            offset: None,
        }
    }

    /// The texts this field can have whatever the row holds, as far as the mapping says them.
    pub(super) fn possible(&self) -> impl Iterator<Item = &str> {
        let constant = match &self.place {
            Place::Constant(text) if self.map.is_empty() => Some(text),
            _ => None,
        };
        constant.into_iter().chain(self.map.values()).chain(&self.otherwise).map(String::as_str)
    }

    /// Whether `scale` or `offset` is set, which only numbers may have.
    pub(super) fn is_scaled(&self) -> bool {
        self.scale.is_some() || self.offset.is_some()
    }

    /// The mapped text; nothing when the place is empty and there is no `otherwise`.
    pub(super) fn text(&self, row: &Row, line: u64) -> Result<Option<String>, String> {
        let Some(raw) = self.place.read(row, line) else {
            return Ok(self.otherwise.clone());
        };
        if self.map.is_empty() {
            return Ok(Some(raw));
        }
        match self.map.get(&raw).or(self.otherwise.as_ref()) {
            Some(text) => Ok(Some(text.clone())),
            None => Err(format!("{raw:?} is not in the map and there is no otherwise")),
        }
    }

    /// The text as a finite number, times `scale`, plus `offset`.
    pub(super) fn number(&self, row: &Row, line: u64) -> Result<Option<f64>, String> {
        let Some(text) = self.text(row, line)? else { return Ok(None) };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                let number = number * self.scale.unwrap_or(1.0) + self.offset.unwrap_or(0.0);
                Ok(Some(number))
            }
            _ => Err(format!("{text:?} is not a number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> Result<Field, MappingError> {
        let mut table: toml::Table = text.parse().unwrap();
        Field::parse("kind".to_owned(), table.remove("kind").unwrap())
    }

    fn row() -> Row {
        Row::Cells(["17", "", "PIR hall"].map(str::to_owned).to_vec())
    }

    #[test]
    fn a_field_is_read_mapped_and_scaled() {
        let read = |text: &str| field(text).unwrap().text(&row(), 4);
        assert_eq!(read("kind = 'door'"), Ok(Some("door".to_owned())));
        assert_eq!(read("kind = { column = 3 }"), Ok(Some("PIR hall".to_owned())));
        assert_eq!(read("kind = { column = 2 }"), Ok(None));
        assert_eq!(read("kind = { column = 9, otherwise = 'x' }"), Ok(Some("x".to_owned())));
        assert_eq!(read("kind = { column = 1, map = { 17 = 'bed' } }"), Ok(Some("bed".to_owned())));
        assert!(
            read("kind = { column = 1, map = { 18 = 'bed' } }").unwrap_err().contains("\"17\"")
        );
        let joined = read("kind = { template = '{{{1}}}@{line}' }");
        assert_eq!(joined, Ok(Some("{17}@4".to_owned())));
        let scaled = field("kind = { column = 1, scale = 0.5, offset = 1 }").unwrap();
        assert_eq!(scaled.number(&row(), 1), Ok(Some(9.5)));
        assert!(field("kind = { column = 3 }").unwrap().number(&row(), 1).is_err());
    }

    #[test]
    fn a_field_has_one_place_only() {
        let said = |text: &str| field(text).unwrap_err().to_string();
        assert!(said("kind = { column = 1, constant = 2 }").contains("exactly one"));
        assert!(said("kind = { map = {} }").contains("exactly one"));
        assert!(said("kind = { column = 0 }").contains("from 1"));
        assert!(said("kind = { template = 'a{' }").contains("template"));
        assert!(said("kind = { colunm = 1 }").contains("did you mean \"column\"?"));
    }

    #[test]
    fn a_header_gives_names_their_numbers() {
        let mut place = template("p", "{day} {time}").unwrap();
        let header = ["time", "day"].map(str::to_owned);
        place.resolve(&header).unwrap();
        let row = Row::Cells(["08:00", "Monday"].map(str::to_owned).to_vec());
        assert_eq!(place.read(&row, 1).as_deref(), Some("Monday 08:00"));
        assert!(Place::Named("x".to_owned()).resolve(&header).unwrap_err().contains("time, day"));
    }
}

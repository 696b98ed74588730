//! One `[[event]]` of a mapping: how a row becomes an event.

use std::collections::BTreeMap;

use features::event::Event;
use features::kind::Kind;
use features::window::MINUTE_US;
use sha2::{Digest, Sha256};
use toml::Value;

use super::clock::Clock;
use super::condition::Condition;
use super::keys::{Keys, wrong};
use super::mapping::MappingError;
use super::place::{Field, PLACES, Place};
use super::row::Row;

const KNOWN: &[&str] = &[
    "when",
    "event_id",
    "device_id",
    "kind",
    "event_time",
    "value",
    "unit",
    "source",
    "boot_id",
    "seq",
    "attributes",
];
/// File names up to this length stand in an event's id as they are, longer ones as a hash.
const FILE_NAME_BYTES_MAX: usize = 48;

/// How much of a SHA-256 stands in an id, in bytes.
const SHORT_HASH_BYTES: usize = 12;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Where a row was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    /// The file's name without its folder and without `.gz`; a message's topic.
    pub(super) file: &'a str,
    pub(super) line: u64,
    /// The line as it was read.
    pub(super) text: &'a str,
    /// When a message came; 0 for a line.
    pub(super) received_us: i64,
}

/// How an event gets its id.
#[derive(Clone, Debug, PartialEq)]
enum Identity {
    /// File name and line number: for files that are only ever appended to.
    Line,
    /// A hash of source and line: for files that are cut or joined, without equal lines.
    Content,
    Field(Field),
}

/// When an event was.
#[derive(Clone, Debug, PartialEq)]
enum When {
    Told {
        place: Place,
        clock: Clock,
        plus_s: Option<Field>,
    },
    /// When the message came, since it does not say.
    Received,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    /// This block's number among the mapping's, for ids; nothing when it is the only one.
    number: Option<usize>,
    when: Vec<Condition>,
    event_id: Identity,
    device_id: Field,
    kind: Field,
    event_time: When,
    value: Field,
    unit: Field,
    source: Field,
    boot_id: Field,
    seq: Field,
    attributes: BTreeMap<String, Field>,
}

impl Block {
    pub(super) fn parse(
        path: &str,
        number: Option<usize>,
        value: Value,
        source: Option<&Field>,
    ) -> Result<Self, MappingError> {
        let mut keys = Keys::of(path, value, KNOWN)?;
        let when = match keys.take("when") {
            Some(value) => Condition::parse_all(&keys.path("when"), value)?,
            None => Vec::new(),
        };
        let event_id = match keys.take("event_id") {
            Some(value) => Identity::parse(keys.path("event_id"), value)?,
            None => Identity::Line,
        };
        let event_time = match keys.take("event_time") {
            Some(value) => When::parse(keys.path("event_time"), value)?,
            None => return Err(MappingError::Missing { path: keys.path("event_time") }),
        };
        let mut attributes = BTreeMap::new();
        match keys.take("attributes") {
            None => {}
            Some(Value::Table(table)) => {
                for (name, value) in table {
                    let path = keys.path(&format!("attributes.{name}"));
                    attributes.insert(name, Field::parse(path, value)?);
                }
            }
            Some(other) => return Err(wrong(keys.path("attributes"), "a table", &other)),
        }
        let kind = text(&mut keys, "kind", None)?;
        for text in kind.possible() {
            if let Err(error) = text.parse::<Kind>() {
                return Err(MappingError::Kind { path: keys.path("kind"), error });
            }
        }
        Ok(Self {
            number,
            when,
            event_id,
            device_id: text(&mut keys, "device_id", None)?,
            kind,
            event_time,
            value: field(&mut keys, "value", Some(Field::constant("1")))?,
            unit: text(&mut keys, "unit", Some(Field::constant("")))?,
            source: text(&mut keys, "source", source.cloned())?,
            boot_id: text(&mut keys, "boot_id", Some(Field::constant("0")))?,
            seq: text(&mut keys, "seq", Some(Field::constant("0")))?,
            attributes,
        })
    }

    pub(super) fn is_timed_on_receipt(&self) -> bool {
        self.event_time == When::Received
    }

    /// Every place of this block, to be resolved or checked.
    pub(super) fn places(&mut self) -> Vec<&mut Place> {
        let mut places: Vec<&mut Place> =
            self.when.iter_mut().map(|each| &mut each.place).collect();
        if let Identity::Field(field) = &mut self.event_id {
            places.push(&mut field.place);
        }
        let mut added = None;
        if let When::Told { place, plus_s, .. } = &mut self.event_time {
            places.push(place);
            added = plus_s.as_mut();
        }
        let fields = [
            &mut self.device_id,
            &mut self.kind,
            &mut self.value,
            &mut self.unit,
            &mut self.source,
            &mut self.boot_id,
            &mut self.seq,
        ];
        let fields = fields.into_iter().chain(added);
        let fields = fields.chain(self.attributes.values_mut());
        places.extend(fields.map(|each| &mut each.place));
        places
    }

    /// The row's event; nothing when the row is not this block's.
    pub(super) fn event(&self, row: &Row, spot: Spot<'_>) -> Result<Option<Event>, String> {
        let line = spot.line;
        if !self.when.iter().all(|each| each.holds(row, line)) {
            return Ok(None);
        }
        let source = need("source", self.source.text(row, line))?;
        let kind = need("kind", self.kind.text(row, line))?;
        kind.parse::<Kind>().map_err(|error| error.to_string())?;
        let mut attributes = BTreeMap::new();
        for (name, field) in &self.attributes {
            let found = if field.is_scaled() {
                field.number(row, line).map(|number| number.map(|number| number.to_string()))
            } else {
                field.text(row, line)
            };
            if let Some(text) = found.map_err(|reason| format!("attributes.{name}: {reason}"))? {
                attributes.insert(name.clone(), text);
            }
        }
        Ok(Some(Event {
            event_id: self.identify(row, spot, &source)?,
            device_id: need("device_id", self.device_id.text(row, line))?,
            kind,
            event_time_us: self.event_time.read(row, spot)?,
            value: need("value", self.value.number(row, line))?,
            unit: self
                .unit
                .text(row, line)
                .map_err(|reason| format!("unit: {reason}"))?
                .unwrap_or_default(),
            source,
            boot_id: whole("boot_id", self.boot_id.text(row, line))?,
            seq: whole("seq", self.seq.text(row, line))?,
            attributes,
        }))
    }

    fn identify(&self, row: &Row, spot: Spot<'_>, source: &str) -> Result<String, String> {
        let mut id = match &self.event_id {
            Identity::Field(field) => return need("event_id", field.text(row, spot.line)),
            // A message has no number that is its own: what it says is what it is.
            _ if matches!(row, Row::Message { .. }) && self.is_timed_on_receipt() => {
                let when = minute(spot.received_us).to_string();
                content_id(&[source, spot.file, spot.text, &when])
            }
            _ if matches!(row, Row::Message { .. }) => content_id(&[source, spot.file, spot.text]),
            Identity::Line if spot.file.len() > FILE_NAME_BYTES_MAX => {
                format!("{}:{}", content_id(&[spot.file]), spot.line)
            }
            Identity::Line => format!("{}:{}", spot.file, spot.line),
            Identity::Content => content_id(&[source, spot.text]),
        };
        if let Some(number) = self.number {
            id = format!("{id}.{number}");
        }
        Ok(id)
    }
}

impl Identity {
    fn parse(path: String, value: Value) -> Result<Self, MappingError> {
        match value.as_str() {
            Some("line") => Ok(Self::Line),
            Some("content") => Ok(Self::Content),
            Some(_) => Err(wrong(path, "\"line\", \"content\" or a table", &value)),
            None => Field::parse(path, value).map(Self::Field),
        }
    }
}

impl When {
    fn parse(path: String, value: Value) -> Result<Self, MappingError> {
        if value.as_str() == Some("received") {
            return Ok(Self::Received);
        }
        let known: Vec<&str> = PLACES.into_iter().chain(["format", "offset", "plus_s"]).collect();
        let mut keys = Keys::of(path, value, &known)?;
        let place = Place::take(&mut keys)?;
        let format = keys.text("format")?;
        let format = format.ok_or_else(|| MappingError::Missing { path: keys.path("format") })?;
        let offset = keys.text("offset")?;
        let clock = Clock::parse(keys.here(), &format, offset.as_deref())?;
        let plus_s = match keys.take("plus_s") {
            Some(value) => Some(Field::parse(keys.path("plus_s"), value)?),
            None => None,
        };
        Ok(Self::Told { place, clock, plus_s })
    }

    fn read(&self, row: &Row, spot: Spot<'_>) -> Result<i64, String> {
        let Self::Told { place, clock, plus_s } = self else { return Ok(spot.received_us) };
        let text = need("event_time", Ok(place.read(row, spot.line)))?;
        let at_us = clock.read(&text);
        let at_us = at_us.ok_or_else(|| format!("event_time: {text:?} is not such a time"))?;
        let Some(plus_s) = plus_s else { return Ok(at_us) };
        let plus_s = need("event_time.plus_s", plus_s.number(row, spot.line))?;
        Ok(at_us.saturating_add((plus_s * 1e6).round() as i64))
    }
}

fn field(keys: &mut Keys, key: &str, default: Option<Field>) -> Result<Field, MappingError> {
    match (keys.take(key), default) {
        (Some(value), _) => Field::parse(keys.path(key), value),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(MappingError::Missing { path: keys.path(key) }),
    }
}

fn text(keys: &mut Keys, key: &str, default: Option<Field>) -> Result<Field, MappingError> {
    let field = field(keys, key, default)?;
    if field.is_scaled() {
        return Err(MappingError::Scaled { path: keys.path(key) });
    }
    Ok(field)
}

fn need<T>(name: &str, found: Result<Option<T>, String>) -> Result<T, String> {
    match found {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(format!("{name}: the row has nothing there")),
        Err(reason) => Err(format!("{name}: {reason}")),
    }
}

fn whole<T: std::str::FromStr>(
    name: &str,
    found: Result<Option<String>, String>,
) -> Result<T, String> {
    let text = need(name, found)?;
    text.parse().map_err(|_| format!("{name}: {text:?} is not a whole number of 0 or more"))
}

/// The whole minute that a time is in: what comes twice within one is told from nothing else.
pub(crate) fn minute(at_us: i64) -> i64 {
    at_us - at_us.rem_euclid(MINUTE_US)
}

/// 96 bits of SHA-256 in hex, the parts kept apart.
pub(crate) fn content_id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut hex = String::with_capacity(2 * SHORT_HASH_BYTES);
    for byte in hash.finalize().iter().take(SHORT_HASH_BYTES) {
        hex.extend([byte >> 4, byte & 15].map(|half| char::from(HEX[usize::from(half)])));
    }
    hex
}

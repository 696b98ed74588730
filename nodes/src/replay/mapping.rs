//! A mapping file: what a sensor file looks like and which events its rows are.

use std::collections::BTreeSet;

use features::event::Event;
use features::kind::UnknownKind;
use toml::{Table, Value};

use super::block::{Block, Spot};
use super::keys::{Keys, wrong};
use super::place::{Field, Place};
use super::row::{Cut, Row};
use super::topic::Topic;

/// The most `[[event]]` blocks a mapping may have.
const BLOCKS_MAX: usize = 64;
/// The most lines a mapping may skip at the start of a file.
const SKIP_LINES_MAX: u64 = 10_000;

const KNOWN: &[&str] = &[
    "about",
    "format",
    "delimiter",
    "quote",
    "trim",
    "skip_lines",
    "header",
    "comment",
    "topic",
    "source",
    "event",
];

/// Why a mapping file was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MappingError {
    #[error("the mapping is not TOML: {0}")]
    Toml(String),
    #[error("unknown key {key:?} {}; {nearest}", place_in(.path))]
    UnknownKey { path: String, key: String, nearest: String },
    #[error("{path} must be {want}, the mapping has a {got} there")]
    WrongType { path: String, want: &'static str, got: &'static str },
    #[error("the mapping has no {path}; add it")]
    Missing { path: String },
    #[error("{path} needs exactly one of column, pointer, level, constant and template")]
    Place { path: String },
    #[error("{path}: the template {text:?} needs every brace closed, as in \"home-{{3}}\"")]
    Template { path: String, text: String },
    #[error("{path}: {reason}")]
    Time { path: String, reason: String },
    #[error("{path}: {error}")]
    Kind { path: String, error: UnknownKind },
    #[error("{path} is a text: scale and offset are for value, plus_s and attributes only")]
    Scaled { path: String },
    #[error("{path}: {reason}")]
    Layout { path: String, reason: String },
}

fn place_in(path: &str) -> String {
    if path.is_empty() { "at the top".to_owned() } else { format!("in {path}") }
}

/// What a line of the file is.
#[derive(Clone, Debug, PartialEq)]
enum Layout {
    Delimited(Cut),
    Ndjson,
    /// Not a line of a file, but a message of a broker.
    Message(Topic),
}

/// How a file of somebody else's layout is read as events.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    layout: Layout,
    pub(super) skip_lines: u64,
    pub(super) header: bool,
    comments: Vec<String>,
    blocks: Vec<Block>,
}

impl Mapping {
    /// Reads the text of a mapping file.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let table: Table =
            text.parse().map_err(|error: toml::de::Error| one_line(&error.to_string()))?;
        let mut keys = Keys::new("", table, KNOWN)?;
        keys.text("about")?;
        let layout = layout(&mut keys)?;
        let skip_lines = keys.count("skip_lines")?.unwrap_or(0);
        if skip_lines > SKIP_LINES_MAX {
            let reason = format!("at most {SKIP_LINES_MAX} lines can be skipped");
            return Err(MappingError::Layout { path: "skip_lines".to_owned(), reason });
        }
        let header = keys.truth("header")?.unwrap_or(false);
        let comments = keys.texts("comment")?.unwrap_or_default();
        let source = match keys.take("source") {
            Some(value) => Some(Field::parse("source".to_owned(), value)?),
            None => None,
        };
        let blocks = match keys.take("event") {
            Some(Value::Array(blocks)) if (1..=BLOCKS_MAX).contains(&blocks.len()) => blocks,
            Some(Value::Table(block)) => vec![Value::Table(block)],
            Some(other) => {
                let want = "one to 64 [[event]] blocks";
                return Err(wrong("event".to_owned(), want, &other));
            }
            None => return Err(MappingError::Missing { path: "[[event]] block".to_owned() }),
        };
        let many = blocks.len() > 1;
        let mut parsed = Vec::with_capacity(blocks.len());
        for (at, block) in blocks.into_iter().enumerate() {
            let path = format!("event[{}]", at + 1);
            parsed.push(Block::parse(&path, many.then_some(at + 1), block, source.as_ref())?);
        }
        let mut mapping = Self { layout, skip_lines, header, comments, blocks: parsed };
        mapping.check_places()?;
        Ok(mapping)
    }

    /// Columns are for delimited files, names need a header, pointers are for JSON.
    fn check_places(&mut self) -> Result<(), MappingError> {
        if let Layout::Message(topic) = &self.layout {
            return check_message(topic, &mut self.blocks);
        }
        let json = self.layout == Layout::Ndjson;
        let refuse = |path: &str, reason: &str| MappingError::Layout {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        if json && self.header {
            return Err(refuse("header", "a file of JSON lines has none"));
        }
        let named = self.header;
        for (at, block) in self.blocks.iter_mut().enumerate() {
            let path = format!("event[{}]", at + 1);
            if block.is_timed_on_receipt() {
                return Err(refuse(&path, "event_time = \"received\" is for messages"));
            }
            for place in block.places() {
                if json && !place.all(&|leaf| !matches!(leaf, Place::Column(_) | Place::Named(_))) {
                    return Err(refuse(&path, "JSON lines have no columns; use pointer or {/a/b}"));
                }
                if !json && !place.all(&|leaf| !matches!(leaf, Place::Pointer(_))) {
                    return Err(refuse(&path, "pointer is for format = \"ndjson\"; use column"));
                }
                if !named && !place.all(&|leaf| !matches!(leaf, Place::Named(_))) {
                    return Err(refuse(
                        &path,
                        "a column's name needs header = true; or use its number",
                    ));
                }
            }
        }
        Ok(())
    }

    /// The mapping with numbers for the names of a header line.
    pub(super) fn with_header(mut self, line: &str) -> Result<Self, String> {
        let Layout::Delimited(cut) = &self.layout else { return Ok(self) };
        let header = cut.cells(line.trim_start_matches('\u{feff}'))?;
        for block in &mut self.blocks {
            for place in block.places() {
                place.resolve(&header)?;
            }
        }
        Ok(self)
    }

    /// Whether a line is empty or a remark.
    pub(super) fn is_remark(&self, line: &str) -> bool {
        let line = line.trim_start();
        line.is_empty() || self.comments.iter().any(|each| line.starts_with(each.as_str()))
    }

    /// Whether it is for the messages of a broker, and not for a file.
    pub fn is_for_messages(&self) -> bool {
        matches!(self.layout, Layout::Message(_))
    }

    /// The events of one message, in the order of the blocks.
    pub(crate) fn message(
        &self,
        topic: &str,
        payload: &str,
        received_us: i64,
    ) -> Result<Vec<Event>, String> {
        let Layout::Message(template) = &self.layout else {
            return Err("the mapping is for files".to_owned());
        };
        // What is no JSON is a text: `ON`, `offline`.
        let value = serde_json::from_str(payload)
            .unwrap_or_else(|_| serde_json::Value::String(payload.trim().to_owned()));
        let row = Row::Message { payload: value, levels: template.cut(topic)? };
        let events =
            self.made_of(&row, Spot { file: topic, line: 0, text: payload, received_us })?;
        if events.is_empty() {
            return Err("no block of the mapping takes the message".to_owned());
        }
        Ok(events)
    }

    /// The events of one line, in the order of the blocks.
    pub(super) fn events(&self, spot: Spot<'_>) -> Result<Vec<Event>, String> {
        let row = match &self.layout {
            Layout::Message(_) => return Err("the mapping is for messages".to_owned()),
            Layout::Delimited(cut) => Row::Cells(cut.cells(spot.text)?),
            Layout::Ndjson => Row::Json(
                serde_json::from_str(spot.text).map_err(|error| format!("not JSON: {error}"))?,
            ),
        };
        self.made_of(&row, spot)
    }

    fn made_of(&self, row: &Row, spot: Spot<'_>) -> Result<Vec<Event>, String> {
        let events = self.blocks.iter().filter_map(|block| block.event(row, spot).transpose());
        let events: Vec<Event> = events.collect::<Result<_, _>>()?;
        let ids: BTreeSet<_> = events.iter().map(|each| (&each.source, &each.event_id)).collect();
        if ids.len() < events.len() {
            return Err("two events of this row have the same event_id".to_owned());
        }
        Ok(events)
    }
}

/// A message has a payload and the levels of its topic; it has no columns and no lines.
fn check_message(topic: &Topic, blocks: &mut [Block]) -> Result<(), MappingError> {
    for (at, block) in blocks.iter_mut().enumerate() {
        for place in block.places() {
            let is_there = |leaf: &Place| match leaf {
                Place::Column(_) | Place::Line => false,
                Place::Named(name) => topic.has(name),
                _ => true,
            };
            if !place.all(&is_there) {
                return Err(MappingError::Layout {
                    path: format!("event[{}]", at + 1),
                    reason: format!(
                        "a message has pointers into its payload and the levels of its topic ({})",
                        topic.names()
                    ),
                });
            }
        }
    }
    Ok(())
}

fn layout(keys: &mut Keys) -> Result<Layout, MappingError> {
    let format = keys.text("format")?;
    let format = format.ok_or_else(|| MappingError::Missing { path: "format".to_owned() })?;
    let delimiter = keys.text("delimiter")?;
    let quote = keys.text("quote")?;
    let trim = keys.truth("trim")?;
    let topic = keys.text("topic")?;
    if topic.is_some() && format != "message" {
        return Err(MappingError::Layout {
            path: "topic".to_owned(),
            reason: "only messages have one: format = \"message\"".to_owned(),
        });
    }
    match format.as_str() {
        "message" if delimiter.is_none() && quote.is_none() && trim.is_none() => {
            Topic::parse(topic.as_deref().unwrap_or("#")).map(Layout::Message)
        }
        "delimited" => {
            let delimiter = match delimiter.as_deref() {
                None => Some(','),
                Some("whitespace") => None,
                Some(text) => Some(letter("delimiter", text)?),
            };
            let quote = match quote.as_deref() {
                None => Some('"'),
                Some("") => None,
                Some(text) => Some(letter("quote", text)?),
            };
            Ok(Layout::Delimited(Cut { delimiter, quote, trim: trim.unwrap_or(true) }))
        }
        "ndjson" if delimiter.is_none() && quote.is_none() && trim.is_none() => Ok(Layout::Ndjson),
        "ndjson" | "message" => Err(MappingError::Layout {
            path: "format".to_owned(),
            reason: format!("{format} takes no delimiter, quote or trim"),
        }),
        other => Err(MappingError::Layout {
            path: "format".to_owned(),
            reason: format!("{other:?} is neither \"delimited\" nor \"ndjson\" nor \"message\""),
        }),
    }
}

fn letter(path: &str, text: &str) -> Result<char, MappingError> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => Ok(letter),
        _ => Err(MappingError::Layout {
            path: path.to_owned(),
            reason: format!("{text:?} is not one character"),
        }),
    }
}

fn one_line(text: &str) -> MappingError {
    MappingError::Toml(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Mapping::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_message_is_read_by_topic_and_payload() {
        let mapping = Mapping::parse(
            r#"
            format = "message"
            topic = "hz/{street}/{device}/{type}"
            source = { template = "mqtt-{street}" }
            [[event]]
            when = { level = "type", is_not = "status" }
            device_id = { level = "device" }
            kind = { level = "type", map = { rq = "gas", mc = "door" } }
            event_time = { pointer = "/ts", format = "unix_ms" }
            value = { pointer = "/v" }
            [[event]]
            when = [{ level = "type", is = "status" }, { pointer = "", is = "offline" }]
            device_id = { level = "device" }
            kind = "offline"
            event_time = "received"
            "#,
        )
        .unwrap();
        let now_us = 1_789_999_990_000_000;
        let gas = |topic: &str, at_us| {
            mapping.message(topic, r#"{"ts":1780000000000,"v":8}"#, at_us).map(|e| e[0].clone())
        };
        let first = gas("hz/南星/d1/rq", now_us).unwrap();
        assert_eq!((first.kind.as_str(), first.value), ("gas", 8.0));
        assert_eq!((first.source.as_str(), first.device_id.as_str()), ("mqtt-南星", "d1"));
        assert_eq!(first.event_time_us, 1_780_000_000_000_000);
        // Sent again, it is the same event; of another device it is another.
        assert_eq!(gas("hz/南星/d1/rq", now_us + 3_600_000_000).unwrap(), first);
        assert_ne!(gas("hz/南星/d2/rq", now_us).unwrap().event_id, first.event_id);
        let will = |at_us| mapping.message("hz/s/d1/status", "offline", at_us).unwrap()[0].clone();
        assert_eq!((will(now_us).kind.as_str(), will(now_us).event_time_us), ("offline", now_us));
        assert_eq!(will(now_us).event_id, will(now_us + 29_000_000).event_id);
        assert_ne!(will(now_us).event_id, will(now_us + 60_000_000).event_id);
        let said = |topic: &str, payload: &str| mapping.message(topic, payload, 0).unwrap_err();
        assert!(said("hz/s/d1", "{}").contains("is not as"));
        assert!(said("hz/s/d1/status", "online").contains("no block"));
        assert!(said("hz/s/d1/xy", "{}").contains("xy"));
    }

    #[test]
    fn a_mapping_that_cannot_work_says_why() {
        assert!(refused("format = 'xml'").contains("neither"));
        assert!(refused("format = 'delimited'").contains("[[event]]"));
        assert!(refused("fromat = 'delimited'").contains("did you mean \"format\"?"));
        assert!(refused("format = 'delimited'\ndelimiter = '--'").contains("one character"));
        assert!(refused("=").starts_with("the mapping is not TOML"));
        assert!(!refused("=").contains('\n'));
        let head = "format = 'delimited'\nsource = 's'\n[[event]]\nkind = 'door'\n";
        assert!(refused(head).contains("event[1].event_time"));
        let time = "event_time = { column = 1, format = 'unix_s' }\n";
        assert!(refused(&format!("{head}{time}")).contains("event[1].device_id"));
        let named = format!("{head}{time}device_id = {{ column = 'home' }}\n");
        assert!(refused(&named).contains("header = true"));
        let pointer = format!("{head}{time}device_id = {{ pointer = '/home' }}\n");
        assert!(refused(&pointer).contains("ndjson"));
        let scaled = format!("{head}{time}device_id = {{ column = 2, scale = 2 }}\n");
        assert!(refused(&scaled).contains("scale"));
        let whole = format!("{head}{time}device_id = {{ column = 2 }}\n");
        assert!(Mapping::parse(&whole).is_ok());
        assert!(refused(&whole.replace("delimited", "ndjson")).contains("no columns"));
        assert!(refused(&whole.replace("'door'", "'dor'")).contains("\"door\""));
        assert!(refused(&whole.replace("delimited", "message")).contains("levels of its topic"));
        assert!(refused(&format!("topic = 'a'\n{whole}")).contains("only messages"));
        let level =
            "format = 'message'\ntopic = '{home}'\nsource = 's'\n[[event]]\nkind = 'door'\n";
        let timed = format!("{level}event_time = 'received'\ndevice_id = {{ level = 'home' }}\n");
        assert!(Mapping::parse(&timed).is_ok());
        assert!(refused(&timed.replace("level = 'home'", "level = 'room'")).contains("(home)"));
    }
}

//! A message's payload as events.

use super::config::{Mqtt, PayloadFormat};
use super::senml;
use super::wire::Message;
use crate::intake;
use crate::replay::{Mapping, content_id};
use features::Event;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How the messages of one broker are read.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The source of events that do not say their own.
    source: String,
    how: How,
}

#[derive(Debug)]
enum How {
    Auto,
    Mapping(Box<Mapping>),
    Feed(String),
}

/// One event, or the text of which none could be made, and why.
pub(crate) type Read = Result<Event, (String, String)>;

/// What tells the formats apart.
#[derive(Debug, Deserialize)]
struct Marks<'a> {
    #[serde(borrow, default)]
    specversion: Option<&'a RawValue>,
}

impl Reader {
    pub(crate) fn new(broker: &Mqtt) -> Result<Self, String> {
        let how = match (broker.payload, broker.read_mapping()?, &broker.feed) {
            (PayloadFormat::Mapping, Some(mapping), _) => How::Mapping(Box::new(mapping)),
            (PayloadFormat::Feed, _, Some(feed)) => How::Feed(feed.clone()),
            _ => How::Auto,
        };
        Ok(Self { source: broker.name.clone(), how })
    }

    /// The feed that the messages are rows of.
    pub(crate) fn feed(&self) -> Option<&str> {
        match &self.how {
            How::Feed(feed) => Some(feed),
            _ => None,
        }
    }

    /// The events of one message, each for itself; the error is about all of it.
    pub(crate) fn read(&self, message: &Message, now_us: i64) -> Result<Vec<Read>, String> {
        if let Some(bytes) = message.over {
            return Err(format!(
                "the message has {bytes} bytes: raise message_bytes, or send less"
            ));
        }
        let text = std::str::from_utf8(&message.payload)
            .map_err(|_| "the payload is not UTF-8".to_owned())?;
        match &self.how {
            How::Mapping(mapping) => {
                let events = mapping.message(&message.topic, text, now_us)?;
                Ok(events.into_iter().map(Ok).collect())
            }
            How::Feed(_) => Ok(Vec::new()),
            How::Auto if !message.attributes.is_empty() => {
                let attribute = |name: &str| {
                    let named = message.attributes.iter().find(|(each, _)| each == name);
                    named.map(|(_, value)| value.clone())
                };
                Ok(vec![self.named(text, |text| intake::binary_cloud_event(attribute, text))])
            }
            How::Auto => self.auto(&message.topic, text, now_us),
        }
    }

    fn auto(&self, topic: &str, text: &str, now_us: i64) -> Result<Vec<Read>, String> {
        let begins = text.trim_start();
        if begins.is_empty() {
            return Err("the payload is empty".to_owned());
        }
        if begins.starts_with('[') {
            let parts: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|error| error.to_string())?;
            if parts.first().is_some_and(|part| !is_cloud(part.get())) {
                return senml::read(text, topic, &self.source, now_us);
            }
            let cloud = |part: &&RawValue| self.named(part.get(), intake::cloud_event);
            return Ok(parts.iter().map(cloud).collect());
        }
        if is_cloud(begins) {
            return Ok(vec![self.named(begins, intake::cloud_event)]);
        }
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Ok(lines
            .map(|line| {
                let mut event = self.named(line, intake::event)?;
                if event.source.is_empty() {
                    event.source.clone_from(&self.source);
                }
                if event.event_id.is_empty() {
                    // The same message has the same id whenever the broker sends it again.
                    event.event_id = content_id(&[&event.source, topic, line]);
                }
                Ok(event)
            })
            .collect())
    }

    #[expect(clippy::unused_self, reason = "reads beside its siblings")]
    fn named(&self, text: &str, read: impl Fn(&str) -> Result<Event, String>) -> Read {
        read(text).map_err(|reason| (reason, text.to_owned()))
    }
}

fn is_cloud(text: &str) -> bool {
    serde_json::from_str::<Marks<'_>>(text).is_ok_and(|marks| marks.specversion.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::config::plain;
    use bytes::Bytes;

    const NOW_US: i64 = 1_790_000_000_000_000;

    fn read(payload: &str) -> Result<Vec<Read>, String> {
        let message = Message {
            topic: "home/1".to_owned(),
            payload: Bytes::from(payload.to_owned()),
            id: Some(1),
            over: None,
            attributes: Vec::new(),
        };
        Reader::new(&plain("b")).unwrap().read(&message, NOW_US)
    }

    #[test]
    fn events_cloud_events_and_senml_are_told_apart() {
        let line = r#"{"device_id":"d","kind":"gas","event_time_us":1780000000000000,"value":5}"#;
        let events = read(&format!("{line}\n\n{line}\n{{\"kind\":1}}")).unwrap();
        let first = events[0].as_ref().unwrap();
        assert_eq!((first.source.as_str(), first.event_id.len()), ("b", 24));
        assert_eq!(events[1].as_ref().unwrap(), first, "the same line is the same event");
        assert!(events[2].as_ref().unwrap_err().1.contains("kind"));
        let cloud = format!(r#"{{"specversion":"1.0","id":"7","source":"g","data":{line}}}"#);
        assert_eq!(read(&cloud).unwrap()[0].as_ref().unwrap().event_id, "7");
        let both = read(&format!("[{cloud},{{\"specversion\":\"1.0\"}}]")).unwrap();
        assert!(both[0].is_ok() && both[1].is_err());
        let senml = r#"[{"bn":"urn:dev:d1:","n":"gas","u":"%LEL","t":1780000000,"v":5}]"#;
        assert_eq!(read(senml).unwrap()[0].as_ref().unwrap().device_id, "urn:dev:d1");
    }

    #[test]
    fn poison_is_named() {
        assert!(read("").unwrap_err().contains("empty"));
        assert!(read("[1,").unwrap_err().contains("EOF"));
        assert!(read("ON").unwrap()[0].as_ref().unwrap_err().0.contains("JSON object"));
        let over = Message {
            topic: "t".to_owned(),
            payload: Bytes::new(),
            id: None,
            over: Some(9_999_999),
            attributes: Vec::new(),
        };
        let said = Reader::new(&plain("b")).unwrap().read(&over, NOW_US).unwrap_err();
        assert!(said.contains("9999999 bytes"), "{said}");
    }
}

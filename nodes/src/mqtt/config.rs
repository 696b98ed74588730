//! `[[mqtt]]`: a broker, what is subscribed to there, and how its payloads are read.

use crate::replay::Mapping;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Brokers of one node.
const BROKERS_MAX: usize = 16;
/// Topic filters of one broker.
const TOPICS_MAX: usize = 64;
/// The largest message that may be allowed.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Stands in figures and logs; the source of events that do not say their own.
    pub name: String,
    /// `host:port`.
    pub address: String,
    #[serde(default)]
    pub version: MqttVersion,
    /// The same on all nodes: the session belongs to the cluster. `hearth-NAME` where it is empty.
    #[serde(default)]
    pub client_id: String,
    /// Topic filters; for MQTT 5 also `$share/GROUP/FILTER`.
    pub topics: Vec<String>,
    #[serde(default)]
    pub payload: PayloadFormat,
    /// For `payload = "mapping"`: a file as `docs/replay-mapping.md` describes, `format = "message"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<PathBuf>,
    /// For `payload = "feed"`: rows of this department's feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<String>,
    /// A file of one line, `user:password`; read again at each connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PathBuf>,
    #[serde(default = "half_a_minute")]
    pub keep_alive_s: u16,
    /// How long the broker keeps what waits for a cluster that is away, for MQTT 5.
    #[serde(default = "a_week")]
    pub session_expiry_s: u32,
    /// Messages taken from the broker and not acknowledged yet.
    #[serde(default = "in_flight")]
    pub in_flight: u16,
    /// A larger message is a dead letter.
    #[serde(default = "message_bytes")]
    pub message_bytes: usize,
    /// Speaks TLS with the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// PEM files, read again at each connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The authority that the broker's certificate has to be of.
    pub ca: PathBuf,
    /// Shown to a broker that asks for one, with its `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MqttVersion {
    #[serde(rename = "3.1.1")]
    V311,
    #[default]
    #[serde(rename = "5")]
    V5,
}

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadFormat {
    /// Events, CloudEvents or SenML, by what it looks like.
    #[default]
    Auto,
    /// By a mapping file.
    Mapping,
    /// Rows of a feed, one a line.
    Feed,
}

const fn half_a_minute() -> u16 {
    30
}

const fn a_week() -> u32 {
    7 * 24 * 3_600
}

const fn in_flight() -> u16 {
    8_192
}

const fn message_bytes() -> usize {
    256 << 10
}

impl Mqtt {
    pub(crate) fn client_id(&self) -> String {
        if self.client_id.is_empty() {
            format!("hearth-{}", self.name)
        } else {
            self.client_id.clone()
        }
    }

    /// The mapping of `payload = "mapping"`.
    pub(crate) fn read_mapping(&self) -> Result<Option<Mapping>, String> {
        let Some(file) = &self.mapping else { return Ok(None) };
        let mapping = std::fs::read_to_string(file).map_err(|error| error.to_string());
        let mapping = mapping.and_then(|text| {
            let mapping = Mapping::parse(&text).map_err(|error| error.to_string())?;
            if mapping.is_for_messages() {
                Ok(mapping)
            } else {
                Err("needs format = \"message\"".to_owned())
            }
        });
        mapping.map(Some).map_err(|said| format!("mapping {}: {said}", file.display()))
    }

    /// User and password, as they stand in their file now.
    pub(crate) fn read_credentials(&self) -> Result<Option<(String, String)>, String> {
        let Some(file) = &self.credentials else { return Ok(None) };
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|error| format!("credentials {}: {error}", file.display()))?;
        let pair = text.lines().next().and_then(|line| line.split_once(':'));
        match pair {
            Some((user, password)) => Ok(Some((user.to_owned(), password.to_owned()))),
            None => Err(format!("credentials {}: write user:password", file.display())),
        }
    }

    fn check(&self) -> Result<(), String> {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_name) {
            return Err("name has 1 to 64 letters, digits, dots, - or _".to_owned());
        }
        let port = self.address.rsplit_once(':').map(|(_, port)| port.parse::<u16>().is_ok());
        if port != Some(true) {
            return Err(format!("address {:?} is not host:port", self.address));
        }
        if self.client_id.len() > 128 || self.client_id.chars().any(char::is_control) {
            return Err("client_id has at most 128 printable bytes".to_owned());
        }
        if self.topics.is_empty() || self.topics.len() > TOPICS_MAX {
            return Err(format!("topics names 1 to {TOPICS_MAX} filters"));
        }
        for topic in &self.topics {
            if !is_filter(topic) {
                return Err(format!("{topic:?} is no topic filter: + and # stand alone, # last"));
            }
            if topic.starts_with("$share/") && self.version == MqttVersion::V311 {
                return Err(format!("{topic:?} needs version = \"5\""));
            }
        }
        if self.keep_alive_s == 0 || self.in_flight == 0 || self.session_expiry_s == 0 {
            return Err("keep_alive_s, session_expiry_s and in_flight must be 1 or more".to_owned());
        }
        if !(1_024..=MESSAGE_BYTES_MAX).contains(&self.message_bytes) {
            return Err(format!("message_bytes must be 1024 to {MESSAGE_BYTES_MAX}"));
        }
        let is_mapped = self.payload == PayloadFormat::Mapping;
        if is_mapped != self.mapping.is_some() {
            return Err("payload = \"mapping\" and mapping = \"FILE\" go together".to_owned());
        }
        if (self.payload == PayloadFormat::Feed) != self.feed.is_some() {
            return Err("payload = \"feed\" and feed = \"NAME\" go together".to_owned());
        }
        if let Some(tls) = &self.tls {
            if tls.certificate.is_some() != tls.key.is_some() {
                return Err("tls.certificate and tls.key go together".to_owned());
            }
            super::tls::connector(tls).map_err(|error| error.to_string())?;
        }
        self.read_mapping().map(drop)
    }
}

/// A topic filter, where `+` stands for one level and a last `#` for all that follow.
fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let is_level = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at + 1 == levels.len(),
        level => !level.contains(['+', '#', '\0']),
    };
    !filter.is_empty() && filter.len() <= 1_024 && levels.iter().enumerate().all(is_level)
}

/// What is wrong with the brokers of a configuration.
pub(crate) fn check(brokers: &[Mqtt]) -> Result<(), String> {
    if brokers.len() > BROKERS_MAX {
        return Err(format!("a node takes from at most {BROKERS_MAX} [[mqtt]] brokers"));
    }
    for (at, broker) in brokers.iter().enumerate() {
        broker.check().map_err(|said| format!("mqtt {}: {said}", broker.name))?;
        for other in &brokers[..at] {
            if other.name == broker.name {
                return Err(format!("mqtt {}: two brokers have this name", broker.name));
            }
            if other.address == broker.address && other.client_id() == broker.client_id() {
                return Err(format!("mqtt {}: needs a client_id of its own", broker.name));
            }
        }
    }
    Ok(())
}

/// A broker for tests.
#[cfg(test)]
pub(crate) fn plain(name: &str) -> Mqtt {
    let text = format!("name = '{name}'\naddress = 'h:1883'\ntopics = ['a/#']");
    toml::from_str(&text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Mqtt)) -> String {
        let mut broker = plain("b");
        change(&mut broker);
        check(&[broker]).unwrap_err()
    }

    #[test]
    fn a_broker_that_cannot_work_says_why() {
        assert!(check(&[plain("a"), plain("b")]).is_ok());
        assert!(check(&[plain("a"), plain("a")]).unwrap_err().contains("name"));
        assert!(refused(|b| b.address = "h".into()).contains("host:port"));
        assert!(refused(|b| b.topics.clear()).contains("topics"));
        assert!(refused(|b| b.topics = vec!["a/b#".into()]).contains("filter"));
        assert!(refused(|b| b.topics = vec!["#/a".into()]).contains("filter"));
        let share = |b: &mut Mqtt| b.topics = vec!["$share/g/a/+/#".into()];
        let mut shared = plain("b");
        share(&mut shared);
        assert!(check(&[shared]).is_ok());
        assert!(
            refused(|b| {
                share(b);
                b.version = MqttVersion::V311;
            })
            .contains("version")
        );
        assert!(refused(|b| b.payload = PayloadFormat::Mapping).contains("mapping"));
        assert!(refused(|b| b.feed = Some("f".into())).contains("feed"));
        let twin = Mqtt { client_id: "hearth-a".into(), ..plain("b") };
        assert!(check(&[plain("a"), twin]).unwrap_err().contains("client_id"));
    }
}

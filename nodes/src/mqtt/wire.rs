//! MQTT packets as bytes. The only file that names rumqttc, of which only the packets are used.
//!
//! Its event loop is not: it counts a packet over its limit as a broken connection, and since the
//! broker sends the message again, the next one breaks too; and an acknowledgement that is handed to
//! it after it has noticed a lost connection goes out on the next one, where its number may stand for
//! a message that is in no log.

use super::config::MqttVersion;
use bytes::{Buf as _, Bytes, BytesMut};
use rumqttc::mqttbytes as basic;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes as extended;
use rumqttc::v5::mqttbytes::v5;

/// Packets that are no message are small.
const OTHERS_BYTES_MAX: usize = 64 << 10;
/// What is kept of a message over the limit.
const BEGINNING_BYTES: usize = 1_024;
const PUBLISH: u8 = 3;
const SUBSCRIPTION: u16 = 1;

#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the broker sent what is not MQTT: {0}")]
    Damaged(String),
    #[error("a packet could not be written: {0}")]
    Unwritable(String),
}

/// What a broker sends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Packet {
    Connected,
    Refused(String),
    /// Whether each filter was granted, with quality of service 1.
    Subscribed(Vec<bool>),
    Message(Message),
    /// The broker ends the connection.
    Closed(String),
    Other,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    /// Only the beginning where `over` is set.
    pub(crate) payload: Bytes,
    /// By which it is acknowledged; none with quality of service 0.
    pub(crate) id: Option<u16>,
    /// The size of a message that is larger than is allowed.
    pub(crate) over: Option<u64>,
    /// What a CloudEvent in binary mode says of itself, in the user properties of version 5.
    pub(crate) attributes: Vec<(String, String)>,
}

/// User properties by which a message is a CloudEvent, as its MQTT binding names them.
const SPECVERSION: &str = "specversion";
const ATTRIBUTES: [&str; 4] = [SPECVERSION, "id", "source", "time"];

/// The attributes of a CloudEvent in binary mode; none of any other message.
fn attributes(properties: Option<v5::PublishProperties>) -> Vec<(String, String)> {
    let mut all = properties.map(|it| it.user_properties).unwrap_or_default();
    all.retain(|(name, _)| ATTRIBUTES.contains(&name.as_str()));
    if !all.iter().any(|(name, _)| name == SPECVERSION) {
        all.clear();
    }
    all
}

/// How a connection is opened.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) client_id: String,
    pub(crate) login: Option<(String, String)>,
    pub(crate) keep_alive_s: u16,
    pub(crate) session_expiry_s: u32,
    pub(crate) in_flight: u16,
    pub(crate) message_bytes: usize,
}

/// Reads packets out of a stream of bytes, and passes over messages that are too large.
#[derive(Debug)]
pub(crate) struct Wire {
    version: MqttVersion,
    most: usize,
    /// A message that is being passed over, and how many bytes of it are still to come.
    passed_over: Option<(Message, usize)>,
}

impl Wire {
    pub(crate) fn new(version: MqttVersion, message_bytes: usize) -> Self {
        Self { version, most: message_bytes.max(OTHERS_BYTES_MAX), passed_over: None }
    }

    /// The next packet, where all of it is there.
    pub(crate) fn next(&mut self, stream: &mut BytesMut) -> Result<Option<Packet>, WireError> {
        if let Some((message, left)) = self.passed_over.take() {
            let gone = left.min(stream.len());
            stream.advance(gone);
            if gone < left {
                self.passed_over = Some((message, left - gone));
                return Ok(None);
            }
            return Ok(Some(Packet::Message(message)));
        }
        let Some((first, head, rest)) = fixed_header(stream)? else { return Ok(None) };
        if rest > self.most {
            if first >> 4 != PUBLISH {
                return Err(WireError::Damaged(format!("a packet of {rest} bytes")));
            }
            return self.begin_passing_over(stream, (first, head, rest));
        }
        let packet = match self.version {
            MqttVersion::V311 => self.basic(stream),
            MqttVersion::V5 => self.extended(stream),
        };
        packet.map_err(WireError::Damaged)
    }

    fn begin_passing_over(
        &mut self,
        stream: &mut BytesMut,
        (first, head, rest): (u8, usize, usize),
    ) -> Result<Option<Packet>, WireError> {
        let id_bytes = if first & 0b0110 == 0 { 0 } else { 2 };
        let Some(topic) = stream.get(head..head + 2) else { return Ok(None) };
        let topic_bytes = usize::from(u16::from_be_bytes([topic[0], topic[1]]));
        let before = 2 + topic_bytes + id_bytes;
        let kept = before + BEGINNING_BYTES;
        if rest < kept {
            return Err(WireError::Damaged("a topic longer than its packet".to_owned()));
        }
        if stream.len() < head + kept {
            return Ok(None);
        }
        stream.advance(head + 2);
        let topic = stream.split_to(topic_bytes);
        let id = (id_bytes > 0).then(|| stream.get_u16());
        let message = Message {
            topic: String::from_utf8_lossy(&topic).into_owned(),
            payload: stream.split_to(BEGINNING_BYTES).freeze(),
            id,
            over: Some((rest - before) as u64),
            attributes: Vec::new(),
        };
        self.passed_over = Some((message, rest - kept));
        self.next(stream)
    }

    fn basic(&self, stream: &mut BytesMut) -> Result<Option<Packet>, String> {
        let packet = match v4::Packet::read(stream, self.most) {
            Ok(packet) => packet,
            Err(basic::Error::InsufficientBytes(_)) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        Ok(Some(match packet {
            v4::Packet::ConnAck(answer) => match answer.code {
                v4::ConnectReturnCode::Success => Packet::Connected,
                code => Packet::Refused(format!("{code:?}")),
            },
            v4::Packet::SubAck(answer) => {
                let granted = |code: &v4::SubscribeReasonCode| {
                    !matches!(
                        code,
                        v4::SubscribeReasonCode::Failure
                            | v4::SubscribeReasonCode::Success(basic::QoS::AtMostOnce)
                    )
                };
                Packet::Subscribed(answer.return_codes.iter().map(granted).collect())
            }
            v4::Packet::Publish(publish) => Packet::Message(Message {
                topic: publish.topic,
                payload: publish.payload,
                id: (publish.qos == basic::QoS::AtLeastOnce).then_some(publish.pkid),
                over: None,
                attributes: Vec::new(),
            }),
            v4::Packet::Disconnect => Packet::Closed("it said nothing".to_owned()),
            _ => Packet::Other,
        }))
    }

    fn extended(&self, stream: &mut BytesMut) -> Result<Option<Packet>, String> {
        let most = u32::try_from(self.most).unwrap_or(u32::MAX);
        let packet = match v5::Packet::read(stream, Some(most)) {
            Ok(packet) => packet,
            Err(extended::Error::InsufficientBytes(_)) => return Ok(None),
            // A disconnection without a reason has nothing behind its head.
            Err(extended::Error::PayloadRequired) => {
                return Ok(Some(Packet::Closed("it gave no reason".to_owned())));
            }
            Err(error) => return Err(error.to_string()),
        };
        Ok(Some(match packet {
            v5::Packet::ConnAck(answer) => match answer.code {
                v5::ConnectReturnCode::Success => Packet::Connected,
                code => Packet::Refused(format!("{code:?}")),
            },
            v5::Packet::SubAck(answer) => {
                let granted = |code: &v5::SubscribeReasonCode| {
                    matches!(
                        code,
                        v5::SubscribeReasonCode::Success(
                            extended::QoS::AtLeastOnce | extended::QoS::ExactlyOnce
                        )
                    )
                };
                Packet::Subscribed(answer.return_codes.iter().map(granted).collect())
            }
            v5::Packet::Publish(publish) => Packet::Message(Message {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload,
                id: (publish.qos == extended::QoS::AtLeastOnce).then_some(publish.pkid),
                over: None,
                attributes: attributes(publish.properties),
            }),
            v5::Packet::Disconnect(end) => Packet::Closed(format!("{:?}", end.reason_code)),
            _ => Packet::Other,
        }))
    }

    pub(crate) fn connect(&self, opening: Opening) -> Result<BytesMut, WireError> {
        let mut bytes = BytesMut::new();
        let outcome = match self.version {
            MqttVersion::V311 => {
                let mut connect = v4::Connect::new(opening.client_id);
                connect.keep_alive = opening.keep_alive_s;
                connect.clean_session = false;
                if let Some((user, password)) = opening.login {
                    connect.set_login(user, password);
                }
                connect.write(&mut bytes).map_err(|error| error.to_string())
            }
            MqttVersion::V5 => {
                let mut properties = v5::ConnectProperties::new();
                properties.session_expiry_interval = Some(opening.session_expiry_s);
                properties.receive_maximum = Some(opening.in_flight);
                // The broker keeps larger ones from us; those that it sends anyway are passed over.
                properties.max_packet_size =
                    u32::try_from(opening.message_bytes.max(OTHERS_BYTES_MAX)).ok();
                let connect = v5::Connect {
                    keep_alive: opening.keep_alive_s,
                    client_id: opening.client_id,
                    clean_start: false,
                    properties: Some(properties),
                };
                let login =
                    opening.login.map(|(username, password)| v5::Login { username, password });
                connect.write(&None, &login, &mut bytes).map_err(|error| error.to_string())
            }
        };
        outcome.map(|_| bytes).map_err(WireError::Unwritable)
    }

    pub(crate) fn subscribe(&self, topics: &[String]) -> Result<BytesMut, WireError> {
        let mut bytes = BytesMut::new();
        let outcome = match self.version {
            MqttVersion::V311 => {
                let filters = topics.iter().map(|topic| v4::SubscribeFilter {
                    path: topic.clone(),
                    qos: basic::QoS::AtLeastOnce,
                });
                let mut subscribe = v4::Subscribe::new_many(filters);
                subscribe.pkid = SUBSCRIPTION;
                subscribe.write(&mut bytes).map_err(|error| error.to_string())
            }
            MqttVersion::V5 => {
                let filters = topics.iter().map(|topic| {
                    let mut filter = v5::Filter::new(topic.clone(), extended::QoS::AtLeastOnce);
                    // Retained messages come once a session, not once a connection.
                    filter.retain_forward_rule = v5::RetainForwardRule::OnNewSubscribe;
                    filter
                });
                let mut subscribe = v5::Subscribe::new_many(filters, None);
                subscribe.pkid = SUBSCRIPTION;
                subscribe.write(&mut bytes).map_err(|error| error.to_string())
            }
        };
        outcome.map(|_| bytes).map_err(WireError::Unwritable)
    }

    /// Acknowledgements; the two versions write a successful one alike.
    pub(crate) fn acknowledge(ids: &[u16], bytes: &mut BytesMut) {
        for id in ids {
            let [high, low] = id.to_be_bytes();
            bytes.extend_from_slice(&[0x40, 2, high, low]);
        }
    }

    pub(crate) const PING: &[u8] = &[0xc0, 0];
    pub(crate) const DISCONNECT: &[u8] = &[0xe0, 0];
}

/// The first byte, the length of the fixed header, and how many bytes follow it.
fn fixed_header(stream: &BytesMut) -> Result<Option<(u8, usize, usize)>, WireError> {
    let Some(first) = stream.first() else { return Ok(None) };
    let mut rest = 0;
    for (at, byte) in stream.iter().skip(1).take(4).enumerate() {
        rest |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((*first, at + 2, rest)));
        }
        if at == 3 {
            return Err(WireError::Damaged("a length of five bytes".to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(version: MqttVersion, payload: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::new();
        match version {
            MqttVersion::V311 => {
                let mut packet = v4::Publish::new("a/b", basic::QoS::AtLeastOnce, payload);
                packet.pkid = 7;
                packet.write(&mut bytes).unwrap();
            }
            MqttVersion::V5 => {
                let payload = Bytes::copy_from_slice(payload);
                let mut packet = v5::Publish::new("a/b", extended::QoS::AtLeastOnce, payload, None);
                packet.pkid = 7;
                packet.write(&mut bytes).unwrap();
            }
        }
        bytes
    }

    #[test]
    fn packets_are_read_wherever_they_are_cut() {
        for version in [MqttVersion::V311, MqttVersion::V5] {
            let mut all = publish(version, b"one");
            all.extend_from_slice(&publish(version, &vec![b'x'; 200_000]));
            all.extend_from_slice(&[0xd0, 0]);
            all.extend_from_slice(&publish(version, b"two"));
            for piece in [1, 7, 4_096, all.len()] {
                let mut wire = Wire::new(version, 1_024);
                let (mut stream, mut found) = (BytesMut::new(), Vec::new());
                for part in all.chunks(piece) {
                    stream.extend_from_slice(part);
                    while let Some(packet) = wire.next(&mut stream).unwrap() {
                        found.push(packet);
                    }
                    assert!(stream.len() <= OTHERS_BYTES_MAX + piece, "{}", stream.len());
                }
                let messages: Vec<_> = found
                    .iter()
                    .filter_map(|packet| match packet {
                        Packet::Message(message) => Some(message),
                        _ => None,
                    })
                    .collect();
                assert_eq!(messages.len(), 3, "{version:?} in pieces of {piece}");
                assert_eq!((&*messages[0].payload, messages[0].over), (&b"one"[..], None));
                let over = messages[1].over.unwrap();
                assert!((200_000..200_010).contains(&over), "{over}");
                assert_eq!((messages[1].topic.as_str(), messages[1].id), ("a/b", Some(7)));
                assert_eq!(&*messages[2].payload, b"two");
            }
        }
    }

    #[test]
    fn both_versions_read_our_acknowledgement() {
        let mut bytes = BytesMut::new();
        Wire::acknowledge(&[513, 65_535], &mut bytes);
        let mut again = bytes.clone();
        for id in [513, 65_535] {
            match v4::Packet::read(&mut bytes, 100).unwrap() {
                v4::Packet::PubAck(ack) => assert_eq!(ack.pkid, id),
                other => panic!("{other:?}"),
            }
            match v5::Packet::read(&mut again, None).unwrap() {
                v5::Packet::PubAck(ack) => assert_eq!(ack.pkid, id),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn noise_is_refused() {
        let mut wire = Wire::new(MqttVersion::V311, 1_024);
        assert!(wire.next(&mut BytesMut::from(&[0x30, 0xff, 0xff, 0xff, 0xff, 1][..])).is_err());
        assert!(wire.next(&mut BytesMut::from(&[0x20, 0xff, 0xff, 0x7f, 0][..])).is_err());
        assert_eq!(wire.next(&mut BytesMut::new()).unwrap(), None);
    }
}

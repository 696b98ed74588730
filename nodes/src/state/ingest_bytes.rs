//! The bytes of [`Command::IngestEvents`](super::Command::IngestEvents) without its texts being copied:
//! events are the one thing that comes by the hundred thousand.

use super::command::{COMMAND_VERSION, UnknownCommand};
use features::EventRef;

/// The place of `IngestEvents` in the list of commands.
const INGEST_EVENTS: u8 = 0;

/// The command that ingests these events.
pub(crate) fn encode(events: &[EventRef<'_>]) -> Vec<u8> {
    const EVENT_BYTES: usize = 96;
    let mut bytes = Vec::with_capacity(EVENT_BYTES * (events.len() + 1));
    bytes.extend_from_slice(&[COMMAND_VERSION, INGEST_EVENTS]);
    // Serialising plain data into memory cannot fail; an empty command is refused on the way in.
    postcard::to_extend(events, bytes).unwrap_or_default()
}

/// The events of the command; nothing where it is another command.
pub(super) fn decode(bytes: &[u8]) -> Option<Result<Vec<EventRef<'_>>, UnknownCommand>> {
    let rest = bytes.strip_prefix(&[COMMAND_VERSION, INGEST_EVENTS])?;
    let unknown = UnknownCommand { found: COMMAND_VERSION };
    Some(postcard::from_bytes(rest).map_err(|_| unknown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Command, RulePush, Rules};
    use features::Event;

    #[test]
    fn the_bytes_are_those_of_the_command() {
        let event = |id: &str| Event {
            event_id: id.to_owned(),
            value: 1.5,
            attributes: [("a".to_owned(), "b".to_owned())].into(),
            ..Event::default()
        };
        let events = vec![event("1"), event("2")];
        let borrowed: Vec<EventRef<'_>> = events.iter().map(EventRef::from).collect();
        let bytes = encode(&borrowed);
        assert_eq!(bytes, Command::IngestEvents { events: events.clone() }.encode());
        assert_eq!(decode(&bytes).unwrap().unwrap(), borrowed);
        assert!(decode(&bytes[..bytes.len() - 1]).unwrap().is_err());
        assert!(decode(&Command::Tick.encode()).is_none());
        let push = RulePush::new(&Rules::default(), "a", "b");
        assert!(decode(&Command::PushRules(Box::new(push)).encode()).is_none());
    }
}

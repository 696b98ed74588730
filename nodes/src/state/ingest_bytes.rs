//! The bytes of [`Command::IngestEvents`](super::Command::IngestEvents) without its texts being copied:
//! events are the one thing that comes by the hundred thousand.

use super::State;
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
fn decode(bytes: &[u8]) -> Option<Result<Vec<EventRef<'_>>, UnknownCommand>> {
    let rest = bytes.strip_prefix(&[COMMAND_VERSION, INGEST_EVENTS])?;
    let quick = Reader { bytes: rest };
    if let Some(events) = quick.events() {
        return Some(Ok(events));
    }
    let unknown = UnknownCommand { found: COMMAND_VERSION };
    Some(postcard::from_bytes(rest).map_err(|_| unknown))
}

/// The events of commands that stand side by side.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    pub(super) events: Vec<EventRef<'a>>,
    /// Where those of each command end.
    pub(super) ends: Vec<usize>,
}

impl<'a> Batch<'a> {
    /// Of the first commands, up to one that is no ingestion or until there are so many events.
    pub(super) fn of(
        commands: &'a [impl AsRef<[u8]>],
        enough: usize,
    ) -> Result<Self, UnknownCommand> {
        let mut batch = Self::default();
        for bytes in commands {
            let Some(events) = decode(bytes.as_ref()) else { break };
            let events = events?;
            if batch.events.is_empty() {
                batch.events = events;
            } else {
                batch.events.extend(events);
            }
            batch.ends.push(batch.events.len());
            if batch.events.len() >= enough {
                break;
            }
        }
        Ok(batch)
    }
}

/// Events as postcard writes them, read in half the time. What it does not expect it leaves to postcard,
/// which has the last word.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn events(mut self) -> Option<Vec<EventRef<'a>>> {
        /// No event takes fewer: what claims more of them is not believed.
        const EVENT_BYTES_MIN: usize = 17;
        let count = self.number()? as usize;
        let mut events = Vec::with_capacity(count.min(self.bytes.len() / EVENT_BYTES_MIN));
        for _ in 0..count {
            events.push(self.event()?);
        }
        Some(events)
    }

    #[inline]
    fn event(&mut self) -> Option<EventRef<'a>> {
        Some(EventRef {
            event_id: self.text()?,
            device_id: self.text()?,
            kind: self.text()?,
            event_time_us: self.signed()?,
            value: self.real()?,
            unit: self.text()?,
            source: self.text()?,
            boot_id: u32::try_from(self.number()?).ok()?,
            seq: self.number()?,
            attributes: self.attributes()?,
        })
    }

    fn attributes(&mut self) -> Option<Vec<(&'a str, &'a str)>> {
        let count = self.number()?;
        (0..count).map(|_| Some((self.text()?, self.text()?))).collect()
    }

    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        std::str::from_utf8(text).ok()
    }

    /// Seven bits a byte, the lowest first.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.bytes.split_first()?;
        if *first < 0x80 {
            self.bytes = rest;
            return Some(u64::from(*first));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Option<u64> {
        let mut number = 0;
        for (at, byte) in self.bytes.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.bytes = self.bytes.get(at + 1..)?;
                return (at < 9 || *byte <= 1).then_some(number);
            }
        }
        None
    }

    #[inline]
    fn signed(&mut self) -> Option<i64> {
        let folded = self.number()?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    #[inline]
    fn real(&mut self) -> Option<f64> {
        let (bytes, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(f64::from_le_bytes(*bytes))
    }
}

impl State {
    /// How many events a command brings; nothing where it brings none. What of applying it is decoding.
    pub fn events_in(command: &[u8]) -> Option<usize> {
        decode(command)?.ok().map(|events| events.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Command, RulePush, Rules};
    use features::Event;
    use proptest::prelude::*;

    fn any_event() -> impl Strategy<Value = Event> {
        let texts = (".{0,40}", "[a-z0-9-]{0,140}", ".{0,9}", ".{0,5}", "[a-z]{0,20}");
        let numbers = (any::<i64>(), any::<f64>(), any::<u32>(), any::<u64>());
        let attributes = prop::collection::btree_map(".{0,5}", ".{0,5}", 0..3);
        (texts, numbers, attributes).prop_map(|(texts, numbers, attributes)| Event {
            event_id: texts.0,
            device_id: texts.1,
            kind: texts.2,
            unit: texts.3,
            source: texts.4,
            event_time_us: numbers.0,
            value: numbers.1,
            boot_id: numbers.2,
            seq: numbers.3,
            attributes,
        })
    }

    proptest! {
        /// Whole, cut off or with a byte changed: never anything else than what postcard reads.
        #[test]
        fn what_is_read_is_what_postcard_reads(
            events in prop::collection::vec(any_event(), 0..5),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let whole = postcard::to_stdvec(&events).unwrap();
            let at = at.index(whole.len());
            let mut changed = whole.clone();
            changed[at] = byte;
            let quick = Reader { bytes: &whole }.events();
            let borrowed: Vec<EventRef<'_>> = events.iter().map(EventRef::from).collect();
            prop_assert_eq!(quick.map(|all| format!("{all:?}")), Some(format!("{borrowed:?}")));
            for bytes in [&whole[..at], &changed] {
                let read: Result<Vec<EventRef<'_>>, _> = postcard::from_bytes(bytes);
                let read = read.ok().map(|all| format!("{all:?}"));
                let quick = Reader { bytes }.events().map(|all| format!("{all:?}"));
                prop_assert!(quick.is_none() || quick == read, "{:?} {:?}", quick, read);
            }
        }
    }

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

//! What was sent and could not be taken, with the reason: the newest of it, and how much there was.

use super::State;
use features::table::Cell;
use imbl::OrdMap;
use raft::Position;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Letters kept. A new one takes the place of the oldest, in the warehouse too.
const KEPT: u64 = 4_096;
/// Bytes kept of what was sent.
pub const PAYLOAD_BYTES_KEPT: usize = 1_024;
/// Bytes kept of a reason and of a source.
const WORDS_BYTES_MAX: usize = 256;

/// Something that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Where it came in: `mqtt`, `http`, `grpc` or `feed`.
    pub door: String,
    /// A topic, a feed, a sender.
    pub source: String,
    pub reason: String,
    /// The first [`PAYLOAD_BYTES_KEPT`] bytes, as text.
    pub payload: String,
    /// How many there were.
    pub bytes: u64,
    /// Of all of it, so that a repeat is known.
    id: u128,
}

impl DeadLetter {
    pub fn new(door: &str, source: &str, reason: &str, payload: &[u8]) -> Self {
        Self::cut_short(door, source, reason, (payload, payload.len() as u64))
    }

    /// A letter of which only the beginning was looked at.
    pub fn cut_short(
        door: &str,
        source: &str,
        reason: &str,
        (payload, bytes): (&[u8], u64),
    ) -> Self {
        let mut hash = Sha256::new();
        for part in [door.as_bytes(), source.as_bytes(), payload] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(bytes.to_le_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        let kept = payload.get(..PAYLOAD_BYTES_KEPT).unwrap_or(payload);
        Self {
            door: door.to_owned(),
            source: first_bytes(source, WORDS_BYTES_MAX),
            reason: first_bytes(reason, WORDS_BYTES_MAX),
            payload: first_bytes(&String::from_utf8_lossy(kept), PAYLOAD_BYTES_KEPT),
            bytes,
            id: u128::from_le_bytes(id),
        }
    }
}

fn first_bytes(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// A letter and how often it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLetter {
    pub letter: DeadLetter,
    pub times: u64,
    pub first_us: i64,
    pub last_us: i64,
    pub log_index: u64,
}

/// The newest letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    kept: OrdMap<u64, Arc<KeptLetter>>,
    number_of: OrdMap<u128, u64>,
    next: u64,
    /// All there ever were, by their door.
    counts: OrdMap<String, u64>,
}

impl DeadLetters {
    /// Newest first.
    pub fn newest(&self) -> impl Iterator<Item = (u64, &KeptLetter)> {
        self.kept.iter().rev().map(|(number, kept)| (*number, &**kept))
    }

    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(door, count)| (door.as_str(), *count))
    }

    /// The number of the letter that this one is now, and what is kept of it.
    fn keep(&mut self, letter: DeadLetter, now_us: i64, log_index: u64) -> (u64, Arc<KeptLetter>) {
        *self.counts.entry(letter.door.clone()).or_default() += 1;
        let known = self.number_of.get(&letter.id).copied();
        if let Some((number, kept)) =
            known.and_then(|number| Some((number, self.kept.get(&number)?)))
        {
            let times = kept.times + 1;
            let kept = Arc::new(KeptLetter {
                times,
                last_us: now_us,
                log_index,
                ..KeptLetter::clone(kept)
            });
            self.kept.insert(number, Arc::clone(&kept));
            return (number, kept);
        }
        let number = self.next;
        self.next += 1;
        if let Some(oldest) = number.checked_sub(KEPT).and_then(|old| self.kept.remove(&old)) {
            self.number_of.remove(&oldest.letter.id);
        }
        self.number_of.insert(letter.id, number);
        let (times, first_us, last_us) = (1, now_us, now_us);
        let kept = Arc::new(KeptLetter { letter, times, first_us, last_us, log_index });
        self.kept.insert(number, Arc::clone(&kept));
        (number, kept)
    }

    /// Rows of `dead_letter`.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Vec<Cell>> {
        self.kept.iter().map(|(number, kept)| row(*number, kept))
    }
}

fn row(number: u64, kept: &KeptLetter) -> Vec<Cell> {
    let KeptLetter { letter, times, first_us, last_us, log_index } = kept;
    vec![
        // A place of a ring: what comes later takes it.
        Cell::Int((number % KEPT) as i64),
        Cell::text(letter.door.clone()),
        Cell::text(letter.source.clone()),
        Cell::text(letter.reason.clone()),
        Cell::text(letter.payload.clone()),
        Cell::Int(letter.bytes as i64),
        Cell::Int(*times as i64),
        Cell::Time(*first_us),
        Cell::Time(*last_us),
        Cell::Int(*log_index as i64),
    ]
}

impl State {
    pub(crate) fn keep_letter(&mut self, at: Position, letter: DeadLetter) {
        let (number, kept) = self.dead_letters.keep(letter, self.clock_us, at.index);
        self.upsert_current("dead_letter", row(number, &kept));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_a_repeat_is_counted() {
        let mut letters = DeadLetters::default();
        for at in 0..KEPT + 10 {
            letters.keep(DeadLetter::new("mqtt", "t", "bad", at.to_string().as_bytes()), 1, at);
        }
        let (number, kept) = letters.keep(DeadLetter::new("mqtt", "t", "bad", b"4100"), 9, 5_000);
        assert_eq!((number, kept.times, kept.first_us, kept.last_us), (4_100, 2, 1, 9));
        // The first was forgotten, so it is new again.
        assert_eq!(letters.keep(DeadLetter::new("mqtt", "t", "bad", b"0"), 9, 5_001).1.times, 1);
        assert_eq!(letters.kept.len() as u64, KEPT);
        assert_eq!(letters.number_of.len() as u64, KEPT);
        assert_eq!(letters.counts().collect::<Vec<_>>(), [("mqtt", KEPT + 12)]);
        assert_eq!(letters.newest().next().unwrap().1.letter.payload, "0");
    }

    #[test]
    fn what_is_kept_of_a_letter_is_bounded() {
        let long = "长".repeat(2_000);
        let letter = DeadLetter::new("http", &long, &long, long.as_bytes());
        assert!(letter.reason.len() <= WORDS_BYTES_MAX && letter.source.len() <= WORDS_BYTES_MAX);
        assert!(letter.payload.len() <= PAYLOAD_BYTES_KEPT);
        assert_eq!(letter.bytes, 6_000);
        assert_ne!(letter, DeadLetter::new("http", &long, &long, &long.as_bytes()[..5_997]));
    }
}

//! Which events were counted already, by a 128-bit hash of (source, event id).
//!
//! The memory is bounded: the newest [`Dedup::HORIZON_EVENTS`] accepted events are remembered. A sender
//! that repeats an event after that many others is counted again; the horizon is stated in README.md.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::sync::Arc;

/// The set is kept in so many parts, so that none takes long when it grows; and so that a full one fills
/// seven tenths of 4,096 places.
const PARTS: usize = 1400;
/// What is hashed in one piece.
const TEXT_BYTES: usize = 96;
/// Keys in one stretch of the order.
const STRETCH: usize = 4096;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<u128>", into = "Vec<u128>")]
pub struct Dedup {
    seen: Vec<Part>,
    order: Order,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { seen: vec![Part::default(); PARTS], order: Order::default() }
    }
}

/// Places that are looked at together: a line of a processor's cache.
const BUCKET: usize = 16;
/// A place has so many bits of a key's number, and above them ten of the key; 0 where it is free.
const NUMBER_BITS: u32 = 22;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;
const _: () = assert!(Dedup::HORIZON_EVENTS < NUMBER_MASK as usize);

/// Where keys stand in the order, by their hashes. A key is in one of two buckets, the one that was
/// emptier: so they fill evenly, and nothing is ever moved to make room or left behind by what goes.
#[derive(Clone, Debug, Default)]
struct Part {
    buckets: Vec<[u32; BUCKET]>,
}

impl Part {
    fn buckets_of(&self, key: u128) -> [usize; 2] {
        let mask = self.buckets.len().wrapping_sub(1);
        [key as usize & mask, (key >> 20) as usize & mask]
    }

    /// Whether the key of a number that may be this one is.
    #[inline]
    fn holds(&self, key: u128, is_it: impl Fn(u32) -> bool) -> bool {
        let tag = tag_of(key);
        let is_here = |at: usize| {
            let bucket = self.buckets.get(at);
            bucket.is_some_and(|all| {
                all.iter().any(|place| place >> NUMBER_BITS == tag && is_it(place & NUMBER_MASK))
            })
        };
        let [one, other] = self.buckets_of(key);
        is_here(one) || is_here(other)
    }

    /// Puts a key that is not there in its place; false where there is no room.
    fn put(&mut self, key: u128, number: u32) -> bool {
        let free = |at: &usize| {
            let bucket = self.buckets.get(*at);
            bucket.map_or(0, |all| all.iter().filter(|place| **place == 0).count())
        };
        let emptier = self.buckets_of(key).into_iter().rev().max_by_key(free);
        let bucket = emptier.and_then(|at| self.buckets.get_mut(at));
        let place = bucket.and_then(|all| all.iter_mut().find(|place| **place == 0));
        let Some(place) = place else { return false };
        *place = tag_of(key) << NUMBER_BITS | number & NUMBER_MASK;
        true
    }

    fn take(&mut self, key: u128, number: u32) {
        let wanted = tag_of(key) << NUMBER_BITS | number & NUMBER_MASK;
        for at in self.buckets_of(key) {
            let bucket = self.buckets.get_mut(at);
            if let Some(place) = bucket.and_then(|all| all.iter_mut().find(|it| **it == wanted)) {
                *place = 0;
                return;
            }
        }
    }

    /// [`Part::put`], in twice as many buckets where that is needed.
    fn put_growing(&mut self, key: u128, number: u32, order: &Order) {
        while !self.put(key, number) {
            let wanted = (2 * self.buckets.len()).max(1);
            let old = std::mem::replace(&mut self.buckets, vec![[0; BUCKET]; wanted]);
            for number in old.iter().flatten().filter(|place| **place != 0) {
                let number = number & NUMBER_MASK;
                if let Some(key) = order.get(number) {
                    self.put_growing(key, number, order);
                }
            }
        }
    }
}

/// Bits of a key that say neither its part nor its buckets; never 0.
fn tag_of(key: u128) -> u32 {
    const TAGS: u32 = (1 << (u32::BITS - NUMBER_BITS)) - 1;
    1 + (key >> 40) as u32 % TAGS
}

impl PartialEq for Dedup {
    fn eq(&self, other: &Self) -> bool {
        self.order.iter().eq(other.order.iter())
    }
}

/// The keys in the order in which they came. Copies share the stretches, of which only the last is
/// ever written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    stretches: VecDeque<Arc<Vec<u128>>>,
    /// How many keys of the first stretch are forgotten.
    forgotten: usize,
    len: usize,
    /// The number of the oldest key. They go up by one and around, and are told apart by their lowest
    /// [`NUMBER_BITS`].
    first: u32,
}

impl Order {
    /// The number that the next key will have.
    fn next(&self) -> u32 {
        self.first.wrapping_add(self.len as u32)
    }

    /// The key of a number, of which the lowest bits are enough.
    #[inline]
    fn get(&self, number: u32) -> Option<u128> {
        let at = self.forgotten + (number.wrapping_sub(self.first) & NUMBER_MASK) as usize;
        self.stretches.get(at / STRETCH)?.get(at % STRETCH).copied()
    }

    fn push(&mut self, key: u128) {
        if self.stretches.back().is_none_or(|last| last.len() == STRETCH) {
            self.stretches.push_back(Arc::new(Vec::with_capacity(STRETCH)));
        }
        if let Some(last) = self.stretches.back_mut() {
            Arc::make_mut(last).push(key);
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<u128> {
        let key = *self.stretches.front()?.get(self.forgotten)?;
        self.forgotten += 1;
        self.len -= 1;
        self.first = self.first.wrapping_add(1);
        if self.forgotten == STRETCH {
            self.stretches.pop_front();
            self.forgotten = 0;
        }
        Some(key)
    }

    /// The key that will be popped after so many others.
    fn ahead(&self, others: usize) -> Option<u128> {
        let at = self.forgotten + others;
        self.stretches.get(at / STRETCH)?.get(at % STRETCH).copied()
    }

    fn iter(&self) -> impl Iterator<Item = u128> {
        self.stretches.iter().flat_map(|stretch| stretch.iter().copied()).skip(self.forgotten)
    }
}

impl Serialize for Order {
    /// As `Dedup` itself.
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq as _;
        let mut keys = to.serialize_seq(Some(self.len))?;
        for key in self.iter() {
            keys.serialize_element(&key)?;
        }
        keys.end()
    }
}

impl Dedup {
    /// At most this many event keys are remembered (16 bytes each, and 5 in the set).
    pub const HORIZON_EVENTS: usize = 4_000_000;

    /// True the first time; false for a repeat within the horizon.
    pub fn admit(&mut self, source: &str, event_id: &str) -> bool {
        self.admit_key(fingerprint(source, event_id))
    }

    /// [`Dedup::admit`] by the event's [`fingerprint`].
    pub(crate) fn admit_key(&mut self, key: u128) -> bool {
        if !self.remember(key) {
            return false;
        }
        let number = self.order.first;
        if self.order.len > Self::HORIZON_EVENTS
            && let Some(oldest) = self.order.pop()
            && let Some(part) = self.seen.get_mut(part_of(oldest))
        {
            part.take(oldest, number);
        }
        true
    }

    fn remember(&mut self, key: u128) -> bool {
        let Self { seen, order } = self;
        let Some(part) = seen.get_mut(part_of(key)) else { return false };
        if part.holds(key, |number| order.get(number) == Some(key)) {
            return false;
        }
        part.put_growing(key, order.next(), order);
        order.push(key);
        true
    }

    /// Looks at where a key would stand, and where the one stands that goes after `accepted` more, so
    /// that [`Dedup::admit_key`] need not wait for memory. Gives something that depends on both.
    pub(crate) fn warm(&self, key: u128, accepted: usize) -> bool {
        let oldest = if self.order.len + accepted >= Self::HORIZON_EVENTS {
            self.order.ahead(accepted)
        } else {
            None
        };
        self.holds(key) ^ oldest.is_some_and(|oldest| self.holds(oldest))
    }

    fn holds(&self, key: u128) -> bool {
        let part = self.seen.get(part_of(key));
        part.is_some_and(|part| part.holds(key, |number| self.order.get(number) == Some(key)))
    }

    /// The keys in their order, which says all there is; as cheap as a copy of a thousand handles.
    pub(crate) fn freeze(&self) -> Order {
        self.order.clone()
    }

    pub fn len(&self) -> usize {
        self.order.len
    }

    pub fn is_empty(&self) -> bool {
        self.order.len == 0
    }
}

/// By the upper half: the lower one places the key within its part. Keys are random already.
fn part_of(key: u128) -> usize {
    (key >> 64) as usize % PARTS
}

/// 128 bits of SHA-256, since senders are not trusted: whoever could make two events collide would
/// make one of them vanish. A processor has instructions for it.
pub(crate) fn fingerprint(source: &str, event_id: &str) -> u128 {
    // The length keeps ("a", "bc") and ("ab", "c") apart.
    let length = (source.len() as u64).to_le_bytes();
    let (from, to) = (length.len() + source.len(), length.len() + source.len() + event_id.len());
    let mut text = [0; TEXT_BYTES];
    let digest = if let Some(text) = text.get_mut(..to) {
        // Usual names fit one block: it is hashed at once.
        text[..length.len()].copy_from_slice(&length);
        text[length.len()..from].copy_from_slice(source.as_bytes());
        text[from..].copy_from_slice(event_id.as_bytes());
        Sha256::digest(text)
    } else {
        let mut hash = Sha256::new();
        hash.update(length);
        hash.update(source);
        hash.update(event_id);
        hash.finalize()
    };
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(first)
}

impl From<Vec<u128>> for Dedup {
    fn from(order: Vec<u128>) -> Self {
        let mut dedup = Self::default();
        for key in order {
            dedup.remember(key);
        }
        dedup
    }
}

impl From<Dedup> for Vec<u128> {
    fn from(dedup: Dedup) -> Self {
        dedup.order.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_seen_and_the_pair_is_the_key() {
        let mut dedup = Dedup::default();
        assert!(dedup.admit("a", "bc"));
        assert!(!dedup.admit("a", "bc"));
        assert!(dedup.admit("ab", "c"));
        let again = Dedup::from(Vec::from(dedup.clone()));
        assert_eq!(again, dedup);
    }

    /// A snapshot of an older program has the same keys.
    #[test]
    fn short_and_long_names_are_hashed_alike() {
        for (source, id) in [("", ""), ("a", "bc"), ("gateway-7", "e-000000000001")] {
            for times in [1, 4, 9] {
                let (source, id) = (source.repeat(times), id.repeat(times));
                let length = (source.len() as u64).to_le_bytes();
                let whole = [&length[..], source.as_bytes(), id.as_bytes()].concat();
                let mut first = [0; 16];
                first.copy_from_slice(&Sha256::digest(&whole)[..16]);
                assert_eq!(fingerprint(&source, &id), u128::from_le_bytes(first));
            }
        }
    }

    /// Numbers go around, and a set that has forgotten as many as it holds finds the same keys.
    #[test]
    fn numbers_go_around_and_every_key_is_found_by_its_own() {
        let mut dedup = Dedup::default();
        dedup.order.first = u32::MAX - 3_000;
        let key = |at: u32| fingerprint("s", &at.to_string());
        for at in 0..20_000 {
            assert!(dedup.admit_key(key(at)) && !dedup.admit_key(key(at)), "{at}");
            if at >= 7_000 {
                let (number, oldest) = (dedup.order.first, dedup.order.pop().unwrap());
                assert_eq!(oldest, key(at - 7_000));
                dedup.seen[part_of(oldest)].take(oldest, number);
                assert!(!dedup.holds(oldest) && dedup.holds(key(at - 6_999)));
            }
        }
        assert_eq!(dedup.len(), 7_000);
        let places = dedup.seen.iter().flat_map(|part| part.buckets.iter().flatten());
        assert_eq!(places.filter(|place| **place != 0).count(), 7_000);
    }

    /// One part as full as it is of a full horizon, and a little more, while keys come and go: it never
    /// needs more than 4,096 places.
    #[test]
    fn a_part_that_is_written_for_ever_does_not_grow() {
        let full = Dedup::HORIZON_EVENTS / PARTS;
        // So many more than usual are in one part of thirty thousand.
        let full = full + 4 * full.isqrt();
        let (mut part, mut order) = (Part::default(), Order::default());
        for turn in 0..40 * full {
            let key = fingerprint("s", &turn.to_string());
            part.put_growing(key, order.next(), &order);
            order.push(key);
            if turn >= full {
                let number = order.first;
                let oldest = order.pop().unwrap();
                assert!(part.holds(oldest, |each| each == number & NUMBER_MASK));
                part.take(oldest, number);
            }
        }
        assert_eq!(part.buckets.len() * BUCKET, 4_096);
    }

    #[test]
    fn the_oldest_is_forgotten_and_a_copy_keeps_it() {
        let mut order = Order::default();
        for key in 0..2 * STRETCH as u128 + 5 {
            order.push(key);
        }
        let copy = order.clone();
        for key in 0..STRETCH as u128 + 3 {
            assert_eq!(order.ahead(5), Some(key + 5));
            assert_eq!(order.pop(), Some(key));
        }
        order.push(7);
        let from = STRETCH as u128 + 3;
        assert!(order.iter().eq((from..2 * STRETCH as u128 + 5).chain([7])));
        assert_eq!((order.len, order.iter().count()), (STRETCH + 3, STRETCH + 3));
        assert!(copy.iter().eq(0..2 * STRETCH as u128 + 5));
        let bytes = postcard::to_stdvec(&order).unwrap();
        let dedup: Dedup = postcard::from_bytes(&bytes).unwrap();
        assert!(dedup.order.iter().eq(order.iter()));
        assert_eq!(postcard::to_stdvec(&dedup).unwrap(), bytes);
    }
}

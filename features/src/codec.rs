//! The store as bytes, for snapshots and for the hash that replicas compare.
//!
//! Entities keep the order of first sight, which the log gives and a restored replica must go on
//! with. Everything else is in the one form that readings and log time determine: how far a replica
//! has come with compaction cannot be seen.

use sha2::{Digest, Sha256};

use crate::aggregate::Reading;
use crate::ahead::{AHEAD_MAX, Ahead, Owner};
use crate::entity::EntityKind;
use crate::kind::Kind;
use crate::packed::Packed;
use crate::roster::{ENTITIES_MAX, FrozenRoster, Roster};
use crate::series::Series;
use crate::store::Store;
use crate::varint;

/// The version byte that stands before a stored store.
const STORE_VERSION: u8 = 2;
/// What came before knew no applications.
const WITHOUT_APPLICATIONS: u8 = 1;

/// Why a stored store cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error(
        "the stored features have version {0}, this program reads {STORE_VERSION}: use the program that wrote them"
    )]
    Version(u8),
    #[error("the stored features are damaged at byte {0}: take another snapshot")]
    Damaged(usize),
}

/// A store as it was at one moment. It shares everything with the store, which copies what it
/// changes from then on; so freezing costs next to nothing, and writing can take its time.
#[derive(Clone, Debug)]
pub struct FrozenStore {
    now_us: i64,
    rosters: [FrozenRoster; EntityKind::ALL.len()],
    ahead: Ahead,
}

impl Store {
    /// The store as it is now.
    pub fn freeze(&self) -> FrozenStore {
        FrozenStore {
            now_us: self.now_us,
            rosters: self.rosters.each_ref().map(Roster::freeze),
            ahead: self.ahead.clone(),
        }
    }

    /// Appends the store to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.freeze().write(out);
    }

    /// SHA-256 of what [`Store::write`] gives.
    pub fn hash(&self) -> [u8; 32] {
        self.freeze().hash()
    }

    /// The store that [`Store::write`] gave these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut input = Input { bytes, at: 0 };
        let store = input.store();
        match store {
            Err(Stop::Version(version)) => Err(CodecError::Version(version)),
            Ok(store) if input.at == bytes.len() => Ok(store),
            _ => Err(CodecError::Damaged(input.at)),
        }
    }
}

impl FrozenStore {
    /// Appends the store to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.each_part(|part| out.extend_from_slice(part));
    }

    /// SHA-256 of what [`FrozenStore::write`] gives.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        self.each_part(|part| hash.update(part));
        hash.finalize().into()
    }

    /// Hands out the bytes of [`FrozenStore::write`] a part at a time.
    pub fn each_part(&self, mut take: impl FnMut(&[u8])) {
        let mut part = vec![STORE_VERSION];
        varint::put_signed(&mut part, self.now_us);
        for roster in &self.rosters {
            varint::put(&mut part, roster.keys.len() as u128);
            for (key, series) in roster.keys.iter().zip(roster.series.iter()) {
                put_text(&mut part, key);
                put_series(&mut part, series, self.now_us);
                take(&part);
                part.clear();
            }
        }
        varint::put(&mut part, self.ahead.len() as u128);
        for (owner, reading) in self.ahead.iter() {
            part.push(owner.entity as u8);
            varint::put(&mut part, u128::from(owner.slot));
            part.push(owner.kind.code());
            put_reading(&mut part, reading);
        }
        take(&part);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    varint::put(out, text.len() as u128);
    out.extend_from_slice(text.as_bytes());
}

fn put_reading(out: &mut Vec<u8>, reading: Reading) {
    varint::put_signed(out, reading.at_us);
    varint::put_signed(out, reading.value);
}

fn put_series(out: &mut Vec<u8>, all: &[Series], now_us: i64) {
    out.push(all.len() as u8);
    for series in all {
        let (lifetime, last, tiles) = series.stored(now_us);
        out.push(series.kind().code());
        varint::put(out, u128::from(lifetime));
        put_reading(out, last);
        varint::put(out, tiles.as_bytes().len() as u128);
        out.extend_from_slice(tiles.as_bytes());
    }
}

/// Why reading stopped.
enum Stop {
    Damaged,
    Version(u8),
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn store(&mut self) -> Result<Store, Stop> {
        let version = self.byte()?;
        let kinds = match version {
            STORE_VERSION => EntityKind::ALL.len(),
            WITHOUT_APPLICATIONS => EntityKind::Application as usize,
            _ => return Err(Stop::Version(version)),
        };
        let mut store = Store::new();
        store.now_us = self.signed()?;
        for roster in store.rosters.iter_mut().take(kinds) {
            self.roster(roster)?;
        }
        for _ in 0..self.count(AHEAD_MAX)? {
            let entity =
                EntityKind::ALL.get(usize::from(self.byte()?)).copied().ok_or(Stop::Damaged)?;
            let slot = self.count(ENTITIES_MAX)?;
            let kind = self.kind()?;
            let reading = self.reading()?;
            if slot >= store.rosters[entity as usize].len() || reading.at_us <= store.now_us {
                return Err(Stop::Damaged);
            }
            store.ahead.hold(Owner { entity, slot: slot as u32, kind }, reading);
        }
        Ok(store)
    }

    fn roster(&mut self, roster: &mut Roster) -> Result<(), Stop> {
        for slot in 0..self.count(ENTITIES_MAX)? {
            let bytes = self.sized()?;
            let key = std::str::from_utf8(bytes).map_err(|_| Stop::Damaged)?;
            if roster.intern(key) != Some(slot) {
                return Err(Stop::Damaged);
            }
            let mut before = None;
            for _ in 0..self.byte()? {
                let kind = self.kind()?;
                // Series are in the order of their kinds, each once.
                if before.replace(kind).is_some_and(|before| before >= kind) {
                    return Err(Stop::Damaged);
                }
                let lifetime = varint::take_u32(self.bytes, &mut self.at).ok_or(Stop::Damaged)?;
                let last = self.reading()?;
                let tiles = Packed::from_bytes(self.sized()?).ok_or(Stop::Damaged)?;
                roster.restore(slot, Series::restored(kind, lifetime, last, tiles));
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = self.bytes.get(self.at).copied().ok_or(Stop::Damaged)?;
        self.at += 1;
        Ok(byte)
    }

    fn kind(&mut self) -> Result<Kind, Stop> {
        Kind::from_code(self.byte()?).ok_or(Stop::Damaged)
    }

    fn signed(&mut self) -> Result<i64, Stop> {
        varint::take_signed(self.bytes, &mut self.at).ok_or(Stop::Damaged)
    }

    fn count(&mut self, max: usize) -> Result<usize, Stop> {
        let count = varint::take_u64(self.bytes, &mut self.at).ok_or(Stop::Damaged)?;
        usize::try_from(count).ok().filter(|count| *count <= max).ok_or(Stop::Damaged)
    }

    fn reading(&mut self) -> Result<Reading, Stop> {
        Ok(Reading { at_us: self.signed()?, value: self.signed()? })
    }

    fn sized(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.count(self.bytes.len())?;
        let end = self.at.checked_add(length).ok_or(Stop::Damaged)?;
        let sized = self.bytes.get(self.at..end).ok_or(Stop::Damaged)?;
        self.at = end;
        Ok(sized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{HOUR_US, MINUTE_US};

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn store() -> Store {
        let mut store = Store::new();
        store.advance(NOW_US);
        for step in 0..50 {
            let kind = Kind::ALL[step as usize % 3];
            store.record(
                EntityKind::Device,
                &format!("d-{}", step % 7),
                kind,
                NOW_US - step * HOUR_US,
                step as f64,
            );
        }
        store.record(EntityKind::Resident, "居民", Kind::Sos, NOW_US + MINUTE_US, 1.5);
        store
    }

    #[test]
    fn a_store_survives_its_bytes() {
        let mut bytes = vec![7];
        store().write(&mut bytes);
        let mut restored = Store::from_bytes(&bytes[1..]).unwrap();
        assert_eq!(restored.hash(), store().hash());
        assert!(restored.entities(EntityKind::Device).eq(store().entities(EntityKind::Device)));
        assert_eq!(restored.ahead_count(), 1);
        restored.advance(NOW_US + MINUTE_US);
        assert_ne!(restored.hash(), store().hash());
        let mut same = store();
        same.advance(NOW_US + MINUTE_US);
        assert_eq!(restored.hash(), same.hash());
    }

    #[test]
    fn damage_is_told_from_another_version() {
        let mut bytes = Vec::new();
        store().write(&mut bytes);
        for end in 0..bytes.len() {
            assert!(
                matches!(Store::from_bytes(&bytes[..end]), Err(CodecError::Damaged(_))),
                "{end}"
            );
        }
        bytes.push(0);
        assert!(matches!(Store::from_bytes(&bytes), Err(CodecError::Damaged(_))));
        bytes[0] = 9;
        assert_eq!(Store::from_bytes(&bytes).err(), Some(CodecError::Version(9)));
    }

    #[test]
    fn any_single_wrong_byte_is_read_or_refused() {
        let mut bytes = Vec::new();
        store().write(&mut bytes);
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x55;
            let _ = Store::from_bytes(&wrong);
        }
    }
}

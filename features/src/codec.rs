//! The store as bytes, for snapshots and for the hash that replicas compare.
//!
//! Entities keep the order of first sight, which the log gives and a restored replica must go on
//! with. Everything else is in the one form that readings and log time determine: how far a replica
//! has come with compaction cannot be seen.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::ahead::{AHEAD_MAX, Ahead, Owner};
use crate::bundle::{Bundle, TILE_BYTES_MAX, VALUE_MAX_MICROS};
use crate::demands::{Demand, Demands};
use crate::entity::EntityKind;
use crate::kind::Kind;
use crate::part::Part;
use crate::roster::{ENTITIES_MAX, FrozenRoster, Roster};
use crate::series::{Head, Series, are_tiles};
use crate::store::{Store, demand_of};
use crate::summary::Reading;
use crate::topic::Topic;
use crate::varint;
use crate::window::Window;
use crate::zones::{Reach, Zones};

/// The version byte that stands before a stored store.
const STORE_VERSION: u8 = 4;
/// The one before knew no counts alone; all that it wrote still means the same.
const STORE_VERSION_BEFORE: u8 = 3;
/// How many demands there may be: every place of every entity kind.
const DEMANDS_MAX: usize = EntityKind::ALL.len() * (Kind::ALL.len() + 1) * Part::ALL.len();

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
    demands: Arc<Demands>,
    rosters: [FrozenRoster; EntityKind::ALL.len()],
    ahead: Ahead,
}

impl Store {
    /// The store as it is now.
    pub fn freeze(&self) -> FrozenStore {
        FrozenStore {
            now_us: self.now_us,
            demands: Arc::clone(&self.demands),
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
        put_demands(&mut part, &self.demands);
        let zones = Zones::at(self.now_us);
        for (entity, roster) in EntityKind::ALL.into_iter().zip(&self.rosters) {
            varint::put(&mut part, roster.keys.len() as u128);
            for (key, series) in roster.keys.texts().zip(roster.series.iter()) {
                put_text(&mut part, key);
                put_series(&mut part, series, &zones, (&self.demands, entity));
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

fn put_demands(out: &mut Vec<u8>, demands: &Demands) {
    out.push(demands.generation());
    varint::put(out, demands.iter().count() as u128);
    for ((entity, topic, part), demand) in demands.iter() {
        out.extend([*entity as u8, topic.code(), *part as u8, demand.generation]);
        varint::put_signed(out, demand.since_us);
        let (kept, since_min) = demand.reach.parts();
        out.push(kept);
        for since in since_min {
            varint::put_signed(out, *since);
        }
    }
}

fn put_series(
    out: &mut Vec<u8>,
    all: &Bundle,
    zones: &Zones,
    (demands, entity): (&Demands, EntityKind),
) {
    let kept = |series: &Series<'_>| demand_of(demands, entity, series);
    out.push(all.iter().filter(|series| kept(series).is_some()).count() as u8);
    for series in all.iter() {
        let Some(demand) = kept(&series) else { continue };
        let series = series.pruned(zones, &demand.reach);
        let (topic, part) = series.place();
        out.extend([topic.code(), part as u8]);
        varint::put(out, u128::from(series.lifetime()));
        put_reading(out, series.head.last);
        varint::put(out, series.tiles.len() as u128);
        out.extend_from_slice(&series.tiles);
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
        if !(STORE_VERSION_BEFORE..=STORE_VERSION).contains(&version) {
            return Err(Stop::Version(version));
        }
        let now_us = self.signed()?;
        let demands = Arc::new(self.demands()?);
        let mut store = Store::demanding(Arc::clone(&demands));
        store.now_us = now_us;
        store.zones = Zones::at(now_us);
        for (entity, roster) in EntityKind::ALL.into_iter().zip(&mut store.rosters) {
            self.roster(roster, &|(topic, part)| demands.get((entity, topic, part)).copied())?;
        }
        for _ in 0..self.count(AHEAD_MAX)? {
            let entity = self.entity()?;
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

    fn demands(&mut self) -> Result<Demands, Stop> {
        let generation = self.byte()?;
        let mut all = BTreeMap::new();
        for _ in 0..self.count(DEMANDS_MAX)? {
            let entity = self.entity()?;
            let (topic, part) = self.place()?;
            let generation = self.byte()?;
            let since_us = self.signed()?;
            let kept = self.byte()?;
            let mut since_min = [0; Window::ALL.len()];
            for since in since_min.iter_mut().take(Reach::windows_of(kept)) {
                *since = self.signed()?;
            }
            let reach = Reach::from_parts(kept, since_min).ok_or(Stop::Damaged)?;
            all.insert((entity, topic, part), Demand { reach, since_us, generation });
        }
        Ok(Demands::with(all, generation))
    }

    fn roster(
        &mut self,
        roster: &mut Roster,
        demand: &dyn Fn((Topic, Part)) -> Option<Demand>,
    ) -> Result<(), Stop> {
        for slot in 0..self.count(ENTITIES_MAX)? {
            let bytes = self.sized()?;
            let key = std::str::from_utf8(bytes).map_err(|_| Stop::Damaged)?;
            if roster.intern(key) != Some(slot) {
                return Err(Stop::Damaged);
            }
            let mut before = None;
            for _ in 0..self.byte()? {
                let place = self.place()?;
                // Series are in the order of their places, each once.
                if before.replace(place).is_some_and(|before| before >= place) {
                    return Err(Stop::Damaged);
                }
                let demand = demand(place).ok_or(Stop::Damaged)?;
                let lifetime = varint::take_u32(self.bytes, &mut self.at).ok_or(Stop::Damaged)?;
                let last = self.reading()?;
                let tiles = self.sized()?;
                let is_small = tiles.len() <= TILE_BYTES_MAX
                    && (lifetime == 0 || last.value.unsigned_abs() <= VALUE_MAX_MICROS as u64);
                if !is_small || !are_tiles(place.1, tiles) {
                    return Err(Stop::Damaged);
                }
                let head = Head { last, lifetime, ..Head::new(place, demand.generation) };
                roster.restore(slot, &Series { head, tiles: Cow::Borrowed(tiles) });
            }
        }
        Ok(())
    }

    fn entity(&mut self) -> Result<EntityKind, Stop> {
        EntityKind::ALL.get(usize::from(self.byte()?)).copied().ok_or(Stop::Damaged)
    }

    fn place(&mut self) -> Result<(Topic, Part), Stop> {
        let topic = Topic::from_code(self.byte()?).ok_or(Stop::Damaged)?;
        Ok((topic, Part::from_code(self.byte()?).ok_or(Stop::Damaged)?))
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
                NOW_US - step * HOUR_US / 2,
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

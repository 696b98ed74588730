//! Keys as small numbers, given in the order of first sight and never taken back.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use hashbrown::HashTable;

/// Keys in one stretch of text.
const STRETCH_KEYS: usize = 1024;

/// Keys by number. Copies share the stretches, of which only the last is ever written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    stretches: Vec<Arc<Stretch>>,
    len: usize,
    bytes: usize,
}

/// Some keys, end to end.
#[derive(Clone, Debug, Default)]
struct Stretch {
    text: String,
    /// Where each key ends in `text`.
    ends: Vec<u32>,
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The key of a number that was given.
    pub(crate) fn get(&self, slot: usize) -> &str {
        let Some(stretch) = self.stretches.get(slot / STRETCH_KEYS) else { return "" };
        let at = slot % STRETCH_KEYS;
        let from = at.checked_sub(1).and_then(|before| stretch.ends.get(before)).copied();
        let to = stretch.ends.get(at).copied().unwrap_or(0);
        stretch.text.get(from.unwrap_or(0) as usize..to as usize).unwrap_or("")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|slot| self.get(slot))
    }

    fn push(&mut self, key: &str) -> Option<()> {
        if self.len.is_multiple_of(STRETCH_KEYS) {
            self.stretches.push(Arc::default());
        }
        let stretch = Arc::make_mut(self.stretches.last_mut()?);
        let end = u32::try_from(stretch.text.len() + key.len()).ok()?;
        stretch.text.push_str(key);
        stretch.ends.push(end);
        self.len += 1;
        self.bytes += key.len() + size_of::<u32>();
        Some(())
    }
}

/// Keys and a table that finds them. The table is never walked, and its hash has no random seed, so
/// nothing here differs between replicas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    keys: Keys,
    table: HashTable<u32>,
    hasher: BuildHasherDefault<DefaultHasher>,
}

impl Interner {
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        self.find_hashed(self.hasher.hash_one(key), key)
    }

    /// [`Interner::find`] of some keys, one behind the other: each waits for memory several times, and
    /// in a loop that does nothing else they wait together.
    pub(crate) fn find_each<'a>(
        &self,
        keys: impl Iterator<Item = &'a str> + Clone,
        hashes: &mut Vec<u64>,
        found: &mut Vec<Option<usize>>,
    ) {
        hashes.clear();
        hashes.extend(keys.clone().map(|key| self.hasher.hash_one(key)));
        found.clear();
        found.extend(hashes.iter().zip(keys).map(|(hash, key)| self.find_hashed(*hash, key)));
    }

    fn find_hashed(&self, hash: u64, key: &str) -> Option<usize> {
        self.table
            .find(hash, |slot| self.keys.get(*slot as usize) == key)
            .map(|slot| *slot as usize)
    }

    /// The slot of the key, a new one where it has none; nothing where there is no number left.
    pub(crate) fn intern(&mut self, key: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        if let Some(slot) = self.find_hashed(hash, key) {
            return Some(slot);
        }
        let slot = u32::try_from(self.keys.len()).ok()?;
        self.keys.push(key)?;
        let Self { keys, table, hasher } = self;
        table.insert_unique(hash, slot, |slot| hasher.hash_one(keys.get(*slot as usize)));
        Some(slot as usize)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.keys.bytes + self.table.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_first_sight() {
        let mut keys = Interner::default();
        let many: Vec<String> = (0..3000).map(|n| format!("居民-{n}")).collect();
        for (slot, key) in many.iter().enumerate() {
            assert_eq!(keys.find(key), None);
            assert_eq!(keys.intern(key), Some(slot));
        }
        let copy = keys.keys().clone();
        assert_eq!(keys.intern(""), Some(3000));
        assert_eq!(keys.intern(&many[3]), Some(3));
        assert!(copy.iter().eq(many.iter().map(String::as_str)));
        assert!(keys.keys().iter().take(3000).eq(copy.iter()));
        assert_eq!((keys.keys().len(), copy.len()), (3001, 3000));
    }
}

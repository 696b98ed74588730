//! Keys as small numbers, given in the order of first sight and never taken back.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use hashbrown::HashTable;

/// Keys laid end to end in one string, and a table that finds them. The table is never walked, and
/// its hash has no random seed, so nothing here differs between replicas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    text: String,
    /// Where each key ends in `text`.
    ends: Vec<u32>,
    table: HashTable<u32>,
    hasher: BuildHasherDefault<DefaultHasher>,
}

impl Interner {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn key(&self, slot: usize) -> &str {
        key_at(&self.text, &self.ends, slot)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|slot| self.key(slot))
    }

    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |slot| self.key(*slot as usize) == key).map(|slot| *slot as usize)
    }

    /// The slot of the key, a new one where it has none; nothing where the text is full.
    pub(crate) fn intern(&mut self, key: &str) -> Option<usize> {
        if let Some(slot) = self.find(key) {
            return Some(slot);
        }
        let end = u32::try_from(self.text.len() + key.len()).ok()?;
        let slot = u32::try_from(self.ends.len()).ok()?;
        self.text.push_str(key);
        self.ends.push(end);
        let Self { text, ends, table, hasher } = self;
        let hash = hasher.hash_one(key);
        table.insert_unique(hash, slot, |slot| hasher.hash_one(key_at(text, ends, *slot as usize)));
        Some(slot as usize)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.capacity()
            + self.ends.capacity() * size_of::<u32>()
            + self.table.allocation_size()
    }
}

fn key_at<'a>(text: &'a str, ends: &[u32], slot: usize) -> &'a str {
    let from = slot.checked_sub(1).map_or(0, |before| ends[before] as usize);
    &text[from..ends[slot] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_first_sight() {
        let mut keys = Interner::default();
        let many: Vec<String> = (0..1000).map(|n| format!("居民-{n}")).collect();
        for (slot, key) in many.iter().enumerate() {
            assert_eq!(keys.find(key), None);
            assert_eq!(keys.intern(key), Some(slot));
        }
        assert_eq!(keys.intern(""), Some(1000));
        assert_eq!(keys.intern(&many[3]), Some(3));
        assert!(keys.iter().take(1000).eq(many.iter().map(String::as_str)));
        assert_eq!(keys.len(), 1001);
    }
}

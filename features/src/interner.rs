//! Byte strings as small numbers, given in the order of first sight and never taken back.

use std::hint::black_box;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::key::{Key, hash_of};

/// Keys in one stretch.
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
    bytes: Vec<u8>,
    /// Where each key ends in `bytes`.
    ends: Vec<u32>,
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The key of a number that was given.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> &[u8] {
        let Some(stretch) = self.stretches.get(number / STRETCH_KEYS) else { return &[] };
        let at = number % STRETCH_KEYS;
        let from = at.checked_sub(1).and_then(|before| stretch.ends.get(before)).copied();
        let to = stretch.ends.get(at).copied().unwrap_or(0);
        stretch.bytes.get(from.unwrap_or(0) as usize..to as usize).unwrap_or_default()
    }

    /// The key, where it is a text.
    pub(crate) fn text(&self, number: usize) -> &str {
        std::str::from_utf8(self.get(number)).unwrap_or_default()
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|number| self.text(number))
    }

    fn push(&mut self, key: &[u8]) -> Option<()> {
        if self.len.is_multiple_of(STRETCH_KEYS) {
            // A full stretch never grows again: what it holds beyond its keys goes back.
            if let Some(full) = self.stretches.last_mut() {
                Arc::make_mut(full).bytes.shrink_to_fit();
            }
            self.stretches.push(Arc::default());
        }
        let stretch = Arc::make_mut(self.stretches.last_mut()?);
        let end = u32::try_from(stretch.bytes.len() + key.len()).ok()?;
        stretch.bytes.extend_from_slice(key);
        stretch.ends.push(end);
        self.len += 1;
        self.bytes += key.len() + size_of::<u32>();
        Some(())
    }

    /// What the keys take; a little less than an allocator gives for them.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes + self.stretches.len() * (size_of::<Stretch>() + 3 * size_of::<usize>())
    }
}

/// Finds the number of a key. It is never walked, and its hash has no random seed, so nothing here
/// differs between replicas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finder {
    table: HashTable<u32>,
}

impl Finder {
    #[inline]
    pub(crate) fn find(&self, keys: &Keys, key: Key<'_>) -> Option<usize> {
        let found = self.table.find(key.hash(), |at| keys.get(*at as usize) == key.bytes());
        found.map(|number| *number as usize)
    }

    /// [`Finder::find`] of some keys: each waits for memory several times, and one step at a time they
    /// wait together.
    fn find_each<'a>(
        &self,
        known: &Keys,
        keys: impl Iterator<Item = &'a [u8]> + Clone,
        hashes: &mut Vec<u64>,
        found: &mut Vec<Option<usize>>,
    ) {
        hashes.clear();
        hashes.extend(keys.clone().map(hash_of));
        found.clear();
        // What it most likely is, then where its text lies, then the text; what it is at last.
        let likely = |hash: &u64| self.table.find(*hash, |_| true).map(|number| *number as usize);
        found.extend(hashes.iter().map(likely));
        let texts = found.iter().flatten().map(|number| known.get(*number));
        let lengths: usize = texts.clone().map(<[u8]>::len).sum();
        let firsts: usize = texts.map(|text| text.first().copied().map_or(0, usize::from)).sum();
        black_box(lengths + firsts);
        for ((hash, key), found) in hashes.iter().zip(keys).zip(found) {
            *found = self.find(known, Key::hashed(key, *hash));
        }
    }

    /// Gives a key that has no number its number; nothing where there is none left.
    pub(crate) fn add(&mut self, keys: &mut Keys, key: &[u8]) -> Option<usize> {
        let number = u32::try_from(keys.len()).ok()?;
        keys.push(key)?;
        let hash = |number: &u32| hash_of(keys.get(*number as usize));
        self.table.insert_unique(hash(&number), number, hash);
        Some(number as usize)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.table.allocation_size()
    }
}

/// Texts and what finds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    keys: Keys,
    finder: Finder,
}

impl Interner {
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn find(&self, key: Key<'_>) -> Option<usize> {
        self.finder.find(&self.keys, key)
    }

    /// [`Interner::find`] of some keys.
    pub(crate) fn find_each<'a>(
        &self,
        keys: impl Iterator<Item = &'a str> + Clone,
        hashes: &mut Vec<u64>,
        found: &mut Vec<Option<usize>>,
    ) {
        self.finder.find_each(&self.keys, keys.map(str::as_bytes), hashes, found);
    }

    /// The number of the key, a new one where it has none; nothing where there is no number left.
    pub(crate) fn intern(&mut self, key: &str) -> Option<usize> {
        self.find(Key::of(key)).or_else(|| self.finder.add(&mut self.keys, key.as_bytes()))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.keys.heap_bytes() + self.finder.heap_bytes()
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
            assert_eq!(keys.find(Key::of(key)), None);
            assert_eq!(keys.intern(key), Some(slot));
        }
        let copy = keys.keys().clone();
        assert_eq!(keys.intern(""), Some(3000));
        assert_eq!(keys.intern(&many[3]), Some(3));
        assert!(copy.texts().eq(many.iter().map(String::as_str)));
        assert!(keys.keys().texts().take(3000).eq(copy.texts()));
        assert_eq!((keys.keys().len(), copy.len()), (3001, 3000));
    }
}

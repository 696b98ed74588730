//! What table functions find by one of their arguments: DuckDB calls them back without saying on whose
//! behalf.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use parking_lot::RwLock;

/// DuckDB's own chunk: a table function gives no more rows at once.
pub(super) const CHUNK_ROWS: usize = 2048;

/// Things by their keys, each for as long as somebody else holds it.
pub(super) struct Held<K, V>(RwLock<BTreeMap<K, Weak<V>>>);

impl<K: Ord, V> Held<K, V> {
    pub(super) const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    pub(super) fn hold(&self, key: K, value: &Arc<V>) {
        let mut held = self.0.write();
        held.retain(|_, value| value.strong_count() > 0);
        held.insert(key, Arc::downgrade(value));
    }

    pub(super) fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.0.read().get(key).and_then(Weak::upgrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let held = Held::<String, u8>::new();
        let one = Arc::new(1);
        held.hold("one".to_owned(), &one);
        held.hold("two".to_owned(), &Arc::new(2));
        assert_eq!(held.find("one"), Some(Arc::clone(&one)));
        assert_eq!(held.find("two"), None);
        drop(one);
        held.hold("three".to_owned(), &Arc::new(3));
        assert_eq!(held.0.read().len(), 1);
    }
}

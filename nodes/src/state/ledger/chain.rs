//! The chain: how one hash follows from another, and whether entries fit it.

use sha2::{Digest as _, Sha256};

pub type Hash = [u8; 32];

/// What stands before the first entry.
pub const ZERO: Hash = [0; 32];

/// The digest of an entry's text.
pub fn content_digest(text: &[u8]) -> Hash {
    Sha256::digest(text).into()
}

/// The hash of an entry from the one before it and its own content.
pub fn link(previous: &Hash, content: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(content);
    hash.finalize().into()
}

/// The first place where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {what}")]
pub struct Misfit {
    pub seq: u64,
    /// Which entry, in words.
    pub name: String,
    /// What does not match.
    pub what: String,
}

/// Walks a chain entry by entry.
#[derive(Clone, Debug)]
pub struct Chain {
    seq: u64,
    hash: Hash,
    entries: u64,
}

impl Chain {
    /// After `seq`, whose hash this is.
    pub fn after(seq: u64, hash: Hash) -> Self {
        Self { seq, hash, entries: 0 }
    }

    /// The last entry that fitted.
    pub fn head(&self) -> (u64, Hash) {
        (self.seq, self.hash)
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether this entry is the next one. `name` is how messages call it.
    pub fn take(
        &mut self,
        seq: u64,
        name: &str,
        content: &Hash,
        previous: &Hash,
        hash: &Hash,
    ) -> Result<(), Misfit> {
        let misfit = |what: String| Misfit { seq, name: name.to_owned(), what };
        let next = self.seq + 1;
        if seq > next {
            let gone = if seq == next + 1 {
                format!("entry {next} is missing before it")
            } else {
                format!("entries {next} to {} are missing before it", seq - 1)
            };
            return Err(misfit(gone));
        }
        if seq < next {
            return Err(misfit(format!(
                "it stands a second time, or out of its place: entry {next} is due"
            )));
        }
        if *previous != self.hash {
            return Err(misfit(format!(
                "it says that it follows hash {}, but the entry before it has {}",
                crate::hex::encode(previous),
                crate::hex::encode(&self.hash)
            )));
        }
        let made = link(previous, content);
        if made != *hash {
            return Err(misfit(format!(
                "its content gives hash {}, the ledger says {}: the content or the hash was changed",
                crate::hex::encode(&made),
                crate::hex::encode(hash)
            )));
        }
        self.seq = seq;
        self.hash = made;
        self.entries += 1;
        Ok(())
    }

    /// Whether the chain ends where it should.
    pub fn ends_at(&self, seq: u64, hash: &Hash) -> Result<(), Misfit> {
        let misfit = |what: String| {
            Err(Misfit { seq: self.seq, name: format!("the end, entry {}", self.seq), what })
        };
        if self.seq < seq {
            return misfit(format!("entries {} to {seq} are missing after it", self.seq + 1));
        }
        if self.seq > seq || self.hash != *hash {
            return misfit(format!(
                "its hash is {}, but the head of the ledger is entry {seq} with {}",
                crate::hex::encode(&self.hash),
                crate::hex::encode(hash)
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(entries: &[(u64, Hash, Hash, Hash)]) -> Result<(u64, Hash), Misfit> {
        let mut chain = Chain::after(0, ZERO);
        for (seq, content, previous, hash) in entries {
            chain.take(*seq, &format!("entry {seq}"), content, previous, hash)?;
        }
        Ok(chain.head())
    }

    fn whole(count: u64) -> Vec<(u64, Hash, Hash, Hash)> {
        let mut previous = ZERO;
        let mut all = Vec::new();
        for seq in 1..=count {
            let content = content_digest(&seq.to_le_bytes());
            let hash = link(&previous, &content);
            all.push((seq, content, previous, hash));
            previous = hash;
        }
        all
    }

    #[test]
    fn what_was_changed_is_named() {
        let good = whole(5);
        let (seq, head) = walk(&good).unwrap();
        assert_eq!((seq, head), (5, good[4].3));

        let mut changed = good.clone();
        changed[2].1[7] ^= 1;
        let said = walk(&changed).unwrap_err();
        assert_eq!(said.seq, 3);
        assert!(said.what.contains("its content gives hash"), "{said}");

        let mut removed = good.clone();
        removed.remove(2);
        assert!(walk(&removed).unwrap_err().what.contains("entry 3 is missing"));

        let mut swapped = good.clone();
        swapped.swap(1, 2);
        assert!(walk(&swapped).unwrap_err().what.contains("entry 2 is missing"));

        let mut inserted = good.clone();
        inserted.insert(2, good[1]);
        assert!(walk(&inserted).unwrap_err().what.contains("a second time"));

        let mut renumbered = good.clone();
        renumbered.swap(1, 2);
        (renumbered[1].0, renumbered[2].0) = (2, 3);
        assert!(walk(&renumbered).unwrap_err().what.contains("follows hash"));
    }

    #[test]
    fn an_end_that_is_cut_off_or_rewritten_is_seen() {
        let good = whole(3);
        let mut chain = Chain::after(0, ZERO);
        for (seq, content, previous, hash) in &good[..2] {
            chain.take(*seq, "", content, previous, hash).unwrap();
        }
        assert!(chain.ends_at(3, &good[2].3).unwrap_err().what.contains("entries 3 to 3"));
        assert!(chain.ends_at(2, &good[2].3).unwrap_err().what.contains("head of the ledger"));
        assert_eq!(chain.ends_at(2, &good[1].3), Ok(()));
    }
}

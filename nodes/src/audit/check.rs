//! Whether entries make one chain, and the first that does not fit.

use crate::proto::hearth::LedgerEntry;
use crate::state::Entry;
use crate::state::ledger::{Chain, Hash, Misfit, ZERO, content_digest};

/// Takes entries in their order.
#[derive(Debug, Default)]
pub struct Checker {
    chain: Option<Chain>,
    left_out: u64,
}

/// What was found of a chain that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub entries: u64,
    /// Of these, entries of others, of which the digest alone is there.
    pub left_out: u64,
    pub seq: u64,
    pub head: Hash,
}

impl Checker {
    /// Beginning behind `seq`, whose hash is known.
    pub fn after(seq: u64, hash: Hash) -> Self {
        Self { chain: Some(Chain::after(seq, hash)), left_out: 0 }
    }

    pub fn take(&mut self, entry: &LedgerEntry) -> Result<(), Misfit> {
        let (name, content) = read(entry)?;
        let wrong = |what: &str| Misfit {
            seq: entry.seq,
            name: name.clone(),
            what: format!("its {what} is no SHA-256"),
        };
        let previous = hash(&entry.previous_hash).ok_or_else(|| wrong("previous_hash"))?;
        let own = hash(&entry.hash).ok_or_else(|| wrong("hash"))?;
        if entry.text.is_empty() {
            self.left_out += 1;
        }
        // A part of a chain begins where its first entry says.
        let begin = || match entry.seq {
            0 | 1 => Chain::after(0, ZERO),
            seq => Chain::after(seq - 1, previous),
        };
        let chain = self.chain.get_or_insert_with(begin);
        chain.take(entry.seq, &name, &content, &previous, &own).map_err(|misfit| {
            let what = match entry.differs.as_str() {
                "" => misfit.what,
                fields => format!("{}; not as in the node's memory: {fields}", misfit.what),
            };
            Misfit { what, ..misfit }
        })
    }

    pub fn ends_at(&self, seq: u64, hash: &Hash) -> Result<(), Misfit> {
        let chain = self.chain.clone().unwrap_or_else(|| Chain::after(0, ZERO));
        chain.ends_at(seq, hash)
    }

    pub fn checked(&self) -> Checked {
        let (seq, head) = self.chain.as_ref().map_or((0, ZERO), Chain::head);
        let entries = self.chain.as_ref().map_or(0, Chain::entries);
        Checked { entries, left_out: self.left_out, seq, head }
    }
}

/// How the entry is called, and the digest of its content.
fn read(entry: &LedgerEntry) -> Result<(String, Hash), Misfit> {
    let number = format!("entry {}", entry.seq);
    let misfit = |name: &str, what: String| Misfit { seq: entry.seq, name: name.to_owned(), what };
    if !entry.error.is_empty() {
        return Err(misfit(&number, entry.error.clone()));
    }
    let given = hash(&entry.content_sha256);
    if entry.text.is_empty() {
        let content = given.ok_or_else(|| misfit(&number, "it has no content".to_owned()))?;
        return Ok((format!("{number}, of another entity"), content));
    }
    let parsed = Entry::parse(&entry.text, ZERO, ZERO);
    let parsed = parsed.map_err(|said| misfit(&number, said))?;
    let name = parsed.name();
    if parsed.seq != entry.seq {
        return Err(misfit(&name, format!("it stands in the place of entry {}", entry.seq)));
    }
    let content = content_digest(entry.text.as_bytes());
    if given.is_some_and(|given| given != content) {
        return Err(misfit(&name, "its text does not give the digest beside it".to_owned()));
    }
    Ok((name, content))
}

fn hash(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok()
}

//! The part of the ledger that stays in memory: the newest entries and the head of the chain. Older
//! entries are rows of the warehouse.

use super::chain::{Hash, ZERO, link};
use super::entry::{DecisionRecord, Entry, ReviewRecord, VERDICTS, What};
use super::outcomes::Outcomes;
use crate::state::{Refusal, Reply, State};
use imbl::{OrdMap, Vector};
use raft::Position;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Entries in memory.
const ENTRIES_MAX: usize = 4_096;
/// And the size of their texts together.
const BYTES_MAX: u64 = 16 << 20;

/// Where an entry came to stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub decision_id: String,
    pub seq: u64,
    pub hash: Hash,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The newest, oldest first, without a gap; with the size of each text.
    entries: Vector<(Arc<Entry>, u64)>,
    /// Of the entries in memory, those of each decision.
    by_decision: OrdMap<String, Vector<u64>>,
    bytes: u64,
    last_seq: u64,
    head: Hash,
    reviews: u64,
    outcomes: u64,
    pub(super) outcomes_said: Outcomes,
}

impl Ledger {
    /// The last entry's number and hash.
    pub fn head(&self) -> (u64, Hash) {
        (self.last_seq, self.head)
    }

    /// Entries that were ever written: of all kinds, reviews, outcomes.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.last_seq, self.reviews, self.outcomes)
    }

    /// An entry that is in memory.
    pub fn entry(&self, seq: u64) -> Option<&Arc<Entry>> {
        let back = usize::try_from(self.last_seq.checked_sub(seq)?).ok()?;
        let at = self.entries.len().checked_sub(back + 1)?;
        self.entries.get(at).map(|(entry, _)| entry)
    }

    /// A decision that is in memory, and all that followed from it.
    pub fn decision(&self, id: &str) -> Option<Vec<Arc<Entry>>> {
        let seqs = self.by_decision.get(id)?;
        let entries: Vec<Arc<Entry>> =
            seqs.iter().filter_map(|seq| self.entry(*seq)).cloned().collect();
        entries.first()?.decision()?;
        Some(entries)
    }

    fn push(&mut self, entry: Entry, size: u64) {
        (self.last_seq, self.head) = (entry.seq, entry.hash);
        match entry.what {
            What::Decision(_) => {}
            What::Review(_) => self.reviews += 1,
            What::Outcome(_) => self.outcomes += 1,
        }
        if !entry.decision_id().is_empty() {
            self.by_decision
                .entry(entry.decision_id().to_owned())
                .or_default()
                .push_back(entry.seq);
        }
        self.bytes += size;
        self.entries.push_back((Arc::new(entry), size));
        while self.entries.len() > ENTRIES_MAX || (self.bytes > BYTES_MAX && self.entries.len() > 1)
        {
            let Some((oldest, size)) = self.entries.pop_front() else { break };
            self.bytes -= size;
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, oldest: &Entry) {
        let id = oldest.decision_id();
        let is_last = self.by_decision.get_mut(id).is_some_and(|seqs| {
            seqs.pop_front();
            seqs.is_empty()
        });
        if is_last {
            self.by_decision.remove(id);
        }
    }
}

impl State {
    pub(crate) fn record_decision(&mut self, at: Position, record: DecisionRecord) -> Reply {
        if let Some(known) = self.ledger.decision(&record.decision_id)
            && let Some(first) = known.first()
        {
            return written(first);
        }
        self.write_entry(at, What::Decision(Box::new(record)))
    }

    /// A review is an entry of its own; the decision stays as it was made.
    pub(crate) fn record_review(&mut self, at: Position, review: ReviewRecord) -> Reply {
        if review.reviewer.is_empty() || !VERDICTS.contains(&review.verdict.as_str()) {
            let said =
                format!("a review has a reviewer and a verdict: one of {}", VERDICTS.join(", "));
            return Reply::Refused(Refusal::Invalid(said));
        }
        if let Err(refusal) =
            self.fits(&review.decision_id, review.decision_seq, &review.decision_hash)
        {
            return Reply::Refused(refusal);
        }
        let id = review.decision_id.clone();
        let what = What::Review(review);
        // A repeat of the newest word on a decision says nothing new.
        let newest = self.ledger.decision(&id).and_then(|all| all.last().cloned());
        if let Some(newest) = newest.filter(|newest| newest.what == what) {
            return written(&newest);
        }
        self.write_entry(at, what)
    }

    /// Of a decision that is in memory the hash is compared here; of an older one the proposer has
    /// read it, and `hearth audit verify` finds a review of what never was.
    fn fits(&self, id: &str, seq: u64, hash: &Hash) -> Result<(), Refusal> {
        let known = match self.ledger.entry(seq) {
            Some(entry) => entry.decision_id() == id && entry.hash == *hash,
            None => seq > 0 && seq <= self.ledger.last_seq,
        };
        if known {
            return Ok(());
        }
        Err(Refusal::Precondition(format!("decision {id} is not entry {seq} of the ledger")))
    }

    pub(super) fn write_entry(&mut self, at: Position, what: What) -> Reply {
        let (last, previous_hash) = self.ledger.head();
        let mut entry = Entry {
            seq: last + 1,
            at_us: self.clock_us,
            term: at.term,
            log_index: at.index,
            what,
            previous_hash,
            hash: ZERO,
        };
        let text = entry.text();
        entry.hash = link(&previous_hash, &super::content_digest(text.as_bytes()));
        let reply = written(&entry);
        let (table, row) = super::row_of(&entry);
        self.append(table, row);
        self.ledger.push(entry, text.len() as u64);
        reply
    }
}

fn written(entry: &Entry) -> Reply {
    Reply::Written(Written {
        decision_id: entry.decision_id().to_owned(),
        seq: entry.seq,
        hash: entry.hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ledger::{Chain, entry_of};

    const AT: Position = Position { index: 1, term: 1, time_us: 5 };

    fn made(reply: Reply) -> Written {
        let Reply::Written(written) = reply else { panic!("{reply:?}") };
        written
    }

    fn decide(state: &mut State, id: &str) -> Written {
        let record =
            DecisionRecord { decision_id: id.to_owned(), score: 0.5, ..DecisionRecord::default() };
        made(state.record_decision(AT, record))
    }

    fn review(of: &Written, verdict: &str) -> ReviewRecord {
        ReviewRecord {
            decision_id: of.decision_id.clone(),
            decision_seq: of.seq,
            decision_hash: of.hash,
            reviewer: "wang".to_owned(),
            verdict: verdict.to_owned(),
            reason: "a visit".to_owned(),
            ..ReviewRecord::default()
        }
    }

    #[test]
    fn a_chain_holds_and_a_repeat_changes_nothing() {
        let mut state = State::new();
        let first = decide(&mut state, "a");
        let second = decide(&mut state, "b");
        assert_eq!(decide(&mut state, "a"), first);
        let reviewed = made(state.record_review(AT, review(&first, "overturn")));
        assert_eq!(made(state.record_review(AT, review(&first, "overturn"))), reviewed);
        assert_eq!(state.ledger.head(), (3, reviewed.hash));
        let all = state.ledger.decision("a").unwrap();
        assert_eq!(all.iter().map(|each| each.seq).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(state.ledger.decision("b").unwrap()[0].hash, second.hash);
        assert_eq!(state.ledger.decision("c"), None);
    }

    #[test]
    fn a_review_of_something_else_is_refused() {
        let mut state = State::new();
        let first = decide(&mut state, "a");
        let wrong = Written { hash: ZERO, ..first.clone() };
        for review in [
            review(&wrong, "uphold"),
            review(&Written { seq: 2, ..first.clone() }, "uphold"),
            review(&first, "refuse"),
            ReviewRecord { reviewer: String::new(), ..review(&first, "uphold") },
        ] {
            assert!(matches!(state.record_review(AT, review), Reply::Refused(_)));
        }
        assert_eq!(state.ledger.head().0, 1);
    }

    #[test]
    fn writing_never_stops_and_every_row_reads_back() {
        let mut state = State::new();
        let count = ENTRIES_MAX as u64 + 500;
        for n in 0..count {
            let written = decide(&mut state, &format!("d{n}"));
            if n % 7 == 0 {
                made(state.record_review(AT, review(&written, "uphold")));
            }
        }
        assert_eq!(state.ledger.entries.len(), ENTRIES_MAX);
        assert!(state.ledger.by_decision.len() <= ENTRIES_MAX);
        assert_eq!(state.ledger.decision("d0"), None);
        let (last, head) = state.ledger.head();
        let mut chain = Chain::after(0, ZERO);
        for change in state.take_changes() {
            let crate::state::Change::Append { table, row } = change else { continue };
            let entry = entry_of(table.name, &row).unwrap();
            let content = entry.content_digest();
            chain
                .take(entry.seq, &entry.name(), &content, &entry.previous_hash, &entry.hash)
                .unwrap();
        }
        chain.ends_at(last, &head).unwrap();
    }

    #[test]
    fn large_decisions_leave_sooner() {
        let mut state = State::new();
        for n in 0..40 {
            let purpose = "x".repeat(1 << 20);
            let id = format!("d{n}");
            let record = DecisionRecord { decision_id: id, purpose, ..DecisionRecord::default() };
            state.record_decision(AT, record);
        }
        assert!(state.ledger.bytes <= BYTES_MAX && state.ledger.entries.len() >= 10);
        assert_eq!(state.ledger.head().0, 40);
    }
}

//! The decision ledger: what was decided about whom, what people said of it and what became of it,
//! chained by hash.
//!
//! ```text
//! hash of an entry = SHA-256( hash of the entry before || SHA-256( the entry's text ) )
//! ```
//! The first entry follows 32 zero bytes. An entry's text is JSON with its fields in the order in
//! which they are declared, so that anybody can check a chain with any SHA-256.

mod chain;
mod entry;
mod exact;
mod outcomes;
mod resident;
mod rows;

pub use chain::{Chain, Hash, Misfit, ZERO, content_digest, link};
pub use entry::{
    Contribution, DecisionRecord, EFFECT_BENEFIT, Entry, OUTCOME_ADVISED, OUTCOME_PROPOSED,
    ObservedRecord, Reading, ReviewRecord, VERDICTS, What,
};
pub use outcomes::OUTCOME_ID_BYTES_MAX;
pub use resident::{Ledger, Written};
pub use rows::{ENTRY_TABLES, entry_of, row_of, time_column};

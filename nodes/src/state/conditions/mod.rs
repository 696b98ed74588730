//! What the machine sees.

mod finding;

pub(crate) use finding::Finding;

//! Features as they were at a moment: SQL over the recorded events and register rows, written from a
//! view. Nothing of the online store is in here, so what both say alike is no accident.

mod call;
mod expression;
mod readings;
mod registers;
mod sql;
mod statistics;
mod windows;

pub(crate) use call::expand;
pub use sql::{Give, Question, features_sql};

/// A column of ours beside the caller's, or a text as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

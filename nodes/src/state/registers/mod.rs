//! What the departments say: rows by key, packed into pages, and who belongs to whom by them.

mod homes;
mod index;
mod page;
mod relatives;
mod rows;
mod shelf;
mod stored;

pub use homes::Homes;
pub use rows::Rows;
pub use stored::FrozenRows;

#[cfg(test)]
mod size_tests;

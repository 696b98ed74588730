//! A district that does not exist: its registers, its homes' sensors, and the truth behind both.
//!
//! ```text
//! Plan --> District --> tables (registers)      every value from a random stream of its own entity:
//!              |------> truth/ (what models must not see)  same seed, same bytes, in any order
//!              `------> Feed: arrivals, hour by hour, O(homes) memory --> Live: paced, endless
//! ```
//! People, streets and organisations are invented; region codes begin with 9901, which no real
//! region has.

mod cells;
mod chronicle;
mod dice;
mod district;
mod economy;
mod feed;
mod ground;
mod habit;
mod hazard;
mod health;
mod home;
mod kit;
mod live;
mod money;
mod names;
mod ndjson;
mod organisation;
mod people;
mod person;
mod places;
mod plan;
mod policy;
mod reading;
mod register;
mod sink;
mod truth;

pub use district::District;
pub use feed::{Arrival, Feed};
pub use live::{Live, LiveError, SPEED_MAX, SPEED_MIN};
pub use ndjson::{NdjsonError, NdjsonSink, write_event};
pub use plan::{DAYS_MAX, Detail, PEOPLE_MAX, PEOPLE_MIN, Plan, PlanError};
pub use sink::{ROWS_A_BATCH, Sink};
pub use truth::TRUTH;

#[cfg(test)]
mod feed_tests;
#[cfg(test)]
mod tests;

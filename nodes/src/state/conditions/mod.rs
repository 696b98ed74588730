//! What the machine sees: rules over readings, time and silence, as a function of the log.
//!
//! [`Conditions`] is fed with events and with the log's clock, and says in [`Verdict`]s what fires, is
//! seen again, is over or was wrong. It knows no case, no text of a name and no register: the state
//! names the places and carries the verdicts to its cases (`tell.rs`).

mod age;
mod battery;
mod bed;
mod bits;
mod device;
mod devices;
mod engine;
mod flapping;
#[cfg(test)]
mod fleet_tests;
mod groups;
mod habit;
mod home;
mod hours;
mod idle;
mod idle_plan;
mod inhibit;
mod judge;
mod kept;
mod nights;
mod outage;
mod packed;
mod plan;
mod room;
mod sight;
mod tell;
mod tick;
mod timers;
mod trial;
mod verdict;
mod watch;
mod watches;
mod wheel;
mod withdrawn;

pub use engine::Conditions;
pub(crate) use groups::Registers;
pub(crate) use kept::Kept;
pub(crate) use sight::{PlaceId, Sight};
pub(crate) use tell::From as SeenFrom;
pub use trial::{Comparison, Found, Trial};

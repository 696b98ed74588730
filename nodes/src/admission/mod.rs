//! Which inference goes first, which waits, and which is refused.

mod gate;
mod lane;
mod load;
mod queue;
mod valve;

pub use gate::{Gate, Permit, Refused};
pub(crate) use lane::Lane;

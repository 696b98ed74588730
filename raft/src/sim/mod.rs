//! A node on a simulated network, disk and clock. Compiled for tests only, by the feature `sim`.
//!
//! Where the product meets the machine it has one seam each: `blocking`, `peer::net`, the log
//! store, `durable` (files that outlive a simulated crash need no sync) and the clock of the
//! proposer. Everything between the seams is the product itself.

mod disk;
mod host;
mod log;
mod mutation;
mod net;

pub use disk::{Disk, DiskEvent, Speed, Written};
pub(crate) use host::Runtime;
pub use host::{Host, seeded};
pub(crate) use log::{LogHold, LogStore};
pub use mutation::{Mutation, breaks, mutate};
pub(crate) use net::{TcpListener, connect, incoming};

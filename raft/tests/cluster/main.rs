//! Several nodes in one process, talking over real loopback sockets.
#![cfg(not(feature = "sim"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly

mod blobs;
mod damage;
mod failover;
mod faults;
mod founding;
mod machine;
mod membership;
mod nodes;
mod pressure;
mod proxy;
mod reads;
mod replace;
mod replication;
mod snapshots;
mod transfer;

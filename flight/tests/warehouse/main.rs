//! The warehouse without a server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at once"
)]

mod folder;
mod reading;
mod recording;
mod sla;

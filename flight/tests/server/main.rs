//! A real server on a free port, driven by Arrow's own client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at once"
)]

mod admission;
mod catalog;
mod fake_node;
mod loading;
mod portraits;
mod running;
mod statements;

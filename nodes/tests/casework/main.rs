//! What people do about alerts, as a function of the log: who is told, by when, and what comes next.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at once"
)]

mod notices;
mod repeats;
mod silences;
mod steps;
mod street;
mod told;

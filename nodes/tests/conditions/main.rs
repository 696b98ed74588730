//! What raises an alert, with events and times made by hand: each rule of docs/alerts.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at once"
)]

mod beds;
mod fleet;
mod health;
mod homes;
mod late;
mod nights;
mod often;
mod readings;
mod real_homes;
mod rule_sets;
mod same_bits;
mod still;
mod street;

//! The composition root: the replicated state, the services, the command line.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test may stop at once"
    )
)]

pub mod admission;
pub mod audit;
mod backlog;
mod backup;
mod by_size;
mod checker;
#[cfg(test)]
mod checker_tests;
pub mod cli;
pub mod client;
pub mod clock;
mod compression;
pub mod config;
mod derived;
mod doors;
pub mod exit;
mod feeds;
pub mod freshness;
mod gate;
pub mod hex;
mod http;
mod intake;
mod json;
mod letterbox;
mod live;
mod logging;
pub mod machine;
mod metrics;
pub mod mqtt;
mod native;
pub mod node;
mod online;
pub mod outbox;
mod parity;
mod portrait;
mod posted;
pub mod proto;
mod quarantine;
#[cfg(test)]
mod real_data;
mod rebuild;
mod recorder;
mod rendering;
pub mod replay;
mod room;
mod scorer;
mod server;
pub mod service;
pub mod serving;
mod shipped;
pub mod simulate;

pub mod state;
mod validator;
pub mod views;
pub mod watch;

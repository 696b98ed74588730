//! The program itself: three processes on loopback that are killed, starved, misled and asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test may stop at once, and tells its steps one after the other"
)]

mod activations;
mod alerts;
mod backup;
mod bad_input;
mod bad_start;
mod by_entity;
mod compression;
mod family;
mod feeds;
mod gather;
mod hostile;
mod kill_leader;
mod ledger;
mod lifecycle;
mod local;
mod models;
mod mosquitto;
mod mqtt;
mod notifier;
mod outbox;
mod parity;
mod people;
mod read_levels;
mod rebuild;
mod replay;
mod request_values;
mod restart;
mod rules;
mod sheng;
mod silences;
mod slow_cluster;
mod snapshot;
mod stream;
mod tables;
mod timers;
mod turn;
mod views;

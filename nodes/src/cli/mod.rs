//! The command line: one file a family of commands.

mod alert;
mod args;
mod audit;
mod backup;
mod casework;
mod cluster;
mod demo;
mod dev;
mod event_file;
mod events;
mod feed;
mod feed_file;
mod folder;
mod letters;
mod model;
mod model_show;
mod output;
mod report;
mod rules;
mod rules_try;
mod score;
mod serve;
mod silence;
mod simulate;
mod sql;
mod text_lines;
mod train;
mod train_package;
mod train_table;
mod train_view;
mod verify_parity;
mod view;

pub use args::{Cli, run};

//! Department feeds at the doors: declarations, rows as text, and how far each feed has come.

mod door;
mod expose;
mod record;
mod service;
mod table;
mod web;

pub(crate) use door::take_lines;
pub(crate) use expose::expose;
pub(crate) use record::cell_text;
pub(crate) use service::FeedsService;
pub(crate) use table::feed_rows;
pub(crate) use web::{list, post_rows};

//! Watching models: how far what they read and say has moved from what they were made on, how they
//! treat groups of people, and whether they come true.
//!
//! ```text
//!  a score -> counter (this node) -- every second --> log -> state::watched (every node, exact sums)
//!                                                               |-> SQL: model_drift, model_groups, model_calibration
//!                                                               |-> /metrics, Scores.GetWatch
//!                                                               '-> gate: may it be promoted?
//! ```

mod counter;
mod expose;
mod flush;
mod gate;
mod groups;
mod measure;
#[cfg(test)]
mod real_groups;
mod reference;
mod tables;

pub use counter::Counter;
pub(crate) use expose::expose;
pub(crate) use flush::run;
pub(crate) use gate::gate;
pub use groups::{Codes, Groups};
pub(crate) use reference::of_package;
pub use reference::of_rows;
pub(crate) use tables::{calibration_rows, drift_rows, group_rows, message, watched};

use crate::node::Node;
use models::Manifest;

/// The groups of an entity, in words.
pub(crate) fn groups_of(node: &Node, entity: &str) -> Vec<(String, String)> {
    node.serving().groups().named(&node.machine().read(), entity)
}

/// At or above this score somebody is selected, by the manifest.
pub(crate) fn selected_min(manifest: &Manifest) -> f64 {
    let highest = manifest.bands.iter().map(|band| band.min_score).max_by(f64::total_cmp);
    manifest.watch.selected_min_score.or(highest).unwrap_or(f64::INFINITY)
}

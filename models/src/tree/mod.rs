//! Ensembles of decision trees: one flat form for every file format, and the walk over it.

mod flat;
mod grow;

pub use flat::Forest;
pub(crate) use flat::{Branches, Kind};
pub use grow::{Tree, TreeNode};

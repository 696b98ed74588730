//! How many rows reached each node.

use crate::Forest;
use crate::tree::{Branches, Kind};

/// How many of the rows reach each node of each tree.
pub(super) fn count_covers(forest: &Forest, rows: &[f32]) -> Vec<Vec<f64>> {
    (0..forest.trees())
        .map(|at| {
            let tree = forest.tree(at);
            let mut covers = vec![0.0; tree.len()];
            for row in rows.chunks_exact(forest.width()) {
                let mut node = Branches::ROOT;
                covers[node] += 1.0;
                while let Kind::Branch { feature, left } = tree.kind(node) {
                    node = left + usize::from(!tree.left(node, row[feature]));
                    covers[node] += 1.0;
                }
            }
            covers
        })
        .collect()
}

/// The part of a node's rows that went left; where none came, either way is as likely.
pub(super) fn share(left: f64, node: f64) -> f64 {
    if node > 0.0 { left / node } else { 0.5 }
}

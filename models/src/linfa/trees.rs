//! Decision trees as flat arrays, all trees of a model in one.

use serde::{Deserialize, Serialize};

/// The `feature` of a leaf.
pub(super) const LEAF: u32 = u32::MAX;

/// Node by node; a tree's nodes follow each other and a child always comes after its parent, so a
/// walk ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trees {
    /// The first node of each tree.
    pub roots: Vec<u32>,
    /// What is asked, or `u32::MAX` in a leaf.
    pub feature: Vec<u32>,
    /// A value up to this goes left, any other right.
    pub threshold: Vec<f64>,
    pub left: Vec<u32>,
    pub right: Vec<u32>,
    /// The class that linfa gives at this node.
    pub class: Vec<u32>,
    /// Node by class: training rows that came through.
    pub counts: Vec<f32>,
}

impl Trees {
    /// The leaf that a row ends in.
    pub fn leaf(&self, root: u32, row: &[f32]) -> usize {
        let mut node = root as usize;
        loop {
            let feature = self.feature[node];
            if feature == LEAF {
                return node;
            }
            let goes_left = f64::from(row[feature as usize]) <= self.threshold[node];
            node = if goes_left { self.left[node] } else { self.right[node] } as usize;
        }
    }

    /// Whether every number is where a walk needs it: sizes, children, features and classes.
    pub(super) fn is_sound(&self, width: usize, classes: usize) -> bool {
        let nodes = self.feature.len();
        let sized = [self.left.len(), self.right.len(), self.class.len(), self.threshold.len()]
            .iter()
            .all(|len| *len == nodes);
        let child_follows =
            |node: usize, child: u32| (child as usize) > node && (child as usize) < nodes;
        sized
            && !self.roots.is_empty()
            && Some(self.counts.len()) == nodes.checked_mul(classes)
            && self.counts.iter().all(|count| count.is_finite() && *count >= 0.0)
            && self.roots.iter().all(|root| (*root as usize) < nodes)
            && (0..nodes).all(|node| {
                let asked = self.feature[node];
                (self.class[node] as usize) < classes
                    && (asked == LEAF
                        || (asked as usize) < width
                            && self.threshold[node].is_finite()
                            && child_follows(node, self.left[node])
                            && child_follows(node, self.right[node]))
            })
    }

    /// Of one tree: the shares of the classes among the training rows of the leaf.
    pub(super) fn shares(&self, row: &[f32], into: &mut [f64]) {
        let Some(root) = self.roots.first() else { return };
        let at = self.leaf(*root, row) * into.len();
        let counts = &self.counts[at..at + into.len()];
        let sum: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        for (share, count) in into.iter_mut().zip(counts) {
            *share = if sum > 0.0 { f64::from(*count) / sum } else { 0.0 };
        }
    }

    /// Of many trees: the share of the trees that vote for each class.
    pub(super) fn votes(&self, row: &[f32], into: &mut [f64]) {
        into.fill(0.0);
        for root in &self.roots {
            into[self.class[self.leaf(*root, row)] as usize] += 1.0;
        }
        for share in into {
            *share /= self.roots.len() as f64;
        }
    }
}

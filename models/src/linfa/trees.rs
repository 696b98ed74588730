//! Decision trees as flat arrays, all trees of a model in one.

use serde::{Deserialize, Serialize};

use super::family::Family;
use super::file::Stored;
use crate::{Error, Forest, Tree, TreeNode};

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

    /// As explanations read them: a leaf holds what it adds to each class.
    pub(super) fn to_forest(&self, stored: &Stored) -> Result<Forest, Error> {
        let classes = stored.classes.len();
        let ends = self.roots.iter().skip(1).map(|root| *root as usize);
        let ends = ends.chain([self.feature.len()]);
        let trees: Vec<Tree> = (self.roots.iter().zip(ends))
            .map(|(root, end)| self.to_tree(*root as usize..end, classes, stored.family))
            .collect();
        Forest::new(&trees, classes, stored.features.len())
    }

    fn to_tree(&self, nodes: std::ops::Range<usize>, classes: usize, family: Family) -> Tree {
        let mut tree = Tree::default();
        let first = nodes.start;
        for node in nodes {
            let counts = &self.counts[node * classes..][..classes];
            let cover: f64 = counts.iter().map(|count| f64::from(*count)).sum();
            tree.covers.push(cover);
            if self.feature[node] != LEAF {
                tree.nodes.push(TreeNode::Branch {
                    feature: self.feature[node] as usize,
                    threshold: round_down(self.threshold[node]),
                    nan_left: false,
                    left: self.left[node] as usize - first,
                    right: self.right[node] as usize - first,
                });
                continue;
            }
            tree.nodes.push(TreeNode::Leaf { slot: tree.values.len() / classes });
            for (class, count) in counts.iter().enumerate() {
                tree.values.push(match family {
                    Family::Tree if cover > 0.0 => (f64::from(*count) / cover) as f32,
                    Family::Tree => 0.0,
                    _ => {
                        let votes = u8::from(self.class[node] as usize == class);
                        f32::from(votes) / self.roots.len() as f32
                    }
                });
            }
        }
        tree.keep_sound_covers();
        tree
    }
}

/// The largest f32 up to the threshold: every f32 then falls on the same side as before.
fn round_down(threshold: f64) -> f32 {
    let near = threshold as f32;
    if f64::from(near) > threshold { near.next_down() } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_between_two_values_stays_between_them() {
        for low in [1.0_f32, -1.0, 0.0, -0.0, 1e30, -1e30, f32::MIN_POSITIVE, 16_777_216.0] {
            let high = low.next_up();
            let down = round_down(f64::midpoint(f64::from(low), f64::from(high)));
            assert!(low <= down && high > down, "{low}");
        }
    }
}

//! A tree as its file describes it, checked before it is laid flat.

use crate::Error;

/// What a walk does at one node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TreeNode {
    /// To `left` where `value <= threshold`, else to `right`; a NaN goes left where `nan_left`.
    Branch { feature: usize, threshold: f32, nan_left: bool, left: usize, right: usize },
    /// Leaf `slot` of the tree's values.
    Leaf { slot: usize },
}

/// One tree; node 0 is its root.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    pub nodes: Vec<TreeNode>,
    /// One row of outputs for each slot.
    pub values: Vec<f32>,
    /// How many training rows reached each node; empty where nobody said.
    pub covers: Vec<f64>,
}

impl Tree {
    /// The nodes breadth first, each once, with their depth. A shared or missing child, a slot
    /// without values, and a feature past `width` are refused.
    pub(super) fn order(&self, outputs: usize, width: usize) -> Result<Vec<(usize, u32)>, Error> {
        let wrong = |reason: &str| Error::Model(format!("a tree of the model {reason}"));
        if self.nodes.is_empty() || !self.values.len().is_multiple_of(outputs.max(1)) {
            return Err(wrong("has no nodes, or leaves without values"));
        }
        if !self.covers.is_empty() && self.covers.len() != self.nodes.len() {
            return Err(wrong("has covers for some of its nodes only"));
        }
        let slots = self.values.len() / outputs.max(1);
        let mut seen = vec![false; self.nodes.len()];
        let mut order = vec![(0, 0)];
        let mut next = 0;
        while let Some(&(at, depth)) = order.get(next) {
            next += 1;
            if std::mem::replace(seen.get_mut(at).ok_or_else(|| wrong("lacks a node"))?, true) {
                return Err(wrong("joins two branches again"));
            }
            match self.nodes[at] {
                TreeNode::Branch { feature, left, right, .. } => {
                    if feature >= width {
                        return Err(wrong("reads a feature past the last"));
                    }
                    order.push((left, depth + 1));
                    order.push((right, depth + 1));
                }
                TreeNode::Leaf { slot } if slot >= slots => {
                    return Err(wrong("has a leaf without values"));
                }
                TreeNode::Leaf { .. } => {}
            }
        }
        Ok(order)
    }
}

/// How far the rows of two children may lie from those of their parent, as a part of them.
const COVER_TOLERANCE: f64 = 1e-3;

impl Tree {
    /// Forgets covers that cannot be counts of rows: many exporters write 1 for every node.
    pub(crate) fn keep_sound_covers(&mut self) {
        let cover = |at: usize| self.covers.get(at).copied().unwrap_or(f64::NAN);
        let sound = self.nodes.iter().enumerate().all(|(at, node)| match node {
            TreeNode::Branch { left, right, .. } => {
                let (here, both) = (cover(at), cover(*left) + cover(*right));
                here > 0.0 && (here - both).abs() <= COVER_TOLERANCE * here
            }
            TreeNode::Leaf { .. } => cover(at) > 0.0,
        });
        if !sound {
            self.covers = Vec::new();
        }
    }
}

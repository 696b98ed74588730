//! The flat form of a forest and its branch-free walk.
//!
//! Eight bytes a node: the threshold, and one word with the feature (12 bits) and the left child
//! (20 bits, counted from the tree's first node). The right child follows the left one, so a step is
//! `left + !(value <= threshold)`. A leaf is a node that leads to itself: its threshold is NaN, which
//! nothing is `<=` to, and its left child is the node before it. A walk thus needs no test for leaves
//! and takes as many steps as the tree is deep; several walks run side by side, since each waits for
//! memory. Sums run in the order of the trees, always: a row has the same bits alone and in a batch.

use super::{Tree, TreeNode};
use crate::Error;

const FEATURE_BITS: u32 = 12;
const FEATURES_MAX: usize = 1 << FEATURE_BITS;
const TREE_NODES_MAX: usize = 1 << (32 - FEATURE_BITS);
/// Walks side by side.
const LANES: usize = 8;
/// Rows that are scored together, so that they stay in the first cache while the trees pass by.
const BLOCK: usize = 64;
/// Steps between two looks whether every walk has ended.
const STRIDE: u32 = 8;
/// Each tree begins with a node that only the trick of the leaves needs.
const ROOT: u32 = 1;

#[derive(Clone, Copy, Debug)]
struct Node {
    threshold: f32,
    link: u32,
}

impl Node {
    fn new(threshold: f32, feature: usize, left: u32) -> Self {
        Self { threshold, link: left << FEATURE_BITS | feature as u32 }
    }

    fn feature(self) -> usize {
        self.link as usize & (FEATURES_MAX - 1)
    }

    fn left(self) -> u32 {
        self.link >> FEATURE_BITS
    }
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    depth: u32,
}

/// What a node is, for those who do not only walk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Branch { feature: usize, left: usize },
    Leaf,
}

/// Decision trees of which every leaf holds `outputs` numbers.
#[derive(Clone, Debug)]
pub struct Forest {
    nodes: Vec<Node>,
    /// `outputs` numbers for each node; those of branches are never read.
    values: Vec<f32>,
    /// Where a NaN goes left, by node; empty where it never does.
    nan_left: Vec<bool>,
    /// How many rows reached each node; empty where the file does not say.
    covers: Vec<f64>,
    trees: Vec<Span>,
    outputs: usize,
    width: usize,
}

impl Forest {
    pub fn new(trees: &[Tree], outputs: usize, width: usize) -> Result<Self, Error> {
        let limit = |what: String| Err(Error::Limit(what));
        if width == 0 || width > FEATURES_MAX || outputs == 0 {
            return limit(format!(
                "trees over {width} features; 1 to {FEATURES_MAX} are laid flat"
            ));
        }
        let covered = trees.iter().all(|tree| !tree.covers.is_empty());
        let mut forest = Self {
            nodes: Vec::new(),
            values: Vec::new(),
            nan_left: Vec::new(),
            covers: Vec::new(),
            trees: Vec::with_capacity(trees.len()),
            outputs,
            width,
        };
        for tree in trees {
            if tree.nodes.len() + 1 >= TREE_NODES_MAX {
                let count = tree.nodes.len();
                return limit(format!("a tree of {count} nodes; {TREE_NODES_MAX} are laid flat"));
            }
            forest.add(tree, covered)?;
        }
        if !forest.nan_left.contains(&true) {
            forest.nan_left = Vec::new();
        }
        Ok(forest)
    }

    fn add(&mut self, tree: &Tree, covered: bool) -> Result<(), Error> {
        let order = tree.order(self.outputs, self.width)?;
        let start = self.nodes.len();
        self.push(Node::new(f32::NAN, 0, 0), false, &[]);
        // Breadth first: children stand in the order of their parents, two by two.
        let mut children = ROOT + 1;
        for (place, (at, _)) in (ROOT..).zip(&order) {
            match tree.nodes[*at] {
                TreeNode::Branch { feature, threshold, nan_left, .. } => {
                    self.push(Node::new(threshold, feature, children), nan_left, &[]);
                    children += 2;
                }
                TreeNode::Leaf { slot } => {
                    let values = &tree.values[slot * self.outputs..(slot + 1) * self.outputs];
                    self.push(Node::new(f32::NAN, 0, place - 1), false, values);
                }
            }
        }
        if covered {
            self.covers.push(0.0);
            self.covers.extend(order.iter().map(|(at, _)| tree.covers[*at]));
        }
        let depth = order.last().map_or(0, |(_, depth)| *depth);
        self.trees.push(Span { start, end: self.nodes.len(), depth });
        Ok(())
    }

    fn push(&mut self, node: Node, nan_left: bool, values: &[f32]) {
        self.nodes.push(node);
        self.nan_left.push(nan_left);
        self.values.extend_from_slice(values);
        self.values.resize(self.nodes.len() * self.outputs, 0.0);
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// The nodes of a tree, the first of which belongs to nobody; the root follows it.
    pub(crate) fn tree(&self, at: usize) -> Branches<'_> {
        let Span { start, end, .. } = self.trees[at];
        Branches { forest: self, start, nodes: &self.nodes[start..end] }
    }

    /// How many training rows reached each node of a tree, where the file says so.
    pub(crate) fn covers(&self, tree: usize) -> Option<&[f64]> {
        let Span { start, end, .. } = self.trees[tree];
        self.covers.get(start..end)
    }

    /// Calls `add` with the sums so far and the values of each tree's leaf, in the trees' order.
    /// `row` has [`width`](Self::width) values, `sums` [`outputs`](Self::outputs).
    pub fn fold_row(&self, row: &[f32], sums: &mut [f32], add: impl Fn(&mut f32, f32)) {
        let row = &row[..self.width];
        if !self.nan_left.is_empty() && row.iter().any(|value| value.is_nan()) {
            return self.fold_row_with_nan(row, sums, add);
        }
        let mut groups = self.trees.chunks_exact(LANES);
        for group in &mut groups {
            let nodes: [&[Node]; LANES] =
                std::array::from_fn(|lane| &self.nodes[group[lane].start..group[lane].end]);
            let depth = group.iter().map(|tree| tree.depth).max().unwrap_or(0);
            let mut at = [ROOT; LANES];
            walk(depth, &mut at, |lane, at| step(nodes[lane], at, row));
            for (tree, at) in group.iter().zip(at) {
                self.add_leaf(tree, at, sums, &add);
            }
        }
        for tree in groups.remainder() {
            let nodes = &self.nodes[tree.start..tree.end];
            let mut at = [ROOT];
            walk(tree.depth, &mut at, |_, at| step(nodes, at, row));
            self.add_leaf(tree, at[0], sums, &add);
        }
    }

    /// As [`fold_row`](Self::fold_row) for many rows: `outputs` sums a row, the same bits as alone.
    pub fn fold_rows(&self, rows: &[f32], sums: &mut [f32], add: impl Fn(&mut f32, f32) + Copy) {
        let (width, outputs) = (self.width, self.outputs);
        for (rows, sums) in rows.chunks(BLOCK * width).zip(sums.chunks_mut(BLOCK * outputs)) {
            let missing = !self.nan_left.is_empty() && rows.iter().any(|value| value.is_nan());
            if missing || rows.len() < LANES * width {
                for (row, sums) in rows.chunks_exact(width).zip(sums.chunks_exact_mut(outputs)) {
                    self.fold_row(row, sums, add);
                }
            } else {
                self.fold_block(rows, sums, add);
            }
        }
    }

    /// One tree after the other over rows that stay in the first cache.
    fn fold_block(&self, rows: &[f32], sums: &mut [f32], add: impl Fn(&mut f32, f32) + Copy) {
        let (width, outputs) = (self.width, self.outputs);
        let whole = rows.len() / (LANES * width) * LANES;
        for tree in &self.trees {
            let nodes = &self.nodes[tree.start..tree.end];
            let values = &self.values[tree.start * outputs..tree.end * outputs];
            let lanes = rows.chunks_exact(LANES * width);
            for (rows, sums) in lanes.zip(sums.chunks_exact_mut(LANES * outputs)) {
                let rows: [&[f32]; LANES] =
                    std::array::from_fn(|lane| &rows[lane * width..(lane + 1) * width]);
                let mut at = [ROOT; LANES];
                walk(tree.depth, &mut at, |lane, at| step(nodes, at, rows[lane]));
                if outputs == 1 {
                    for (at, sum) in at.into_iter().zip(sums) {
                        add(sum, values[at as usize]);
                    }
                    continue;
                }
                for (at, sums) in at.into_iter().zip(sums.chunks_exact_mut(outputs)) {
                    self.add_leaf(tree, at, sums, &add);
                }
            }
        }
        let rest = rows[whole * width..].chunks_exact(width);
        for (row, sums) in rest.zip(sums[whole * outputs..].chunks_exact_mut(outputs)) {
            self.fold_row(row, sums, add);
        }
    }

    fn fold_row_with_nan(&self, row: &[f32], sums: &mut [f32], add: impl Fn(&mut f32, f32)) {
        for (number, tree) in self.trees.iter().enumerate() {
            let leaf = self.tree(number).leaf(row);
            self.add_leaf(tree, leaf as u32, sums, &add);
        }
    }

    fn add_leaf(&self, tree: &Span, at: u32, sums: &mut [f32], add: &impl Fn(&mut f32, f32)) {
        let place = (tree.start + at as usize) * self.outputs;
        if let [sum] = sums {
            return add(sum, self.values[place]);
        }
        for (sum, value) in sums.iter_mut().zip(&self.values[place..place + self.outputs]) {
            add(sum, *value);
        }
    }
}

fn step(nodes: &[Node], at: u32, row: &[f32]) -> u32 {
    let node = nodes[at as usize];
    node.left() + u32::from(!goes_left(row[node.feature()], node.threshold))
}

/// A comparison that a NaN on either side fails: what `<=` says, and not `!(value > threshold)`.
fn goes_left(value: f32, threshold: f32) -> bool {
    value <= threshold
}

/// Steps all lanes until each stands on a leaf.
fn walk<const N: usize>(depth: u32, at: &mut [u32; N], step: impl Fn(usize, u32) -> u32) {
    let mut left = depth;
    while left > STRIDE {
        let before = *at;
        for _ in 0..STRIDE {
            for (lane, at) in at.iter_mut().enumerate() {
                *at = step(lane, *at);
            }
        }
        if before == *at {
            return;
        }
        left -= STRIDE;
    }
    for _ in 0..left {
        for (lane, at) in at.iter_mut().enumerate() {
            *at = step(lane, *at);
        }
    }
}

/// The nodes of one tree.
#[derive(Clone, Copy)]
pub(crate) struct Branches<'a> {
    forest: &'a Forest,
    start: usize,
    nodes: &'a [Node],
}

impl<'a> Branches<'a> {
    pub(crate) const ROOT: usize = ROOT as usize;

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn kind(&self, at: usize) -> Kind {
        let node = self.nodes[at];
        match node.left() as usize {
            left if left > at => Kind::Branch { feature: node.feature(), left },
            _ => Kind::Leaf,
        }
    }

    /// Whether this value goes left at this branch.
    pub(crate) fn left(&self, at: usize, value: f32) -> bool {
        let nan_left = || self.forest.nan_left.get(self.start + at).is_some_and(|left| *left);
        goes_left(value, self.nodes[at].threshold) || (value.is_nan() && nan_left())
    }

    pub(crate) fn threshold(&self, at: usize) -> f32 {
        self.nodes[at].threshold
    }

    /// The leaf that a row reaches.
    pub(crate) fn leaf(&self, row: &[f32]) -> usize {
        let mut at = Self::ROOT;
        while let Kind::Branch { feature, left } = self.kind(at) {
            at = left + usize::from(!self.left(at, row[feature]));
        }
        at
    }

    pub(crate) fn values(&self, leaf: usize) -> &'a [f32] {
        let outputs = self.forest.outputs;
        &self.forest.values[(self.start + leaf) * outputs..][..outputs]
    }
}

//! TreeSHAP: exact Shapley values of an ensemble of trees (Lundberg et al. 2020, Nature Machine
//! Intelligence 2:56, "path dependent": an unknown feature follows both branches by their covers).
//!
//! On the path to a leaf, feature `j` has a share `z_j` (of the rows that take its branches) and
//! `o_j` (1 where this row takes them, else 0). The leaf's game is a product, so that its Shapley
//! value is an integral over `t` in [0, 1] (Owen 1972): `(o_i - z_i)` times the product over the other
//! features of `t o_j + (1 - t) z_j`, a polynomial that a few Gauss-Legendre points integrate exactly.
//! For each point `t`, with `A` of a node the value expected below it and `P` the product above it:
//! a branch of shares `r` to the left and `1 - r` to the right has `A = A_right + r (A_left - A_right)`
//! and adds `P g (A_left - A_right)` to its feature, where `g = o - z` for a feature that is new on
//! the path. One that was split on above carries the shares `o', z'` of there: then
//! `p' = t o' + (1 - t) z'`, `r = p_left / p'` and `g = ((o - z) - (o' - z') r) / p'`.
//! `r` and `g` take only three values at a branch, which are computed ahead.

use super::quadrature::gauss_legendre;
use crate::tree::{Branches, Kind};
use crate::{Error, Forest};

/// The most different features on one path: 2 for each point of the largest quadrature.
const PATH_FEATURES_MAX: usize = 64;
/// The most memory of precomputed shares, in numbers (8 bytes each): 512 MiB.
const NUMBERS_MAX: usize = 64 << 20;
/// What `r` and `g` depend on: the row goes left, goes right, or left this feature's branches above.
const STATES: usize = 3;
const LEFT: usize = 0;
const RIGHT: usize = 1;
const GONE: usize = 2;

#[derive(Clone, Copy, Debug)]
struct Branch {
    threshold: f32,
    nan_left: bool,
    place: u32,
    left: u32,
    feature: u32,
    /// The node on this path that the last branch on the same feature led to; 0 where this is the first.
    before: u32,
}

#[derive(Clone, Debug)]
struct ShapTree {
    /// Breadth first; those that lead to two leaves stand behind all others.
    branches: Vec<Branch>,
    /// How many branches lead to another branch.
    inner: usize,
    leaves: Vec<(u32, f64)>,
    /// For each branch and state: `r` for all points, then `g` for all points.
    shares: Vec<f64>,
    points: usize,
    nodes: usize,
}

#[derive(Clone, Debug)]
pub(super) struct TreeShap {
    trees: Vec<ShapTree>,
    /// The quadratures by number of points.
    weights: Vec<Vec<f64>>,
    pub(super) base: f64,
}

/// Memory that one explanation after the other uses.
#[derive(Debug, Default)]
struct Scratch {
    above: Vec<f64>,
    below: Vec<f64>,
    taken: Vec<bool>,
    states: Vec<usize>,
}

impl TreeShap {
    /// `covers` holds, for each tree, how many rows reached each node.
    pub(super) fn new(
        forest: &Forest,
        weights: &[f64],
        base: f64,
        covers: &[Vec<f64>],
    ) -> Result<Self, Error> {
        let mut trees = Vec::with_capacity(forest.trees());
        let mut numbers = 0;
        let mut base = base;
        for (at, covers) in covers.iter().enumerate() {
            let tree = ShapTree::new(forest.tree(at), weights, covers)?;
            numbers += tree.shares.len();
            if numbers > NUMBERS_MAX {
                return Err(Error::Limit("the trees are too many to be explained".into()));
            }
            base += tree.expected(covers);
            trees.push(tree);
        }
        let largest = trees.iter().map(|tree: &ShapTree| tree.points).max().unwrap_or(1);
        let weights = (0..=largest)
            .map(|points| gauss_legendre(points).into_iter().map(|(_, weight)| weight).collect())
            .collect();
        Ok(Self { trees, weights, base })
    }

    /// Adds each feature's contribution.
    pub(super) fn explain(&self, row: &[f32], contributions: &mut [f64]) {
        let mut scratch = Scratch::default();
        for tree in &self.trees {
            let weights = &self.weights[tree.points];
            let into = &mut *contributions;
            match tree.points {
                1 => tree.add::<1>(weights, row, &mut scratch, into),
                2 => tree.add::<2>(weights, row, &mut scratch, into),
                3 => tree.add::<3>(weights, row, &mut scratch, into),
                4 => tree.add::<4>(weights, row, &mut scratch, into),
                6 => tree.add::<6>(weights, row, &mut scratch, into),
                8 => tree.add::<8>(weights, row, &mut scratch, into),
                16 => tree.add::<16>(weights, row, &mut scratch, into),
                _ => tree.add::<32>(weights, row, &mut scratch, into),
            }
        }
    }
}

/// The shares of a row's path at one node.
#[derive(Clone, Debug)]
struct Above {
    node: usize,
    /// For each feature that was split on: it, the node it led to, and the share of its branches.
    split: Vec<(usize, usize, f64)>,
}

impl ShapTree {
    fn new(tree: Branches<'_>, weights: &[f64], covers: &[f64]) -> Result<Self, Error> {
        let points = points_for(deepest_path(tree)?);
        let abscissas: Vec<f64> = gauss_legendre(points).into_iter().map(|(t, _)| t).collect();
        let mut built = Self {
            branches: Vec::new(),
            inner: 0,
            leaves: Vec::new(),
            shares: Vec::new(),
            points,
            nodes: tree.len(),
        };
        let mut last = Vec::new();
        // Breadth first, as the nodes lie.
        let mut paths = std::collections::VecDeque::new();
        paths.push_back(Above { node: Branches::ROOT, split: Vec::new() });
        while let Some(Above { node, split }) = paths.pop_front() {
            let Kind::Branch { feature, left } = tree.kind(node) else {
                let value = tree.values(node).iter().zip(weights);
                let value = value.map(|(value, weight)| f64::from(*value) * weight).sum();
                built.leaves.push((node as u32, value));
                continue;
            };
            let (before, above) = split
                .iter()
                .find(|(each, ..)| *each == feature)
                .map_or((0, 1.0), |(_, node, share)| (*node, *share));
            let here = share(covers[left], covers[node]);
            let branch = Branch {
                threshold: tree.threshold(node),
                nan_left: tree.left(node, f32::NAN),
                place: node as u32,
                left: left as u32,
                feature: feature as u32,
                before: before as u32,
            };
            if tree.kind(left) == Kind::Leaf && tree.kind(left + 1) == Kind::Leaf {
                last.push((branch, above, here));
            } else {
                built.branches.push(branch);
                built.push_shares(&abscissas, above, here);
            }
            for (child, share) in [(left, here), (left + 1, 1.0 - here)] {
                let mut split: Vec<_> =
                    split.iter().filter(|(each, ..)| *each != feature).copied().collect();
                split.push((feature, child, above * share));
                paths.push_back(Above { node: child, split });
            }
        }
        built.inner = built.branches.len();
        for (branch, above, here) in last {
            built.branches.push(branch);
            built.push_shares(&abscissas, above, here);
        }
        Ok(built)
    }

    /// `above` is the share `z'` of the feature's branches above, `here` that of the left branch.
    fn push_shares(&mut self, abscissas: &[f64], above: f64, here: f64) {
        let z = above * here;
        for o in [1.0, 0.0] {
            let at = |t: f64, o: f64, z: f64| t * o + (1.0 - t) * z;
            let r = |t: f64| at(t, o, z) / at(t, 1.0, above);
            let g = |t: f64| ((o - z) - (1.0 - above) * r(t)) / at(t, 1.0, above);
            self.shares.extend(abscissas.iter().map(|t| r(*t)));
            self.shares.extend(abscissas.iter().map(|t| g(*t)));
        }
        self.shares.extend(std::iter::repeat_n(here, abscissas.len()));
        self.shares.extend(std::iter::repeat_n(0.0, abscissas.len()));
    }

    /// The mean of the tree over the rows that the covers count.
    fn expected(&self, covers: &[f64]) -> f64 {
        let mut shares = vec![0.0; self.nodes];
        shares[Branches::ROOT] = 1.0;
        for branch in &self.branches {
            let (node, left) = (branch.place as usize, branch.left as usize);
            let here = share(covers[left], covers[node]);
            shares[left] = shares[node] * here;
            shares[left + 1] = shares[node] * (1.0 - here);
        }
        self.leaves.iter().map(|(place, value)| shares[*place as usize] * value).sum()
    }

    fn add<const Q: usize>(
        &self,
        weights: &[f64],
        row: &[f32],
        scratch: &mut Scratch,
        contributions: &mut [f64],
    ) {
        scratch.fit(self.nodes, Q, self.inner);
        let Scratch { above, below, taken, states } = scratch;
        let (above, _) = above.as_chunks_mut::<Q>();
        let (below, _) = below.as_chunks_mut::<Q>();
        let (shares, _) = self.shares.as_chunks::<Q>();
        let (shares, _) = shares.as_chunks::<2>();
        let (shares, _) = shares.as_chunks::<STATES>();
        let (inner, last) = self.branches.split_at(self.inner);
        let (inner_shares, last_shares) = shares.split_at(self.inner);
        above[Branches::ROOT].copy_from_slice(weights);
        taken[0] = true;
        for ((branch, shares), kept) in inner.iter().zip(inner_shares).zip(states.iter_mut()) {
            let (place, left) = (branch.place as usize, branch.left as usize);
            let goes = branch.goes_left(row);
            let open = taken[branch.before as usize];
            taken[left] = open && goes;
            taken[left + 1] = open && !goes;
            *kept = state(open, goes);
            let [r, _] = &shares[*kept];
            let here = above[place];
            let to_left: [f64; Q] = std::array::from_fn(|q| here[q] * r[q]);
            above[left] = to_left;
            above[left + 1] = std::array::from_fn(|q| here[q] - to_left[q]);
        }
        for (place, value) in &self.leaves {
            below[*place as usize] = [*value; Q];
        }
        let last = last.iter().zip(last_shares).map(|(branch, shares)| {
            let open = taken[branch.before as usize];
            (branch, &shares[state(open, branch.goes_left(row))])
        });
        let inner = inner.iter().zip(inner_shares).zip(states.iter());
        let inner = inner.map(|((branch, shares), kept)| (branch, &shares[*kept])).rev();
        for (branch, [r, g]) in last.chain(inner) {
            let (place, left) = (branch.place as usize, branch.left as usize);
            let (to_left, to_right, here) = (below[left], below[left + 1], above[place]);
            let apart: [f64; Q] = std::array::from_fn(|q| to_left[q] - to_right[q]);
            below[place] = std::array::from_fn(|q| to_right[q] + r[q] * apart[q]);
            let parts: [f64; Q] = std::array::from_fn(|q| here[q] * g[q] * apart[q]);
            contributions[branch.feature as usize] += parts.iter().sum::<f64>();
        }
    }
}

impl Branch {
    fn goes_left(&self, row: &[f32]) -> bool {
        let value = row[self.feature as usize];
        value <= self.threshold || (self.nan_left && value.is_nan())
    }
}

fn state(open: bool, goes_left: bool) -> usize {
    let way = if goes_left { LEFT } else { RIGHT };
    if open { way } else { GONE }
}

impl Scratch {
    fn fit(&mut self, nodes: usize, points: usize, branches: usize) {
        let grow = |numbers: &mut Vec<f64>, to: usize| {
            if numbers.len() < to {
                numbers.resize(to, 0.0);
            }
        };
        grow(&mut self.above, nodes * points);
        grow(&mut self.below, nodes * points);
        if self.taken.len() < nodes {
            self.taken.resize(nodes, false);
        }
        if self.states.len() < branches {
            self.states.resize(branches, GONE);
        }
    }
}

/// The part of a node's rows that went left; where none came, either way is as likely.
fn share(left: f64, node: f64) -> f64 {
    if node > 0.0 { left / node } else { 0.5 }
}

/// The smallest quadrature of those that are compiled which is exact for so many features.
fn points_for(features: usize) -> usize {
    let needed = features.div_ceil(2).max(1);
    [1, 2, 3, 4, 6, 8, 16].into_iter().find(|points| *points >= needed).unwrap_or(32)
}

/// The largest number of different features on the way to a leaf.
fn deepest_path(tree: Branches<'_>) -> Result<usize, Error> {
    let mut largest = 0;
    let mut open = vec![(Branches::ROOT, Vec::new())];
    while let Some((node, features)) = open.pop() {
        largest = largest.max(features.len());
        let Kind::Branch { feature, left } = tree.kind(node) else { continue };
        let mut features = features;
        if !features.contains(&feature) {
            features.push(feature);
        }
        open.push((left, features.clone()));
        open.push((left + 1, features));
    }
    if largest > PATH_FEATURES_MAX {
        return Err(Error::Limit(format!(
            "a path of a tree splits on {largest} features; {PATH_FEATURES_MAX} can be explained"
        )));
    }
    Ok(largest)
}

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

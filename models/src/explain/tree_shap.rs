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
//!
//! With `u = (t - 1) / p'` and `h = 1 / p'^2` for `o' = 1` both are `r = p + s u` and `g = s h`, where
//! `(p, s)` is `(1, z' - z)` if the row goes left, `(0, -z)` if it goes right, and `(c, 0)` for the
//! left branch's own share `c` if the row left the feature's branches above (`o' = 0`). A new feature
//! has `z' = 1`. So one walk without a choice serves every branch: see `walk`.

use super::covers::share;
use super::quadrature::gauss_legendre;
use super::walk::{Branch, Grove, Scratch};
use crate::tree::{Branches, Kind};
use crate::{Error, Forest};
use std::collections::{BTreeMap, VecDeque};

/// The most different features on one path: 2 for each point of the largest quadrature.
const PATH_FEATURES_MAX: usize = 64;
/// The most memory of what is computed ahead.
const BYTES_MAX: usize = 512 << 20;
/// Trees are walked together up to so many branches, which keeps their sums in the first cache.
const GROVE_BRANCHES: usize = 512;

/// Trees of as many points, and the points' weights.
#[derive(Clone, Debug)]
struct Groves {
    points: usize,
    weights: Vec<f64>,
    members: Vec<Grove>,
}

#[derive(Clone, Debug)]
pub(super) struct TreeShap {
    all: Vec<Groves>,
    pub(super) base: f64,
}

impl TreeShap {
    /// `covers` holds, for each tree, how many rows reached each node.
    pub(super) fn new(
        forest: &Forest,
        weights: &[f64],
        base: f64,
        covers: &[Vec<f64>],
    ) -> Result<Self, Error> {
        let mut shap = Self { all: Vec::new(), base };
        let mut bytes = 0;
        for (at, covers) in covers.iter().enumerate() {
            let tree = forest.tree(at);
            let points = points_for(deepest_path(tree)?);
            let planting = Planting {
                tree,
                covers,
                weights,
                points: &gauss_legendre(points),
                width: forest.width(),
            };
            let grove = shap.grove(points);
            let before = grove.bytes();
            let expected = planting.plant(grove);
            bytes += grove.bytes() - before;
            if bytes > BYTES_MAX {
                return Err(Error::Limit("the trees are too many to be explained".into()));
            }
            shap.base += expected;
        }
        Ok(shap)
    }

    /// The grove that the next tree of so many points is added to.
    fn grove(&mut self, points: usize) -> &mut Grove {
        let at = self.all.iter().position(|groves| groves.points == points).unwrap_or_else(|| {
            let weights = gauss_legendre(points).into_iter().map(|(_, weight)| weight).collect();
            self.all.push(Groves { points, weights, members: Vec::new() });
            self.all.len() - 1
        });
        let groves = &mut self.all[at].members;
        if groves.last().is_none_or(|grove| grove.branches() >= GROVE_BRANCHES) {
            groves.push(Grove::default());
        }
        let last = groves.len() - 1;
        &mut groves[last]
    }

    /// Adds each feature's contribution.
    pub(super) fn explain(&self, row: &[f32], contributions: &mut [f64]) {
        // Again with each NaN below everything, for the branches where it goes left.
        let low = row.iter().map(|value| if value.is_nan() { f32::NEG_INFINITY } else { *value });
        let values: Vec<f32> = row.iter().copied().chain(low).collect();
        for groves in &self.all {
            match groves.points {
                2 => groves.add::<2>(&values, contributions),
                4 => groves.add::<4>(&values, contributions),
                8 => groves.add::<8>(&values, contributions),
                16 => groves.add::<16>(&values, contributions),
                _ => groves.add::<32>(&values, contributions),
            }
        }
    }
}

impl Groves {
    fn add<const Q: usize>(&self, values: &[f32], contributions: &mut [f64]) {
        let mut scratch = Scratch::<Q>::default();
        let mut sums = vec![[0.0; Q]; contributions.len()];
        let weights: [f64; Q] = std::array::from_fn(|point| self.weights[point]);
        for grove in &self.members {
            grove.add(values, &weights, &mut scratch, &mut sums);
        }
        for (contribution, sums) in contributions.iter_mut().zip(sums) {
            *contribution += sums.iter().sum::<f64>();
        }
    }
}

/// What one tree is added to a grove from.
struct Planting<'a> {
    tree: Branches<'a>,
    covers: &'a [f64],
    weights: &'a [f64],
    points: &'a [(f64, f64)],
    width: usize,
}

/// A feature that was split on above a node.
#[derive(Clone, Copy, Debug)]
struct Split {
    feature: usize,
    /// The place in the grove that its last branch led to, and the share `z'` of its branches.
    place: u32,
    share: f64,
}

/// A node on its way into a grove.
#[derive(Clone, Debug)]
struct Open {
    node: usize,
    place: u32,
    /// Of all rows.
    share: f64,
    above: Vec<Split>,
}

impl Planting<'_> {
    /// Gives back the mean of the tree over the rows that the covers count.
    fn plant(&self, grove: &mut Grove) -> f64 {
        let mut expected = 0.0;
        // One for each place that a feature's last branch led to: they depend on `z'` only.
        let mut factors = BTreeMap::new();
        // Breadth first, so that parents stand before children.
        let root = Open { node: Branches::ROOT, place: Grove::ROOT, share: 1.0, above: Vec::new() };
        let mut open = VecDeque::from([root]);
        while let Some(Open { node, place, share: all, above }) = open.pop_front() {
            let Kind::Branch { feature, left } = self.tree.kind(node) else {
                let value = self.value(node);
                expected += all * value;
                grove.push_leaf(place, value);
                continue;
            };
            let split = above.iter().find(|split| split.feature == feature);
            let (before, z) = split.map_or((Grove::ROOT, 1.0), |split| (split.place, split.share));
            let here = share(self.covers[left], self.covers[node]);
            let factors =
                *factors.entry(before).or_insert_with(|| grove.push_factors(&self.factors(z)));
            let nan_left = self.tree.left(node, f32::NAN);
            let mut branch = Branch {
                threshold: self.tree.threshold(node),
                value: (feature + if nan_left { self.width } else { 0 }) as u32,
                feature: feature as u32,
                place,
                children: 0,
                before,
                factors,
                turns: [(here, 0.0), (0.0, -z * here), (1.0, z - z * here)],
            };
            if self.tree.kind(left) == Kind::Leaf && self.tree.kind(left + 1) == Kind::Leaf {
                let (to_left, to_right) = (self.value(left), self.value(left + 1));
                expected += all * (here * to_left + (1.0 - here) * to_right);
                let apart = to_left - to_right;
                branch.turns = branch.turns.map(|(p, s)| (to_right + p * apart, s * apart));
                grove.push_last(branch);
                continue;
            }
            let places = grove.push_inner(branch);
            for (child, place, share) in
                [(left, places[0], here), (left + 1, places[1], 1.0 - here)]
            {
                let mut above: Vec<Split> =
                    above.iter().filter(|split| split.feature != feature).copied().collect();
                above.push(Split { feature, place, share: z * share });
                open.push_back(Open { node: child, place, share: all * share, above });
            }
        }
        expected
    }

    fn value(&self, leaf: usize) -> f64 {
        let values = self.tree.values(leaf).iter().zip(self.weights);
        values.map(|(value, weight)| f64::from(*value) * weight).sum()
    }

    /// `u` for all points, then `h` for all points.
    fn factors(&self, z: f64) -> Vec<f64> {
        let above = |t: f64| t + (1.0 - t) * z;
        let u = self.points.iter().map(|(t, _)| (t - 1.0) / above(*t));
        let h = self.points.iter().map(|(t, _)| above(*t).powi(-2));
        u.chain(h).collect()
    }
}

/// The smallest quadrature of those that are compiled which is exact for so many features.
fn points_for(features: usize) -> usize {
    let needed = features.div_ceil(2);
    [2, 4, 8, 16].into_iter().find(|points| *points >= needed).unwrap_or(32)
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

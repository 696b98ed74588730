//! The tree operators of ONNX: TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::file::Node;
use super::finish::{Aggregate, Finish};
use super::transform::Transform;
use crate::{Forest, Tree, TreeNode};

/// An ensemble: sums of leaves, and what becomes of them.
#[derive(Clone, Debug)]
pub(super) struct Ensemble {
    pub(super) forest: Forest,
    pub(super) finish: Finish,
}

/// The attributes that both older operators share, by the names of one of them.
struct Weights<'a> {
    ids: &'a [i64],
    nodes: &'a [i64],
    trees: &'a [i64],
    values: &'a [f32],
}

impl Ensemble {
    /// `None` where the operator holds what is not evaluated here.
    pub(super) fn read(node: &Node<'_>, width: usize) -> Option<Self> {
        match node.op {
            "TreeEnsembleClassifier" => Self::read_classifier(node, width),
            "TreeEnsembleRegressor" => Self::read_regressor(node, width),
            "TreeEnsemble" => Self::read_ensemble(node, width),
            _ => None,
        }
    }

    fn read_classifier(node: &Node<'_>, width: usize) -> Option<Self> {
        let weights = Weights {
            ids: node.ints("class_ids"),
            nodes: node.ints("class_nodeids"),
            trees: node.ints("class_treeids"),
            values: or_tensor(node, "class_weights", "class_weights_as_tensor")?,
        };
        let classes =
            node.texts("classlabels_strings").len().max(node.ints("classlabels_int64s").len());
        let (trees, present) = older_trees(node, &weights, classes)?;
        let transform = Transform::parse(node.text("post_transform").unwrap_or("NONE"))?;
        let base = or_tensor(node, "base_values", "base_values_as_tensor")?.to_vec();
        let positive = weights.values.iter().all(|value| *value >= 0.0);
        let finish = Finish::classifier(classes, present, base, transform, positive)?;
        Some(Self { forest: Forest::new(&trees, finish.sums(), width).ok()?, finish })
    }

    fn read_regressor(node: &Node<'_>, width: usize) -> Option<Self> {
        let weights = Weights {
            ids: node.ints("target_ids"),
            nodes: node.ints("target_nodeids"),
            trees: node.ints("target_treeids"),
            values: or_tensor(node, "target_weights", "target_weights_as_tensor")?,
        };
        let targets = usize::try_from(node.int("n_targets")?).ok()?;
        let (trees, present) = older_trees(node, &weights, targets)?;
        let aggregate = Aggregate::parse(node.text("aggregate_function").unwrap_or("SUM"))?;
        let transform = Transform::parse(node.text("post_transform").unwrap_or("NONE"))?;
        let base = or_tensor(node, "base_values", "base_values_as_tensor")?.to_vec();
        let finish = Finish::regressor(present, base, aggregate, trees.len(), transform)?;
        Some(Self { forest: Forest::new(&trees, finish.sums(), width).ok()?, finish })
    }

    /// The operator of ai.onnx.ml 5: trees by their roots, leaves in a list of their own.
    fn read_ensemble(node: &Node<'_>, width: usize) -> Option<Self> {
        let targets = usize::try_from(node.int("n_targets")?).ok()?;
        let reader = NewTrees {
            features: node.ints("nodes_featureids"),
            splits: node.tensor("nodes_splits")?,
            modes: node.tensor("nodes_modes")?,
            missing: node.ints("nodes_missing_value_tracks_true"),
            hits: node.tensor("nodes_hitrates").unwrap_or(&[]),
            children: [node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids")],
            leaves: [node.ints("nodes_trueleafs"), node.ints("nodes_falseleafs")],
            targets: node.ints("leaf_targetids"),
            weights: node.tensor("leaf_weights")?,
            outputs: targets,
        };
        let trees: Option<Vec<Tree>> =
            node.ints("tree_roots").iter().map(|root| reader.read(*root)).collect();
        let (trees, aggregate) = (trees?, node.int("aggregate_function").unwrap_or(1));
        let aggregate = Aggregate::numbered(aggregate)?;
        let transform = Transform::numbered(node.int("post_transform").unwrap_or(0))?;
        let present = vec![true; targets];
        let finish = Finish::regressor(present, Vec::new(), aggregate, trees.len(), transform)?;
        Some(Self { forest: Forest::new(&trees, targets, width).ok()?, finish })
    }
}

/// An attribute of floats that may also be given as a tensor. A tensor of another type is `None`.
fn or_tensor<'a>(node: &'a Node<'_>, name: &str, tensor: &str) -> Option<&'a [f32]> {
    if node.has(tensor) { node.tensor(tensor) } else { Some(node.floats(name)) }
}

/// The trees, with one value a leaf for each output that any leaf has, and which those are.
fn older_trees(
    node: &Node<'_>,
    weights: &Weights<'_>,
    outputs: usize,
) -> Option<(Vec<Tree>, Vec<bool>)> {
    let present = presence(weights, outputs)?;
    let columns: Vec<usize> = (0..outputs).filter(|output| present[*output]).collect();
    let by_leaf = leaf_values(weights, &columns)?;
    let (ids, trees) = (node.ints("nodes_nodeids"), node.ints("nodes_treeids"));
    let places = places(ids, trees)?;
    let reader = OlderTrees {
        features: node.ints("nodes_featureids"),
        values: or_tensor(node, "nodes_values", "nodes_values_as_tensor")?,
        modes: node.texts("nodes_modes"),
        missing: node.ints("nodes_missing_value_tracks_true"),
        hits: or_tensor(node, "nodes_hitrates", "nodes_hitrates_as_tensor").unwrap_or(&[]),
        children: [node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids")],
        ids,
        places,
        by_leaf,
        outputs: columns.len(),
    };
    let mut all = Vec::new();
    let mut start = 0;
    while let Some(tree) = trees.get(start) {
        let end = start + trees[start..].iter().take_while(|each| *each == tree).count();
        all.push(reader.read(*tree, start..end)?);
        start = end;
    }
    Some((all, present))
}

/// Where each node of each tree stands; `None` where one stands twice.
fn places(ids: &[i64], trees: &[i64]) -> Option<HashMap<(i64, i64), usize>> {
    let mut places = HashMap::with_capacity(ids.len());
    for (at, (tree, id)) in trees.iter().zip(ids).enumerate() {
        if places.insert((*tree, *id), at).is_some() {
            return None;
        }
    }
    (ids.len() == trees.len()).then_some(places)
}

/// Which outputs leaves have. ONNX Runtime keeps for each row which outputs were reached; that is
/// the same for all rows where an output has a tree of which every leaf has it.
fn presence(weights: &Weights<'_>, outputs: usize) -> Option<Vec<bool>> {
    let (ids, count) = (weights.ids, weights.ids.len());
    if weights.nodes.len() != count
        || weights.trees.len() != count
        || weights.values.len() != count
        || outputs == 0
    {
        return None;
    }
    let mut leaves: HashMap<i64, HashSet<i64>> = HashMap::new();
    let mut with: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    for ((id, tree), node) in ids.iter().zip(weights.trees).zip(weights.nodes) {
        usize::try_from(*id).ok().filter(|id| *id < outputs)?;
        leaves.entry(*tree).or_default().insert(*node);
        *with.entry((*tree, *id)).or_default() += 1;
    }
    let mut present = vec![false; outputs];
    let mut always = vec![false; outputs];
    for ((tree, id), count) in &with {
        present[*id as usize] = true;
        always[*id as usize] |= leaves.get(tree).is_some_and(|leaves| leaves.len() == *count);
    }
    (present == always).then_some(present)
}

/// The values of each leaf, in the order of `columns`; an output that a leaf lacks adds nothing.
fn leaf_values(weights: &Weights<'_>, columns: &[usize]) -> Option<HashMap<(i64, i64), Vec<f32>>> {
    let mut by_leaf: HashMap<(i64, i64), Vec<f32>> = HashMap::new();
    let mut seen = HashSet::new();
    for (at, id) in weights.ids.iter().enumerate() {
        let leaf = (weights.trees[at], weights.nodes[at]);
        if !seen.insert((leaf, *id)) || weights.values[at].is_nan() {
            return None;
        }
        let column = columns.iter().position(|column| *column as i64 == *id)?;
        by_leaf.entry(leaf).or_insert_with(|| vec![0.0; columns.len()])[column] =
            weights.values[at];
    }
    Some(by_leaf)
}

struct OlderTrees<'a> {
    features: &'a [i64],
    values: &'a [f32],
    modes: &'a [&'a str],
    missing: &'a [i64],
    hits: &'a [f32],
    children: [&'a [i64]; 2],
    ids: &'a [i64],
    places: HashMap<(i64, i64), usize>,
    by_leaf: HashMap<(i64, i64), Vec<f32>>,
    outputs: usize,
}

impl OlderTrees<'_> {
    fn read(&self, tree: i64, range: std::ops::Range<usize>) -> Option<Tree> {
        let mut built = Tree::default();
        for at in range.clone() {
            let child = |which: usize| {
                let id = *self.children[which].get(at)?;
                let place = *self.places.get(&(tree, id))?;
                range.contains(&place).then(|| place - range.start)
            };
            let mode = *self.modes.get(at)?;
            built.nodes.push(if mode == "LEAF" {
                let values = self.by_leaf.get(&(tree, self.ids[at]))?;
                built.values.extend_from_slice(values);
                TreeNode::Leaf { slot: built.values.len() / self.outputs - 1 }
            } else {
                Split {
                    mode,
                    feature: usize::try_from(*self.features.get(at)?).ok()?,
                    value: *self.values.get(at)?,
                    missing_true: self.missing.get(at).is_some_and(|tracks| *tracks == 1),
                }
                .branch(child(0)?, child(1)?)?
            });
        }
        built.covers =
            range.map(|at| self.hits.get(at).map_or(0.0, |hit| f64::from(*hit))).collect();
        built.keep_sound_covers();
        Some(built)
    }
}

/// A branch in the file's words.
struct Split<'a> {
    mode: &'a str,
    feature: usize,
    value: f32,
    missing_true: bool,
}

impl Split<'_> {
    /// In the one form of the flat trees, `value <= threshold`. Equality has no such form.
    fn branch(&self, yes: usize, no: usize) -> Option<TreeNode> {
        let (threshold, left, right, nan_left) = match self.mode {
            "BRANCH_LEQ" => (self.value, yes, no, self.missing_true),
            "BRANCH_LT" => (below(self.value), yes, no, self.missing_true),
            "BRANCH_GTE" if !self.value.is_nan() => {
                (below(self.value), no, yes, !self.missing_true)
            }
            "BRANCH_GT" if !self.value.is_nan() => (self.value, no, yes, !self.missing_true),
            _ => return None,
        };
        Some(TreeNode::Branch { feature: self.feature, threshold, nan_left, left, right })
    }
}

/// `x < value` is `x <= below(value)`; nothing is below minus infinity, nor `<=` NaN.
fn below(value: f32) -> f32 {
    if value == f32::NEG_INFINITY { f32::NAN } else { value.next_down() }
}

struct NewTrees<'a> {
    features: &'a [i64],
    splits: &'a [f32],
    modes: &'a [f32],
    missing: &'a [i64],
    hits: &'a [f32],
    children: [&'a [i64]; 2],
    leaves: [&'a [i64]; 2],
    targets: &'a [i64],
    weights: &'a [f32],
    outputs: usize,
}

impl NewTrees<'_> {
    fn read(&self, root: i64) -> Option<Tree> {
        let root = usize::try_from(root).ok()?;
        // ONNX Runtime takes a root with equal children for a leaf.
        if self.children[0].get(root)? == self.children[1].get(root)? {
            return None;
        }
        let mut built = Tree::default();
        // What is still to be read: the place in the file's lists, and whether of a leaf.
        let mut open = vec![(root, false)];
        let mut next = 0;
        while let Some(&(at, leaf)) = open.get(next) {
            next += 1;
            if leaf {
                let slot = built.values.len() / self.outputs;
                built.values.resize(built.values.len() + self.outputs, 0.0);
                let target = usize::try_from(*self.targets.get(at)?).ok()?;
                let value = *self.weights.get(at)?;
                let place = built.values.get_mut(slot * self.outputs + target);
                *place.filter(|_| target < self.outputs && !value.is_nan())? = value;
                built.nodes.push(TreeNode::Leaf { slot });
                continue;
            }
            let modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"];
            let split = Split {
                mode: modes.get(*self.modes.get(at)? as usize)?,
                feature: usize::try_from(*self.features.get(at)?).ok()?,
                value: *self.splits.get(at)?,
                missing_true: self.missing.get(at).is_some_and(|tracks| *tracks == 1),
            };
            built.nodes.push(split.branch(open.len(), open.len() + 1)?);
            for which in [0, 1] {
                let child = usize::try_from(*self.children[which].get(at)?).ok()?;
                open.push((child, *self.leaves[which].get(at)? != 0));
            }
            // A graph that joins again would grow without end.
            (open.len() <= 2 * self.features.len() + 1).then_some(())?;
        }
        let hit = |(at, leaf): &(usize, bool)| match leaf {
            true => 0.0,
            false => self.hits.get(*at).map_or(0.0, |hit| f64::from(*hit)),
        };
        built.covers = open.iter().map(hit).collect();
        built.keep_sound_covers();
        Some(built)
    }
}

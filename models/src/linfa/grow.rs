//! Trees and forests by linfa, flattened.
//!
//! linfa takes two values closer than 1e-5 for one, splits a row that lies on the threshold one way
//! and asks it the other way. Fitted on the rank of each value instead of the value, neither matters:
//! ranks are whole numbers, and a threshold is turned back to the middle between two values.

use linfa::DatasetBase;
use linfa::ParamGuard;
use linfa::traits::Fit;
use linfa_ensemble::EnsembleLearnerParams;
use linfa_trees::{DecisionTree, DecisionTreeParams, TreeNode};
use ndarray::{Array1, Array2};
use rand_chacha_linfa::ChaCha8Rng;
use rand_chacha_linfa::rand_core::SeedableRng;

use super::family::Settings;
use super::fit::failed;
use super::table::Table;
use super::trees::{LEAF, Trees};
use crate::Error;

struct Ranked {
    records: Array2<f64>,
    /// By feature, the values that occur, ascending.
    values: Vec<Vec<f64>>,
}

impl Ranked {
    fn of(table: &Table) -> Self {
        let values: Vec<Vec<f64>> = (0..table.width())
            .map(|at| {
                let mut all: Vec<f64> = table.column(at).collect();
                all.sort_by(f64::total_cmp);
                all.dedup();
                all
            })
            .collect();
        let width = table.width();
        let records = Array2::from_shape_fn((table.len(), width), |(row, at)| {
            let value = f64::from(table.rows()[row * width + at]);
            values[at].partition_point(|each| *each < value) as f64
        });
        Self { records, values }
    }

    /// linfa sends ranks below its threshold to the left.
    fn threshold(&self, feature: usize, rank: f64) -> f64 {
        let values = &self.values[feature];
        let right = (rank.ceil().max(1.0) as usize).min(values.len().saturating_sub(1));
        f64::midpoint(values[right.saturating_sub(1)], values[right])
    }
}

fn params(settings: &Settings) -> DecisionTreeParams<f64, usize> {
    DecisionTree::params()
        .max_depth(Some(settings.max_depth))
        .min_weight_leaf(settings.min_leaf as f32)
        .min_weight_split(2.0 * settings.min_leaf as f32)
}

pub(super) fn tree(
    table: &Table,
    classes: usize,
    of_row: &[usize],
    settings: &Settings,
) -> Result<Trees, Error> {
    let ranked = Ranked::of(table);
    let dataset = DatasetBase::new(ranked.records.clone(), Array1::from_vec(of_row.to_vec()));
    let fitted = params(settings).fit(&dataset).map_err(failed)?;
    let all: Vec<usize> = (0..table.width()).collect();
    let mut flat = Flat { ranked: &ranked, trees: Trees::default() };
    flat.add(fitted.root_node(), &all)?;
    Ok(count(flat.trees, table, classes, of_row))
}

pub(super) fn forest(
    table: &Table,
    classes: usize,
    of_row: &[usize],
    settings: &Settings,
) -> Result<Trees, Error> {
    let ranked = Ranked::of(table);
    let dataset = DatasetBase::new(ranked.records.clone(), Array1::from_vec(of_row.to_vec()));
    let draw = ChaCha8Rng::seed_from_u64(settings.seed);
    let each = params(settings).check().map_err(failed)?;
    let fitted = EnsembleLearnerParams::new_fixed_rng(each, draw)
        .ensemble_size(settings.trees)
        .bootstrap_proportion(1.0)
        .feature_proportion(settings.feature_share)
        .fit(&dataset)
        .map_err(failed)?;
    let mut flat = Flat { ranked: &ranked, trees: Trees::default() };
    for (tree, asked) in fitted.models.iter().zip(&fitted.model_features) {
        flat.add(tree.root_node(), asked)?;
    }
    Ok(count(flat.trees, table, classes, of_row))
}

struct Flat<'a> {
    ranked: &'a Ranked,
    trees: Trees,
}

impl Flat<'_> {
    /// `asked` turns a feature of the tree's own rows into one of the table.
    fn add(&mut self, root: &TreeNode<f64, usize>, asked: &[usize]) -> Result<(), Error> {
        self.trees.roots.push(self.trees.feature.len() as u32);
        self.node(root, asked).map(|_| ())
    }

    /// As deep as the tree, which settings bound.
    fn node(&mut self, node: &TreeNode<f64, usize>, asked: &[usize]) -> Result<u32, Error> {
        let at = self.trees.feature.len();
        let children: Vec<_> = node.children().into_iter().flatten().collect();
        let (feature, rank, _) = node.split();
        let (feature, threshold) = match (node.is_leaf(), asked.get(feature)) {
            (false, Some(feature)) => (*feature as u32, self.ranked.threshold(*feature, rank)),
            _ => (LEAF, 0.0),
        };
        let trees = &mut self.trees;
        trees.feature.push(feature);
        trees.threshold.push(threshold);
        trees.class.push(node.prediction().unwrap_or_default() as u32);
        trees.left.push(0);
        trees.right.push(0);
        if feature != LEAF {
            let [left, right] = children.as_slice() else {
                return Err(failed("linfa left a node without a child"));
            };
            self.trees.left[at] = self.node(left, asked)?;
            self.trees.right[at] = self.node(right, asked)?;
        }
        Ok(at as u32)
    }
}

/// linfa keeps one class a leaf; the training rows tell how many of each came through a node.
fn count(mut trees: Trees, table: &Table, classes: usize, of_row: &[usize]) -> Trees {
    let mut counts = vec![0.0_f32; trees.feature.len() * classes];
    for (row, class) in table.rows().chunks_exact(table.width()).zip(of_row) {
        for root in &trees.roots {
            let mut node = *root as usize;
            loop {
                counts[node * classes + class] += 1.0;
                let feature = trees.feature[node];
                if feature == LEAF {
                    break;
                }
                let goes_left = f64::from(row[feature as usize]) <= trees.threshold[node];
                node = if goes_left { trees.left[node] } else { trees.right[node] } as usize;
            }
        }
    }
    trees.counts = counts;
    trees
}

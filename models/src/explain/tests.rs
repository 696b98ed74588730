//! TreeSHAP beside the definition of the Shapley value.

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::covers::count_covers;
use super::tree_shap::TreeShap;
use crate::tree::{Branches, Kind};
use crate::{Forest, Tree, TreeNode};

const WIDTH: usize = 5;

fn trees() -> impl Strategy<Value = Vec<Tree>> {
    let node = (0..WIDTH, -8_i8..8, any::<bool>());
    let tree = prop::collection::vec(node, 0..60).prop_map(|drawn| {
        let mut tree = Tree::default();
        for at in 0..=2 * drawn.len() {
            tree.nodes.push(if let Some((feature, threshold, nan_left)) = drawn.get(at) {
                TreeNode::Branch {
                    feature: *feature,
                    threshold: f32::from(*threshold),
                    nan_left: *nan_left,
                    left: 2 * at + 1,
                    right: 2 * at + 2,
                }
            } else {
                tree.values.push((at as f32 * 0.7).sin());
                TreeNode::Leaf { slot: tree.values.len() - 1 }
            });
        }
        tree
    });
    prop::collection::vec(tree, 1..5)
}

fn rows(count: usize) -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![8 => (-9_i8..9).prop_map(f32::from), 1 => Just(f32::NAN)];
    prop::collection::vec(value, count * WIDTH)
}

/// What is expected of a tree when only the features of `known` are.
fn value(tree: Branches<'_>, covers: &[f64], row: &[f32], known: usize, at: usize) -> f64 {
    let Kind::Branch { feature, left } = tree.kind(at) else {
        return f64::from(tree.values(at)[0]);
    };
    let below = |child| value(tree, covers, row, known, child);
    if known >> feature & 1 == 1 {
        return below(if tree.left(at, row[feature]) { left } else { left + 1 });
    }
    let share = if covers[at] > 0.0 { covers[left] / covers[at] } else { 0.5 };
    share * below(left) + (1.0 - share) * below(left + 1)
}

/// The mean of a feature's changes over all orders in which the features become known.
fn shapley(values: &[f64], feature: usize) -> f64 {
    let factorial = |n: usize| (1..=n).map(|each| each as f64).product::<f64>();
    let without = (0..1_usize << WIDTH).filter(|known| known >> feature & 1 == 0);
    without
        .map(|known| {
            let size = known.count_ones() as usize;
            let weight = factorial(size) * factorial(WIDTH - size - 1) / factorial(WIDTH);
            weight * (values[known | 1 << feature] - values[known])
        })
        .sum()
}

proptest! {
    #![proptest_config(Config { cases: 64, ..Config::default() })]

    #[test]
    fn trees_get_their_shapley_values(trees in trees(), reference in rows(12), row in rows(1)) {
        let forest = Forest::new(&trees, 1, WIDTH).unwrap();
        let covers = count_covers(&forest, &reference);
        let shap = TreeShap::new(&forest, &[1.0], 0.5, &covers).unwrap();
        let mut contributions = vec![0.0; WIDTH];
        shap.explain(&row, &mut contributions);
        let values: Vec<f64> = (0..1 << WIDTH)
            .map(|known| {
                let of = |at: usize| value(forest.tree(at), &covers[at], &row, known, Branches::ROOT);
                0.5 + (0..forest.trees()).map(of).sum::<f64>()
            })
            .collect();
        prop_assert!((shap.base - values[0]).abs() < 1e-12, "{} {}", shap.base, values[0]);
        for (feature, contribution) in contributions.iter().enumerate() {
            let exact = shapley(&values, feature);
            prop_assert!((contribution - exact).abs() < 1e-10, "{feature}: {contribution} {exact}");
        }
        let total = shap.base + contributions.iter().sum::<f64>();
        let full = values[(1 << WIDTH) - 1];
        prop_assert!((total - full).abs() < 1e-10);
        let mut again = vec![0.0; WIDTH];
        shap.explain(&row, &mut again);
        prop_assert_eq!(again, contributions);
    }

    #[test]
    fn a_walk_finds_the_leaf_in_any_company(trees in trees(), rows in rows(70)) {
        let forest = Forest::new(&trees, 1, WIDTH).unwrap();
        let mut together = vec![0.0; 70];
        forest.fold_rows(&rows, &mut together, |sum, value| *sum += value);
        for (row, sum) in rows.chunks_exact(WIDTH).zip(together) {
            let mut alone = [0.0];
            forest.fold_row(row, &mut alone, |sum, value| *sum += value);
            prop_assert_eq!(alone[0].to_bits(), sum.to_bits());
            let mut slow = 0.0_f32;
            for at in 0..forest.trees() {
                slow += forest.tree(at).values(forest.tree(at).leaf(row))[0];
            }
            prop_assert_eq!(slow.to_bits(), sum.to_bits());
        }
    }
}

//! The rows on which the evaluator must agree with ONNX Runtime in every bit.

use super::Evaluator;
use crate::Data;
use crate::explain::SplitMix;
use crate::tree::{Branches, Kind};

/// Rows that are drawn, beside the golden ones.
const ROWS: usize = 10_000;
const SEED: u64 = 0x0ddb_a115;
/// Values that a comparison or a sum may trip over.
const SPECIAL: [f32; 9] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    1e-45,
];
/// A feature is tried at no more of its thresholds than these.
const THRESHOLDS_MAX: usize = 4096;

/// Golden rows first, then rows of values on, just below and just above the edges of the trees,
/// values of the golden rows, special ones, and values anywhere between.
pub(crate) fn rows_that_try(evaluator: &Evaluator, golden: &[f32]) -> Vec<f32> {
    let width = evaluator.width();
    let edges = edges(evaluator);
    let mut dice = SplitMix::new(SEED);
    let mut rows = golden[..golden.len() / width * width].to_vec();
    rows.reserve(ROWS * width);
    for row in 0..ROWS {
        // Every fourth row is an ordinary one: a NaN hides what the other features do.
        let tame = row % 4 == 0;
        for (feature, edges) in edges.iter().enumerate() {
            rows.push(draw(&mut dice, edges, golden, (feature, width), tame));
        }
    }
    rows
}

fn draw(
    dice: &mut SplitMix,
    edges: &[f32],
    golden: &[f32],
    (feature, width): (usize, usize),
    tame: bool,
) -> f32 {
    let of = |dice: &mut SplitMix, count: usize| (dice.next() % count as u64) as usize;
    let unit = |dice: &mut SplitMix| (dice.next() >> 40) as f32 / (1_u64 << 24) as f32;
    match of(dice, 16) {
        0 if !tame => SPECIAL[of(dice, SPECIAL.len())],
        0..8 if !edges.is_empty() => {
            let edge = edges[of(dice, edges.len())];
            match of(dice, 3) {
                0 => edge.next_down(),
                1 => edge,
                _ => edge.next_up(),
            }
        }
        8..11 if !golden.is_empty() => golden[of(dice, golden.len() / width) * width + feature],
        11 => [0.0, 1.0, -1.0][of(dice, 3)],
        _ => {
            let (low, high) = match (edges.first(), edges.last()) {
                (Some(low), Some(high)) if high > low => (*low, *high),
                _ => (-10.0, 10.0),
            };
            low + (high - low) * (unit(dice) * 1.5 - 0.25)
        }
    }
}

/// The thresholds of each feature as the rows would have to have them, sorted.
fn edges(evaluator: &Evaluator) -> Vec<Vec<f32>> {
    let mut all = vec![Vec::new(); evaluator.width()];
    let Some(forest) = evaluator.forest() else { return all };
    for at in 0..forest.trees() {
        let tree = forest.tree(at);
        for node in Branches::ROOT..tree.len() {
            if let Kind::Branch { feature, .. } = tree.kind(node) {
                let edge = evaluator.before_steps(feature, tree.threshold(node));
                if edge.is_finite() {
                    all[feature].push(edge);
                }
            }
        }
    }
    for edges in &mut all {
        edges.sort_by(f32::total_cmp);
        edges.dedup();
        let step = edges.len().div_ceil(THRESHOLDS_MAX).max(1);
        *edges = edges.iter().step_by(step).copied().collect();
    }
    all
}

/// Whether two outputs differ in a bit. All that is not a number counts as one.
pub(crate) fn differs(ours: &Data, theirs: &Data) -> bool {
    match (ours, theirs) {
        (Data::Fp32(ours), Data::Fp32(theirs)) => {
            let same = |(ours, theirs): (&f32, &f32)| {
                ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan())
            };
            ours.len() != theirs.len() || !ours.iter().zip(theirs).all(same)
        }
        (ours, theirs) => ours != theirs,
    }
}

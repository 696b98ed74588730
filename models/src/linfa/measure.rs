//! How good a model is on rows that it was not fitted on.

use super::family::Family;
use super::model::LinfaModel;
use super::table::{Table, Target};
use crate::Error;

/// A name and its value, as a card prints them.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    pub name: &'static str,
    pub value: f64,
}

/// What can be said of the model on `table`: AUC, accuracy and log loss of classes, R² and the root
/// mean square error of numbers, distance from the centres, variance left out by components.
pub fn measure(model: &LinfaModel, table: &Table) -> Result<Vec<Measure>, Error> {
    let columns = model.columns(table.rows(), table.len())?;
    let wide = columns.len() / table.len();
    let of = |name, value| Measure { name, value };
    Ok(match table.target() {
        Target::Classes { of_row, .. } => {
            let mut all = vec![
                of("accuracy", accuracy(&columns, wide, of_row)),
                of("log loss", log_loss(&columns, wide, of_row)),
            ];
            if wide == 2 {
                let second: Vec<f64> = columns.iter().skip(1).step_by(2).copied().collect();
                let truth: Vec<bool> = of_row.iter().map(|class| *class == 1).collect();
                all.insert(0, of("AUC", auc(&second, &truth)));
            }
            all
        }
        Target::Numbers(labels) => {
            vec![of("R2", r2(&columns, labels)), of("RMSE", square_error(&columns, labels).sqrt())]
        }
        Target::Nothing if model.family() == Family::KMeans => {
            let nearest =
                columns.chunks_exact(wide).map(|row| row.iter().copied().fold(f64::MAX, f64::min));
            vec![of(
                "mean distance to the nearest centre",
                nearest.sum::<f64>() / table.len() as f64,
            )]
        }
        Target::Nothing => {
            let mut all = vec![of("mean distance from the plane", {
                let residuals = model.residuals(table.rows(), table.len())?;
                residuals.iter().sum::<f64>() / table.len() as f64
            })];
            let explained: f64 = model.explained().iter().sum();
            all.insert(0, of("explained variance (training rows)", explained));
            all
        }
    })
}

fn accuracy(columns: &[f64], wide: usize, of_row: &[usize]) -> f64 {
    let right =
        columns.chunks_exact(wide).zip(of_row).filter(|(row, class)| largest(row) == **class);
    right.count() as f64 / of_row.len() as f64
}

/// The place of the largest value; the first of equals.
pub(super) fn largest(row: &[f64]) -> usize {
    let mut best = 0;
    for (at, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = at;
        }
    }
    best
}

/// A probability of 0 for what came true would be infinite: 1e-15 is the least that is counted.
fn log_loss(columns: &[f64], wide: usize, of_row: &[usize]) -> f64 {
    let each =
        columns.chunks_exact(wide).zip(of_row).map(|(row, class)| -row[*class].max(1e-15).ln());
    each.sum::<f64>() / of_row.len() as f64
}

/// The chance that a true row ranks above one that is not; equals count half. NaN without both.
fn auc(scores: &[f64], truth: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut below, mut sum) = (0.0, 0.0);
    let mut rest = order.as_slice();
    while let Some(first) = rest.first() {
        let same = rest.partition_point(|at| scores[*at] <= scores[*first]).max(1);
        let (equals, tail) = rest.split_at(same);
        let yes = equals.iter().filter(|at| truth[**at]).count() as f64;
        let no = equals.len() as f64 - yes;
        sum += yes * (below + no / 2.0);
        below += no;
        rest = tail;
    }
    sum / (below * (scores.len() as f64 - below))
}

fn square_error(columns: &[f64], labels: &[f64]) -> f64 {
    let each = columns.iter().zip(labels).map(|(got, want)| (got - want).powi(2));
    each.sum::<f64>() / labels.len() as f64
}

fn r2(columns: &[f64], labels: &[f64]) -> f64 {
    let mean = labels.iter().sum::<f64>() / labels.len() as f64;
    let variance =
        labels.iter().map(|label| (label - mean).powi(2)).sum::<f64>() / labels.len() as f64;
    1.0 - square_error(columns, labels) / variance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_those_of_their_definitions() {
        let truth = [false, true, false, true];
        assert!((auc(&[0.1, 0.4, 0.35, 0.8], &truth) - 1.0).abs() < 1e-12);
        assert!((auc(&[0.5; 4], &truth) - 0.5).abs() < 1e-12);
        // By hand: pairs (true, false) of .3 > .1, .3 < .4, .2 > .1, .2 < .4.
        assert!((auc(&[0.1, 0.3, 0.4, 0.2], &truth) - 0.5).abs() < 1e-12);
        let columns = [0.8, 0.2, 0.4, 0.6];
        assert!((accuracy(&columns, 2, &[0, 0]) - 0.5).abs() < 1e-12);
        let by_hand = -(0.8_f64.ln() + 0.4_f64.ln()) / 2.0;
        assert!((log_loss(&columns, 2, &[0, 0]) - by_hand).abs() < 1e-12);
        assert!((r2(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0]) - 0.5).abs() < 1e-12);
    }
}

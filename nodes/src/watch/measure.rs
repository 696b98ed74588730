//! The figures, as pure functions of counts.
//!
//! - PSI, the population stability index: `sum((a - e) ln(a / e))` over the tenths of the reference,
//!   `e` the share of the reference and `a` that of the newest scores in each, no share below 1e-4.
//!   Usual words for it (N. Siddiqi, Credit Risk Scorecards, 2006): below 0.1 no change, above 0.25 a
//!   large one.
//! - KS, the Kolmogorov-Smirnov distance: the largest `|A(x) - E(x)|` of the two distribution functions,
//!   at the edges of up to forty bins; between two edges a larger one may hide.
//! - Brier score: the mean of `(score - outcome)^2` (G. Brier, 1950). ECE, the expected calibration
//!   error: over ten equal bins of the score, the sum of `share * |mean score - mean outcome|`
//!   (M. Naeini and others, 2015).

use crate::state::watched::{Bins, Tenth, UNIT};

/// A share that is smaller counts as this one, so that an empty bin has a logarithm.
const SHARE_MIN: f64 = 1e-4;

pub(super) fn psi(reference: &Bins, now: &[u64]) -> Option<f64> {
    let tenths = usize::from(*reference.tenths.iter().max()?) + 1;
    let (mut expected, mut actual) = (vec![0_u64; tenths], vec![0_u64; tenths]);
    for (at, tenth) in reference.tenths.iter().enumerate() {
        expected[usize::from(*tenth)] += reference.counts.get(at)?;
        actual[usize::from(*tenth)] += now.get(at).copied().unwrap_or(0);
    }
    let (all_expected, all_actual) = (expected.iter().sum::<u64>(), actual.iter().sum::<u64>());
    if all_expected == 0 || all_actual == 0 {
        return None;
    }
    let share = |count: u64, all: u64| (count as f64 / all as f64).max(SHARE_MIN);
    let parts = expected.iter().zip(&actual).map(|(expected, actual)| {
        let (expected, actual) = (share(*expected, all_expected), share(*actual, all_actual));
        (actual - expected) * (actual / expected).ln()
    });
    Some(parts.sum())
}

pub(super) fn ks(reference: &Bins, now: &[u64]) -> Option<f64> {
    let (all_expected, all_actual) =
        (reference.counts.iter().sum::<u64>(), now.iter().sum::<u64>());
    if all_expected == 0 || all_actual == 0 {
        return None;
    }
    let (mut expected, mut actual, mut largest) = (0_u64, 0_u64, 0.0_f64);
    for (at, count) in reference.counts.iter().enumerate() {
        expected += count;
        actual += now.get(at).copied().unwrap_or(0);
        let distance = actual as f64 / all_actual as f64 - expected as f64 / all_expected as f64;
        largest = largest.max(distance.abs());
    }
    Some(largest)
}

/// How well scores came true.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Calibration {
    pub(super) outcomes: u64,
    pub(super) brier: f64,
    pub(super) ece: f64,
}

pub(super) fn calibration(tenths: &[Tenth]) -> Option<Calibration> {
    let outcomes: u64 = tenths.iter().map(|tenth| tenth.outcomes).sum();
    if outcomes == 0 {
        return None;
    }
    let all = outcomes as f64;
    let squared: i64 = tenths.iter().map(|tenth| tenth.squared_sum).sum();
    let gaps: i64 = tenths.iter().map(|each| (each.score_sum - each.observed_sum).abs()).sum();
    let (brier, ece) = (squared as f64 / UNIT / all, gaps as f64 / UNIT / all);
    Some(Calibration { outcomes, brier, ece })
}

pub(super) fn rate(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// The mean of a sum in units of 1e-9.
pub(super) fn mean(sum: i64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / UNIT / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bins(counts: &[u64], tenths: &[u8]) -> Bins {
        Bins { counts: counts.to_vec(), tenths: tenths.to_vec(), ..Bins::default() }
    }

    #[track_caller]
    fn near(found: Option<f64>, want: f64) {
        assert!((found.unwrap() - want).abs() < 1e-12, "{found:?} {want}");
    }

    #[test]
    fn cases_made_by_hand() {
        let reference = bins(&[25, 25, 50], &[0, 0, 1]);
        near(psi(&reference, &[10, 40, 50]), 0.0);
        // Tenths: one half against one quarter, one half against three quarters.
        near(psi(&reference, &[25, 0, 75]), 0.25 * 3.0_f64.ln());
        near(ks(&reference, &[25, 0, 75]), 0.25);
        near(ks(&reference, &[0, 0, 9]), 0.5);
        // An empty tenth counts as 1e-4.
        let all_in_one = (1e-4 - 0.5) * (1e-4_f64 / 0.5).ln() + 0.5 * 2.0_f64.ln();
        near(psi(&reference, &[0, 0, 7]), all_in_one);
        assert_eq!(psi(&reference, &[0, 0, 0]), None);
        assert_eq!(ks(&bins(&[], &[]), &[]), None);
    }

    #[test]
    fn a_calibration_made_by_hand() {
        let tenth = |outcomes, score, observed, squared| Tenth {
            outcomes,
            score_sum: (score * UNIT) as i64,
            observed_sum: (observed * UNIT) as i64,
            squared_sum: (squared * UNIT) as i64,
        };
        // Scores .25 .25 (outcomes 0 1) and .75 .75 (1 1): Brier (.0625 + .5625 + .0625 + .0625) / 4.
        let found = calibration(&[tenth(2, 0.5, 1.0, 0.625), tenth(2, 1.5, 2.0, 0.125)]).unwrap();
        assert_eq!(found, Calibration { outcomes: 4, brier: 0.1875, ece: 0.25 });
        assert_eq!(calibration(&[Tenth::default(); 10]), None);
    }
}

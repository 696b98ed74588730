//! Makes an invented set of applications, fits the triage model on it and writes its files.
//!
//! `cargo run -p models --example fit_subsidy_triage` rewrites zoo/subsidy_triage/model.linfa and
//! golden.csv and prints the figures that card.md states. The same processor gives the same bytes.

use std::fmt::Write;
use std::path::Path;

use models::{Error, Model, fit_logistic};

const FEATURES: [&str; 9] = [
    "income_pc",
    "rigid_exp_12m",
    "household_size",
    "asset_flag",
    "assist_edge",
    "age",
    "disab_level",
    "lives_alone",
    "drugs_n",
];
const TRAIN: usize = 8_000;
const HELD_OUT: usize = 20_000;
const GOLDEN: usize = 64;
const SEED: u64 = 20_240_117;

/// SplitMix64: small, and the same everywhere.
struct Draw(u64);

impl Draw {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Near enough to normal: the sum of twelve uniform draws.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    fn chance(&mut self, p: f64) -> f64 {
        f64::from(u8::from(self.uniform() < p))
    }

    /// A count of up to `n` independent chances.
    fn count(&mut self, n: u32, p: f64) -> f64 {
        (0..n).map(|_| self.chance(p)).sum()
    }
}

fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// One application, the true probability that its review finds acute hardship, and the finding.
fn draw_application(draw: &mut Draw) -> ([f32; 9], f64, bool) {
    let strain = draw.normal();
    let income = (1900.0 * (0.45 * draw.normal() - 0.35 * strain).exp()).round();
    let rigid = (9000.0 * (0.7 * draw.normal() + 0.4 * strain).exp()).round();
    let size = 1.0 + draw.count(5, 0.3);
    let asset = draw.chance(0.06);
    let edge = draw.chance(if income < 2320.0 { 0.35 } else { 0.02 });
    let age = (40.0 + 50.0 * draw.uniform()).floor();
    let disability = draw.chance(0.15 + 0.1 * logistic(strain)) * (1.0 + draw.count(3, 0.4));
    let alone = if size > 1.0 { 0.0 } else { draw.chance(0.8) };
    let drugs = draw.count(10, 0.1 + 0.15 * logistic(strain));
    let logit =
        -1.1 - 0.0011 * (income - 1500.0) + 0.000_055 * (rigid - 9000.0) + 0.15 * (size - 2.0)
            - 0.8 * asset
            + 0.5 * edge
            + 0.008 * (age - 65.0)
            + 0.35 * disability
            + 0.3 * alone
            + 0.08 * drugs;
    let truth = logistic(logit);
    let found = draw.chance(truth) > 0.5;
    let row =
        [income, rigid, size, asset, edge, age, disability, alone, drugs].map(|value| value as f32);
    (row, truth, found)
}

/// The chance that a found case ranks above one that was not.
fn auc(scores: &[f64], found: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut below, mut sum) = (0.0, 0.0);
    for at in order {
        if found[at] {
            sum += below;
        } else {
            below += 1.0;
        }
    }
    sum / (below * (scores.len() as f64 - below))
}

fn main() -> Result<(), Error> {
    let mut draw = Draw(SEED);
    let (mut rows, mut truths, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TRAIN + HELD_OUT {
        let (row, truth, hardship) = draw_application(&mut draw);
        rows.extend(row);
        truths.push(truth);
        found.push(hardship);
    }
    let (train, test) = rows.split_at(TRAIN * FEATURES.len());
    let model = fit_logistic(train, &found[..TRAIN], &FEATURES, 1.0)?;
    let scores = model.score(test, HELD_OUT)?;

    let mut golden = format!("{},score\n", FEATURES.join(","));
    for (row, score) in test.chunks(FEATURES.len()).zip(&scores).take(GOLDEN) {
        for value in row {
            let _ = write!(golden, "{value},");
        }
        let _ = writeln!(golden, "{score}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo/subsidy_triage");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|error| Error::Io {
            path: path.display().to_string(),
            reason: error.to_string(),
        })
    };
    write("model.linfa", &model.to_bytes()?)?;
    write("golden.csv", golden.as_bytes())?;

    let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
    let share = |minimum: f64| {
        scores.iter().filter(|score| **score >= minimum).count() as f64 / HELD_OUT as f64
    };
    println!(
        "found {:.3}",
        found[TRAIN..].iter().filter(|each| **each).count() as f64 / HELD_OUT as f64
    );
    println!(
        "auc {:.3}, of the true probabilities {:.3}",
        auc(&scores, &found[TRAIN..]),
        auc(&truths[TRAIN..], &found[TRAIN..])
    );
    println!("first {:.3}, soon or first {:.3}", share(0.6), share(0.3));
    for (name, weight) in FEATURES.iter().zip(model.weights()) {
        println!("{name} {weight:.6}");
    }
    Ok(())
}

//! One table of a run: criterion's figures and those of the round trips.
//!
//! `summary FOLDER`, where FOLDER is what `CRITERION_HOME` was during the run. A bench that was left
//! out has no line.

use anyhow::Context as _;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What is measured, its figure, what it is held against, that one's figure, and of how many things
/// one such figure is.
const LINES: [(&str, &str, &str, &str, f64); 20] = [
    ("fall_risk, same resident", "vector_read/same", "16 f32 copied", "vector_read/copy_same", 1.0),
    ("fall_risk", "vector_read/random", "16 f32 copied", "vector_read/copy_random", 1.0),
    ("fall_risk", "vector_read/random", "8 lines in a chain", "vector_read/chain", 1.0),
    ("fall_risk", "vector_read/random", "24 lines at once", "vector_read/lines", 1.0),
    (
        "fall_risk, in a batch",
        "vector_read/random_into",
        "8 lines in a chain",
        "vector_read/chain",
        1.0,
    ),
    (
        "windows alone",
        "vector_read/random_windows",
        "16 f32 copied",
        "vector_read/copy_random",
        1.0,
    ),
    ("1 row", "fall_risk/score/1", "flat walk", "fall_risk/floor/1", 1.0),
    ("64 rows, a row", "fall_risk/score/64", "flat walk", "fall_risk/floor/64", 64.0),
    ("1,024 rows, a row", "fall_risk/score/1024", "flat walk", "fall_risk/floor/1024", 1024.0),
    ("1 row", "fall_risk/score/1", "ONNX Runtime", "fall_risk/onnxruntime/1", 1.0),
    ("why, 1 row", "fall_risk/explain", "its score", "fall_risk/score/1", 1.0),
    ("1 row of 100 trees of depth 6", "forest/score/1", "flat walk", "forest/floor/1", 1.0),
    ("1 row", "forest/score/1", "ONNX Runtime", "forest/onnxruntime/1", 1.0),
    ("1,024 rows, a row", "forest/score/1024", "ONNX Runtime", "forest/onnxruntime/1024", 1024.0),
    ("why, 1 row", "forest/explain", "its score", "forest/score/1", 1.0),
    (
        "416,000 rows, a row",
        "matrix/score",
        "ONNX Runtime, 1,024 a batch",
        "matrix/onnxruntime/1024",
        416e3,
    ),
    (
        "416,000 rows, a row",
        "matrix/score",
        "ONNX Runtime, 262,144 a batch",
        "matrix/onnxruntime/262144",
        416e3,
    ),
    ("1 row", "subsidy_triage/score/1", "dot product", "subsidy_triage/floor/1", 1.0),
    ("64 rows, a row", "subsidy_triage/score/64", "dot product", "subsidy_triage/floor/64", 64.0),
    (
        "1,024 rows, a row",
        "subsidy_triage/score/1024",
        "dot product",
        "subsidy_triage/floor/1024",
        1024.0,
    ),
];
/// What other benches leave; lines of this table first.
const NOTES: [&str; 6] =
    ["apply.md", "round_trip.md", "record.md", "freeze.md", "stalls.md", "memory.md"];

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: summary FOLDER")?;
    let folder = PathBuf::from(folder);
    println!("| what | figure | floor or peer | ratio |\n|---|---|---|---|");
    for (what, id, floor, floor_id, things) in LINES {
        let (Ok(figure), Ok(held)) = (median_ns(&folder, id), median_ns(&folder, floor_id)) else {
            continue;
        };
        let group = id.split('/').next().unwrap_or_default();
        let [one, other] = [figure, held].map(|ns| time(ns / things));
        println!("| {group}: {what} | {one} | {floor}: {other} | {:.2} |", figure / held);
    }
    for file in NOTES {
        print!("{}", std::fs::read_to_string(folder.join(file)).unwrap_or_default());
    }
    Ok(())
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

fn median_ns(folder: &Path, id: &str) -> anyhow::Result<f64> {
    let file = folder.join(id).join("new").join("estimates.json");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let estimates: Value = serde_json::from_str(&text)?;
    estimates["median"]["point_estimate"].as_f64().context("no median")
}

//! What a version is compared with: rows cut into bins at their own quantiles.

use crate::state::watched::{Bins, Reference};
use models::{Model, Package};

/// Features of a model that are watched, the first ones.
pub(crate) const FEATURES_MAX: usize = 128;
/// Bins of a column at most: fortieths of the reference.
const PARTS: usize = 40;
/// Every fourth fortieth is a tenth.
const PARTS_PER_TENTH: usize = 4;
/// Fewer rows say nothing about a distribution.
const ROWS_MIN: usize = 200;
/// More add nothing.
const ROWS_MAX: usize = 10_000;
const BACKGROUND: &str = "background.csv";
const GOLDEN: &str = "golden.csv";

/// Cuts rows of features, and their scores.
pub fn of_rows(source: &str, names: &[String], rows: &[f32], scores: &[f64]) -> Reference {
    let width = rows.len() / scores.len().max(1);
    let column = |at: usize| -> Vec<f64> {
        rows.iter().skip(at).step_by(width.max(1)).map(|value| f64::from(*value)).collect()
    };
    let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| format!("input_{at}"));
    Reference {
        source: source.to_owned(),
        rows: scores.len() as u64,
        features: (0..width.min(FEATURES_MAX)).map(|at| cut(&name(at), column(at))).collect(),
        score: cut("score", scores.to_vec()),
    }
}

/// The edges are values of the column: the least that so many fortieths of it do not pass.
fn cut(name: &str, mut values: Vec<f64>) -> Bins {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let quantile = |part: usize| {
        let at = (part * values.len()).div_ceil(PARTS).max(1) - 1;
        values.get(at).copied()
    };
    let (mut edges, mut tenth_edges): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for part in 1..PARTS {
        let Some(edge) = quantile(part) else { break };
        if part % PARTS_PER_TENTH == 0 && tenth_edges.last() != Some(&edge) {
            tenth_edges.push(edge);
        }
        if edges.last() != Some(&edge) {
            edges.push(edge);
        }
    }
    let below = |edge: f64| tenth_edges.iter().filter(|each| **each < edge).count() as u8;
    let mut tenths: Vec<u8> = edges.iter().map(|edge| below(*edge)).collect();
    tenths.push(tenth_edges.len() as u8);
    let mut counts = vec![0; edges.len() + 1];
    for value in &values {
        counts[bin(&edges, *value)] += 1;
    }
    Bins { name: name.to_owned(), edges, tenths, counts }
}

/// The bin of a value: `edges[i - 1] < value <= edges[i]`.
pub(super) fn bin(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|edge| *edge < value)
}

/// What a package brings along: rows of background.csv, else of golden.csv, where they are enough.
pub(crate) fn of_package(package: &Package, model: &dyn Model) -> Option<Reference> {
    if !model.has_score() {
        return None;
    }
    let names = &package.manifest().features;
    [BACKGROUND, GOLDEN].into_iter().find_map(|file| {
        let text = std::str::from_utf8(package.files().get(file)?).ok()?;
        let (names, rows) = parse(text, names)?;
        let count = rows.len() / names.len();
        if count < ROWS_MIN {
            return None;
        }
        let scores: Vec<f64> = model.score(&rows, count).ok()?.into_iter().map(f64::from).collect();
        (scores.len() == count).then(|| of_rows(file, &names, &rows, &scores))
    })
}

/// Columns by their headings, in the order of the manifest's features; a column `score` is left out,
/// as what the model itself says counts.
fn parse(text: &str, features: &[String]) -> Option<(Vec<String>, Vec<f32>)> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let headings: Vec<&str> = lines.next()?.split(',').map(str::trim).collect();
    let names: Vec<String> = match features {
        [] => headings
            .iter()
            .filter(|name| **name != "score")
            .map(|name| (*name).to_owned())
            .collect(),
        known => known.to_vec(),
    };
    let places: Vec<usize> = names
        .iter()
        .map(|name| headings.iter().position(|heading| heading == name))
        .collect::<Option<_>>()?;
    let mut rows = Vec::new();
    for line in lines.take(ROWS_MAX) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        for place in &places {
            rows.push(cells.get(*place)?.parse().ok()?);
        }
    }
    (!names.is_empty()).then_some((names, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_fortieths_and_tenths_of_the_reference() {
        let values: Vec<f64> = (1..=1_000).map(f64::from).collect();
        let bins = cut("a", values);
        assert_eq!((bins.edges.len(), bins.counts.len()), (39, 40));
        assert!(bins.counts.iter().all(|count| *count == 25), "{:?}", bins.counts);
        assert_eq!((bins.edges[0], bins.edges[38]), (25.0, 975.0));
        assert_eq!(bins.tenths, (0..40).map(|at| at / 4).collect::<Vec<u8>>());
        assert_eq!(bin(&bins.edges, 25.0), 0);
        assert_eq!(bin(&bins.edges, 25.001), 1);
        assert_eq!(bin(&bins.edges, 1e9), 39);
    }

    #[test]
    fn few_values_have_few_bins() {
        let mut values = vec![0.0; 90];
        values.extend([1.0; 10]);
        let bins = cut("flag", values);
        assert_eq!(
            (bins.edges.as_slice(), bins.counts.as_slice()),
            (&[0.0, 1.0][..], &[90, 10, 0][..])
        );
        assert_eq!(bins.tenths, [0, 1, 1]);
        let one = cut("one", vec![5.0; 300]);
        assert_eq!((one.edges.as_slice(), one.counts.as_slice()), (&[5.0][..], &[300, 0][..]));
        assert_eq!(cut("none", Vec::new()).counts, [0]);
    }

    #[test]
    fn a_file_is_read_by_its_headings() {
        let names = ["a".to_owned(), "b".to_owned()];
        let (_, rows) = parse("b,score,a\n1,9,2\n3,9,4\n", &names).unwrap();
        assert_eq!(rows, [2.0, 1.0, 4.0, 3.0]);
        assert_eq!(parse("b,score\n1,9\n", &names), None);
        assert_eq!(parse("x,score\n1,9\n", &[]).unwrap().0, ["x"]);
    }
}

//! Golden rows: inputs whose scores are known from where the model was made.

use crate::{Error, Model};

/// The most golden rows a package may hold.
const ROWS_MAX: usize = 10_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Golden {
    features: Vec<String>,
    rows: Vec<f32>,
    scores: Vec<f64>,
}

impl Golden {
    /// Comma-separated, a header of the features in the model's order and then `score`. A bare file,
    /// which lists no features, takes any names.
    pub fn parse(text: &str, features: &[String]) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Package(format!("golden.csv: {reason}"));
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, header) = lines.next().ok_or_else(|| wrong("it is empty".into()))?;
        let mut names: Vec<String> = header.split(',').map(|name| name.trim().to_owned()).collect();
        if names.pop().as_deref() != Some("score") || names.is_empty() {
            return Err(wrong("its last column must be `score`, after the features".into()));
        }
        if !features.is_empty() && names != features {
            let expect = features.join(",");
            return Err(wrong(format!(
                "its columns must be those of manifest.toml, in order: {expect},score"
            )));
        }
        let mut golden = Self { features: names, rows: Vec::new(), scores: Vec::new() };
        for (at, line) in lines {
            let cells: Option<Vec<f64>> =
                line.split(',').map(|cell| cell.trim().parse().ok()).collect();
            let (score, row) = cells
                .as_deref()
                .and_then(<[f64]>::split_last)
                .filter(|(_, row)| row.len() == golden.features.len())
                .ok_or_else(|| {
                    wrong(format!("line {} is not {} numbers", at + 1, golden.features.len() + 1))
                })?;
            golden.rows.extend(row.iter().map(|value| *value as f32));
            golden.scores.push(*score);
            if golden.scores.len() > ROWS_MAX {
                return Err(Error::Limit(format!("golden.csv: at most {ROWS_MAX} rows are taken")));
            }
        }
        if golden.scores.is_empty() {
            return Err(wrong("it has no rows".into()));
        }
        Ok(golden)
    }

    pub fn len(&self) -> usize {
        self.scores.len()
    }

    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The largest distance from a golden score; an error past the tolerance, naming the row.
    pub fn check(&self, model: &dyn Model, tolerance: f64) -> Result<f64, Error> {
        let scores = model.score(&self.rows, self.len())?;
        let mut largest = 0.0_f64;
        for (at, (got, want)) in scores.iter().zip(&self.scores).enumerate() {
            let distance = (f64::from(*got) - want).abs();
            if distance.is_nan() || distance > tolerance {
                return Err(Error::Model(format!(
                    "golden row {} gives {got}, not {want} (tolerance {tolerance}); export the model and golden.csv together, \
                     with FP32 inputs",
                    at + 1
                )));
            }
            largest = largest.max(distance);
        }
        Ok(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_must_be_those_of_the_manifest() {
        let features = ["a".to_owned(), "b".to_owned()];
        let golden = Golden::parse("a,b,score\n1,2,0.5\n\n3,4,0.25\n", &features).unwrap();
        assert_eq!(golden.rows(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(golden.scores(), [0.5, 0.25]);
        for (text, fragment) in [
            ("b,a,score\n1,2,3\n", "in order: a,b,score"),
            ("a,b,score\n1,2\n", "line 2"),
            ("a,b,score\n1,x,3\n", "line 2"),
            ("a,b\n1,2\n", "last column must be `score`"),
            ("a,b,score\n", "no rows"),
            ("", "empty"),
        ] {
            let error = Golden::parse(text, &features).unwrap_err().to_string();
            assert!(error.contains(fragment), "{error}");
        }
    }
}

//! Reference rows that travel in a package: what a score is explained against.

use crate::Error;

/// The most reference rows a package may hold.
const ROWS_MAX: usize = 10_000;

/// Rows of `background.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct Background {
    rows: Vec<f32>,
    width: usize,
}

impl Background {
    /// Comma-separated, a header of the features in the model's order. An empty cell or `NaN` is a
    /// missing value. A bare file, which lists no features, takes any names.
    pub fn parse(text: &str, features: &[String]) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Package(format!("background.csv: {reason}"));
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, header) = lines.next().ok_or_else(|| wrong("it is empty".into()))?;
        let names: Vec<&str> = header.split(',').map(str::trim).collect();
        if !features.is_empty() && names != features {
            let expect = features.join(",");
            return Err(wrong(format!(
                "its columns must be those of manifest.toml, in order: {expect}"
            )));
        }
        let (mut rows, width) = (Vec::new(), names.len());
        for (at, line) in lines {
            let cells = line.split(',').map(str::trim).map(|cell| match cell {
                "" => Some(f32::NAN),
                cell => cell.parse().ok(),
            });
            let cells: Option<Vec<f32>> = cells.collect();
            let cells = cells
                .filter(|cells| cells.len() == width)
                .ok_or_else(|| wrong(format!("line {} is not {width} numbers", at + 1)))?;
            rows.extend(cells);
            if rows.len() > ROWS_MAX * width {
                return Err(Error::Limit(format!(
                    "background.csv: at most {ROWS_MAX} rows are taken"
                )));
            }
        }
        if rows.is_empty() {
            return Err(wrong("it has no rows".into()));
        }
        Ok(Self { rows, width })
    }

    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    pub fn width(&self) -> usize {
        self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_must_be_those_of_the_manifest() {
        let features = ["a".to_owned(), "b".to_owned()];
        let background = Background::parse("a,b\n1,2\n\n3,\n", &features).unwrap();
        assert_eq!(background.rows()[..3], [1.0, 2.0, 3.0]);
        assert!(background.rows()[3].is_nan());
        for (text, fragment) in [
            ("b,a\n1,2\n", "in order: a,b"),
            ("a,b\n1,2,3\n", "line 2"),
            ("a,b\n1,x\n", "line 2"),
            ("a,b\n", "no rows"),
            ("", "empty"),
        ] {
            let error = Background::parse(text, &features).unwrap_err().to_string();
            assert!(error.contains(fragment), "{error}");
        }
    }
}

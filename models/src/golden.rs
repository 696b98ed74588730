//! Golden rows: inputs whose answers are known from where the model was made.

use crate::feed::Feed;
use crate::{Data, Error, Model, Tensor};

/// The most golden rows a package may hold.
const ROWS_MAX: usize = 10_000;
const SCORE: &str = "score";

#[derive(Clone, Debug, PartialEq)]
pub struct Golden {
    features: Vec<String>,
    rows: Vec<f32>,
    scores: Vec<f64>,
    /// Columns of other outputs: `probabilities[2]`.
    others: Vec<Other>,
    len: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Other {
    output: String,
    column: usize,
    values: Vec<f64>,
}

/// What a column of the table stands for.
enum Head {
    Score,
    Other(String, usize),
}

impl Head {
    fn read(name: &str) -> Option<Self> {
        if name == SCORE {
            return Some(Self::Score);
        }
        let (output, column) = name.strip_suffix(']')?.rsplit_once('[')?;
        Some(Self::Other(output.to_owned(), column.parse().ok()?))
    }
}

impl Golden {
    /// Comma-separated, a header of the features in the model's order and then `score`, or columns of
    /// other outputs as `probabilities[2]`. A bare file, which lists no features, takes any names.
    pub fn parse(text: &str, features: &[String]) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Package(format!("golden.csv: {reason}"));
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, header) = lines.next().ok_or_else(|| wrong("it is empty".into()))?;
        let mut names: Vec<String> = header.split(',').map(|name| name.trim().to_owned()).collect();
        let width =
            names.iter().rposition(|name| Head::read(name).is_none()).map_or(0, |at| at + 1);
        let heads: Vec<Head> =
            names.split_off(width).iter().filter_map(|name| Head::read(name)).collect();
        if heads.is_empty() || names.is_empty() {
            return Err(wrong("its last column must be `score`, after the features, or a column of an output as `probabilities[1]`".into()));
        }
        if !features.is_empty() && names != features {
            let expect = features.join(",");
            return Err(wrong(format!(
                "its columns must be those of manifest.toml, in order: {expect},score"
            )));
        }
        let mut rows = Vec::new();
        let mut answers: Vec<Vec<f64>> = heads.iter().map(|_| Vec::new()).collect();
        for (at, line) in lines {
            let cells: Option<Vec<f64>> =
                line.split(',').map(|cell| cell.trim().parse().ok()).collect();
            let all = width + heads.len();
            let cells = cells.filter(|cells| cells.len() == all);
            let cells =
                cells.ok_or_else(|| wrong(format!("line {} is not {all} numbers", at + 1)))?;
            rows.extend(cells[..width].iter().map(|value| *value as f32));
            for (column, value) in answers.iter_mut().zip(&cells[width..]) {
                column.push(*value);
            }
            if rows.len() / width > ROWS_MAX {
                return Err(Error::Limit(format!("golden.csv: at most {ROWS_MAX} rows are taken")));
            }
        }
        let len = rows.len() / width;
        if len == 0 {
            return Err(wrong("it has no rows".into()));
        }
        let mut golden =
            Self { features: names, rows, scores: Vec::new(), others: Vec::new(), len };
        for (head, values) in heads.into_iter().zip(answers) {
            match head {
                Head::Score => golden.scores = values,
                Head::Other(output, column) => golden.others.push(Other { output, column, values }),
            }
        }
        Ok(golden)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Empty where the table has no column of that name.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The largest distance from a golden answer; an error past the tolerance, naming the row.
    pub fn check(&self, model: &dyn Model, tolerance: f64) -> Result<f64, Error> {
        let mut largest = 0.0_f64;
        if !self.scores.is_empty() {
            let scores = model.score(&self.rows, self.len)?;
            let scores = scores.into_iter().map(f64::from);
            largest = largest.max(compare(SCORE, scores, &self.scores, tolerance)?);
        }
        if self.others.is_empty() {
            return Ok(largest);
        }
        let mut wanted: Vec<String> =
            self.others.iter().map(|other| other.output.clone()).collect();
        wanted.dedup();
        let answers = model.infer(&self.inputs(model)?, &wanted)?;
        for Other { output, column, values } in &self.others {
            let got = answers
                .iter()
                .find(|tensor| tensor.name == *output)
                .and_then(|tensor| column_of(tensor, *column));
            let name = format!("{output}[{column}]");
            let got = got.ok_or_else(|| {
                Error::Package(format!("golden.csv: the model has no column of numbers {name}"))
            })?;
            largest = largest.max(compare(&name, got.into_iter(), values, tolerance)?);
        }
        Ok(largest)
    }

    fn inputs(&self, model: &dyn Model) -> Result<Vec<Tensor>, Error> {
        let feed = Feed::plan(model.inputs(), &self.features)?;
        let feed = feed.ok_or_else(|| {
            Error::Package("golden.csv: the model's inputs are not rows of numbers".into())
        })?;
        feed.tensors(model.inputs(), &self.rows, self.len, self.features.len())
    }
}

fn compare(
    name: &str,
    got: impl Iterator<Item = f64>,
    want: &[f64],
    tolerance: f64,
) -> Result<f64, Error> {
    let mut largest = 0.0_f64;
    for (at, (got, want)) in got.zip(want).enumerate() {
        let distance = (got - want).abs();
        if distance.is_nan() || distance > tolerance {
            let said = if name == SCORE { String::new() } else { format!(" as {name}") };
            return Err(Error::Model(format!(
                "golden row {} gives {got}{said}, not {want} (tolerance {tolerance}); export the model and golden.csv together, \
                 with FP32 inputs",
                at + 1
            )));
        }
        largest = largest.max(distance);
    }
    Ok(largest)
}

/// A column of a tensor of numbers; a list of one number a row is column 0.
fn column_of(tensor: &Tensor, column: usize) -> Option<Vec<f64>> {
    let wide = tensor.data.len().checked_div(tensor.rows()).filter(|wide| column < *wide)?;
    let all: Vec<f64> = match &tensor.data {
        Data::Fp32(all) => all.iter().map(|each| f64::from(*each)).collect(),
        Data::Fp64(all) => all.clone(),
        Data::Int64(all) => all.iter().map(|each| *each as f64).collect(),
        _ => return None,
    };
    Some(all.into_iter().skip(column).step_by(wide).collect())
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
            ("a,b,score\n1,2\n", "line 2 is not 3 numbers"),
            ("a,b,score\n1,x,3\n", "line 2"),
            ("a,b\n1,2\n", "last column must be `score`"),
            ("a,b,p[x]\n1,2\n", "last column must be `score`"),
            ("a,b,score\n", "no rows"),
            ("", "empty"),
        ] {
            let error = Golden::parse(text, &features).unwrap_err().to_string();
            assert!(error.contains(fragment), "{error}");
        }
    }

    #[test]
    fn columns_of_other_outputs_are_named() {
        let golden = Golden::parse("a,b,p[0],p[2],score\n1,2,0.5,0.25,7\n", &[]).unwrap();
        assert_eq!((golden.len(), golden.rows()), (1, &[1.0, 2.0][..]));
        assert_eq!(golden.scores(), [7.0]);
        assert_eq!(golden.others[1], Other { output: "p".into(), column: 2, values: vec![0.25] });
    }
}

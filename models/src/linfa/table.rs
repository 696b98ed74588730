//! What a model is fitted on.

use rand_chacha_linfa::ChaCha8Rng;
use rand_chacha_linfa::rand_core::{RngCore, SeedableRng};

use crate::Error;

/// As many as a manifest may list.
const FEATURES_MAX: usize = 4096;
/// More classes than this are no classes: a number was taken for a label.
const CLASSES_MAX: usize = 256;

/// Rows of numbers and what is to be learned of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    names: Vec<String>,
    rows: Vec<f32>,
    target: Target,
    len: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    Nothing,
    Numbers(Vec<f64>),
    /// The names of the classes, and for each row the place of its class among them.
    Classes {
        names: Vec<String>,
        of_row: Vec<usize>,
    },
}

impl Target {
    fn len(&self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Numbers(all) => Some(all.len()),
            Self::Classes { of_row, .. } => Some(of_row.len()),
        }
    }

    /// Labels as text to classes: in the order of numbers where all are whole numbers, else of text.
    pub fn of_labels(labels: &[String]) -> Result<Self, Error> {
        let mut names: Vec<String> = labels.to_vec();
        names.sort_unstable();
        names.dedup();
        if names.iter().all(|name| is_whole(name)) {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
        }
        if names.len() < 2 || names.len() > CLASSES_MAX {
            return Err(Error::Model(format!(
                "the label has {} values; a class is learned from 2 to {CLASSES_MAX}",
                names.len()
            )));
        }
        let place = |label: &String| names.iter().position(|name| name == label).unwrap_or(0);
        let of_row = labels.iter().map(place).collect();
        Ok(Self::Classes { names, of_row })
    }

    fn take(&self, rows: &[usize]) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Numbers(all) => Self::Numbers(rows.iter().map(|row| all[*row]).collect()),
            Self::Classes { names, of_row } => Self::Classes {
                names: names.clone(),
                of_row: rows.iter().map(|row| of_row[*row]).collect(),
            },
        }
    }
}

/// Whether a label is a whole number as it would be written.
pub(super) fn is_whole(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
}

impl Table {
    /// `rows` holds the rows one after the other, each with a value for every name.
    pub fn new(names: Vec<String>, rows: Vec<f32>, target: Target) -> Result<Self, Error> {
        let failed = |reason: String| Err(Error::Model(format!("the fit failed: {reason}")));
        let width = names.len();
        if width == 0 || width > FEATURES_MAX {
            return failed(format!("it needs 1 to {FEATURES_MAX} features, got {width}"));
        }
        let len = rows.len() / width;
        if len < 2 || rows.len() != len * width || target.len().is_some_and(|each| each != len) {
            return failed(format!(
                "it needs at least two rows of {width} values and a label each, got {} values and {} labels",
                rows.len(),
                target.len().unwrap_or(len)
            ));
        }
        if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
            let (row, name) = (at / width + 1, &names[at % width]);
            return failed(format!("feature `{name}` of row {row} is not a finite number"));
        }
        let wrong = match &target {
            Target::Numbers(all) if all.iter().any(|value| !value.is_finite()) => {
                Some("a label is not a finite number".to_owned())
            }
            Target::Classes { names, of_row }
                if names.len() < 2 || of_row.iter().any(|class| *class >= names.len()) =>
            {
                Some("a label is learned from two classes or more".to_owned())
            }
            _ => None,
        };
        match wrong {
            Some(reason) => failed(reason),
            None => Ok(Self { names, rows, target, len }),
        }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn width(&self) -> usize {
        self.names.len()
    }

    /// The rows of a column.
    pub(super) fn column(&self, at: usize) -> impl Iterator<Item = f64> {
        self.rows.iter().skip(at).step_by(self.width()).map(|value| f64::from(*value))
    }

    /// Two tables: to fit on, and `share` of the rows held out. The same seed gives the same ones.
    pub fn split(&self, share: f64, seed: u64) -> Result<(Self, Self), Error> {
        let mut order: Vec<usize> = (0..self.len).collect();
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        for last in (1..order.len()).rev() {
            let other = draw.next_u64() % (last as u64 + 1);
            order.swap(last, other as usize);
        }
        let held = (self.len as f64 * share.clamp(0.0, 1.0)).round() as usize;
        let (test, train) = order.split_at(held.min(self.len));
        Ok((self.take(train)?, self.take(test)?))
    }

    fn take(&self, rows: &[usize]) -> Result<Self, Error> {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        let width = self.width();
        let values = rows.iter().flat_map(|row| &self.rows[row * width..][..width]).copied();
        Self::new(self.names.clone(), values.collect(), self.target.take(&rows))
    }
}

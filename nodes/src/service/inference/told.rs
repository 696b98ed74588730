//! What an answer by entity tells of the rows that it was made from.

use super::parameters;
use crate::proto::inference::InferParameter;
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::serving::{Gaps, Loaded, Rows, ServingError};
use models::{Data, Tensor};
use std::collections::HashMap;

/// Outputs that are given when they are asked for by name.
const MISSING: &str = "missing";
const STALE: &str = "stale";
const OLDEST: &str = "oldest_feature_us";

/// Parameters of the answer, of all its rows.
pub(super) fn parameters(loaded: &Loaded, rows: &Rows) -> HashMap<String, InferParameter> {
    let mut told = HashMap::with_capacity(6);
    let mut tell = |name: &str, choice| told.insert(name.to_owned(), parameters::of(choice));
    tell("log_index", ParameterChoice::Int64Param(rows.log_index as i64));
    tell(OLDEST, ParameterChoice::Int64Param(rows.oldest_us.unwrap_or(0)));
    tell("model_sha256", ParameterChoice::StringParam(loaded.sha256_hex().to_owned()));
    let Gaps { missing, stale } = rows.gaps(&loaded.manifest().features);
    let unknown = rows.unknown.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    for (name, text) in
        [("missing_features", missing), ("stale_features", stale), ("unknown_rows", unknown)]
    {
        if !text.is_empty() {
            tell(name, ParameterChoice::StringParam(text));
        }
    }
    told
}

/// The same row by row, as far as it is wanted.
pub(super) fn by_row(
    rows: &Rows,
    names: &[String],
    count: usize,
    wanted: &[String],
) -> Result<Vec<Tensor>, ServingError> {
    let mut tensors = Vec::new();
    for name in wanted {
        let data = match name.as_str() {
            MISSING => texts(count, |row| rows.gaps_of(row, names).missing),
            STALE => texts(count, |row| rows.gaps_of(row, names).stale),
            OLDEST => Data::Int64((0..count).map(|row| rows.oldest_of(row)).collect()),
            _ => continue,
        };
        tensors.push(Tensor::new(name, [count as i64, 1], data)?);
    }
    Ok(tensors)
}

fn texts(count: usize, text: impl Fn(usize) -> String) -> Data {
    Data::Bytes((0..count).map(|row| text(row).into_bytes()).collect())
}

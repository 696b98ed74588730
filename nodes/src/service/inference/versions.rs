//! Which version answers which row of a request, answers put together from two versions, and what of
//! them goes on into shadow.

use super::infer::{Answer, ENTITY, takes_features};
use super::parameters;
use crate::node::Node;
use crate::proto::inference::InferParameter;
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::serving::{Asked, Beside, Loaded, Routed, Sent, ServingError};
use models::{Data, Tensor};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The version of each row; given where it is asked for, and where rows differ in it.
pub(super) const VERSION: &str = "version";

/// Who answers.
pub(super) enum Chosen<'a> {
    One(&'a Arc<Loaded>),
    /// Row by row, true for the canary.
    Split {
        canary: &'a Arc<Loaded>,
        rows: Vec<bool>,
    },
}

/// An entity has one version on every node. What names no entity goes by its own first row.
pub(super) fn choose<'a>(
    routed: &'a Routed,
    inputs: &[Tensor],
) -> Result<Chosen<'a>, ServingError> {
    if !routed.is_split() {
        return Ok(Chosen::One(routed.stable()));
    }
    let Some(keys) = entities(routed.stable(), inputs) else {
        return routed.of(&first_row(inputs)).map(Chosen::One);
    };
    let mut rows = Vec::with_capacity(keys.len());
    let mut canary = None;
    for key in keys {
        let version = routed.of(key)?;
        let is_canary = !Arc::ptr_eq(version, routed.stable());
        canary = canary.or(is_canary.then_some(version));
        rows.push(is_canary);
    }
    Ok(match canary {
        None => Chosen::One(routed.stable()),
        Some(canary) if rows.iter().all(|each| *each) => Chosen::One(canary),
        Some(canary) => Chosen::Split { canary, rows },
    })
}

fn entities<'a>(loaded: &Loaded, inputs: &'a [Tensor]) -> Option<&'a [Vec<u8>]> {
    let keys = inputs.iter().find(|input| input.name == ENTITY && takes_features(loaded))?;
    if let Data::Bytes(keys) = &keys.data { Some(keys) } else { None }
}

/// The bytes of the first row of the first input.
fn first_row(inputs: &[Tensor]) -> Vec<u8> {
    let Some(input) = inputs.first() else { return Vec::new() };
    let columns = input.data.len() / input.rows().max(1);
    match &input.data {
        Data::Fp32(all) => all.iter().take(columns).flat_map(|each| each.to_le_bytes()).collect(),
        Data::Fp64(all) => all.iter().take(columns).flat_map(|each| each.to_le_bytes()).collect(),
        Data::Int64(all) => all.iter().take(columns).flat_map(|each| each.to_le_bytes()).collect(),
        Data::Int32(all) => all.iter().take(columns).flat_map(|each| each.to_le_bytes()).collect(),
        Data::Bytes(all) => all.iter().take(columns).flatten().copied().collect(),
        // Of few values each: these go by their number.
        other => other.len().to_le_bytes().to_vec(),
    }
}

/// The rows of one side as a request of its own: keys, and what was sent with them.
pub(super) fn part(
    inputs: &[Tensor],
    rows: &[bool],
    side: bool,
) -> Result<Vec<Tensor>, ServingError> {
    fn own<T: Clone>(all: &[T], rows: &[bool], side: bool) -> Vec<T> {
        let kept = all.iter().zip(rows).filter(|(_, each)| **each == side);
        kept.map(|(each, _)| each.clone()).collect()
    }
    let part = |input: &Tensor| {
        // One value for all of them is one for each side.
        if input.data.len() == 1 && rows.len() > 1 {
            return Ok(input.clone());
        }
        let data = match &input.data {
            Data::Bytes(all) => Data::Bytes(own(all, rows, side)),
            Data::Fp32(all) => Data::Fp32(own(all, rows, side)),
            Data::Fp64(all) => Data::Fp64(own(all, rows, side)),
            Data::Int32(all) => Data::Int32(own(all, rows, side)),
            Data::Int64(all) => Data::Int64(own(all, rows, side)),
            // Refused by whoever reads it.
            _ => return Ok(input.clone()),
        };
        Ok(Tensor::new(input.name.as_str(), [data.len() as i64, 1], data)?)
    };
    inputs.iter().map(part).collect()
}

/// Puts the answers of both sides together, row by row.
pub(super) fn merge(
    rows: &[bool],
    (stable, canary): (Answer, Answer),
    versions: (&str, &str),
) -> Result<Answer, ServingError> {
    let mut tensors = Vec::with_capacity(stable.tensors.len() + 1);
    for own in stable.tensors {
        let Some(other) = canary.tensors.iter().find(|each| each.name == own.name) else {
            let said = format!("version {} does not give `{}`", versions.1, own.name);
            return Err(ServingError::Invalid(said));
        };
        tensors.push(interleave(rows, own, other)?);
    }
    tensors.push(version_rows(rows, versions)?);
    let mut parameters = told(rows, (stable.parameters, canary.parameters));
    let choice = ParameterChoice::StringParam(versions.1.to_owned());
    parameters.insert("canary_version".to_owned(), parameters::of(choice));
    Ok(Answer { tensors, rows: rows.len(), parameters, values: Vec::new() })
}

fn version_rows(rows: &[bool], (stable, canary): (&str, &str)) -> Result<Tensor, ServingError> {
    let version = |is_canary: &bool| if *is_canary { canary } else { stable };
    let all = rows.iter().map(|row| version(row).as_bytes().to_vec()).collect();
    Ok(Tensor::new(VERSION, [rows.len() as i64, 1], Data::Bytes(all))?)
}

/// The version of every row, where it is asked for and one version answers them all.
pub(super) fn one_version(
    answer: &mut Answer,
    loaded: &Loaded,
    wanted: &[String],
) -> Result<(), ServingError> {
    let is_own = answer.tensors.iter().any(|each| each.name == VERSION);
    if !is_own && wanted.iter().any(|name| name == VERSION) {
        let rows = vec![false; answer.rows];
        answer.tensors.push(version_rows(&rows, (loaded.version(), ""))?);
    }
    Ok(())
}

fn interleave(rows: &[bool], own: Tensor, other: &Tensor) -> Result<Tensor, ServingError> {
    let columns = own.data.len() / own.rows().max(1);
    let data = match (own.data, &other.data) {
        (Data::Fp32(a), Data::Fp32(b)) => Data::Fp32(in_turn(rows, columns, &a, b)),
        (Data::Int64(a), Data::Int64(b)) => Data::Int64(in_turn(rows, columns, &a, b)),
        (Data::Bytes(a), Data::Bytes(b)) => Data::Bytes(in_turn(rows, columns, &a, b)),
        _ => {
            let said = format!("both versions answer, and differ in the type of `{}`", own.name);
            return Err(ServingError::Invalid(said));
        }
    };
    let mut shape = own.shape;
    if let Some(first) = shape.first_mut() {
        *first = rows.len() as i64;
    }
    Ok(Tensor::new(own.name, shape, data)?)
}

fn in_turn<T: Clone>(rows: &[bool], columns: usize, a: &[T], b: &[T]) -> Vec<T> {
    let columns = columns.max(1);
    let (mut a, mut b) = (a.chunks(columns), b.chunks(columns));
    let next = |row: &bool| if *row { b.next() } else { a.next() };
    rows.iter().filter_map(next).flatten().cloned().collect()
}

type Told = HashMap<String, InferParameter>;

/// What is told of all rows: the older index, the oldest feature, every gap, and unknown rows by their
/// place in the whole request.
#[expect(clippy::iter_over_hash_type, reason = "what is told of one name depends on no other")]
fn told(rows: &[bool], (stable, mut canary): (Told, Told)) -> Told {
    let mut all = Told::with_capacity(stable.len() + 1);
    for (name, own) in stable {
        let other = canary.remove(&name).and_then(|other| other.parameter_choice);
        let choice = match (own.parameter_choice, other) {
            (Some(ParameterChoice::Int64Param(a)), Some(ParameterChoice::Int64Param(b))) => {
                // 0 is no time at all.
                let least = if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
                Some(ParameterChoice::Int64Param(least))
            }
            (Some(ParameterChoice::StringParam(a)), other) => {
                let b = match other {
                    Some(ParameterChoice::StringParam(b)) => b,
                    _ => String::new(),
                };
                Some(ParameterChoice::StringParam(both(rows, &name, &a, &b)))
            }
            (own, _) => own,
        };
        all.insert(name, InferParameter { parameter_choice: choice });
    }
    for (name, other) in canary {
        if let Some(ParameterChoice::StringParam(b)) = other.parameter_choice {
            let text = both(rows, &name, "", &b);
            all.insert(name, parameters::of(ParameterChoice::StringParam(text)));
        }
    }
    all
}

fn both(rows: &[bool], name: &str, a: &str, b: &str) -> String {
    if name == "model_sha256" {
        return a.to_owned();
    }
    let words = |text: &str| -> Vec<String> {
        text.split(',').filter(|each| !each.is_empty()).map(str::to_owned).collect()
    };
    if name != "unknown_rows" {
        let union: BTreeSet<String> = words(a).into_iter().chain(words(b)).collect();
        return union.into_iter().collect::<Vec<_>>().join(",");
    }
    let places = |side: bool, text: &str| -> Vec<usize> {
        let of_side: Vec<usize> =
            (0..rows.len()).filter(|at| rows.get(*at) == Some(&side)).collect();
        let at = words(text).into_iter().filter_map(|each| each.parse::<usize>().ok());
        at.filter_map(|at| of_side.get(at).copied()).collect()
    };
    let mut all = [places(false, a), places(true, b)].concat();
    all.sort_unstable();
    all.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Hands an answer of the active version to its shadow; costs nothing where there is none.
pub(super) fn shade(
    node: &Node,
    (routed, loaded): (&Routed, &Arc<Loaded>),
    inputs: &[Tensor],
    answer: &Answer,
    took: Duration,
) {
    if !routed.has_shadow() {
        return;
    }
    let score = answer.tensors.iter().find(|tensor| tensor.name == "score");
    let Some(Data::Fp32(scores)) = score.map(|tensor| &tensor.data) else { return };
    let keys = entities(loaded, inputs);
    let sent = keys.and_then(|_| super::sent::read(loaded, inputs).ok());
    let sent = sent.map_or_else(Sent::default, |(_, sent)| sent);
    let (values, sent) = (&answer.values[..], &sent);
    let beside = Beside { routed, answered: loaded, values, scores, sent, took };
    if let Some(keys) = keys {
        let names = keys.iter().map(|key| std::str::from_utf8(key).unwrap_or_default());
        node.serving().shade(&beside, names);
        return;
    }
    let Some(shadow) = routed.shadow_of(&first_row(inputs), loaded) else { return };
    let asked = if answer.values.is_empty() {
        Asked::Inputs(inputs.to_vec())
    } else {
        let (values, entities) = (answer.values.clone(), Vec::new());
        Asked::Rows { values, entities, sent: Ok(Sent::default()) }
    };
    node.serving().offer(&beside, shadow, (asked, scores.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [bool; 4] = [false, true, true, false];

    #[test]
    fn two_answers_become_one_in_the_order_of_the_request() {
        let tensor = |name: &str, columns: i64, all: Vec<f32>| {
            Tensor::new(name, [2, columns], Data::Fp32(all)).unwrap()
        };
        let own = tensor("contributions", 2, vec![1.0, 2.0, 3.0, 4.0]);
        let other = tensor("contributions", 2, vec![5.0, 6.0, 7.0, 8.0]);
        let all = interleave(&ROWS, own, &other).unwrap();
        assert_eq!(all.shape, [4, 2]);
        assert_eq!(all.data, Data::Fp32(vec![1.0, 2.0, 5.0, 6.0, 7.0, 8.0, 3.0, 4.0]));
        let Data::Bytes(versions) = version_rows(&ROWS, ("1", "2")).unwrap().data else {
            panic!("no text")
        };
        assert_eq!(versions, [b"1", b"2", b"2", b"1"]);
    }

    #[test]
    fn what_is_told_is_of_the_whole_request() {
        let text = |text: &str| parameters::of(ParameterChoice::StringParam(text.to_owned()));
        let number = |number| parameters::of(ParameterChoice::Int64Param(number));
        let of = |pairs: Vec<(&str, InferParameter)>| -> Told {
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        let stable = of(vec![
            ("log_index", number(9)),
            ("oldest_feature_us", number(0)),
            ("unknown_rows", text("1")),
            ("model_sha256", text("aa")),
        ]);
        let canary = of(vec![
            ("log_index", number(7)),
            ("oldest_feature_us", number(5)),
            ("unknown_rows", text("0")),
            ("missing_features", text("age")),
            ("model_sha256", text("bb")),
        ]);
        let all = told(&ROWS, (stable, canary));
        assert_eq!(all["log_index"], number(7));
        assert_eq!(all["oldest_feature_us"], number(5));
        assert_eq!(all["unknown_rows"], text("1,3"));
        assert_eq!(all["missing_features"], text("age"));
        assert_eq!(all["model_sha256"], text("aa"));
    }
}

//! Weights: whether a tensor is as large as it says, and small ones of names and numbers.

use super::check::short;
#[allow(clippy::wildcard_imports, reason = "field numbers, as the format names them")]
use super::numbers::*;
use crate::Error;
use crate::wire::{Field, Value, each_field, read_varint};

/// The most elements of one weight: as many bytes as the largest file, times eight for packed bits.
const ELEMENTS_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of an element in the raw form, by element type; 0 where it is not whole bytes.
const RAW_BYTES: [u64; 24] =
    [0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2, 1, 1, 1, 1, 0, 0, 0];

#[derive(Debug, Default)]
struct Sizes {
    elements: Option<u64>,
    kind: u64,
    raw: Option<u64>,
    /// Elements of the typed lists, by field number.
    typed: [u64; 12],
}

/// Refuses a tensor that lies in another file or holds more or less than its shape.
pub(super) fn check(tensor: &[u8]) -> Result<(), Error> {
    let unreadable =
        || Error::NotOnnx("a weight cannot be read; the file is damaged or cut short".into());
    let mut sizes = Sizes { elements: Some(1), ..Sizes::default() };
    let mut name = "";
    for field in each_field(tensor) {
        let field = field.ok_or_else(unreadable)?;
        match (field.number, field.value) {
            (TENSOR_EXTERNAL_DATA, _) | (TENSOR_DATA_LOCATION, Value::Varint(1..)) => {
                return Err(Error::Model(
                    "the model keeps weights in other files; export it as one file: torch.onnx.export(..., external_data=False), \
                     or onnx.save(model, path, save_as_external_data=False)"
                        .into(),
                ));
            }
            (TENSOR_NAME, _) => name = field.text().unwrap_or_default(),
            (TENSOR_TYPE, Value::Varint(kind)) => sizes.kind = kind,
            (TENSOR_DIMS, _) => {
                for dimension in numbers(&field).ok_or_else(unreadable)? {
                    let dimension = u64::try_from(dimension).ok();
                    sizes.elements =
                        sizes.elements.zip(dimension).and_then(|(all, each)| all.checked_mul(each));
                }
            }
            (TENSOR_RAW, Value::Bytes(raw)) => sizes.raw = Some(raw.len() as u64),
            (number @ TENSOR_FLOATS..=TENSOR_UINT64S, value) if number != TENSOR_NAME => {
                let packed = match value {
                    Value::Varint(_) | Value::Fixed => 1,
                    Value::Bytes(_) if number == TENSOR_STRINGS => 1,
                    Value::Bytes(bytes) if number == TENSOR_FLOATS => bytes.len() as u64 / 4,
                    Value::Bytes(bytes) if number == TENSOR_DOUBLES => bytes.len() as u64 / 8,
                    Value::Bytes(bytes) => count_varints(bytes),
                };
                sizes.typed[number as usize] += packed;
            }
            _ => {}
        }
    }
    sizes.check(name)
}

impl Sizes {
    fn check(&self, name: &str) -> Result<(), Error> {
        let name = short(name);
        let Some(elements) = self.elements.filter(|elements| *elements <= ELEMENTS_MAX) else {
            return Err(Error::Limit(format!(
                "weight `{name}` says that it has more than {ELEMENTS_MAX} elements, or a negative size; export the model again"
            )));
        };
        let held = match (self.raw, self.kind) {
            (Some(_), STRING) => Some(0),
            (Some(raw), kind) => {
                let each = usize::try_from(kind).ok().and_then(|kind| RAW_BYTES.get(kind));
                match each {
                    None | Some(0) => None,
                    Some(each) if raw.is_multiple_of(*each) => Some(raw / each),
                    Some(_) => Some(u64::MAX),
                }
            }
            (None, FLOAT) => Some(self.typed[TENSOR_FLOATS as usize]),
            (None, 2..=6 | 9 | 10 | 16) => Some(self.typed[TENSOR_INT32S as usize]),
            (None, INT64) => Some(self.typed[TENSOR_INT64S as usize]),
            (None, STRING) => Some(self.typed[TENSOR_STRINGS as usize]),
            (None, 11) => Some(self.typed[TENSOR_DOUBLES as usize]),
            (None, 12 | 13) => Some(self.typed[TENSOR_UINT64S as usize]),
            (None, _) => None,
        };
        match held {
            Some(held) if held != elements => Err(Error::Model(format!(
                "weight `{name}` says that it has {elements} elements and holds another number; export the model again"
            ))),
            _ => Ok(()),
        }
    }
}

/// Each number ends with the one byte whose high bit is clear.
fn count_varints(packed: &[u8]) -> u64 {
    packed.iter().filter(|byte| **byte < 0x80).count() as u64
}

/// The whole numbers of a repeated field: one, or packed.
pub(super) fn numbers(field: &Field<'_>) -> Option<Vec<i64>> {
    match field.value {
        Value::Varint(number) => Some(vec![number as i64]),
        Value::Bytes(mut packed) => {
            let mut all = Vec::new();
            while !packed.is_empty() {
                all.push(read_varint(&mut packed)? as i64);
            }
            Some(all)
        }
        Value::Fixed => None,
    }
}

/// The elements of a small tensor of whole numbers or text, written out.
pub(super) fn labels(tensor: &[u8]) -> Option<Vec<String>> {
    let mut kind = 0;
    let (mut whole, mut texts, mut raw) = (Vec::new(), Vec::new(), None);
    for field in each_field(tensor) {
        let field = field?;
        match (field.number, field.value) {
            (TENSOR_TYPE, Value::Varint(number)) => kind = number,
            (TENSOR_INT32S | TENSOR_INT64S, _) => whole.extend(numbers(&field)?),
            (TENSOR_STRINGS, _) => texts.push(field.text()?.to_owned()),
            (TENSOR_RAW, Value::Bytes(bytes)) => raw = Some(bytes),
            _ => {}
        }
    }
    match (kind, raw) {
        (STRING, _) => Some(texts),
        (INT64, Some(raw)) => Some(
            raw.as_chunks().0.iter().map(|each| i64::from_le_bytes(*each).to_string()).collect(),
        ),
        (6, Some(raw)) => Some(
            raw.as_chunks().0.iter().map(|each| i32::from_le_bytes(*each).to_string()).collect(),
        ),
        (INT64 | 6, None) => Some(whole.iter().map(i64::to_string).collect()),
        _ => None,
    }
}

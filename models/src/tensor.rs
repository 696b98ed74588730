//! Tensors as the Open Inference Protocol carries them: typed values, or raw little-endian bytes.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::Error;

/// The most elements one tensor may have.
pub const TENSOR_ELEMENTS_MAX: usize = 4 * 1024 * 1024;
/// The most bytes the raw form of one tensor may have.
pub const TENSOR_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Element types by their protocol names; FP16 and BF16 are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Datatype {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    const ALL: [Self; 12] = [
        Self::Bool,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// Bytes of one element; `None` for BYTES, whose elements differ in length.
    pub fn element_bytes(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Int8 | Self::Uint8 => Some(1),
            Self::Int16 | Self::Uint16 => Some(2),
            Self::Int32 | Self::Uint32 | Self::Fp32 => Some(4),
            Self::Int64 | Self::Uint64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }
}

impl Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Datatype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|each| each.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|each| each.name()).collect();
            Error::Tensor(format!(
                "datatype `{text}` is not served; use one of {}",
                known.join(" ")
            ))
        })
    }
}

/// The elements, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    Bool(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
}

/// Runs the same expression over whichever vector is inside.
macro_rules! each_data {
    ($data:expr, $vec:ident => $body:expr) => {
        match $data {
            Data::Bool($vec) => $body,
            Data::Int8($vec) => $body,
            Data::Int16($vec) => $body,
            Data::Int32($vec) => $body,
            Data::Int64($vec) => $body,
            Data::Uint8($vec) => $body,
            Data::Uint16($vec) => $body,
            Data::Uint32($vec) => $body,
            Data::Uint64($vec) => $body,
            Data::Fp32($vec) => $body,
            Data::Fp64($vec) => $body,
            Data::Bytes($vec) => $body,
        }
    };
}

impl Data {
    pub fn datatype(&self) -> Datatype {
        match self {
            Self::Bool(_) => Datatype::Bool,
            Self::Int8(_) => Datatype::Int8,
            Self::Int16(_) => Datatype::Int16,
            Self::Int32(_) => Datatype::Int32,
            Self::Int64(_) => Datatype::Int64,
            Self::Uint8(_) => Datatype::Uint8,
            Self::Uint16(_) => Datatype::Uint16,
            Self::Uint32(_) => Datatype::Uint32,
            Self::Uint64(_) => Datatype::Uint64,
            Self::Fp32(_) => Datatype::Fp32,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }

    pub fn len(&self) -> usize {
        each_data!(self, each => each.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn part(&self, from: usize, len: usize) -> Self {
        macro_rules! part {
            ($($kind:ident)*) => {
                match self {
                    $(Self::$kind(all) => {
                        Self::$kind(all.get(from..from + len).unwrap_or_default().to_vec())
                    })*
                }
            };
        }
        part!(Bool Int8 Int16 Int32 Int64 Uint8 Uint16 Uint32 Uint64 Fp32 Fp64 Bytes)
    }

    /// False where the types differ.
    fn append(&mut self, other: Self) -> bool {
        macro_rules! append {
            ($($kind:ident)*) => {
                match (self, other) {
                    $((Self::$kind(all), Self::$kind(more)) => all.extend(more),)*
                    _ => return false,
                }
            };
        }
        append!(Bool Int8 Int16 Int32 Int64 Uint8 Uint16 Uint32 Uint64 Fp32 Fp64 Bytes);
        true
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub name: String,
    pub datatype: Datatype,
    pub shape: Vec<i64>,
    pub data: Data,
}

impl Tensor {
    /// A tensor whose shape and number of elements agree.
    pub fn new(
        name: impl Into<String>,
        shape: impl Into<Vec<i64>>,
        data: Data,
    ) -> Result<Self, Error> {
        let (name, shape) = (name.into(), shape.into());
        let want = count_elements(&name, &shape)?;
        let got = data.len();
        if want != got {
            return Err(Error::Tensor(format!(
                "tensor `{name}` of shape {shape:?} needs {want} elements, got {got}"
            )));
        }
        Ok(Self { datatype: data.datatype(), name, shape, data })
    }

    /// Reads the raw form: packed little-endian; BYTES elements are a 4-byte length and the bytes.
    pub fn from_raw(
        name: impl Into<String>,
        datatype: Datatype,
        shape: impl Into<Vec<i64>>,
        raw: &[u8],
    ) -> Result<Self, Error> {
        let (name, shape) = (name.into(), shape.into());
        let elements = count_elements(&name, &shape)?;
        if raw.len() > TENSOR_BYTES_MAX {
            return Err(Error::Limit(format!(
                "tensor `{name}` has {} bytes; at most {TENSOR_BYTES_MAX} are taken",
                raw.len()
            )));
        }
        if let Some(element_bytes) = datatype.element_bytes() {
            let want = elements * element_bytes;
            if raw.len() != want {
                return Err(Error::Tensor(format!(
                    "tensor `{name}` {datatype} {shape:?} needs {want} raw bytes, got {}",
                    raw.len()
                )));
            }
        }
        let data = decode(&name, datatype, elements, raw)?;
        Ok(Self { name, datatype, shape, data })
    }

    pub fn to_raw(&self) -> Vec<u8> {
        match &self.data {
            Data::Bool(all) => all.iter().map(|each| u8::from(*each)).collect(),
            Data::Uint8(all) => all.clone(),
            Data::Int8(all) => pack(all, i8::to_le_bytes),
            Data::Int16(all) => pack(all, i16::to_le_bytes),
            Data::Int32(all) => pack(all, i32::to_le_bytes),
            Data::Int64(all) => pack(all, i64::to_le_bytes),
            Data::Uint16(all) => pack(all, u16::to_le_bytes),
            Data::Uint32(all) => pack(all, u32::to_le_bytes),
            Data::Uint64(all) => pack(all, u64::to_le_bytes),
            Data::Fp32(all) => pack(all, f32::to_le_bytes),
            Data::Fp64(all) => pack(all, f64::to_le_bytes),
            Data::Bytes(all) => {
                let mut raw = Vec::with_capacity(all.iter().map(|each| each.len() + 4).sum());
                for each in all {
                    raw.extend_from_slice(&(each.len() as u32).to_le_bytes());
                    raw.extend_from_slice(each);
                }
                raw
            }
        }
    }

    /// One row alone, as a tensor of one row.
    pub(crate) fn row(&self, at: usize) -> Self {
        let wide = self.data.len().checked_div(self.rows()).unwrap_or(0);
        let mut shape = self.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows = 1;
        }
        let data = self.data.part(at * wide, wide);
        Self { name: self.name.clone(), datatype: self.datatype, shape, data }
    }

    /// These rows, in this order.
    pub(crate) fn rows_at(&self, rows: impl IntoIterator<Item = usize>) -> Result<Self, Error> {
        let mut rows = rows.into_iter();
        let mut all = self.row(rows.next().unwrap_or(0));
        rows.try_for_each(|at| all.append(self.row(at)))?;
        Ok(all)
    }

    /// Puts the rows of another tensor of the same name and type below.
    pub(crate) fn append(&mut self, other: Self) -> Result<(), Error> {
        let same_columns = self.shape.get(1..) == other.shape.get(1..);
        if self.shape.is_empty() || !same_columns || !self.data.append(other.data) {
            return Err(Error::Run(format!("output `{}` changes its shape by row", self.name)));
        }
        if let (Some(rows), Some(more)) = (self.shape.first_mut(), other.shape.first()) {
            *rows += more;
        }
        Ok(())
    }

    /// The first dimension; a scalar counts as one row.
    pub fn rows(&self) -> usize {
        self.shape.first().map_or(1, |rows| usize::try_from(*rows).unwrap_or(0))
    }
}

fn count_elements(name: &str, shape: &[i64]) -> Result<usize, Error> {
    let mut elements = 1_usize;
    for dimension in shape {
        let Ok(dimension) = usize::try_from(*dimension) else {
            return Err(Error::Tensor(format!(
                "tensor `{name}` has a negative dimension in {shape:?}"
            )));
        };
        elements = elements.saturating_mul(dimension);
    }
    if elements > TENSOR_ELEMENTS_MAX {
        return Err(Error::Limit(format!(
            "tensor `{name}` of shape {shape:?} has {elements} elements; at most {TENSOR_ELEMENTS_MAX} are taken"
        )));
    }
    Ok(elements)
}

fn decode(name: &str, datatype: Datatype, elements: usize, raw: &[u8]) -> Result<Data, Error> {
    Ok(match datatype {
        Datatype::Bool => Data::Bool(decode_bools(name, raw)?),
        Datatype::Uint8 => Data::Uint8(raw.to_vec()),
        Datatype::Int8 => Data::Int8(unpack(raw, i8::from_le_bytes)),
        Datatype::Int16 => Data::Int16(unpack(raw, i16::from_le_bytes)),
        Datatype::Int32 => Data::Int32(unpack(raw, i32::from_le_bytes)),
        Datatype::Int64 => Data::Int64(unpack(raw, i64::from_le_bytes)),
        Datatype::Uint16 => Data::Uint16(unpack(raw, u16::from_le_bytes)),
        Datatype::Uint32 => Data::Uint32(unpack(raw, u32::from_le_bytes)),
        Datatype::Uint64 => Data::Uint64(unpack(raw, u64::from_le_bytes)),
        Datatype::Fp32 => Data::Fp32(unpack(raw, f32::from_le_bytes)),
        Datatype::Fp64 => Data::Fp64(unpack(raw, f64::from_le_bytes)),
        Datatype::Bytes => Data::Bytes(decode_strings(name, elements, raw)?),
    })
}

fn decode_bools(name: &str, raw: &[u8]) -> Result<Vec<bool>, Error> {
    raw.iter()
        .map(|byte| match byte {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::Tensor(format!(
                "tensor `{name}` BOOL holds the byte {byte}; use 0 or 1"
            ))),
        })
        .collect()
}

fn decode_strings(name: &str, elements: usize, raw: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let short = || {
        let got = raw.len();
        Error::Tensor(format!(
            "tensor `{name}` BYTES ends inside one of its {elements} elements, got {got} raw bytes"
        ))
    };
    let mut all = Vec::with_capacity(elements.min(raw.len() / 4));
    let mut rest = raw;
    for _ in 0..elements {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (element, tail) = tail.split_at_checked(length).ok_or_else(short)?;
        all.push(element.to_vec());
        rest = tail;
    }
    if !rest.is_empty() {
        return Err(Error::Tensor(format!(
            "tensor `{name}` BYTES has {} raw bytes after its {elements} elements",
            rest.len()
        )));
    }
    Ok(all)
}

fn pack<T: Copy, const N: usize>(all: &[T], bytes_of: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(all.len() * N);
    for each in all {
        raw.extend_from_slice(&bytes_of(*each));
    }
    raw
}

/// The caller has checked that `raw` is a whole number of elements.
fn unpack<T, const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(data: Data) {
        let shape = vec![i64::try_from(data.len()).unwrap()];
        let tensor = Tensor::new("x", shape, data).unwrap();
        let back =
            Tensor::from_raw("x", tensor.datatype, tensor.shape.clone(), &tensor.to_raw()).unwrap();
        assert_eq!(tensor, back);
    }

    proptest! {
        #[test]
        fn raw_form_round_trips(
            ints in prop::collection::vec(any::<i64>(), 0..20),
            bools in prop::collection::vec(any::<bool>(), 0..20),
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..20),
        ) {
            round_trip(Data::Int8(ints.iter().map(|each| *each as i8).collect()));
            round_trip(Data::Int16(ints.iter().map(|each| *each as i16).collect()));
            round_trip(Data::Int32(ints.iter().map(|each| *each as i32).collect()));
            round_trip(Data::Uint8(ints.iter().map(|each| *each as u8).collect()));
            round_trip(Data::Uint16(ints.iter().map(|each| *each as u16).collect()));
            round_trip(Data::Uint32(ints.iter().map(|each| *each as u32).collect()));
            round_trip(Data::Uint64(ints.iter().map(|each| *each as u64).collect()));
            round_trip(Data::Fp32(ints.iter().map(|each| *each as f32).collect()));
            round_trip(Data::Fp64(ints.iter().map(|each| *each as f64).collect()));
            round_trip(Data::Int64(ints));
            round_trip(Data::Bool(bools));
            round_trip(Data::Bytes(texts));
        }

        #[test]
        fn any_bytes_give_a_tensor_or_an_error(raw in prop::collection::vec(any::<u8>(), 0..40), n in 0_i64..6) {
            for datatype in Datatype::ALL {
                let _ = Tensor::from_raw("x", datatype, vec![n], &raw);
            }
        }
    }

    #[test]
    fn wrong_byte_count_names_the_tensor_and_both_counts() {
        let error = Tensor::from_raw("age", Datatype::Fp32, vec![2, 3], &[0; 20]).unwrap_err();
        assert_eq!(error.to_string(), "tensor `age` FP32 [2, 3] needs 24 raw bytes, got 20");
    }

    #[test]
    fn element_limit_is_in_the_text() {
        let error =
            Tensor::from_raw("x", Datatype::Fp32, vec![i64::MAX, i64::MAX], &[]).unwrap_err();
        assert!(matches!(error, Error::Limit(_)));
        assert!(error.to_string().contains("4194304"), "{error}");
    }

    #[test]
    fn names_round_trip_and_half_floats_are_refused() {
        for datatype in Datatype::ALL {
            assert_eq!(datatype.name().parse::<Datatype>().unwrap(), datatype);
        }
        assert!("FP16".parse::<Datatype>().is_err());
    }
}

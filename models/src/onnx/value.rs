//! Tensors of the protocol to values of the runtime and back.

use ort::session::SessionInputValue;
use ort::value::{self, DynValue, Outlet, TensorElementType, TensorRef, ValueType};

use crate::{Data, Datatype, Error, Tensor, TensorSpec};

/// The longest message of the native library that is passed on, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// The library's messages run over several lines and name its own source files.
pub(super) fn one_line(error: &impl ToString) -> String {
    let text = error.to_string();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MESSAGE_CHARS_MAX).collect()
}

pub(super) fn specs_of(outlets: &[Outlet], role: &str) -> Result<Vec<TensorSpec>, Error> {
    outlets
        .iter()
        .map(|outlet| {
            let name = outlet.name();
            let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
                return Err(Error::Model(format!(
                    "{role} `{name}` is a {}, which no tensor carries; for scikit-learn convert with options={{'zipmap': False}}",
                    outlet.dtype()
                )));
            };
            let datatype = datatype_of(*ty)
                .ok_or_else(|| Error::Model(format!("{role} `{name}` has elements of {ty}; export it as FP32")))?;
            Ok(TensorSpec::new(name, datatype, shape.to_vec()))
        })
        .collect()
}

fn datatype_of(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

/// Borrows the tensor's numbers; only text is copied.
pub(super) fn to_value(tensor: &Tensor) -> Result<SessionInputValue<'_>, Error> {
    let shape = tensor.shape.as_slice();
    let value: Result<SessionInputValue<'_>, ort::Error> = match &tensor.data {
        Data::Bool(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Int8(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Int16(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Int32(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Int64(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Uint8(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Uint16(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Uint32(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Uint64(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Fp32(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Fp64(all) => TensorRef::from_array_view((shape, all.as_slice())).map(Into::into),
        Data::Bytes(all) => {
            let texts = all
                .iter()
                .map(|each| text_of(&tensor.name, each))
                .collect::<Result<Vec<_>, _>>()?;
            value::Tensor::from_string_array((shape, texts.as_slice())).map(Into::into)
        }
    };
    value.map_err(|error| Error::Tensor(format!("input `{}`: {}", tensor.name, one_line(&error))))
}

fn text_of(name: &str, bytes: &[u8]) -> Result<String, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(Error::Tensor(format!(
            "input `{name}` holds text that is not UTF-8 or has a zero byte"
        ))),
    }
}

pub(super) fn from_value(name: &str, value: &DynValue) -> Result<Tensor, Error> {
    let refused = || Error::Run(format!("output `{name}` came back as {}", value.dtype()));
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else { return Err(refused()) };
    let data = match datatype_of(*ty).ok_or_else(refused)? {
        Datatype::Bool => value.try_extract_tensor().map(|(_, all)| Data::Bool(all.to_vec())),
        Datatype::Int8 => value.try_extract_tensor().map(|(_, all)| Data::Int8(all.to_vec())),
        Datatype::Int16 => value.try_extract_tensor().map(|(_, all)| Data::Int16(all.to_vec())),
        Datatype::Int32 => value.try_extract_tensor().map(|(_, all)| Data::Int32(all.to_vec())),
        Datatype::Int64 => value.try_extract_tensor().map(|(_, all)| Data::Int64(all.to_vec())),
        Datatype::Uint8 => value.try_extract_tensor().map(|(_, all)| Data::Uint8(all.to_vec())),
        Datatype::Uint16 => value.try_extract_tensor().map(|(_, all)| Data::Uint16(all.to_vec())),
        Datatype::Uint32 => value.try_extract_tensor().map(|(_, all)| Data::Uint32(all.to_vec())),
        Datatype::Uint64 => value.try_extract_tensor().map(|(_, all)| Data::Uint64(all.to_vec())),
        Datatype::Fp32 => value.try_extract_tensor().map(|(_, all)| Data::Fp32(all.to_vec())),
        Datatype::Fp64 => value.try_extract_tensor().map(|(_, all)| Data::Fp64(all.to_vec())),
        Datatype::Bytes => value
            .try_extract_strings()
            .map(|(_, all)| Data::Bytes(all.into_iter().map(String::into_bytes).collect())),
    };
    let data =
        data.map_err(|error| Error::Run(format!("output `{name}`: {}", one_line(&error))))?;
    Tensor::new(name, shape.to_vec(), data)
}

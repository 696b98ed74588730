//! The inputs beside `entity`: values that come with the request, for the view's own arithmetic.

use super::infer::ENTITY;
use crate::serving::{Loaded, Sent, SentColumn, ServingError};
use models::{Data, Tensor};

/// The tensor of the keys, and the values that were sent with it.
pub(super) fn read<'a>(
    loaded: &Loaded,
    inputs: &'a [Tensor],
) -> Result<(&'a [Vec<u8>], Sent), ServingError> {
    let mut named = inputs.iter().filter(|input| input.name == ENTITY);
    let keys = named.next();
    if named.next().is_some() {
        return Err(ServingError::Invalid(format!("input `{ENTITY}` is there twice")));
    }
    let keys = keys.map_or(Ok(&[][..]), keys_of)?;
    let Some(view) = loaded.view() else { return Ok((keys, Sent::default())) };
    let columns = inputs.iter().filter(|input| input.name != ENTITY).map(column);
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let sent =
        Sent::of(view, keys.len(), &columns).and_then(|sent| sent.check(view).map(|()| sent));
    Ok((keys, sent.map_err(ServingError::Invalid)?))
}

pub(super) fn keys_of(input: &Tensor) -> Result<&[Vec<u8>], ServingError> {
    match &input.data {
        Data::Bytes(keys) => Ok(keys),
        _ => Err(ServingError::Invalid(format!(
            "input `{ENTITY}` must be BYTES [-1, 1], got {} {:?}",
            input.datatype, input.shape
        ))),
    }
}

fn column(input: &Tensor) -> Result<SentColumn<'_>, ServingError> {
    let numbers = match &input.data {
        Data::Fp32(all) => all.iter().copied().map(f64::from).collect(),
        Data::Fp64(all) => all.clone(),
        Data::Int32(all) => all.iter().copied().map(f64::from).collect(),
        Data::Int64(all) => all.iter().map(|each| *each as f64).collect(),
        _ => {
            return Err(ServingError::Invalid(format!(
                "input `{}` beside `{ENTITY}` is a request value: send FP32, FP64, INT32 or INT64 [-1, 1], not {}",
                input.name, input.datatype
            )));
        }
    };
    Ok((&input.name, numbers))
}

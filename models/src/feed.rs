//! How a row of numbers becomes the inputs of a model.

use crate::{Data, Datatype, Error, Tensor, TensorSpec, score};

/// How a row of features enters a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// One matrix `[rows, width]`; the width may be left open by the file.
    Matrix { datatype: Datatype, width: Option<usize> },
    /// By input, which features are its columns.
    Blocks(Vec<Vec<usize>>),
}

impl Feed {
    /// `names` are the features of a row, in order; none for a bare file. `Ok(None)` where an input
    /// of a bare file cannot be made of numbers alone, or takes only a fixed batch.
    pub(crate) fn plan(inputs: &[TensorSpec], names: &[String]) -> Result<Option<Self>, Error> {
        let feed = match inputs {
            [] => None,
            [one] if is_numeric(one) && one.shape.len() == 2 => {
                let width = usize::try_from(one.shape[1]).ok();
                Some(Self::Matrix { datatype: one.datatype, width })
            }
            several => blocks(several, names)?,
        };
        let takes = feed.as_ref().and_then(Self::width);
        match (&feed, takes) {
            _ if names.is_empty() => Ok(feed),
            (None, _) => Err(cannot_feed(inputs)),
            (Some(_), Some(takes)) if takes != names.len() => Err(Error::Model(format!(
                "the manifest lists {} features, the file takes {takes}; list them all in the file's order, or export again",
                names.len()
            ))),
            _ => Ok(feed),
        }
    }

    /// How many features a row has, where the file says.
    pub(crate) fn width(&self) -> Option<usize> {
        match self {
            Self::Matrix { width, .. } => *width,
            Self::Blocks(blocks) => Some(blocks.iter().map(Vec::len).sum()),
        }
    }

    /// `n` rows of `width` values as tensors, in the order of the inputs.
    pub(crate) fn tensors(
        &self,
        inputs: &[TensorSpec],
        rows: &[f32],
        n: usize,
        width: usize,
    ) -> Result<Vec<Tensor>, Error> {
        match (self, inputs) {
            (Self::Matrix { datatype, .. }, [spec, ..]) => {
                let data = score::convert(&spec.name, *datatype, rows.iter().copied())?;
                Ok(vec![Tensor::new(&spec.name, [n as i64, width as i64], data)?])
            }
            (Self::Matrix { .. }, []) => Ok(Vec::new()),
            (Self::Blocks(blocks), _) => (inputs.iter().zip(blocks))
                .map(|(spec, features)| {
                    let each = rows.chunks_exact(width);
                    let values = each.flat_map(|row| features.iter().map(|at| row[*at]));
                    let data = score::convert(&spec.name, spec.datatype, values)?;
                    let wide = features.len() as i64;
                    let shape =
                        if spec.shape.len() == 1 { vec![n as i64] } else { vec![n as i64, wide] };
                    Tensor::new(&spec.name, shape, data)
                })
                .collect(),
        }
    }

    /// The rows that inputs in the order of the file's hold; the inverse of [`Self::tensors`]. `None`
    /// where they are no numbers, or no such rows. Numbers that FP32 lacks are rounded.
    pub(crate) fn rows(&self, inputs: &[&Tensor]) -> Option<Vec<f32>> {
        let columns: Vec<Vec<f32>> =
            inputs.iter().map(|each| singles(&each.data)).collect::<Option<_>>()?;
        let Self::Blocks(blocks) = self else { return columns.into_iter().next() };
        let (n, width) = (inputs.first()?.rows(), blocks.iter().map(Vec::len).sum::<usize>());
        let mut rows = vec![0.0; n * width];
        for (features, values) in blocks.iter().zip(&columns) {
            if values.len() != n * features.len() {
                return None;
            }
            for (row, own) in rows.chunks_exact_mut(width).zip(values.chunks_exact(features.len()))
            {
                for (feature, value) in features.iter().zip(own) {
                    row[*feature] = *value;
                }
            }
        }
        Some(rows)
    }
}

fn singles(data: &Data) -> Option<Vec<f32>> {
    Some(match data {
        Data::Fp32(all) => all.clone(),
        Data::Fp64(all) => all.iter().map(|each| *each as f32).collect(),
        Data::Int64(all) => all.iter().map(|each| *each as f32).collect(),
        Data::Int32(all) => all.iter().map(|each| *each as f32).collect(),
        Data::Bool(all) => all.iter().map(|each| f32::from(u8::from(*each))).collect(),
        _ => return None,
    })
}

fn is_numeric(spec: &TensorSpec) -> bool {
    let known = [Datatype::Fp32, Datatype::Fp64, Datatype::Int64, Datatype::Int32, Datatype::Bool];
    known.contains(&spec.datatype) && spec.shape.first() == Some(&-1)
}

/// How many columns an input takes, where it says.
fn columns(spec: &TensorSpec) -> Option<usize> {
    match spec.shape.as_slice() {
        [_] => Some(1),
        [_, wide] => usize::try_from(*wide).ok().filter(|wide| *wide > 0),
        _ => None,
    }
}

/// Single columns that bear the features' names go by name; all others take the features in turn.
fn blocks(inputs: &[TensorSpec], names: &[String]) -> Result<Option<Feed>, Error> {
    let widths: Option<Vec<usize>> = inputs.iter().map(columns).collect();
    let Some(widths) = widths.filter(|_| inputs.iter().all(is_numeric)) else { return Ok(None) };
    let place = |spec: &TensorSpec| names.iter().position(|name| *name == spec.name);
    let known = inputs.iter().filter(|spec| place(spec).is_some()).count();
    if known > 0 && known < inputs.len() {
        let stranger = inputs.iter().find(|spec| place(spec).is_none());
        return Err(Error::Model(format!(
            "input {} bears no feature's name, though others do; name the inputs as the manifest's features, or none of them",
            stranger.map(ToString::to_string).unwrap_or_default()
        )));
    }
    if known == inputs.len() && widths.iter().all(|width| *width == 1) {
        let places = inputs.iter().filter_map(place).map(|at| vec![at]);
        return Ok(Some(Feed::Blocks(places.collect())));
    }
    let mut next = 0;
    let in_turn = widths.iter().map(|width| {
        next += width;
        (next - width..next).collect()
    });
    Ok(Some(Feed::Blocks(in_turn.collect())))
}

fn cannot_feed(inputs: &[TensorSpec]) -> Error {
    if let Some(text) = inputs.iter().find(|spec| spec.datatype == Datatype::Bytes) {
        return Error::Model(format!(
            "input {text} is text, but a feature view gives numbers: take one feature a category (transform `equals:TEXT`) \
             and export without the encoder, or push the bare file and send its inputs"
        ));
    }
    let all: Vec<String> = inputs.iter().map(ToString::to_string).collect();
    Error::Model(format!(
        "the file's inputs {} cannot take a row of features; export one FP32 input [-1, features]",
        all.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
        TensorSpec::new(name, datatype, shape)
    }

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn rows_feed_one_matrix_or_several_blocks() {
        let matrix = [spec("X", Datatype::Fp32, &[-1, 3])];
        let feed = Feed::plan(&matrix, &[]).unwrap().unwrap();
        assert_eq!(feed, Feed::Matrix { datatype: Datatype::Fp32, width: Some(3) });
        let two = [spec("a", Datatype::Fp32, &[-1, 2]), spec("b", Datatype::Int64, &[-1])];
        let feed = Feed::plan(&two, &[]).unwrap().unwrap();
        assert_eq!(feed, Feed::Blocks(vec![vec![0, 1], vec![2]]));
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let tensors = feed.tensors(&two, &rows, 2, 3).unwrap();
        assert_eq!(tensors[0].data, Data::Fp32(vec![1.0, 2.0, 4.0, 5.0]));
        assert_eq!(tensors[1].data, Data::Int64(vec![3, 6]));
        let back = |tensors: &[Tensor]| feed.rows(&tensors.iter().collect::<Vec<_>>());
        assert_eq!(back(&tensors), Some(rows.to_vec()));
        let short = [tensors[0].clone(), Tensor::new("b", [1], Data::Int64(vec![3])).unwrap()];
        assert_eq!(back(&short), None);
        assert_eq!(Feed::plan(&[spec("a", Datatype::Bytes, &[-1, 1])], &[]), Ok(None));
        assert_eq!(Feed::plan(&[spec("a", Datatype::Fp32, &[1, 3, 8, 8])], &[]), Ok(None));
    }

    #[test]
    fn named_columns_find_their_features() {
        let inputs = [spec("b", Datatype::Fp32, &[-1, 1]), spec("a", Datatype::Fp32, &[-1, 1])];
        let by_name = Feed::plan(&inputs, &names(&["a", "b"])).unwrap();
        assert_eq!(by_name, Some(Feed::Blocks(vec![vec![1], vec![0]])));
        let one = |name: &str, value| Tensor::new(name, [1, 1], Data::Fp32(vec![value])).unwrap();
        let (b, a) = (one("b", 2.0), one("a", 1.0));
        assert_eq!(by_name.and_then(|feed| feed.rows(&[&b, &a])), Some(vec![1.0, 2.0]));
        let in_turn = Feed::plan(&inputs, &names(&["x", "y"])).unwrap();
        assert_eq!(in_turn, Some(Feed::Blocks(vec![vec![0], vec![1]])));
        let said =
            |features: &[&str]| Feed::plan(&inputs, &names(features)).unwrap_err().to_string();
        assert!(said(&["a", "c"]).starts_with("input `b` FP32 [-1, 1] bears no feature's name"));
        assert!(said(&["x", "y", "z"]).contains("lists 3 features, the file takes 2"));
        let text = [spec("heating", Datatype::Bytes, &[-1, 1])];
        let error = Feed::plan(&text, &names(&["heating"])).unwrap_err().to_string();
        assert!(error.starts_with("input `heating` BYTES [-1, 1] is text"), "{error}");
    }
}

//! Which number of a model is its score.

use crate::{Data, Datatype, Error, TensorSpec};

/// The name under which a score stands beside a file's own outputs.
pub(crate) const SCORE: &str = "score";

/// The output that holds the score: the one asked for, else one named for probabilities, else the
/// only output of real numbers.
pub(crate) fn choose_output(outputs: &[TensorSpec], asked: Option<&str>) -> Option<usize> {
    let real = |spec: &TensorSpec| matches!(spec.datatype, Datatype::Fp32 | Datatype::Fp64);
    if let Some(name) = asked {
        return outputs.iter().position(|spec| spec.name == name && real(spec));
    }
    let named = |spec: &TensorSpec| real(spec) && is_named_probability(&spec.name);
    let mut named = outputs.iter().enumerate().filter(|(_, spec)| named(spec));
    match (named.next(), named.next()) {
        (Some((only, _)), None) => return Some(only),
        // Several classifiers in one.
        (Some(_), Some(_)) => return None,
        _ => {}
    }
    let mut all = outputs.iter().enumerate().filter(|(_, spec)| real(spec));
    match (all.next(), all.next()) {
        (Some((only, _)), None) => Some(only),
        _ => None,
    }
}

fn is_named_probability(name: &str) -> bool {
    name.to_ascii_lowercase().contains("probab")
}

/// Whether two columns of that output are two classes and not, say, two regression targets or the
/// distances from two centres: its name says so, or the file names its classes.
pub(crate) fn is_classifier(outputs: &[TensorSpec], chosen: usize, classes: usize) -> bool {
    classes == 2 || outputs.get(chosen).is_some_and(|spec| is_named_probability(&spec.name))
}

/// The column of a class, a number a row.
pub(crate) fn pick_column(shape: &[i64], data: &Data, column: usize) -> Option<Vec<f32>> {
    let [_, wide] = shape else { return None };
    let wide = usize::try_from(*wide).ok().filter(|wide| column < *wide)?;
    match data {
        Data::Fp32(all) => Some(all.iter().skip(column).step_by(wide).copied().collect()),
        Data::Fp64(all) => {
            Some(all.iter().skip(column).step_by(wide).map(|each| *each as f32).collect())
        }
        _ => None,
    }
}

/// One number a row: the second of two classes, or the only column. `None` for any other shape.
pub(crate) fn pick(shape: &[i64], data: &Data, classifier: bool) -> Option<Vec<f32>> {
    let (step, from) = match shape {
        [_] | [_, 1] => (1, 0),
        [_, 2] if classifier => (2, 1),
        _ => return None,
    };
    match data {
        Data::Fp32(all) => Some(all.iter().skip(from).step_by(step).copied().collect()),
        Data::Fp64(all) => {
            Some(all.iter().skip(from).step_by(step).map(|each| *each as f32).collect())
        }
        _ => None,
    }
}

/// Numbers as the type of an input. A whole-number input takes only whole numbers.
pub(crate) fn convert(
    name: &str,
    datatype: Datatype,
    values: impl Iterator<Item = f32>,
) -> Result<Data, Error> {
    // The largest magnitudes that an f32 holds without passing the integer's end.
    const INT64_END: f32 = 9.0e18;
    const INT32_END: f32 = 2.147_483e9;
    let whole = |value: f32, end: f32| {
        if value.fract() == 0.0 && value.abs() <= end {
            Ok(value)
        } else {
            Err(Error::Tensor(format!("input `{name}` is {datatype} and cannot take {value}")))
        }
    };
    Ok(match datatype {
        Datatype::Fp32 => Data::Fp32(values.collect()),
        Datatype::Fp64 => Data::Fp64(values.map(f64::from).collect()),
        Datatype::Int64 => Data::Int64(
            values
                .map(|value| whole(value, INT64_END).map(|whole| whole as i64))
                .collect::<Result<_, _>>()?,
        ),
        Datatype::Int32 => Data::Int32(
            values
                .map(|value| whole(value, INT32_END).map(|whole| whole as i32))
                .collect::<Result<_, _>>()?,
        ),
        Datatype::Bool => Data::Bool(values.map(|value| value != 0.0).collect()),
        other => {
            return Err(Error::NoScore(format!(
                "input `{name}` is {other}, which no row of numbers fills"
            )));
        }
    })
}

/// Refuses a row count and a value count that do not belong together.
pub(crate) fn check_rows(values: usize, rows: usize, width: Option<usize>) -> Result<usize, Error> {
    if rows == 0 && values == 0 {
        return Ok(width.unwrap_or(0));
    }
    let got = values.checked_div(rows).unwrap_or(0);
    if rows.checked_mul(got) != Some(values) || width.is_some_and(|width| width != got) {
        let want = width.map_or_else(
            || "equally many values each".to_owned(),
            |width| format!("{width} values each"),
        );
        return Err(Error::Tensor(format!(
            "{rows} rows must have {want}, got {values} values in all"
        )));
    }
    if values > crate::TENSOR_ELEMENTS_MAX {
        let most = crate::TENSOR_ELEMENTS_MAX;
        return Err(Error::Limit(format!(
            "{rows} rows have {values} values; at most {most} are taken at once"
        )));
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
        TensorSpec::new(name, datatype, shape)
    }

    #[test]
    fn two_targets_of_a_regressor_are_not_two_classes() {
        let targets = [spec("variable", Datatype::Fp32, &[-1, 2])];
        assert!(!is_classifier(&targets, 0, 0));
        assert_eq!(pick(&[1, 2], &Data::Fp32(vec![3.0, 4.0]), false), None);
        let classes =
            [spec("label", Datatype::Int64, &[-1]), spec("scores", Datatype::Fp32, &[-1, 2])];
        assert_eq!(choose_output(&classes, None), Some(1));
        assert!(is_classifier(&classes, 1, 2));
        // A label beside two distances, as of k-means.
        assert!(!is_classifier(&classes, 1, 0));
        let three = Data::Fp32(vec![0.1, 0.2, 0.7, 0.5, 0.3, 0.2]);
        assert_eq!(pick_column(&[2, 3], &three, 2), Some(vec![0.7, 0.2]));
        assert_eq!(pick_column(&[2, 3], &three, 3), None);
        assert_eq!(
            pick(&[2, 2], &Data::Fp32(vec![0.9, 0.1, 0.3, 0.7]), true),
            Some(vec![0.1, 0.7])
        );
    }

    #[test]
    fn a_fraction_is_not_put_into_an_integer() {
        let error = convert("n", Datatype::Int64, [1.5_f32].into_iter()).unwrap_err();
        assert!(error.to_string().contains("cannot take 1.5"), "{error}");
        assert_eq!(convert("n", Datatype::Int64, [2.0_f32].into_iter()), Ok(Data::Int64(vec![2])));
    }

    #[test]
    fn ragged_rows_are_refused() {
        assert!(check_rows(7, 2, None).is_err());
        assert!(check_rows(6, 2, Some(4)).is_err());
        assert_eq!(check_rows(6, 2, Some(3)), Ok(3));
        assert_eq!(check_rows(0, 0, Some(3)), Ok(3));
    }
}

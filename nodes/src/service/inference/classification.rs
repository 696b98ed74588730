//! Triton's classification extension: an output as its highest values with their indexes, as text.

use models::{Data, Tensor};
use tonic::Status;

/// The `top` highest values of each row as `value:index`, highest first; a value that is no number comes last.
pub(super) fn classify(tensor: &Tensor, top: usize) -> Result<Tensor, Status> {
    let all = values(tensor)?;
    let rows = tensor.rows();
    let columns = tensor.shape.iter().skip(1).product::<i64>() as usize;
    let top = top.min(columns);
    let mut classes = Vec::with_capacity(rows * top);
    for row in all.chunks_exact(columns.max(1)) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        // Stable: of equal values the lower index comes first.
        order.sort_by(|one, other| match (row[*one].0, row[*other].0) {
            (one, other) if one.is_nan() || other.is_nan() => one.is_nan().cmp(&other.is_nan()),
            (one, other) => other.total_cmp(&one),
        });
        let named = order.into_iter().take(top);
        classes.extend(named.map(|index| format!("{}:{index}", row[index].1).into_bytes()));
    }
    let shape = [rows as i64, top as i64];
    Tensor::new(&tensor.name, shape, Data::Bytes(classes))
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Each value as a number to compare and as text: six decimals, or whole.
fn values(tensor: &Tensor) -> Result<Vec<(f64, String)>, Status> {
    fn whole<T: Copy + ToString>(all: &[T], number: impl Fn(T) -> f64) -> Vec<(f64, String)> {
        all.iter().map(|each| (number(*each), each.to_string())).collect()
    }
    fn real(all: impl Iterator<Item = f64>) -> Vec<(f64, String)> {
        all.map(|each| (each, format!("{each:.6}"))).collect()
    }
    Ok(match &tensor.data {
        Data::Fp32(all) => real(all.iter().map(|each| f64::from(*each))),
        Data::Fp64(all) => real(all.iter().copied()),
        Data::Int8(all) => whole(all, f64::from),
        Data::Int16(all) => whole(all, f64::from),
        Data::Int32(all) => whole(all, f64::from),
        Data::Int64(all) => whole(all, |each| each as f64),
        Data::Uint8(all) => whole(all, f64::from),
        Data::Uint16(all) => whole(all, f64::from),
        Data::Uint32(all) => whole(all, f64::from),
        Data::Uint64(all) => whole(all, |each| each as f64),
        Data::Bool(_) | Data::Bytes(_) => {
            return Err(Status::invalid_argument(format!(
                "output `{}` is {}: only numbers can be classified",
                tensor.name, tensor.datatype
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(data: Data, shape: [i64; 2], top: usize) -> Vec<String> {
        let tensor = Tensor::new("p", shape, data).unwrap();
        let classes = classify(&tensor, top).unwrap();
        assert_eq!(classes.shape, [shape[0], (top as i64).min(shape[1])]);
        let Data::Bytes(all) = classes.data else { panic!("{:?}", classes.data) };
        all.into_iter().map(|each| String::from_utf8(each).unwrap()).collect()
    }

    #[test]
    fn the_highest_come_first_and_a_tie_goes_by_index() {
        let rows = Data::Fp32(vec![0.1, 0.7, 0.2, 0.5, 0.5, f32::NAN]);
        assert_eq!(
            top(rows.clone(), [2, 3], 2),
            ["0.700000:1", "0.200000:2", "0.500000:0", "0.500000:1"]
        );
        assert_eq!(top(rows, [2, 3], 9)[5], "NaN:2");
        assert_eq!(top(Data::Int64(vec![-1, 7]), [1, 2], 1), ["7:1"]);
        assert!(top(Data::Fp32(vec![]), [0, 3], 2).is_empty());
        assert!(top(Data::Fp32(vec![]), [2, 0], 2).is_empty());
    }

    #[test]
    fn words_have_no_classes() {
        let tensor = Tensor::new("band", [1, 1], Data::Bytes(vec![b"high".to_vec()])).unwrap();
        assert!(classify(&tensor, 1).unwrap_err().message().contains("band"));
    }
}

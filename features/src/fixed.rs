//! Values as whole millionths, so that sums are exact and equal in any order.

/// How many units make one.
pub const MICROS: i64 = 1_000_000;

/// The value in millionths, or nothing for a value that has none (NaN, infinite, beyond ±9.2e12).
///
/// The product with a million is rounded as every `f64` product is, then to a whole number; a half
/// goes to the even neighbour.
pub fn to_micros(value: f64) -> Option<i64> {
    let micros = (value * MICROS as f64).round_ties_even();
    // 2^63 is an f64, i64::MAX is not: the bound is open above.
    (micros >= i64::MIN as f64 && micros < -(i64::MIN as f64)).then_some(micros as i64)
}

/// The value of that many millionths.
pub fn from_micros(micros: i64) -> f64 {
    micros as f64 / MICROS as f64
}

/// The value of a sum of millionths.
pub fn from_wide_micros(micros: i128) -> f64 {
    micros as f64 / MICROS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_neighbour() {
        assert_eq!(to_micros(0.000_000_5), Some(0));
        assert_eq!(to_micros(0.000_001_5), Some(2));
        assert_eq!(to_micros(-0.000_002_5), Some(-2));
    }

    #[test]
    fn what_has_no_micros_is_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e13, -1e13] {
            assert_eq!(to_micros(value), None, "{value}");
        }
        assert_eq!(to_micros(-1e9), Some(-1_000_000_000_000_000));
    }

    #[test]
    fn six_decimals_survive() {
        for value in [0.1, 36.6, -273.15, 999_999_999.123_456] {
            assert!((from_micros(to_micros(value).unwrap()) - value).abs() < 1e-6);
        }
    }
}

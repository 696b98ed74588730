//! Arithmetic that rounds once: what a statistic needs of sums that do not fit 128 bits.

/// A whole number of 256 bits, as a sign and two halves.
#[derive(Clone, Copy)]
struct Wide {
    negative: bool,
    high: u128,
    low: u128,
}

impl Wide {
    fn product(a: i128, b: i128) -> Self {
        let (high, low) = widening(a.unsigned_abs(), b.unsigned_abs());
        Self { negative: (a < 0) != (b < 0), high, low }
    }

    fn minus(self, other: Self) -> Self {
        if self.negative != other.negative {
            // Products of two i128 have at most 255 bits: their sum fits.
            let (low, carry) = self.low.overflowing_add(other.low);
            let high = self.high + other.high + u128::from(carry);
            return Self { negative: self.negative, high, low };
        }
        let swapped = (self.high, self.low) < (other.high, other.low);
        let (more, less) = if swapped { (other, self) } else { (self, other) };
        let (low, borrow) = more.low.overflowing_sub(less.low);
        let high = more.high - less.high - u128::from(borrow);
        Self { negative: self.negative != swapped, high, low }
    }

    fn to_f64(self) -> f64 {
        let magnitude = if self.high == 0 {
            self.low as f64
        } else {
            let shift = 128 - self.high.leading_zeros();
            // The upper 128 bits, and a last one that says whether anything stood below: rounded
            // once, as the whole number would be.
            let above = self.high.checked_shl(128 - shift).unwrap_or(0);
            let top = above | self.low.checked_shr(shift).unwrap_or(0);
            let below = self.low.checked_shl(128 - shift).unwrap_or(0) != 0;
            (top | u128::from(below)) as f64 * power_of_two(shift)
        };
        // Nothing has no sign.
        let is_negative = self.negative && (self.high, self.low) != (0, 0);
        if is_negative { -magnitude } else { magnitude }
    }
}

fn power_of_two(exponent: u32) -> f64 {
    f64::from_bits(u64::from(1023 + exponent) << 52)
}

fn widening(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let (ll, lh, hl, hh) = (a0 * b0, a0 * b1, a1 * b0, a1 * b1);
    let middle = (ll >> 64) + (lh & LOW) + (hl & LOW);
    (hh + (lh >> 64) + (hl >> 64) + (middle >> 64), (middle << 64) | (ll & LOW))
}

/// `a * b - c * d`, rounded once.
pub(crate) fn difference_of_products(a: i128, b: i128, c: i128, d: i128) -> f64 {
    Wide::product(a, b).minus(Wide::product(c, d)).to_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As bits: floats are not to be compared.
    fn difference(a: i128, b: i128, c: i128, d: i128) -> u64 {
        difference_of_products(a, b, c, d).to_bits()
    }

    #[test]
    fn small_numbers_are_exact() {
        for (a, b, c, d) in [
            (3, 5, 2, 7),
            (-3, 5, 2, 7),
            (3, -5, -2, 7),
            (0, 0, 0, 0),
            (-3, 5, -5, 3),
            (-3, 0, 0, 2),
        ] {
            assert_eq!(difference(a, b, c, d), ((a * b - c * d) as f64).to_bits());
        }
    }

    #[test]
    fn wide_numbers_cancel_and_round_once() {
        let big = i128::MAX;
        assert_eq!(difference(big, big, big, big - 1), (big as f64).to_bits());
        assert_eq!(difference(big, big - 1, big, big), (-(big as f64)).to_bits());
        assert_eq!(difference(1 << 100, 1 << 100, 0, 0), 2_f64.powi(200).to_bits());
        assert_eq!(difference(1 << 100, 1 << 100, 1, 1), 2_f64.powi(200).to_bits());
        // 2^200 + 2^147 is half way between two neighbours; a bit below it decides.
        let half = |more: i128| difference(1 << 100, (1 << 100) + (1 << 47), -more, 1);
        assert_eq!(half(0), 2_f64.powi(200).to_bits());
        assert!(half(1) > 2_f64.powi(200).to_bits());
        assert_eq!(
            difference(i128::MIN, i128::MIN, i128::MIN, i128::MAX),
            2_f64.powi(255).to_bits()
        );
    }
}

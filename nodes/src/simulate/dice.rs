//! Random numbers that belong to an entity: the stream of a person, a home or an hour of a home is
//! made from the seed and the entity alone, so entities can be made in any order and any number.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a stream belongs to. The numbers are part of every seed's meaning: new ones go last.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum Realm {
    Ground = 1,
    Household,
    Person,
    Health,
    Economy,
    Home,
    Hazard,
    Trip,
    Habit,
    Readings,
    Delivery,
    Money,
    Organisation,
    Chronicle,
    Kit,
    Register,
}

/// One random stream.
#[derive(Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, realm: Realm, index: u64, part: u64) -> Self {
        let mut key = [0; 32];
        for (place, word) in key.chunks_exact_mut(8).zip([seed, realm as u64, index, part]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// From 0 up to 1, without it.
    pub(super) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number from `low` up to `high`, without it.
    pub(super) fn whole(&mut self, low: i64, high: i64) -> i64 {
        low + (self.unit() * (high - low) as f64) as i64
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T], default: T) -> T {
        let at = self.whole(0, from.len() as i64) as usize;
        from.get(at).copied().unwrap_or(default)
    }

    /// The place of a weight, each as likely as it is heavy.
    pub(super) fn weighted(&mut self, weights: &[f64]) -> usize {
        weighted_at(weights, self.unit())
    }

    /// Mean 0, deviation 1. The sum of twelve equal shares needs no logarithm, whose last bit
    /// differs between machines.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// For means up to some hundreds.
    pub(super) fn poisson(&mut self, mean: f64) -> u32 {
        let floor = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > floor {
            product *= self.unit();
            count += 1;
        }
        count
    }

    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Between the two so that each doubling is as likely.
    pub(super) fn doubling(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }
}

/// The place of a weight, `unit` of the way through all of them.
pub(super) fn weighted_at(weights: &[f64], unit: f64) -> usize {
    let mut left = unit * weights.iter().sum::<f64>();
    for (at, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return at;
        }
    }
    weights.len().saturating_sub(1)
}

/// A number from 0 to 1 for an index, so that any run of indices covers that stretch evenly: shares
/// drawn from it come out right in a small district too.
pub(super) fn even(seed: u64, realm: Realm, index: u32) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let offset = Dice::new(seed, realm, u64::MAX, 0).unit();
    (offset + f64::from(index) * GOLDEN).fract()
}

/// The probability whose logit is `x`.
pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Cut to so many decimals, so that tables hold short numbers.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let unit = 10_f64.powi(decimals);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(of: impl Fn(&mut Dice) -> f64) -> f64 {
        let mut dice = Dice::new(7, Realm::Person, 1, 0);
        (0..20_000).map(|_| of(&mut dice)).sum::<f64>() / 20_000.0
    }

    #[test]
    fn the_distributions_have_their_means() {
        assert!((mean(Dice::unit) - 0.5).abs() < 0.01);
        assert!(mean(Dice::normal).abs() < 0.03);
        assert!((mean(|dice| dice.normal().powi(2)) - 1.0).abs() < 0.05);
        assert!((mean(|dice| f64::from(dice.poisson(4.5))) - 4.5).abs() < 0.1);
        assert!((mean(|dice| dice.exponential(3.0)) - 3.0).abs() < 0.1);
        assert!((mean(|dice| dice.weighted(&[1.0, 0.0, 3.0]) as f64) - 1.5).abs() < 0.03);
    }

    #[test]
    fn streams_differ_by_every_part_of_their_name() {
        let first = |seed, realm, index, part| Dice::new(seed, realm, index, part).unit();
        let base = first(1, Realm::Person, 1, 1);
        assert!((base - first(1, Realm::Person, 1, 1)).abs() < f64::EPSILON);
        let others = [
            first(2, Realm::Person, 1, 1),
            first(1, Realm::Home, 1, 1),
            first(1, Realm::Person, 2, 1),
            first(1, Realm::Person, 1, 2),
        ];
        assert!(others.iter().all(|other| (other - base).abs() > 1e-12));
    }
}

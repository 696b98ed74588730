//! A set of small numbers.

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    #[inline]
    pub(crate) fn has(&self, at: u32) -> bool {
        self.words.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Those that are in it, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let bits = |(at, word): (usize, &u64)| {
            let word = *word;
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at as u32 * 64 + bit)
        };
        self.words.iter().enumerate().flat_map(bits)
    }

    pub(crate) fn set(&mut self, at: u32, value: bool) {
        let word = at as usize / 64;
        if self.words.len() <= word {
            if !value {
                return;
            }
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word = *word & !(1 << (at % 64)) | u64::from(value) << (at % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_there_and_nothing_else() {
        let mut bits = Bits::default();
        for at in [0, 63, 64, 1_000] {
            bits.set(at, true);
        }
        bits.set(64, false);
        bits.set(5_000, false);
        let all: Vec<u32> = (0..6_000).filter(|at| bits.has(*at)).collect();
        assert_eq!(all, [0, 63, 1_000]);
        assert!(bits.iter().eq(all));
    }
}

//! Sets of small numbers, as bits.

/// Set of small numbers; its size follows the largest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn insert(&mut self, number: usize) {
        let word = number / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    /// Removes the numbers below `least`.
    pub(crate) fn from(mut self, least: usize) -> Self {
        let words = least / 64;
        self.0.iter_mut().take(words).for_each(|word| *word = 0);
        if let Some(word) = self.0.get_mut(words) {
            *word &= u64::MAX << (least % 64);
        }
        self
    }

    /// Returns the least number that is in this set and not in the other.
    pub(crate) fn first_beyond(&self, other: &Self) -> Option<usize> {
        self.0.iter().enumerate().find_map(|(word, mine)| {
            let rest = mine & !other.0.get(word).copied().unwrap_or(0);
            (rest != 0).then(|| word * 64 + rest.trailing_zeros() as usize)
        })
    }
}

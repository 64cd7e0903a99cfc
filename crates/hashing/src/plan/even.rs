//! Exchanges of nodes between places where lists give one too many copies and another too few.
//!
//! Invariant: places are only exchanged, so the tokens of each node stay what they are; and the more even
//! copies cost no more moves than a fixed part of those that the plan needs anyway.

use alloc::vec::Vec;

use super::draft::Draft;

/// Most copies that may move for evenness, in percent of those that move without it.
const BUDGET_PERCENT: usize = 5;
/// Share of its goal by which a node is off if it holds more or less than that, in percent.
const OFF_PERCENT: i64 = 2;
/// Number of exchanges that are tried for one place.
const TRIES_MAX: usize = 64;
/// Most rounds over the places.
const ROUNDS_MAX: usize = 8;

/// Exchanges nodes between places until no node is off or nothing helps. Places in `moved` have a new holder
/// already, and are tried first since that costs least.
pub(crate) fn even(draft: &mut Draft, moved: &[usize]) {
    if moved.is_empty() {
        return;
    }
    let budget = (draft.moved() * BUDGET_PERCENT / 100) as i64;
    let mut even = Even { draft, budget };
    let all: Vec<usize> = (0..even.draft.places()).collect();
    for places in [moved, &all] {
        for _ in 0..ROUNDS_MAX {
            if !even.round(places) {
                break;
            }
        }
    }
}

struct Even<'a> {
    draft: &'a mut Draft,
    /// Number of copies that may still move for evenness.
    budget: i64,
}

impl Even<'_> {
    /// Tries to find a better holder for each place of a node that holds too much; returns whether it found any.
    fn round(&mut self, places: &[usize]) -> bool {
        let short: Vec<usize> =
            places.iter().copied().filter(|place| self.is_off(*place, -1)).collect();
        let mut found = false;
        for (turn, place) in places.iter().enumerate() {
            if self.draft.is_laborious() {
                return false;
            }
            if self.is_off(*place, 1) {
                found |= self.relieve(*place, &short, turn);
            }
        }
        found
    }

    /// Returns whether the place's holder has too much, by `sign` 1, or too little, by -1: more than a
    /// token's copies.
    fn is_off(&self, place: usize, sign: i64) -> bool {
        let holder = self.draft.holder(place);
        let excess = sign * self.draft.excess(holder);
        excess > self.draft.limit() as i64 && 100 * excess > OFF_PERCENT * self.draft.goal(holder)
    }

    fn relieve(&mut self, place: usize, short: &[usize], from: usize) -> bool {
        (0..TRIES_MAX.min(short.len())).any(|step| {
            let other = short[(from + step) % short.len()];
            self.is_off(other, -1) && self.exchange(place, other)
        })
    }

    /// Exchanges two places' holders if that is more even and within the budget; returns whether it did.
    fn exchange(&mut self, place: usize, other: usize) -> bool {
        let (here, there) = (self.draft.holder(place), self.draft.holder(other));
        let first = self.draft.put(place, there);
        let second = self.draft.put(other, here);
        let moved = first.moved + second.moved;
        if first.strain + second.strain < 0 && moved <= self.budget {
            self.budget -= moved.max(0);
            return true;
        }
        self.draft.put(other, there);
        self.draft.put(place, here);
        false
    }
}

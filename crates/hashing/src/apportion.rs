//! The number of tokens of each node: whole numbers next to the shares that the weights give.
//!
//! Invariant: a part is its exact share rounded down or up, so no node is a whole token away from it.

use alloc::vec::Vec;
use core::cmp::Reverse;

/// Rounds shares to whole parts whose sum is `total`.
///
/// The shares are numerators over the common `divisor`; their sum, rounded down or up, is `total`. Three
/// kinds are rounded up, in this order: those that would get nothing, so that no zone is lost while there is
/// a token for it; those that hold more than the lower part already, so that the least has to move; and the
/// largest remainders, earlier ones first among equals.
pub(crate) fn round_shares(shares: &[u64], divisor: u64, total: u64, held: &[u64]) -> Vec<u64> {
    let mut parts: Vec<u64> = shares.iter().map(|share| share / divisor).collect();
    let mut with_remainder: Vec<usize> =
        (0..shares.len()).filter(|index| !shares[*index].is_multiple_of(divisor)).collect();
    with_remainder.sort_by_key(|index| {
        let part = parts[*index];
        (part > 0, held[*index] <= part, Reverse(shares[*index] % divisor))
    });
    let missing = total - parts.iter().sum::<u64>();
    for index in with_remainder.into_iter().take(missing as usize) {
        parts[index] += 1;
    }
    parts
}

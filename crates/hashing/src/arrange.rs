//! The order of tokens around the ring, so that neighbours differ.
//!
//! Invariant: every item appears as often as its count says. If no count is above the length
//! divided by `apart`, any `apart` neighbours are distinct items, the ring's end and start included.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Reverse;

use xxhash_rust::xxh3::xxh3_64;

#[cfg(test)]
mod tests;

/// Arranges item `i` `counts[i]` times on a circle with `apart` neighbours distinct.
///
/// With plenty of items their order is mixed. Otherwise they are spread evenly where that keeps neighbours distinct,
/// and where nothing can: then a walk that skips repeated items meets each of the others about equally often.
pub(crate) fn arrange(counts: &[u64], apart: usize) -> Vec<usize> {
    if let Some(mixed) = mixed(counts, apart) {
        return mixed;
    }
    let even = spread(counts, apart);
    let room = counts.iter().sum::<u64>() / apart.max(1) as u64;
    if faults(&even, apart) == 0 || counts.iter().any(|count| *count > room) {
        return even;
    }
    in_blocks(counts, apart)
}

/// Returns an order in which the items change places in each round as far as neighbours stay distinct. So
/// every item meets every other at every distance, and a later plan finds room for one more of a kind in the
/// place of any other. `None` with few items, or if the end does not fit the start.
fn mixed(counts: &[u64], apart: usize) -> Option<Vec<usize>> {
    let items = counts.iter().filter(|count| **count > 0).count();
    if apart < 2 || items < 2 * apart {
        return None;
    }
    let mut waiting: VecDeque<usize> = spread(counts, 1).into();
    let mut circle = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let recent = &circle[circle.len().saturating_sub(apart - 1)..];
        let next = waiting.iter().position(|item| !recent.contains(item))?;
        circle.push(waiting.remove(next)?);
    }
    (faults(&circle, apart) == 0).then_some(circle)
}

/// Returns how many places see an item again among the `apart - 1` that follow them.
pub(crate) fn faults(circle: &[usize], apart: usize) -> usize {
    let apart = apart.min(circle.len());
    let repeats = |place: usize| {
        (1..apart).any(|step| circle[(place + step) % circle.len()] == circle[place])
    };
    (0..circle.len()).filter(|place| repeats(*place)).count()
}

/// Gives an item with count c a place in each c-th of the circle.
///
/// Where neighbours must differ, the items keep their turn. Otherwise they change places in each round, so
/// that a node meets many neighbours and its work, if it fails, falls to many.
fn spread(counts: &[u64], apart: usize) -> Vec<usize> {
    let by_count = most_first(counts);
    let items = counts.len() as u64;
    let mut places = Vec::new();
    for (turn, item) in by_count.into_iter().enumerate() {
        for round in 0..counts[item] {
            let phase = if apart > 1 {
                ((turn as u64) << 32) / items
            } else {
                shuffled(item as u64, round)
            };
            let place = (u128::from((round << 32) + phase) << 32) / u128::from(counts[item]);
            places.push((place, turn, item));
        }
    }
    places.sort_unstable();
    places.into_iter().map(|(_, _, item)| item).collect()
}

/// Returns a fraction of 2^32 that looks random and is the same everywhere.
fn shuffled(item: u64, round: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&item.to_le_bytes());
    bytes[8..].copy_from_slice(&round.to_le_bytes());
    xxh3_64(&bytes) >> 32
}

/// Deals the items, most frequent first, in rows over `length / apart` blocks, and reads block by
/// block. An item is in a block once, and only one that fills whole rows is in every block, always
/// at the same place; so two of a kind are at least a block of `apart` from one another.
fn in_blocks(counts: &[u64], apart: usize) -> Vec<usize> {
    let length: u64 = counts.iter().sum();
    let blocks = (length as usize / apart.max(1)).max(1);
    let dealt = most_first(counts)
        .into_iter()
        .flat_map(|item| core::iter::repeat_n(item, counts[item] as usize));
    let mut places: Vec<_> =
        dealt.enumerate().map(|(turn, item)| (turn % blocks, turn / blocks, item)).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, _, item)| item).collect()
}

fn most_first(counts: &[u64]) -> Vec<usize> {
    let mut items: Vec<usize> = (0..counts.len()).collect();
    items.sort_by_key(|item| Reverse(counts[*item]));
    items
}

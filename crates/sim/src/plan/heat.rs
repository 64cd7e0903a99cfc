//! Hot keys: moments at which every client puts one key, mostly blindly, one put after the other.
//!
//! Invariant: every state of a coordinator's key queue occurs, also while faults go on.

use super::{Kind, Operation, SPAN_US, Setting, WARM_UP_US};
use crate::chance::Chance;

/// Adds hot moments to the operations of some plans.
pub(super) fn heat(setting: &Setting, operations: &mut Vec<Operation>, chance: &mut Chance) {
    if !chance.permille(300) {
        return;
    }
    let key = chance.below(setting.keys.into()) as u8;
    // The node is one that all clients ask, as those do that know the key's owners, or any.
    let via = chance.permille(500).then(|| chance.below(setting.nodes.into()) as u8);
    for _ in 0..chance.between(1, 4) {
        let begin_us = WARM_UP_US + chance.below(SPAN_US);
        let puts = chance.between(2, 8);
        for (client, _) in
            (0..setting.clients).flat_map(|client| (0..puts).map(move |put| (client, put)))
        {
            operations.push(Operation {
                at_us: begin_us + chance.below(2 * setting.delay_us),
                client,
                via: via.unwrap_or_else(|| chance.below(setting.nodes.into()) as u8),
                key,
                kind: if chance.permille(700) { Kind::Put } else { Kind::GetThenPut },
                r: None,
                w: None,
                strict: false,
                ttl_ms: None,
                timeout_ms: chance.magnitude(500, 5_000) as u32,
            });
        }
    }
    operations.sort_by_key(|operation| operation.at_us);
}

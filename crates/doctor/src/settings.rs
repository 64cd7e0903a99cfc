//! Settings that must be the same on every member, and are not.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;

use crate::diagnosis::{Finding, Severity};
use crate::observed::Observed;
use crate::words::is_gone;

/// Reports members with different lifetimes of messages; they would forget tombstones at different times.
pub(crate) fn message_life(observed: &Observed) -> Option<Finding> {
    let mut lives_ms: BTreeMap<NodeId, u32> = BTreeMap::new();
    let views = observed.present().filter_map(|viewer| viewer.status.as_ref());
    for seen in views.flat_map(|status| &status.members).filter(|seen| !is_gone(seen)) {
        lives_ms.insert(seen.record.node, seen.record.message_life_ms);
    }
    // A member's own statement is newer than what others have heard.
    for member in observed.present() {
        let status = member.status.iter().flat_map(|status| &status.members);
        let own = status.filter(|seen| seen.record.node == member.member.node);
        lives_ms.extend(own.map(|seen| (seen.record.node, seen.record.message_life_ms)));
    }
    let different: BTreeSet<u32> = lives_ms.values().copied().collect();
    let said = lives_ms.iter().map(|(node, ms)| format!("{} {ms}", observed.name(*node)));
    (different.len() > 1).then(|| Finding {
        severity: Severity::Error,
        what: format!(
            "limits.message_life_ms is not the same on all members: {}",
            said.collect::<Vec<String>>().join(", ")
        ),
        blocks: Some("tombstones are not collected and clocks not pruned anywhere".into()),
        remedy: "give them the same value and start those that had another one again".into(),
    })
}

//! Members that an admin has drained: they answer, and the others rightly take them to be away.

use alloc::borrow::ToOwned;
use alloc::format;

use jedlik_amounts::{bytes, count};

use crate::diagnosis::{Finding, Severity};
use crate::observed::{Observed, ObservedMember};

/// Reports a member that says itself that it is drained.
pub(crate) fn drained(observed: &Observed, member: &ObservedMember) -> Option<Finding> {
    let (name, handle) = (member.name(), &member.handle);
    let mut blocks =
        "it takes no requests, others keep hints in place of copies on it, and tombstones are not \
                      collected"
            .to_owned();
    let (mut keys, mut size) = (0, 0);
    for (_, hint) in observed.hints_for(member.member.node) {
        (keys, size) = (keys + hint.count, size + hint.bytes);
    }
    if keys > 0 {
        blocks += &format!("; {} of {} wait for it in hints", count(keys, "key"), bytes(size));
    }
    member.is_drained().then(|| Finding {
        severity: Severity::Warning,
        what: format!("{name} is drained"),
        blocks: Some(blocks),
        remedy: format!(
            "stop it once `jedlik-admin node drain {handle} --wait` says that it is safe, or put it back into service: \
             `jedlik-admin node drain {handle} --undo`"
        ),
    })
}

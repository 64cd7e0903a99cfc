//! The condition under which a node that is to leave may stop for good.
//!
//! Invariant: as long as the node holds anything that others may lack, or another member may still send it
//! something under an older layout, it stays.

use jedlik_membership::View;
use jedlik_protocol::admin::TransferReport;

/// Returns whether the node of this view is to leave and others hold all that it ever held: every partition
/// has flipped, every member knows the layout, and `held`, the sum of its shards' reports under that layout,
/// names no partition, record or hint.
///
/// A node that was removed by force has nobody to hand anything to, and never leaves so.
#[must_use]
pub fn has_left(view: &View, held: &TransferReport) -> bool {
    let leaves = view.departed(view.me()).is_some_and(|departed| !departed.forced);
    let TransferReport { owned, leaving, unowned, hints, .. } = held;
    leaves
        && held.layout == view.layout_id()
        && view.flipped() == view.partitions().get()
        && view.is_known_by_all()
        && u64::from(*owned) + u64::from(*leaving) + u64::from(*unowned) + hints == 0
}

#[cfg(test)]
mod tests;

//! What stands against the commit of a plan as long as it is so.
//!
//! Invariant: liveness has no part in what a plan makes, so it is looked at again for each commit: of a node
//! that went down after it was staged to leave, nobody would ever hear that it has handed everything on.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::gossip::StagedChange;

use super::Facts;

impl Facts<'_> {
    /// A sentence about each node that is to hand on what it holds, and is down: what is the case, and what
    /// to do.
    pub(crate) fn objections(&self) -> Vec<String> {
        let down = self.changes.iter().filter(|(node, _)| !(self.up)(*node));
        down.filter_map(|(node, change)| self.objection(*node, change)).collect()
    }

    fn objection(&self, node: NodeId, change: &StagedChange) -> Option<String> {
        let name = self.name(node);
        let by_force = match change {
            StagedChange::Leave => format!("remove {name}` instead"),
            StagedChange::Replace { by, forced: false, .. } => {
                format!("replace {name} {}` again", self.name(*by))
            }
            _ => return None,
        };
        Some(format!(
            "{name} does not answer, so it can't hand on what it holds: start it again, or stage \
             `jedlik-admin cluster {by_force}, which gives up its copies"
        ))
    }
}

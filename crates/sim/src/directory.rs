//! What a node's data directory says of the node itself, and copies of it that are put back later.
//!
//! Invariant: as under the server, what is to be done about a past that is lost is written down before it is
//! done, and taken away after the shard has said so itself.

use bytes::Bytes;
use jedlik_hashing::NodeId;
use jedlik_membership::Lineage;
use jedlik_protocol::codec;
use jedlik_protocol::gossip::{MemberRecord, Rival};
use jedlik_protocol::{Incarnation, LayoutId};
use jedlik_vclock::planted::{self, Bug};

use crate::disk::Disk;

/// How long a starting node waits for others to say what they remember of it.
const CONFIRM_LIMIT_US: u64 = 3_000_000;

/// `node.toml`, the membership's state, and what a clean stop leaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Papers {
    /// The newest layout in the state.
    pub(crate) layout: LayoutId,
    pub(crate) state: Option<Bytes>,
    pub(crate) generation: u64,
    /// What it tells of its lives; `None` in an empty one.
    lineage: Option<Lineage>,
    /// Kept over a clean stop.
    pub(crate) trees: Option<Vec<u8>>,
}

impl Papers {
    /// Begins a life, under this incarnation unless the planted bug has a clean start keep the one before.
    pub(crate) fn live_on(&mut self, drawn: Incarnation) -> (Incarnation, Lineage) {
        self.generation += 1;
        let lineage = self.lineage.get_or_insert_with(|| Lineage {
            lives: Vec::new(),
            confirm_limit_us: CONFIRM_LIMIT_US,
            ..Lineage::first(drawn)
        });
        let clean = self.trees.is_some() && planted::on(Bug::ActorKeptAcrossStart);
        let kept = lineage.lives.last().copied().filter(|_| clean);
        if kept.is_none() {
            lineage.lives.push(drawn);
        }
        (kept.unwrap_or(drawn), lineage.clone())
    }

    /// Accounts for a life that the cluster remembers and the directory does not; its shards are lost.
    pub(crate) fn forget(&mut self, forgotten: &MemberRecord) {
        let Some(lineage) = &mut self.lineage else { return };
        lineage.lives.push(forgotten.life.incarnation);
        lineage.accounted_generation = lineage.accounted_generation.max(forgotten.generation);
        lineage.lost = true;
        self.generation = self.generation.max(forgotten.generation);
    }

    /// Each shard has said of itself that it has lost its past.
    pub(crate) fn note_marked(&mut self) {
        if let Some(lineage) = &mut self.lineage {
            lineage.lost = false;
        }
    }

    /// Whether the node of this directory would be told, from what is in `other`, of a life that this lacks: every
    /// start is one, of a later generation, whatever the life is called.
    pub(crate) fn is_outdone_by(&self, node: NodeId, other: &Self) -> bool {
        let known = other.state.as_ref().and_then(|state| codec::decode_knowledge(state).ok());
        let members = known.map_or_else(Vec::new, |known| known.members);
        let accounted = self.lineage.as_ref().map(|lineage| lineage.accounted_generation);
        let known = accounted.map(|accounted| accounted.max(self.generation));
        let accounts_for = |found: &MemberRecord| known.is_some_and(|at| found.generation <= at);
        members.iter().any(|found| found.node == node && !accounts_for(found))
    }

    /// Another process of this node runs, or has run.
    pub(crate) fn note_rival(&mut self, rival: Rival) {
        if let Some(lineage) = &mut self.lineage {
            lineage.rival = Some(rival);
        }
    }

    /// Others have said whether they had done without the process that found the rival for long.
    pub(crate) fn note_absence(&mut self, outlived: bool) {
        if let Some(lineage) = self.lineage.as_mut().filter(|lineage| lineage.rival.is_some()) {
            lineage.outlived = Some(outlived);
        }
    }

    /// An admin has decided for this directory and against its rival: what that was given is not here.
    pub(crate) fn prevail(&mut self) {
        let Some(lineage) = &mut self.lineage else { return };
        let Some(rival) = lineage.rival.take() else { return };
        lineage.outlived = None;
        lineage.lives.push(rival.incarnation);
        lineage.ousts.push(rival.incarnation);
        lineage.lost = true;
    }

    /// Whether another process was found about which nobody has decided.
    pub(crate) fn is_disputed(&self) -> bool {
        self.lineage.as_ref().is_some_and(|lineage| lineage.rival.is_some())
    }
}

/// An earlier state of a whole directory.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) papers: Papers,
    pub(crate) disk: Disk,
}

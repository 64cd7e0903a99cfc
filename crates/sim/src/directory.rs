//! The part of a data directory that is about the node itself, and copies of directories that are put back later.
//!
//! Invariant: as under the server, the treatment of a lost past is recorded before it is carried out, and the record is
//! removed after the shard has recorded it itself.

use bytes::Bytes;
use jedlik_hashing::NodeId;
use jedlik_membership::Lineage;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::codec;
use jedlik_protocol::gossip::{MemberRecord, Rival};
use jedlik_protocol::{Incarnation, LayoutId};

use crate::disk::Disk;

/// Time that a starting node waits for others to say what they remember of it.
const CONFIRM_LIMIT_US: u64 = 3_000_000;

/// Contents of `node.toml`, the membership's state, and the files of a clean stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Papers {
    /// Newest layout in the membership's state.
    pub(crate) layout: LayoutId,
    pub(crate) state: Option<Bytes>,
    pub(crate) generation: u64,
    /// Lives that the directory names; `None` if it is empty.
    lineage: Option<Lineage>,
    /// Hash trees, which a clean stop leaves for the next start.
    pub(crate) trees: Option<Vec<u8>>,
}

impl Papers {
    /// Begins a life under this incarnation, unless a planted bug makes a clean start keep the one before.
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

    /// Records a life that the cluster remembers and the directory does not; its shards are lost.
    pub(crate) fn forget(&mut self, forgotten: &MemberRecord) {
        let Some(lineage) = &mut self.lineage else { return };
        lineage.lives.push(forgotten.life.incarnation);
        lineage.accounted_generation = lineage.accounted_generation.max(forgotten.generation);
        lineage.lost = true;
        (lineage.rival, lineage.outlived) = (None, None);
        self.generation = self.generation.max(forgotten.generation);
    }

    /// Notes that each shard has itself recorded the loss of its past.
    pub(crate) fn note_marked(&mut self) {
        if let Some(lineage) = &mut self.lineage {
            lineage.lost = false;
        }
    }

    /// Whether a node with this directory would be told, from the records in `other`, of a life that it lacks: every
    /// start is a life with a higher generation, whatever its incarnation.
    pub(crate) fn is_outdone_by(&self, node: NodeId, other: &Self) -> bool {
        let known = other.state.as_ref().and_then(|state| codec::decode_knowledge(state).ok());
        let members = known.map_or_else(Vec::new, |known| known.members);
        let accounted = self.lineage.as_ref().map(|lineage| lineage.accounted_generation);
        let known = accounted.map(|accounted| accounted.max(self.generation));
        let accounts_for = |found: &MemberRecord| known.is_some_and(|at| found.generation <= at);
        members.iter().any(|found| found.node == node && !accounts_for(found))
    }

    /// Notes that another process of this node runs, or has run.
    pub(crate) fn note_rival(&mut self, rival: Rival) {
        if let Some(lineage) = &mut self.lineage {
            lineage.rival = Some(rival);
        }
    }

    /// Notes whether the others had done without this process for long when it found its rival.
    pub(crate) fn note_absence(&mut self, outlived: bool) {
        if let Some(lineage) = self.lineage.as_mut().filter(|lineage| lineage.rival.is_some()) {
            lineage.outlived = Some(outlived);
        }
    }

    /// Notes an admin's decision for this directory against its rival, whose data is not here.
    pub(crate) fn prevail(&mut self) {
        let Some(lineage) = &mut self.lineage else { return };
        let Some(rival) = lineage.rival.take() else { return };
        lineage.outlived = None;
        lineage.lives.push(rival.incarnation);
        lineage.ousts.push(rival.incarnation);
        lineage.lost = true;
    }

    /// Whether the directory names a rival process and no admin has decided yet.
    pub(crate) fn is_disputed(&self) -> bool {
        self.lineage.as_ref().is_some_and(|lineage| lineage.rival.is_some())
    }
}

/// Earlier state of a whole directory.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) papers: Papers,
    pub(crate) disk: Disk,
}

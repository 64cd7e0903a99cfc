//! A copy that an admin has said to believe: what the cluster remembers beyond it is given up (decision 30).
//!
//! Invariant: such a copy is used as it is, under a life of its own, until all members have been up together for a
//! while. From then on none of them can remember a life that this one has not outdone, and the directory counts as
//! any other.

use alloc::boxed::Box;

use jedlik_protocol::Now;
use jedlik_protocol::gossip::MemberRecord;

use super::LifeStage;
use crate::Membership;
use crate::output::{Event, Output};

/// Time for which all members have to be up together: gossip then has told each what the others know many times over.
const TOGETHER_US: u64 = 60_000_000;
/// Most records of one node that are outdone: members remember fewer, so past it a running process writes them.
const OUTDONE_LIMIT: u32 = 64;

/// Progress of a belief towards its end.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Belief {
    /// Time since which all members have been up; `None` while one is not.
    together_since_us: Option<u64>,
    outdone: u32,
}

impl Membership {
    /// Whether a record of this node that it did not write is one that an admin has given up.
    pub(super) fn gives_up(&self, found: &MemberRecord) -> bool {
        let lineage = &self.lives.lineage;
        lineage.believed
            && found.life.incarnation != self.config.me.life.incarnation
            && self.lives.belief.outdone < OUTDONE_LIMIT
    }

    /// Rewrites this node's record to be newer than one that was given up, and has that one's life noted.
    pub(super) fn give_up(&mut self, found: &MemberRecord) {
        self.lives.belief.outdone += 1;
        let lineage = &mut self.lives.lineage;
        let life = found.life.incarnation;
        let was_followed = lineage.ticks.remove(&life).is_some();
        let is_known = lineage.lives.contains(&life);
        if !is_known {
            let present = lineage.lives.len().saturating_sub(1);
            lineage.lives.insert(present, life);
        }
        if was_followed || !is_known {
            self.outputs.push_back(Output::Event(Event::GivenUp(Box::new(found.clone()))));
        }
        self.outdo(found);
    }

    /// Ends the belief once all members have been up together for long enough.
    pub(crate) fn end_belief(&mut self, now: Now) {
        if !self.lives.lineage.believed || self.lives.stage != LifeStage::Known {
            return;
        }
        let others = self.others_known();
        let together = !others.is_empty()
            && self.known.newest().is_some()
            && others.iter().all(|(node, _)| self.detector.is_up(*node));
        let since_us = &mut self.lives.belief.together_since_us;
        if !together {
            *since_us = None;
        } else if now.mono_us >= since_us.get_or_insert(now.mono_us).saturating_add(TOGETHER_US) {
            self.lives.lineage.believed = false;
            self.outputs.push_back(Output::Event(Event::BeliefEnds));
        }
    }
}

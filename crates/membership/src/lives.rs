//! Lives of this node that the cluster remembers, and rivals that run at the same time.
//!
//! Invariant: before a node tells anybody that it is there it has asked what others remember of it, or has found
//! nobody to ask. A node that knows of a rival coordinates nothing until an admin has decided.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{Gossip, Life, MemberRecord, Rival};
use jedlik_protocol::{Incarnation, Now};

use crate::knowledge::age;
use crate::view::Past;

mod asking;
mod belief;
pub(crate) mod rivals;
mod superseded;

#[cfg(test)]
mod tests;

/// Most members that are asked in one round, and most seeds.
const ASKED_MEMBERS: usize = 8;
const ASKED_SEEDS: usize = 4;
/// Interval between the first two rounds of questions; it doubles from round to round.
const FIRST_INTERVAL_US: u64 = 100_000;
const LAST_INTERVAL_US: u64 = 1_000_000;
/// Interval at which one of two processes asks whether an admin has decided: what others send to the node may all go
/// to the other one.
const DISPUTED_INTERVAL_US: u64 = 3_000_000;
/// Time that others may still take to answer once the first one has.
const GRACE_US: u64 = 250_000;
/// Time that a node without a layout waits for an answer: it has nothing to serve.
const NO_LAYOUT_LIMIT_US: u64 = 1_000_000;
/// Time that a process which may still run at an earlier address has to answer.
const PROBE_LIMIT_US: u64 = 1_500_000;
const PROBE_INTERVAL_US: u64 = 200_000;

/// Record of a node's lives in its data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Lives that the directory remembers, the present one last.
    pub lives: Vec<Incarnation>,
    /// Ticks up to which the directory has followed those of its lives of which it may lack a part, since it may have
    /// been copied while one ran.
    pub ticks: BTreeMap<Incarnation, u32>,
    /// Generation up to which lives are no news: the directory has forgotten their names, or what it lacks of them
    /// counts as lost already.
    pub accounted_generation: u64,
    /// Whether the directory has lost its past, and this life knows that from the start.
    pub lost: bool,
    /// Another life that was found to run, and about which no admin has decided yet.
    pub rival: Option<Rival>,
    /// Whether the others had done without this directory's process for long when that found the rival; `None` if it
    /// ended before any of them had said so.
    pub outlived: Option<bool>,
    /// Lives that admins have ended in favour of this directory's, the latest last.
    pub ousts: Vec<Incarnation>,
    /// Whether an admin has said to believe this copy: lives that others remember beyond it are given up.
    pub believed: bool,
    /// Microseconds that others may take to answer what they remember, before the node serves without knowing.
    pub confirm_limit_us: u64,
}

impl Lineage {
    /// Makes the lineage of a new directory.
    #[must_use]
    pub fn first(incarnation: Incarnation) -> Self {
        Self {
            lives: Vec::from([incarnation]),
            ticks: BTreeMap::new(),
            accounted_generation: 0,
            lost: false,
            rival: None,
            outlived: None,
            ousts: Vec::new(),
            believed: false,
            confirm_limit_us: 10_000_000,
        }
    }

    /// Whether the directory accounts for the life that wrote this record, up to the tick in it. Where an admin has
    /// ended the life in its favour, what it lacks of that is given up: it may have been its own, which ran twice.
    fn knows(&self, record: &MemberRecord) -> bool {
        let Life { incarnation, tick, .. } = record.life;
        let followed = self.ticks.get(&incarnation).is_none_or(|followed| tick <= *followed);
        self.lives.contains(&incarnation) && (followed || self.ousts.contains(&incarnation))
            || record.generation <= self.accounted_generation
    }
}

/// Progress of a node in finding out about its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LifeStage {
    /// Others are asked what they remember.
    Asking,
    /// An earlier life's address is asked whether that life still runs there.
    Probing { address: SocketAddr, until_us: u64 },
    /// The answers are known; from now on gossip tells of rivals.
    Known,
    /// There is a rival, and no admin has decided yet.
    Disputed,
    /// The process has to start again, or to end.
    Over,
}

/// Knowledge of this node's own lives.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Lives {
    lineage: Lineage,
    stage: LifeStage,
    /// Whether the driver was told to serve.
    told: bool,
    /// Whether the driver was told to serve while there was a layout, so that data may have been taken in.
    serves_data: bool,
    /// Whether more than questions and answers may be sent.
    speaks: bool,
    asked: BTreeSet<SocketAddr>,
    answered: BTreeSet<NodeId>,
    /// Lives of others that were asked because they had asked.
    asked_back: BTreeSet<Incarnation>,
    first_answer_us: Option<u64>,
    /// Whether a node that answered knows at least the layout that this node does.
    vouched: bool,
    next_ask_us: u64,
    interval_us: u64,
    deadline_us: u64,
    /// Newest record of this node that others remember and this life did not write.
    recalled: Option<MemberRecord>,
    belief: belief::Belief,
    pub(crate) superseded: superseded::Superseded,
    absence: superseded::Absence,
}

impl Lives {
    pub(crate) fn new(now: Now, lineage: Lineage) -> Self {
        let stage = if lineage.rival.is_some() { LifeStage::Disputed } else { LifeStage::Asking };
        let absence = match lineage.rival {
            Some(_) => superseded::Absence::judged(lineage.outlived),
            None => superseded::Absence::default(),
        };
        Self {
            deadline_us: now.mono_us + lineage.confirm_limit_us,
            lineage,
            stage,
            told: false,
            serves_data: false,
            speaks: false,
            asked: BTreeSet::new(),
            answered: BTreeSet::new(),
            asked_back: BTreeSet::new(),
            first_answer_us: None,
            vouched: false,
            next_ask_us: now.mono_us,
            interval_us: FIRST_INTERVAL_US,
            recalled: None,
            belief: belief::Belief::default(),
            superseded: superseded::Superseded::default(),
            absence,
        }
    }

    /// Returns the past that the view shows.
    pub(crate) fn past(&self) -> Past {
        match self.stage {
            LifeStage::Known if self.lineage.lost => Past::Lost,
            LifeStage::Known => Past::Continuous,
            LifeStage::Asking
            | LifeStage::Probing { .. }
            | LifeStage::Disputed
            | LifeStage::Over => Past::Unconfirmed,
        }
    }

    /// Whether this life does not know all that the lives before it have said.
    pub(crate) fn has_lost_its_past(&self) -> bool {
        self.lineage.lost
    }

    /// Whether it is not known yet what others remember of this node.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(self.stage, LifeStage::Asking | LifeStage::Probing { .. })
    }

    /// Refuses changes of the cluster by a process that may know an old state of it: its directory may be an earlier
    /// copy, and what it commits on top of that would be a rival of what the others have committed since.
    pub(crate) fn check_may_speak_for_the_cluster(&self) -> Result<(), Failure> {
        let why = if self.stage == LifeStage::Over {
            "this process ends, or starts again with another directory; ask another node"
        } else if self.is_asking() && !self.told {
            "this node has just started and has not heard yet what the others remember; ask another one, or this one \
             again in a moment"
        } else {
            return Ok(());
        };
        Err(Failure::new(ErrorCode::NotReady, why))
    }

    /// Whether a message may leave now.
    pub(crate) fn lets_out(&self, gossip: &Gossip) -> bool {
        match gossip {
            Gossip::Recall(_)
            | Gossip::Recalled { .. }
            | Gossip::Probe { .. }
            | Gossip::Alive { .. }
            | Gossip::ProbeFor { .. }
            | Gossip::Fenced { .. } => true,
            _ => self.speaks,
        }
    }

    /// Returns when [`look_back`](crate::Membership::look_back) has something to do.
    pub(crate) fn due_us(&self) -> Option<u64> {
        let serve_us = (!self.told).then_some(self.deadline_us);
        match self.stage {
            LifeStage::Asking => {
                let grace_us = self.first_answer_us.map(|at_us| at_us + GRACE_US);
                let grace_us = grace_us.filter(|_| self.vouched || !self.speaks);
                [Some(self.next_ask_us), serve_us, grace_us].into_iter().flatten().min()
            }
            LifeStage::Probing { until_us, .. } => Some(until_us.min(self.next_ask_us)),
            LifeStage::Disputed => Some(self.next_ask_us),
            LifeStage::Known | LifeStage::Over => None,
        }
    }

    /// Notes a record of this node that others remember. The newest that this life did not write counts; one that the
    /// directory does not know counts before one that it does.
    fn note(&mut self, record: &MemberRecord, me: Incarnation) {
        let rank = |record: &MemberRecord| (!self.lineage.knows(record), age(record));
        let is_newer = self.recalled.as_ref().is_none_or(|held| rank(record) > rank(held));
        if record.life.incarnation != me && is_newer {
            self.recalled = Some(record.clone());
        }
    }
}

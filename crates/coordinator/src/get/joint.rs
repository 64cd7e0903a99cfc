//! A get over every active owner set while a partition moves: one [`Get`] for each set, newest first. They
//! share requests, and ask first the nodes that most of them share.
//!
//! Invariants: it succeeds only when each set's needs are met, so that it meets every version that a put has
//! left in one of these sets; the answer is the merge of all that any set has answered; with one set it does
//! what that set's get does.
//!
//! Each set repairs with what it found itself: the rule that keeps old hints from being passed on under a new
//! date speaks of the primaries of one set.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Reverse;

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::peer::Doubt;
use jedlik_protocol::{Digest, EncodedRecord};

use super::{Elsewhere, Get, GetOutput, RepairCause};
use crate::joint::{Asked, Message, RequestId, Requests, within_limit};
use crate::merged::Merged;
use crate::plan::{ListedNode, ReadPlan};
use crate::tally::{Needs, Shortfall};

/// Effect that a get over several owner sets asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JointGetOutput {
    /// Read this node's own record and hints of the key.
    ReadLocal {
        /// Id that the answer names.
        request: RequestId,
    },
    /// Ask a peer for its record; it need not send the known one.
    Read {
        /// Id that the answer names.
        request: RequestId,
        /// Peer that is asked.
        node: NodeId,
        /// Digest of the merge so far, which the peer need not send again; `None` while there is none.
        known: Option<Digest>,
    },
    /// Answer the client with the merged record, `None` if the key is absent, or with the reason why there is
    /// no answer. Comes exactly once.
    Answer(Result<Option<EncodedRecord>, Shortfall>),
    /// Send a replica that is behind, perhaps this node, the merge: as a write to a primary, as a hint to a stand-in.
    Repair {
        /// Replica that is behind.
        node: NodeId,
        /// Primary for which the replica keeps a hint; `None` if it is one itself.
        stands_in_for: Option<NodeId>,
        /// Merge of all answers in one owner set.
        record: EncodedRecord,
        /// Whether the replica had no record or another one.
        cause: RepairCause,
    },
    /// Note that more nodes were asked because the first were slow. Nothing is to be done.
    Hedged,
}

#[derive(Debug, Clone, Copy)]
struct GetMessage {
    node: NodeId,
    known: Option<Digest>,
}

impl Message for GetMessage {
    /// Returns whether the answer serves a leg with another known record: a whole record always does.
    fn serves(&self, other: &Self) -> bool {
        self.node == other.node && (self.known.is_none() || self.known == other.known)
    }
}

#[derive(Debug, Clone)]
enum Reply {
    Record(Option<EncodedRecord>),
    Same,
    Unknown(Option<EncodedRecord>, Doubt),
}

impl Reply {
    fn tell(self, get: &mut Get, now_us: u64, from: NodeId) {
        match self {
            Self::Record(record) => get.handle_record(now_us, from, record),
            Self::Same => get.handle_same(now_us, from),
            Self::Unknown(record, why) => get.handle_unknown(now_us, from, record, why),
        }
    }
}

#[derive(Debug)]
struct Leg {
    get: Get,
    succeeded: bool,
}

/// Replica that was repaired, the primary that it stands in for, and the record.
type Repaired = (NodeId, Option<NodeId>, EncodedRecord);

/// State machine of one get over several owner sets.
#[derive(Debug)]
pub struct JointGet {
    /// Needs in the newest owner set.
    needs: Needs,
    legs: Vec<Leg>,
    requests: Requests<GetMessage, Reply>,
    repaired: Vec<Repaired>,
    /// Result of the other legs that each leg has been told.
    elsewhere: Elsewhere,
    answered: bool,
    outputs: VecDeque<JointGetOutput>,
}

impl JointGet {
    /// Starts a get over the owner sets of `plans`, newest first: at least one, at most
    /// [`OWNER_SETS_MAX`](crate::OWNER_SETS_MAX); otherwise it answers short at once.
    #[must_use]
    pub fn new(now_us: u64, plans: &[ReadPlan]) -> Self {
        let active = active(plans);
        let elsewhere = if active.len() > 1 { Elsewhere::Open } else { Elsewhere::Nothing };
        let leg = |plan: &ReadPlan| {
            let plan = ReadPlan { primaries: shared_first(plan, active), ..plan.clone() };
            Leg { get: Get::beside(now_us, plan, elsewhere), succeeded: false }
        };
        let mut joint = Self {
            needs: plans.first().map(|plan| plan.needs).unwrap_or_default(),
            legs: active.iter().map(leg).collect(),
            requests: Requests::new(active.len()),
            repaired: Vec::new(),
            elsewhere,
            answered: false,
            outputs: VecDeque::new(),
        };
        if joint.legs.is_empty() {
            joint.answer(Err(joint.shortfall()));
        }
        joint.drain(now_us);
        joint
    }

    /// Handles the record that a node, perhaps this one, holds; `None` if it holds none.
    pub fn handle_record(
        &mut self,
        now_us: u64,
        request: RequestId,
        record: Option<EncodedRecord>,
    ) {
        self.handle_reply(now_us, request, &Reply::Record(record));
    }

    /// Handles a node's answer that its record is the known one.
    pub fn handle_same(&mut self, now_us: u64, request: RequestId) {
        self.handle_reply(now_us, request, &Reply::Same);
    }

    /// Handles the answer of a node, perhaps this one, that can't say what it should hold, and the record
    /// that it does hold.
    pub fn handle_unknown(
        &mut self,
        now_us: u64,
        request: RequestId,
        record: Option<EncodedRecord>,
        why: Doubt,
    ) {
        self.handle_reply(now_us, request, &Reply::Unknown(record, why));
    }

    /// Handles a request that a node refused, or for which it could not be reached.
    pub fn handle_failure(&mut self, now_us: u64, request: RequestId) {
        let Some((message, legs)) = self.requests.fail(request) else { return };
        for leg in legs.iter() {
            self.legs[leg].get.handle_failure(now_us, message.node);
        }
        self.drain(now_us);
    }

    /// Handles the time that [`Self::poll_timeout`] named.
    pub fn handle_timeout(&mut self, now_us: u64) {
        for leg in &mut self.legs {
            leg.get.handle_timeout(now_us);
        }
        self.drain(now_us);
    }

    /// Returns when to call [`Self::handle_timeout`], in microseconds on the monotonic clock; `None` if
    /// nothing is waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.legs.iter().filter_map(|leg| leg.get.poll_timeout()).min()
    }

    /// Returns the next effect, `None` if there are no more.
    pub fn poll_output(&mut self) -> Option<JointGetOutput> {
        self.outputs.pop_front()
    }

    /// Returns whether the get is over: it has answered, and all repairs are sent and all effects taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outputs.is_empty() && self.legs.iter().all(|leg| leg.get.is_done())
    }

    /// Returns how many nodes have answered in the newest owner set.
    #[must_use]
    pub fn answered(&self) -> u8 {
        self.legs.first().map_or(0, |leg| leg.get.answered())
    }

    /// Returns how many primaries have answered in the newest owner set.
    #[must_use]
    pub fn primaries(&self) -> u8 {
        self.legs.first().map_or(0, |leg| leg.get.primaries())
    }

    fn handle_reply(&mut self, now_us: u64, request: RequestId, reply: &Reply) {
        let Some((message, legs)) = self.requests.answer(request, reply) else { return };
        for leg in legs.iter() {
            reply.clone().tell(&mut self.legs[leg].get, now_us, message.node);
        }
        self.drain(now_us);
    }

    /// Takes the legs' outputs, until none has any and none has news to hear of the others.
    fn drain(&mut self, now_us: u64) {
        self.drain_legs(now_us);
        while let Some(elsewhere) = self.news_of_others() {
            self.elsewhere = elsewhere;
            for leg in &mut self.legs {
                leg.get.handle_elsewhere(now_us, elsewhere);
            }
            self.drain_legs(now_us);
        }
    }

    /// Returns the legs' common result, if it differs from what they have been told. A leg that has found a
    /// record makes the fallbacks of the others count, which hold none.
    fn news_of_others(&self) -> Option<Elsewhere> {
        let found = self.legs.iter().any(|leg| leg.get.has_found());
        match self.elsewhere {
            Elsewhere::Open if found => Some(Elsewhere::Found),
            Elsewhere::Open => {
                let stuck = self.legs.iter().any(|leg| leg.get.is_stuck());
                let over = |leg: &Leg| leg.get.is_stuck() || !leg.get.is_gathering();
                (stuck && self.legs.iter().all(over)).then_some(Elsewhere::Nothing)
            }
            Elsewhere::Nothing if found && self.legs.len() > 1 => Some(Elsewhere::Found),
            Elsewhere::Nothing | Elsewhere::Found => None,
        }
    }

    fn drain_legs(&mut self, now_us: u64) {
        let mut hedged = false;
        for leg in 0..self.legs.len() {
            while let Some(output) = self.legs[leg].get.poll_output() {
                match output {
                    GetOutput::ReadLocal => {
                        self.ask(
                            now_us,
                            leg,
                            GetMessage { node: self.legs[leg].get.me(), known: None },
                        );
                    }
                    GetOutput::Read { node, known } => {
                        self.ask(now_us, leg, GetMessage { node, known });
                    }
                    GetOutput::Answer(Ok(_)) => self.succeed(leg),
                    GetOutput::Answer(Err(short)) => self.answer(Err(short)),
                    GetOutput::Repair { node, stands_in_for, record, cause } => {
                        self.repair((node, stands_in_for, record), cause);
                    }
                    GetOutput::Hedged if hedged => {}
                    GetOutput::Hedged => {
                        hedged = true;
                        self.outputs.push_back(JointGetOutput::Hedged);
                    }
                }
            }
        }
    }

    fn ask(&mut self, now_us: u64, leg: usize, message: GetMessage) {
        let GetMessage { node, known } = message;
        match self.requests.ask(leg, &message) {
            Asked::New(request) if node == self.legs[leg].get.me() => {
                self.outputs.push_back(JointGetOutput::ReadLocal { request });
            }
            Asked::New(request) => {
                self.outputs.push_back(JointGetOutput::Read { request, node, known });
            }
            Asked::Joined => {}
            Asked::Answered(reply) => reply.tell(&mut self.legs[leg].get, now_us, node),
        }
    }

    fn succeed(&mut self, leg: usize) {
        self.legs[leg].succeeded = true;
        if self.legs.iter().all(|leg| leg.succeeded) {
            // A record that can't be read counts like a replica that can't.
            let found = self.found().ok_or_else(|| self.shortfall());
            self.answer(found);
        }
    }

    /// Returns the merge of what all legs have found, or `None` if it can't be read.
    fn found(&self) -> Option<Option<EncodedRecord>> {
        let (newest, older) = self.legs.split_first()?;
        let mut whole: Merged = newest.get.merged().clone();
        for leg in older {
            whole.merge(leg.get.merged()).ok()?;
        }
        Some(whole.record().cloned())
    }

    fn shortfall(&self) -> Shortfall {
        let none = || Shortfall { needs: self.needs, ..Shortfall::default() };
        self.legs.first().map_or_else(none, |leg| leg.get.shortfall())
    }

    fn answer(&mut self, result: Result<Option<EncodedRecord>, Shortfall>) {
        if !self.answered {
            self.answered = true;
            self.outputs.push_back(JointGetOutput::Answer(result));
        }
    }

    fn repair(&mut self, repaired: Repaired, cause: RepairCause) {
        if !self.repaired.contains(&repaired) {
            let (node, stands_in_for, record) = repaired.clone();
            self.repaired.push(repaired);
            self.outputs.push_back(JointGetOutput::Repair { node, stands_in_for, record, cause });
        }
    }
}

fn active(plans: &[ReadPlan]) -> &[ReadPlan] {
    let plans = within_limit(plans);
    if planted::on(Bug::OnlyNewestOwnersRead) {
        return plans.get(..1).unwrap_or_default();
    }
    plans
}

/// Returns the primaries of a plan: this node, then the living ones that are primaries of most of the sets,
/// since their answers count in each. The others keep their places, by which stand-ins are found for them.
fn shared_first(plan: &ReadPlan, plans: &[ReadPlan]) -> Vec<ListedNode> {
    let is_in = |listed: &ListedNode, plan: &ReadPlan| {
        plan.primaries.iter().any(|other| other.node == listed.node)
    };
    let sets = |listed: &ListedNode| plans.iter().filter(|plan| is_in(listed, plan)).count();
    let mut primaries = plan.primaries.clone();
    primaries.sort_by_key(|listed| {
        let shared = if listed.alive { sets(listed) } else { 0 };
        (listed.node != plan.me, Reverse(shared))
    });
    primaries
}

//! A get over every active owner set while a partition moves: one [`Get`] for each set, newest
//! first, which share what they ask, and ask those first that most of them share.
//!
//! Invariants: it succeeds only when each set's needs are met, so that it meets every version that a
//! put has left in one of these sets; the answer is the merge of all that any set has answered; with
//! one set it does what that set's get does.
//!
//! Each set repairs with what it found itself: the rule that keeps old hints from being passed on under
//! a new date speaks of the primaries of one set.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Reverse;

use jedlik_hashing::NodeId;
use jedlik_protocol::peer::Doubt;
use jedlik_protocol::{Digest, EncodedRecord};
use jedlik_vclock::planted::{self, Bug};

use super::{Elsewhere, Get, GetOutput, RepairCause};
use crate::joint::{Asked, Message, RequestId, Requests, within_limit};
use crate::merged::Merged;
use crate::plan::{ListedNode, ReadPlan};
use crate::tally::{Needs, Shortfall};

/// What a get over several owner sets wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JointGetOutput {
    /// Read this node's own record.
    ReadLocal {
        /// For the answer.
        request: RequestId,
    },
    /// Ask a peer for its record, unless it is the known one.
    Read {
        /// For the answer.
        request: RequestId,
        /// Whom.
        node: NodeId,
        /// What the peer need not send again.
        known: Option<Digest>,
    },
    /// Answer the client: the merged record, or why there is none.
    Answer(Result<Option<EncodedRecord>, Shortfall>),
    /// This replica (perhaps this node) is behind: let it merge the record, or keep it as a hint.
    Repair {
        /// Whom.
        node: NodeId,
        /// The primary for which it keeps the hint; `None` if it is one itself.
        stands_in_for: Option<NodeId>,
        /// The merge of all answers in one owner set.
        record: EncodedRecord,
        /// How it was behind.
        cause: RepairCause,
    },
    /// More nodes were asked because the first were slow.
    Hedged,
}

#[derive(Debug, Clone, Copy)]
struct GetMessage {
    node: NodeId,
    known: Option<Digest>,
}

impl Message for GetMessage {
    /// A whole record answers those who know one as well.
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

/// Who was repaired for whom, and with what.
type Repaired = (NodeId, Option<NodeId>, EncodedRecord);

/// One get over several owner sets.
#[derive(Debug)]
pub struct JointGet {
    /// In the newest set.
    needs: Needs,
    legs: Vec<Leg>,
    requests: Requests<GetMessage, Reply>,
    repaired: Vec<Repaired>,
    /// What the legs have been told of one another.
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

    /// A node, perhaps this one, sent its record, or has none.
    pub fn handle_record(
        &mut self,
        now_us: u64,
        request: RequestId,
        record: Option<EncodedRecord>,
    ) {
        self.handle_reply(now_us, request, &Reply::Record(record));
    }

    /// A node has the record that it was told to be known.
    pub fn handle_same(&mut self, now_us: u64, request: RequestId) {
        self.handle_reply(now_us, request, &Reply::Same);
    }

    /// A node, perhaps this one, can't say what it should hold; this is what it does hold.
    pub fn handle_unknown(
        &mut self,
        now_us: u64,
        request: RequestId,
        record: Option<EncodedRecord>,
        why: Doubt,
    ) {
        self.handle_reply(now_us, request, &Reply::Unknown(record, why));
    }

    /// A node refused, or could not be reached.
    pub fn handle_failure(&mut self, now_us: u64, request: RequestId) {
        let Some((message, legs)) = self.requests.fail(request) else { return };
        for leg in legs.iter() {
            self.legs[leg].get.handle_failure(now_us, message.node);
        }
        self.drain(now_us);
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now_us: u64) {
        for leg in &mut self.legs {
            leg.get.handle_timeout(now_us);
        }
        self.drain(now_us);
    }

    /// When to call [`Self::handle_timeout`], on the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.legs.iter().filter_map(|leg| leg.get.poll_timeout()).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<JointGetOutput> {
        self.outputs.pop_front()
    }

    /// Nothing more will come of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outputs.is_empty() && self.legs.iter().all(|leg| leg.get.is_done())
    }

    /// How many nodes have answered in the newest set.
    #[must_use]
    pub fn answered(&self) -> u8 {
        self.legs.first().map_or(0, |leg| leg.get.answered())
    }

    /// How many of them are primaries.
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

    /// Takes what the legs want, until none wants anything or has anything to hear of the others.
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

    /// What the legs have come to together, if that is something else than they have been told. That one
    /// has found a record makes the others' fallbacks count, which know of none.
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

    /// The merge of what all legs have found, or `None` if it can't be read.
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

/// The primaries of a plan: this node, then those living that are primaries of most of the sets, since
/// their answers count in each. The others keep their places, by which stand-ins are found for them.
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

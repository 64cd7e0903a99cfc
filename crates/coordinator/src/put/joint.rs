//! A put over every active owner set while a partition moves: one [`Put`] for each set, newest first. They
//! share what they send.
//!
//! Invariants: it succeeds only when each set's needs are met, so that a get which reaches any of these sets
//! meets the version; a node of several sets is sent the record once at a level; with one set it does what
//! that set's put does.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::Durability;
use jedlik_protocol::client::Acknowledgement;

use super::{Cause, Put, PutOutput, PutSuccess};
use crate::joint::{Asked, Message, RequestId, Requests, within_limit};
use crate::plan::{CoordinatorCopy, WritePlan};
use crate::tally::Shortfall;

/// Effect that a put over several owner sets asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JointPutOutput {
    /// Have a primary, perhaps this node, merge the record and acknowledge at this level.
    Write {
        /// Id that the acknowledgement names.
        request: RequestId,
        /// Primary that merges the record.
        node: NodeId,
        /// Durability that the acknowledgement waits for.
        durability: Durability,
    },
    /// Have a node, perhaps this one, keep the record for primaries until they are back.
    Hint {
        /// Id that the acknowledgement names.
        request: RequestId,
        /// Node that keeps the hints.
        node: NodeId,
        /// Primaries that the hints are for; the node stands in for the first of them.
        targets: Vec<NodeId>,
        /// Durability that the acknowledgement waits for.
        durability: Durability,
    },
    /// Answer the client. Comes exactly once; the put may go on for replicas that are behind.
    Answer(Result<PutSuccess, Shortfall>),
    /// Note that fallbacks were asked because primaries were silent. Nothing is to be done.
    Hedged,
}

#[derive(Debug, Clone)]
struct PutMessage {
    node: NodeId,
    /// Primaries for which the node keeps a hint; none if it is to merge the record itself.
    targets: Vec<NodeId>,
    durability: Durability,
}

impl Message for PutMessage {
    fn serves(&self, other: &Self) -> bool {
        self.node == other.node
            && self.targets == other.targets
            && self.durability >= other.durability
    }
}

#[derive(Debug)]
struct Leg {
    put: Put,
    success: Option<PutSuccess>,
}

/// State machine of one put over several owner sets, after its version was minted.
#[derive(Debug)]
pub struct JointPut {
    legs: Vec<Leg>,
    requests: Requests<PutMessage, Durability>,
    answered: bool,
    outputs: VecDeque<JointPutOutput>,
}

impl JointPut {
    /// Starts a put over the owner sets of `plans`, newest first: at least one, at most
    /// [`OWNER_SETS_MAX`](crate::OWNER_SETS_MAX); otherwise it answers short at once.
    #[must_use]
    pub fn new(now_us: u64, plans: &[WritePlan]) -> Self {
        let active = active(plans);
        let leg = |plan| Leg { put: Put::new(now_us, plan), success: None };
        let mut joint = Self {
            legs: active.iter().map(leg).collect(),
            requests: Requests::new(active.len()),
            answered: false,
            outputs: VecDeque::new(),
        };
        if joint.legs.is_empty() {
            let needs = plans.first().map(|plan| plan.needs).unwrap_or_default();
            joint.answer(Err(Shortfall { needs, ..Shortfall::default() }));
        }
        joint.drain(now_us);
        joint
    }

    /// Returns where this node keeps the version from the start: in its own record if it is a primary in any
    /// of the sets, else in the first hint that it keeps for one of them, the newest first.
    #[must_use]
    pub fn coordinator_copy(plans: &[WritePlan]) -> CoordinatorCopy {
        let copies = || active(plans).iter().map(WritePlan::coordinator_copy);
        let record = copies().find(|coordinator_copy| *coordinator_copy == CoordinatorCopy::Record);
        record
            .or_else(|| {
                copies().find(|coordinator_copy| *coordinator_copy != CoordinatorCopy::Nowhere)
            })
            .unwrap_or(CoordinatorCopy::Nowhere)
    }

    /// Handles the acknowledgement of a node that has merged the record, or keeps it as a hint. `durability`
    /// is what the request asked for.
    pub fn handle_acknowledgement(
        &mut self,
        now_us: u64,
        request: RequestId,
        durability: Durability,
    ) {
        let Some((message, legs)) = self.requests.answer(request, &durability) else { return };
        for leg in legs.iter() {
            self.legs[leg].put.handle_acknowledgement(now_us, message.node, durability);
        }
        self.drain(now_us);
    }

    /// Handles a request that a node refused, or for which it could not be reached.
    pub fn handle_failure(&mut self, now_us: u64, request: RequestId, cause: Cause) {
        let Some((message, legs)) = self.requests.fail(request) else { return };
        for leg in legs.iter() {
            self.legs[leg].put.handle_failure(now_us, message.node, cause);
        }
        self.drain(now_us);
    }

    /// Handles the time that [`Self::poll_timeout`] named.
    pub fn handle_timeout(&mut self, now_us: u64) {
        for leg in &mut self.legs {
            leg.put.handle_timeout(now_us);
        }
        self.drain(now_us);
    }

    /// Returns the shortfall so far of the first owner set that has not succeeded, for a client whose own
    /// time is up before the put's.
    #[must_use]
    pub fn so_far(&self) -> Shortfall {
        let short = self.legs.iter().find(|leg| leg.success.is_none());
        short.map(|leg| leg.put.so_far(true)).unwrap_or_default()
    }

    /// Returns when to call [`Self::handle_timeout`], in microseconds on the monotonic clock; `None` if
    /// nothing is waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.legs.iter().filter_map(|leg| leg.put.poll_timeout()).min()
    }

    /// Returns the next effect, `None` if there are no more.
    pub fn poll_output(&mut self) -> Option<JointPutOutput> {
        self.outputs.pop_front()
    }

    /// Returns whether the put is over: it has answered, nothing is left to send, and all effects are taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outputs.is_empty() && self.legs.iter().all(|leg| leg.put.is_done())
    }

    /// Takes the legs' outputs, until none has any.
    fn drain(&mut self, now_us: u64) {
        let mut hedged = false;
        for leg in 0..self.legs.len() {
            while let Some(output) = self.legs[leg].put.poll_output() {
                match output {
                    PutOutput::Write { node, durability } => {
                        let message = PutMessage { node, targets: Vec::new(), durability };
                        self.ask(now_us, leg, message);
                    }
                    PutOutput::Hint { node, targets, durability } => {
                        self.ask(now_us, leg, PutMessage { node, targets, durability });
                    }
                    PutOutput::Answer(Ok(success)) => self.succeed(leg, success),
                    PutOutput::Answer(Err(short)) => self.answer(Err(short)),
                    PutOutput::Hedged if hedged => {}
                    PutOutput::Hedged => {
                        hedged = true;
                        self.outputs.push_back(JointPutOutput::Hedged);
                    }
                }
            }
        }
    }

    fn ask(&mut self, now_us: u64, leg: usize, message: PutMessage) {
        let request = match self.requests.ask(leg, &message) {
            Asked::New(request) => request,
            Asked::Joined => return,
            Asked::Answered(durability) => {
                let put = &mut self.legs[leg].put;
                return put.handle_acknowledgement(now_us, message.node, durability);
            }
        };
        let PutMessage { node, targets, durability } = message;
        self.outputs.push_back(if targets.is_empty() {
            JointPutOutput::Write { request, node, durability }
        } else {
            JointPutOutput::Hint { request, node, targets, durability }
        });
    }

    fn succeed(&mut self, leg: usize, success: PutSuccess) {
        self.legs[leg].success = Some(success);
        if self.legs.iter().all(|leg| leg.success.is_some()) {
            let successes = self.legs.iter_mut().filter_map(|leg| leg.success.take());
            if let Some(whole) = successes.reduce(both) {
                self.answer(Ok(whole));
            }
        }
    }

    fn answer(&mut self, result: Result<PutSuccess, Shortfall>) {
        if !self.answered {
            self.answered = true;
            self.outputs.push_back(JointPutOutput::Answer(result));
        }
    }
}

fn active(plans: &[WritePlan]) -> &[WritePlan] {
    let plans = within_limit(plans);
    if planted::on(Bug::PendingOwnersNotWritten) {
        return plans.last().map_or(&[], core::slice::from_ref);
    }
    plans
}

/// Returns the counts reached in both sets, and all acknowledgements from either.
fn both(mut newer: PutSuccess, older: PutSuccess) -> PutSuccess {
    newer.acknowledged = newer.acknowledged.min(older.acknowledged);
    newer.synced = newer.synced.min(older.synced);
    for one in older.by {
        let same = |known: &&mut Acknowledgement| {
            (known.node, known.stands_in_for) == (one.node, one.stands_in_for)
        };
        match newer.by.iter_mut().find(same) {
            Some(known) => known.synced |= one.synced,
            None => newer.by.push(one),
        }
    }
    newer
}

//! A put over every owner set that counts while a partition moves: one [`Put`] for each set, newest
//! first, which share what they send.
//!
//! Invariants: it succeeds only when each set's needs are met, so that a get which reaches any of these
//! sets meets the version; a node of several sets is sent the record once at a level; with one set it
//! does what that set's put does.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;
use jedlik_protocol::client::Acknowledgement;
use jedlik_vclock::planted::{self, Bug};

use super::{Cause, Put, PutOutput, PutSuccess};
use crate::chain::{Asked, Message, RequestId, Requests, within_limit};
use crate::plan::{Home, WritePlan};
use crate::tally::Shortfall;

/// What a put over several owner sets wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutChainOutput {
    /// Let this primary, perhaps this node, merge the record and acknowledge at this level.
    Write {
        /// For the answer.
        request: RequestId,
        /// Whom.
        node: NodeId,
        /// When it acknowledges.
        durability: Durability,
    },
    /// Let this node, perhaps this one, keep the record for primaries until they are back.
    Hint {
        /// For the answer.
        request: RequestId,
        /// Whom.
        node: NodeId,
        /// For whom; the first is the one that it stands in for.
        targets: Vec<NodeId>,
        /// When it acknowledges.
        durability: Durability,
    },
    /// Answer the client.
    Answer(Result<PutSuccess, Shortfall>),
    /// Fallbacks were asked because primaries were silent.
    Hedged,
}

#[derive(Debug, Clone)]
struct PutMessage {
    node: NodeId,
    /// The primaries for which it keeps a hint; none if it is to merge the record itself.
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
struct Part {
    put: Put,
    success: Option<PutSuccess>,
}

/// One put over several owner sets, after its version was minted.
#[derive(Debug)]
pub struct PutChain {
    parts: Vec<Part>,
    requests: Requests<PutMessage, Durability>,
    answered: bool,
    outputs: VecDeque<PutChainOutput>,
}

impl PutChain {
    /// Starts a put over the owner sets of `plans`, newest first: at least one, at most
    /// [`OWNER_SETS_MAX`](crate::OWNER_SETS_MAX); otherwise it answers short at once.
    #[must_use]
    pub fn new(now_us: u64, plans: &[WritePlan]) -> Self {
        let counting = counting(plans);
        let part = |plan| Part { put: Put::new(now_us, plan), success: None };
        let mut chain = Self {
            parts: counting.iter().map(part).collect(),
            requests: Requests::new(counting.len()),
            answered: false,
            outputs: VecDeque::new(),
        };
        if chain.parts.is_empty() {
            let needs = plans.first().map(|plan| plan.needs).unwrap_or_default();
            chain.answer(Err(Shortfall { needs, ..Shortfall::default() }));
        }
        chain.drain(now_us);
        chain
    }

    /// Where this node keeps the version from the start: in its own record if it is a primary in any of
    /// the sets, else in the first hint that it keeps for one of them, the newest first.
    #[must_use]
    pub fn home(plans: &[WritePlan]) -> Home {
        let homes = || counting(plans).iter().map(WritePlan::home);
        let record = homes().find(|home| *home == Home::Record);
        record.or_else(|| homes().find(|home| *home != Home::Nowhere)).unwrap_or(Home::Nowhere)
    }

    /// A node has merged the record, or keeps it as a hint, as durably as `durability`, which is what
    /// it was asked.
    pub fn handle_acknowledgement(
        &mut self,
        now_us: u64,
        request: RequestId,
        durability: Durability,
    ) {
        let Some((message, parts)) = self.requests.answer(request, &durability) else { return };
        for part in parts.iter() {
            self.parts[part].put.handle_acknowledgement(now_us, message.node, durability);
        }
        self.drain(now_us);
    }

    /// A node refused, or could not be reached.
    pub fn handle_failure(&mut self, now_us: u64, request: RequestId, cause: Cause) {
        let Some((message, parts)) = self.requests.fail(request) else { return };
        for part in parts.iter() {
            self.parts[part].put.handle_failure(now_us, message.node, cause);
        }
        self.drain(now_us);
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now_us: u64) {
        for part in &mut self.parts {
            part.put.handle_timeout(now_us);
        }
        self.drain(now_us);
    }

    /// What the first owner set that has not succeeded lacks so far, for a client whose own time is up before the
    /// put's is.
    #[must_use]
    pub fn so_far(&self) -> Shortfall {
        let short = self.parts.iter().find(|part| part.success.is_none());
        short.map(|part| part.put.so_far(true)).unwrap_or_default()
    }

    /// When to call [`Self::handle_timeout`], on the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.parts.iter().filter_map(|part| part.put.poll_timeout()).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<PutChainOutput> {
        self.outputs.pop_front()
    }

    /// Nothing more will come of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outputs.is_empty() && self.parts.iter().all(|part| part.put.is_done())
    }

    /// Takes what the parts want, until none wants anything.
    fn drain(&mut self, now_us: u64) {
        let mut hedged = false;
        for part in 0..self.parts.len() {
            while let Some(output) = self.parts[part].put.poll_output() {
                match output {
                    PutOutput::Write { node, durability } => {
                        let message = PutMessage { node, targets: Vec::new(), durability };
                        self.ask(now_us, part, message);
                    }
                    PutOutput::Hint { node, targets, durability } => {
                        self.ask(now_us, part, PutMessage { node, targets, durability });
                    }
                    PutOutput::Answer(Ok(success)) => self.succeed(part, success),
                    PutOutput::Answer(Err(short)) => self.answer(Err(short)),
                    PutOutput::Hedged if hedged => {}
                    PutOutput::Hedged => {
                        hedged = true;
                        self.outputs.push_back(PutChainOutput::Hedged);
                    }
                }
            }
        }
    }

    fn ask(&mut self, now_us: u64, part: usize, message: PutMessage) {
        let request = match self.requests.ask(part, &message) {
            Asked::New(request) => request,
            Asked::Joined => return,
            Asked::Answered(durability) => {
                let put = &mut self.parts[part].put;
                return put.handle_acknowledgement(now_us, message.node, durability);
            }
        };
        let PutMessage { node, targets, durability } = message;
        self.outputs.push_back(if targets.is_empty() {
            PutChainOutput::Write { request, node, durability }
        } else {
            PutChainOutput::Hint { request, node, targets, durability }
        });
    }

    fn succeed(&mut self, part: usize, success: PutSuccess) {
        self.parts[part].success = Some(success);
        if self.parts.iter().all(|part| part.success.is_some()) {
            let successes = self.parts.iter_mut().filter_map(|part| part.success.take());
            if let Some(whole) = successes.reduce(both) {
                self.answer(Ok(whole));
            }
        }
    }

    fn answer(&mut self, result: Result<PutSuccess, Shortfall>) {
        if !self.answered {
            self.answered = true;
            self.outputs.push_back(PutChainOutput::Answer(result));
        }
    }
}

fn counting(plans: &[WritePlan]) -> &[WritePlan] {
    let plans = within_limit(plans);
    if planted::on(Bug::PendingOwnersNotWritten) {
        return plans.last().map_or(&[], core::slice::from_ref);
    }
    plans
}

/// What was reached in both sets, and all who acknowledged in either.
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

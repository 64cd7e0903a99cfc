//! One put: the merged record to the first N healthy nodes at once, an answer when W have acknowledged (paper
//! 4.5, 4.6).
//!
//! A primary that is away, lost or silent gets a stand-in, which keeps a hint for it. After the answer the
//! put goes on until each primary or a stand-in has acknowledged, or none of them can any more. Invariants: a
//! slot counts once and a node counts once; an acknowledgement counts as synced only if it was asked to sync;
//! nothing is sent when the version's time is over.

mod attempt;
mod joint;
mod slots;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::Durability;
use jedlik_protocol::client::Acknowledgement;

pub use self::joint::{JointPut, JointPutOutput};
use self::slots::{Assumptions, Slots};
use crate::plan::WritePlan;
use crate::tally::{Needs, QuorumStatus, Shortfall, quorum_status};

/// Time before the end of sending at which this node keeps the hints for all primaries that have not been
/// heard of, in microseconds; half of the sending time if that is shorter.
const LAST_CALL_US: u64 = 500_000;

/// Effect that a put in one owner set asks for, as in [`JointPutOutput`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PutOutput {
    Write { node: NodeId, durability: Durability },
    Hint { node: NodeId, targets: Vec<NodeId>, durability: Durability },
    Answer(Result<PutSuccess, Shortfall>),
    Hedged,
}

/// Acknowledgements of a put at the time of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutSuccess {
    /// Number of nodes that have acknowledged, each for a primary of its own.
    pub acknowledged: u8,
    /// Number of those nodes that have synced.
    pub synced: u8,
    /// All acknowledgements; a node that keeps hints for several primaries has one for each.
    pub by: Vec<Acknowledgement>,
}

/// Reason why a request to a node failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The node can't be reached, or did not answer in time.
    Lost,
    /// The node answered that it can't now; it is asked again.
    Refused,
}

/// State machine of a put in one owner set, after its version was minted.
#[derive(Debug)]
pub(crate) struct Put {
    needs: Needs,
    slots: Slots,
    /// Time to hedge, in microseconds; `None` once it has hedged.
    hedge_at_us: Option<u64>,
    last_call_us: u64,
    send_until_us: u64,
    deadline_us: u64,
    /// Whether the time to send is over.
    closed: bool,
    answered: bool,
    /// Whether every slot is acknowledged, or can't be any more.
    over: bool,
    outputs: VecDeque<PutOutput>,
}

impl Put {
    /// Starts a put: writes at once to every primary that is up, and to a stand-in for every other one.
    #[must_use]
    pub(crate) fn new(now_us: u64, plan: &WritePlan) -> Self {
        let missing = u8::from(planted::on(Bug::AcknowledgementMissing));
        let life_us = plan.send_until_us.saturating_sub(now_us);
        let mut put = Self {
            needs: Needs { answers: plan.needs.answers - missing, ..plan.needs },
            slots: Slots::new(plan),
            hedge_at_us: Some(now_us + plan.hedge_after_us),
            last_call_us: plan.send_until_us - LAST_CALL_US.min(life_us / 2),
            send_until_us: plan.send_until_us,
            deadline_us: plan.deadline_us,
            closed: false,
            answered: false,
            over: false,
            outputs: VecDeque::new(),
        };
        put.advance(now_us);
        put
    }

    /// Handles the acknowledgement of a node that has merged the record, or keeps it as a hint. `durability`
    /// is what the request asked for.
    pub(crate) fn handle_acknowledgement(
        &mut self,
        now_us: u64,
        node: NodeId,
        durability: Durability,
    ) {
        self.slots.acknowledge(node, durability);
        self.advance(now_us);
    }

    /// Handles a request that a node refused, or for which it could not be reached.
    pub(crate) fn handle_failure(&mut self, now_us: u64, node: NodeId, cause: Cause) {
        self.slots.fail(now_us, node, cause);
        self.advance(now_us);
    }

    /// Handles the time that [`Self::poll_timeout`] named.
    pub(crate) fn handle_timeout(&mut self, now_us: u64) {
        if now_us >= self.deadline_us {
            self.answer_short(true);
        }
        self.hedge(now_us);
        self.advance(now_us);
    }

    /// Returns when to call [`Self::handle_timeout`], in microseconds on the monotonic clock.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        if self.over {
            return None;
        }
        let answer_by = (!self.answered).then_some(self.deadline_us);
        let sending = [
            self.hedge_at_us.filter(|_| !self.answered),
            self.slots.next_wake(self.answered),
            Some(self.last_call_us),
            Some(self.send_until_us),
        ];
        let sending = sending.into_iter().flatten().filter(|_| !self.closed);
        sending.chain(answer_by).min()
    }

    /// Returns the next effect, `None` if there are no more.
    pub(crate) fn poll_output(&mut self) -> Option<PutOutput> {
        self.outputs.pop_front()
    }

    /// Returns whether the put is over and all its effects are taken.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        self.over && self.outputs.is_empty()
    }

    fn advance(&mut self, now_us: u64) {
        if self.over {
            return;
        }
        self.closed |= now_us >= self.send_until_us;
        self.send(now_us);
        self.judge(now_us);
        self.over = self.answered && (self.closed || !self.slots.is_busy());
    }

    fn hedge(&mut self, now_us: u64) {
        let due = self.hedge_at_us.is_some_and(|hedge_at_us| hedge_at_us <= now_us);
        if due && !self.answered && now_us < self.send_until_us {
            self.hedge_at_us = None;
            if self.slots.hedge() {
                self.outputs.push_back(PutOutput::Hedged);
            }
        }
    }

    fn send(&mut self, now_us: u64) {
        if self.closed {
            return;
        }
        self.slots.wake(now_us);
        let hedged = self.hedge_at_us.is_none() && !self.answered;
        self.slots.enlist(now_us, hedged, self.answered);
        if now_us >= self.last_call_us {
            self.last_call_us = u64::MAX;
            self.slots.keep_rest_here(now_us);
        }
        if !self.answered {
            self.slots.replace_syncers(self.needs.synced);
        }
        self.outputs.extend(self.slots.requests(self.answered));
    }

    fn judge(&mut self, now_us: u64) {
        if self.answered {
            return;
        }
        let have = self.slots.have();
        let mut assumptions = Assumptions { sending: !self.closed, last_resort: false };
        match quorum_status(self.needs, have, self.slots.at_best(assumptions)) {
            QuorumStatus::Reached => {
                let by = self.slots.acknowledgements();
                let success = PutSuccess { acknowledged: have.answers, synced: have.synced, by };
                return self.answer(Ok(success));
            }
            QuorumStatus::Pending => return,
            QuorumStatus::Impossible => assumptions.last_resort = true,
        }
        if quorum_status(self.needs, have, self.slots.at_best(assumptions))
            == QuorumStatus::Impossible
        {
            self.answer_short(false);
        } else {
            self.slots.revive(now_us);
            self.send(now_us);
        }
    }

    /// Returns the put's needs and what it has so far.
    pub(crate) fn so_far(&self, timed_out: bool) -> Shortfall {
        let (needs, had) = (self.needs, self.slots.have());
        Shortfall { needs, had, timed_out, ..Shortfall::default() }
    }

    fn answer_short(&mut self, timed_out: bool) {
        if !self.answered {
            let short = self.so_far(timed_out);
            self.answer(Err(short));
        }
    }

    fn answer(&mut self, result: Result<PutSuccess, Shortfall>) {
        self.answered = true;
        self.outputs.push_back(PutOutput::Answer(result));
    }
}

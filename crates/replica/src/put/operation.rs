//! A put on its way: waiting for its turn, then minted and, with those minted beside it, under way to the replicas.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_coordinator::{
    Cause, CoordinatorCopy, JointPut, JointPutOutput, Needs, PutSuccess, RequestId, Shortfall,
    WritePlan,
};
use jedlik_handoff::Foreground;
use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientResponse, PutAnswer, PutRequest};
use jedlik_protocol::error::Failure;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Blob, Durability, EncodedRecord, Now, PlacedKey, StoredRecord};
use jedlik_vclock::{Content, VectorClock};

use crate::Counter;
use crate::answer::shortfall;
use crate::cx::{Cx, Fact};
use crate::io::{Output, StorageFault};
use crate::mint::MintRequest;
use crate::operations::Next;
use crate::pending::{Asker, Caller, HoldFor, OperationId, Purpose};
use crate::reasons::ApplyFor;

/// Put that waits for its turn, and then for the stored record of its key.
#[derive(Debug)]
pub(crate) struct WaitingPut {
    pub(super) asker: Asker,
    pub(super) key: PlacedKey,
    pub(super) request: PutRequest,
    pub(super) context: VectorClock,
    pub(super) props: BucketProps,
    pub(super) n: u8,
    pub(super) needs: Needs,
    /// Plans by active owner set, the newest first; there is always one.
    pub(super) plans: Vec<WritePlan>,
    pub(super) started_us: u64,
    pub(super) deadline_us: u64,
    /// Whether the put may still be passed on to another coordinator.
    pub(super) passes_on: bool,
    /// Whether another node was asked first, which may carry the put out all the same.
    pub(super) elsewhere: bool,
}

impl WaitingPut {
    pub(crate) fn asker(&self) -> Asker {
        self.asker
    }

    pub(crate) fn deadline_us(&self) -> u64 {
        self.deadline_us
    }

    pub(super) fn mint_request(&self, stands_in: bool, follows_ms: Option<u64>) -> MintRequest<'_> {
        let (put, context, props) = (&self.request, &self.context, &self.props);
        MintRequest { put, context, props, stands_in, follows_ms }
    }

    /// Returns the bytes that the put holds while it waits: its value and its context.
    pub(super) fn bytes(&self) -> usize {
        let value_bytes = match &self.request.content {
            Content::Value(value) => value.size(),
            Content::Tombstone => 0,
        };
        value_bytes + self.request.context.as_ref().map_or(0, |context| context.len())
    }
}

/// Put that is written together with others.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) asker: Asker,
    pub(super) request: PutRequest,
    /// Context for the answer: the key's clock as the put was minted.
    pub(super) context: Blob,
    pub(super) siblings: u16,
    pub(super) warning: bool,
    pub(super) started_us: u64,
    pub(super) deadline_us: u64,
    pub(super) answered: bool,
}

/// Puts of one key that were minted on one another, on their way to the replicas as one record.
#[derive(Debug)]
pub(crate) struct PutOperation {
    pub(crate) machine: JointPut,
    /// Puts of the round, which all want the same of the replicas.
    pub(super) members: Vec<Member>,
    pub(crate) key: PlacedKey,
    /// Number of replicas that the puts want to use.
    pub(super) n: u8,
    pub(super) stored: StoredRecord,
    /// Clock of the record: all that it has seen.
    pub(super) seen: VectorClock,
    /// Message of the last replica that refused, for the answer of a put that fails.
    pub(super) refusal: Option<String>,
    /// Record or hint that the versions were minted in; the actor belongs to that one alone.
    pub(super) coordinator_copy: CoordinatorCopy,
    /// Time until which the key's next puts wait for a large record to reach all replicas, in microseconds.
    pub(super) holds_until_us: u64,
}

impl PutOperation {
    /// Returns the askers of the round's puts, answered ones too.
    pub(crate) fn askers(&self) -> impl Iterator<Item = Asker> {
        self.members.iter().map(|member| member.asker)
    }

    /// Carries out the round's effects.
    pub(crate) fn drive(&mut self, cx: &mut Cx, id: OperationId) -> Next {
        let me = cx.config.me;
        while let Some(output) = self.machine.poll_output() {
            match output {
                JointPutOutput::Write { request, node, durability } if node == me => {
                    let caller = Caller { operation: id, request };
                    let ticket = cx.pending.apply(ApplyFor::Put { caller, durability });
                    let local = self
                        .stored
                        .local
                        .filter(|_| self.coordinator_copy == CoordinatorCopy::Record);
                    let record = StoredRecord { local, record: self.stored.record.clone() };
                    let key = self.key.clone();
                    cx.emit(Output::Apply { ticket, key, record, durability });
                }
                JointPutOutput::Write { request, node, durability } => {
                    let purpose = Purpose::Operation(Caller { operation: id, request });
                    let (key, record) = (self.key.key.clone(), self.sent());
                    cx.call(node, purpose, PeerRequest::Write { key, record, durability });
                }
                JointPutOutput::Hint { request, node, targets, durability } if node == me => {
                    let coordinator_copy =
                        targets.first().map(|target| CoordinatorCopy::Hint(*target));
                    let local = self
                        .stored
                        .local
                        .filter(|_| Some(self.coordinator_copy) == coordinator_copy);
                    let record = StoredRecord { local, record: self.stored.record.clone() };
                    let kept = (self.key.clone(), record);
                    let caller = Caller { operation: id, request };
                    let whose = HoldFor::Own { caller, durability };
                    cx.hold(whose, kept, &targets, durability);
                }
                JointPutOutput::Hint { request, node, targets, durability } => {
                    let purpose = Purpose::Operation(Caller { operation: id, request });
                    let (key, record) = (self.key.key.clone(), self.sent());
                    let hint = PeerRequest::Hint { key, record, targets, durability };
                    cx.call(node, purpose, hint);
                }
                JointPutOutput::Answer(result) => self.answer(cx, None, &result),
                JointPutOutput::Hedged => cx.count(Counter::PutHedges),
            }
        }
        if self.is_due(cx.now.mono_us) {
            let short = Err(self.machine.so_far());
            self.answer(cx, Some(cx.now.mono_us), &short);
        }
        match self.machine.is_done() {
            true => Next::Over,
            false => Next::Waits(self.wake_us(cx.now.mono_us)),
        }
    }

    fn answer(
        &mut self,
        cx: &mut Cx,
        until_us: Option<u64>,
        result: &Result<PutSuccess, Shortfall>,
    ) {
        let away = cx.owners_away(self.key.partition, self.n);
        let answers = self.answers(until_us, result, &away, |node| cx.name_of(node));
        for (asker, started_us, response) in answers {
            cx.tell(Fact::Answered { kind: Foreground::Put, started_us });
            cx.answer(asker, response);
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.members.iter().all(|member| member.answered)
    }

    /// Returns whether the time of a put that is not answered is up.
    pub(super) fn is_due(&self, now_us: u64) -> bool {
        self.members.iter().any(|member| !member.answered && member.deadline_us <= now_us)
    }

    /// Returns whether the key's next puts wait for this round.
    pub(crate) fn holds_up(&self, now_us: u64) -> bool {
        !self.machine.is_done() && (!self.is_answered() || now_us < self.holds_until_us)
    }

    /// Returns when the operation is to be driven next, in microseconds.
    pub(super) fn wake_us(&self, now_us: u64) -> Option<u64> {
        let open = self.members.iter().filter(|member| !member.answered);
        let holds = Some(self.holds_until_us).filter(|until_us| *until_us > now_us);
        open.map(|member| member.deadline_us).chain(self.machine.poll_timeout()).chain(holds).min()
    }

    pub(crate) fn handle_answer(
        &mut self,
        now: Now,
        to: RequestId,
        durability: Durability,
        response: &PeerResponse,
    ) {
        if *response == PeerResponse::Written {
            self.machine.handle_acknowledgement(now.mono_us, to, durability);
        } else {
            if let PeerResponse::Refused(failure) = response {
                self.refusal = Some(failure.message.clone());
            }
            self.machine.handle_failure(now.mono_us, to, Cause::Refused);
        }
    }

    /// Notes that this node's own storage refused the record.
    pub(crate) fn handle_fault(&mut self, now: Now, to: RequestId, fault: &StorageFault) {
        self.refusal = Some(fault.clone().failure().message);
        self.machine.handle_failure(now.mono_us, to, Cause::Refused);
    }

    /// Returns the record for the other replicas: the whole merged one (see the actor rule).
    pub(super) fn sent(&self) -> EncodedRecord {
        if planted::on(Bug::NewVersionSentAlone)
            && let Ok(record) = self.stored.record.decode()
            && let Some(member) = self.members.last()
        {
            return EncodedRecord::encode(&record.alone(member.request.write_id));
        }
        self.stored.record.clone()
    }

    /// Returns the answers for the puts that are still open; with `until_us`, only for those whose time is
    /// up. Each names the asker and when the put came.
    pub(super) fn answers(
        &mut self,
        until_us: Option<u64>,
        result: &Result<PutSuccess, Shortfall>,
        away: &[NodeId],
        name: impl Fn(NodeId) -> String,
    ) -> Vec<(Asker, u64, ClientResponse)> {
        let outcome = result.as_ref().map_err(|short| {
            let failure = shortfall("put", short, away, name);
            // The put may be on some replicas.
            let mut failure = Failure { maybe_applied: true, ..failure };
            if let Some(refusal) = &self.refusal {
                failure.message += &format!("; one said: {refusal}");
            }
            failure
        });
        let is_due = |member: &&mut Member| {
            !member.answered && until_us.is_none_or(|until_us| member.deadline_us <= until_us)
        };
        let due = self.members.iter_mut().filter(is_due);
        due.map(|member| {
            member.answered = true;
            let response = match &outcome {
                Ok(success) => ClientResponse::Put(member.answer(success)),
                Err(failure) => ClientResponse::Failed(failure.clone()),
            };
            (member.asker, member.started_us, response)
        })
        .collect()
    }
}

impl Member {
    fn answer(&self, success: &PutSuccess) -> PutAnswer {
        PutAnswer {
            context: self.context.clone(),
            siblings: self.siblings,
            warning: self.warning,
            acknowledged: success.acknowledged,
            synced: success.synced,
            by: success.by.clone(),
        }
    }
}

//! A put on its way: waiting for its turn, then minted and, with those minted beside it, under way to the replicas.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_coordinator::{
    Cause, CoordinatorCopy, JointPut, Needs, PutSuccess, RequestId, Shortfall, WritePlan,
};
use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientResponse, PutAnswer, PutRequest};
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{Blob, Durability, EncodedRecord, Now, PlacedKey, StoredRecord};
use jedlik_vclock::{Content, VectorClock};

use crate::answer::shortfall;
use crate::io::StorageFault;
use crate::mint::MintRequest;
use crate::pending::Asker;

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
            Content::Value(value) => value.len(),
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
    pub(super) key: PlacedKey,
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
    pub(super) fn is_answered(&self) -> bool {
        self.members.iter().all(|member| member.answered)
    }

    /// Returns whether the time of a put that is not answered is up.
    pub(super) fn is_due(&self, now_us: u64) -> bool {
        self.members.iter().any(|member| !member.answered && member.deadline_us <= now_us)
    }

    /// Returns whether the key's next puts wait for this round.
    pub(super) fn holds_up(&self, now_us: u64) -> bool {
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
        name: impl Fn(NodeId) -> String,
    ) -> Vec<(Asker, u64, ClientResponse)> {
        let outcome = result.as_ref().map_err(|short| {
            let mut failure = shortfall("put", short, true, name);
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

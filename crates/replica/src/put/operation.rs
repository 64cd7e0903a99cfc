//! A put on its way: waiting for its turn, then minted and, with those minted beside it, under way to the replicas.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_coordinator::{
    Cause, CoordinatorCopy, JointPut, Needs, PutSuccess, RequestId, Shortfall, WritePlan,
};
use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientResponse, PutAnswer, PutRequest};
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{Blob, Durability, EncodedRecord, Now, PlacedKey, StoredRecord};
use jedlik_vclock::planted::{self, Bug};
use jedlik_vclock::{Content, VectorClock};

use crate::answer::shortfall;
use crate::io::StorageFault;
use crate::mint::MintRequest;
use crate::pending::Asker;

/// A put that waits for its turn, and then for the stored record of its key.
#[derive(Debug)]
pub(crate) struct WaitingPut {
    pub(super) asker: Asker,
    pub(super) key: PlacedKey,
    pub(super) request: PutRequest,
    pub(super) context: VectorClock,
    pub(super) props: BucketProps,
    pub(super) n: u8,
    pub(super) needs: Needs,
    /// One for each active owner set, the newest first; there is always one.
    pub(super) plans: Vec<WritePlan>,
    pub(super) started_us: u64,
    pub(super) deadline_us: u64,
    /// It has not been passed on yet.
    pub(super) passes_on: bool,
    /// Another node was asked first, and may do it all the same.
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

    /// What it takes while it waits.
    pub(super) fn bytes(&self) -> usize {
        let value_bytes = match &self.request.content {
            Content::Value(value) => value.len(),
            Content::Tombstone => 0,
        };
        value_bytes + self.request.context.as_ref().map_or(0, |context| context.len())
    }
}

/// One of the puts that are written together.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) asker: Asker,
    pub(super) request: PutRequest,
    /// For its answer: all that there was as it was minted.
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
    /// Each wants the same of the replicas.
    pub(super) members: Vec<Member>,
    pub(super) key: PlacedKey,
    pub(super) stored: StoredRecord,
    /// All that the record has seen.
    pub(super) seen: VectorClock,
    /// What a replica that refused has said, for the answer of a put that fails.
    pub(super) refusal: Option<String>,
    /// Where the versions were minted: the actor is that record's or that hint's, and of no other.
    pub(super) coordinator_copy: CoordinatorCopy,
    /// A large record is given so long to reach all replicas before the key's next puts are minted.
    pub(super) holds_until_us: u64,
}

impl PutOperation {
    pub(super) fn is_answered(&self) -> bool {
        self.members.iter().all(|member| member.answered)
    }

    /// Whether the time of one that is not answered is up.
    pub(super) fn is_due(&self, now_us: u64) -> bool {
        self.members.iter().any(|member| !member.answered && member.deadline_us <= now_us)
    }

    /// Whether the key's next puts wait for this one.
    pub(super) fn holds_up(&self, now_us: u64) -> bool {
        !self.machine.is_done() && (!self.is_answered() || now_us < self.holds_until_us)
    }

    /// When it wants to be driven.
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

    /// This node's own storage did not take it.
    pub(crate) fn handle_fault(&mut self, now: Now, to: RequestId, fault: &StorageFault) {
        self.refusal = Some(fault.clone().failure().message);
        self.machine.handle_failure(now.mono_us, to, Cause::Refused);
    }

    /// What the other replicas get: the whole merged record (see the actor rule).
    pub(super) fn sent(&self) -> EncodedRecord {
        if planted::on(Bug::NewVersionSentAlone)
            && let Ok(record) = self.stored.record.decode()
            && let Some(member) = self.members.last()
        {
            return EncodedRecord::encode(&record.alone(member.request.write_id));
        }
        self.stored.record.clone()
    }

    /// Tells the puts that are still open what has become of them, those whose time is up alone if `until_us` is
    /// given: to whom, since when each was under way, and what.
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

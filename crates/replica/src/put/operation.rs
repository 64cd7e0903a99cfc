//! A put on its way: waiting for its key's record, then minted and under way to the replicas.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_coordinator::{Cause, Home, PutChain, PutSuccess, RequestId, Shortfall, WritePlan};
use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientResponse, PutAnswer, PutRequest};
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{Blob, Durability, EncodedRecord, Now, PlacedKey, StoredRecord};
use jedlik_vclock::planted::{self, Bug};
use jedlik_vclock::{VectorClock, WriteId};

use crate::answer::shortfall;
use crate::io::StorageFault;
use crate::pending::Asker;

/// A put that waits for the stored record of its key.
#[derive(Debug)]
pub(crate) struct WaitingPut {
    pub(super) asker: Asker,
    pub(super) request: PutRequest,
    pub(super) context: VectorClock,
    pub(super) props: BucketProps,
    /// One for each owner set that counts, the newest first; there is always one.
    pub(super) plans: Vec<WritePlan>,
    pub(super) started_us: u64,
    pub(super) deadline_us: u64,
}

impl WaitingPut {
    pub(crate) fn deadline_us(&self) -> u64 {
        self.deadline_us
    }
}

/// A put that was minted and is on its way to the replicas.
#[derive(Debug)]
pub(crate) struct PutOperation {
    pub(crate) machine: PutChain,
    pub(super) asker: Asker,
    pub(super) request: PutRequest,
    pub(super) key: PlacedKey,
    pub(super) stored: StoredRecord,
    pub(super) write_id: WriteId,
    pub(super) context: Blob,
    pub(super) siblings: u16,
    pub(super) warning: bool,
    /// What a replica that refused has said, for the answer of a put that fails.
    pub(super) refusal: Option<String>,
    pub(super) started_us: u64,
    pub(super) answered: bool,
    /// Where the version was minted: the actor is that record's or that hint's, and of no other.
    pub(super) home: Home,
}

impl PutOperation {
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
        {
            return EncodedRecord::encode(&record.alone(self.write_id));
        }
        self.stored.record.clone()
    }

    pub(super) fn answer(
        &self,
        result: Result<PutSuccess, Shortfall>,
        name: impl Fn(NodeId) -> String,
    ) -> ClientResponse {
        match result {
            Ok(PutSuccess { acknowledged, synced, by }) => ClientResponse::Put(PutAnswer {
                context: self.context.clone(),
                siblings: self.siblings,
                warning: self.warning,
                acknowledged,
                synced,
                by,
            }),
            Err(short) => {
                let mut failure = shortfall("put", &short, true, name);
                if let Some(refusal) = &self.refusal {
                    failure.message += &format!("; one said: {refusal}");
                }
                ClientResponse::Failed(failure)
            }
        }
    }
}

//! Puts: checked, forwarded to an owner or minted here, then run by the coordinator's machine.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_coordinator::{Needs, Put, PutOutput, PutSuccess, Shortfall, Target, WritePlan};
use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientRequest, ClientResponse, PutAnswer, PutRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{
    Blob, Context, EncodedRecord, Incarnation, Now, PlacedKey, Record, StoredRecord,
};
use jedlik_vclock::planted::{self, Bug};
use jedlik_vclock::{ActorId, Content, VectorClock, WriteId};
use rand_core::Rng;

use crate::answer::{context, deadline_us, resolve, resolve_n, shortfall};
use crate::io::{Counter, Output, StorageFault};
use crate::mint::{Held, Minted, mint};
use crate::pending::{Asker, OperationId, PeerCall, Ticket};
use crate::replica::{Operation, Replica};

/// A put that waits for the stored record of its key.
#[derive(Debug)]
pub(crate) struct WaitingPut {
    asker: Asker,
    request: PutRequest,
    context: VectorClock,
    props: BucketProps,
    targets: Vec<Target>,
    needs: Needs,
    pub(crate) deadline_us: u64,
}

/// A put that was minted and is on its way to the replicas.
#[derive(Debug)]
pub(crate) struct PutOperation {
    pub(crate) machine: Put,
    asker: Asker,
    key: PlacedKey,
    stored: StoredRecord,
    write_id: WriteId,
    context: Blob,
    siblings: u16,
    warning: bool,
    /// What a replica that refused has said, for the answer of a put that fails.
    refusal: Option<String>,
}

impl PutOperation {
    pub(crate) fn handle_answer(
        &mut self,
        now: Now,
        from: NodeId,
        call: &PeerCall,
        response: &PeerResponse,
    ) {
        if *response == PeerResponse::Written {
            self.machine.handle_acknowledgement(from, call.durability);
        } else {
            if let PeerResponse::Refused(failure) = response {
                self.refusal = Some(failure.message.clone());
            }
            self.machine.handle_failure(now.mono_us, from);
        }
    }

    /// This node's own storage did not take it.
    pub(crate) fn handle_fault(&mut self, now: Now, me: NodeId, fault: &StorageFault) {
        self.refusal = Some(fault.clone().failure().message);
        self.machine.handle_failure(now.mono_us, me);
    }

    /// What the other replicas get: the whole merged record (see the actor rule).
    fn sent(&self) -> EncodedRecord {
        if planted::on(Bug::NewVersionSentAlone)
            && let Ok(record) = self.stored.record.decode()
        {
            return EncodedRecord::encode(&record.alone(self.write_id));
        }
        self.stored.record.clone()
    }

    fn answer(&self, result: Result<PutSuccess, Shortfall>) -> ClientResponse {
        match result {
            Ok(PutSuccess { acknowledged, synced }) => ClientResponse::Put(PutAnswer {
                context: self.context.clone(),
                siblings: self.siblings,
                warning: self.warning,
                acknowledged,
                synced,
            }),
            Err(short) => {
                let mut failure = shortfall("put", short, true);
                if let Some(refusal) = &self.refusal {
                    failure.message += &format!("; one said: {refusal}");
                }
                ClientResponse::Failed(failure)
            }
        }
    }
}

impl Replica {
    pub(crate) fn start_put(&mut self, now: Now, asker: Asker, request: PutRequest) {
        let (key, put) = match self.plan_put(now, asker, request) {
            Ok(planned) => planned,
            Err(failure) => return self.refuse(asker, failure),
        };
        if put.targets.iter().all(|target| target.node != self.config.me) {
            let owners = put.targets.iter().map(|target| target.node).collect();
            let request = ClientRequest::Put(put.request);
            return self.forward(now, asker, request, owners, put.deadline_us);
        }
        self.count(Counter::Puts);
        let id = self.pending.operation();
        self.operations.insert(id, Operation::Waiting(put));
        self.drive(now, id);
        let waiting = self.minting.entry(key.clone()).or_default();
        waiting.push(id);
        if waiting.len() == 1 {
            let ticket = self.pending.ticket(Ticket::Mint(key.clone()));
            self.emit(Output::Load { ticket, key });
        }
    }

    fn plan_put(
        &self,
        now: Now,
        asker: Asker,
        request: PutRequest,
    ) -> Result<(PlacedKey, WaitingPut), Failure> {
        let view = self.ready()?;
        let props = view.bucket(request.key.bucket()).clone();
        let n = resolve_n(request.n, props.n)?;
        let needs = Needs {
            answers: resolve("w", request.w, props.w, n, 1)?,
            primaries: resolve("pw", request.pw, props.pw, n, 0)?,
            synced: resolve("dw", request.dw, props.dw, n, 0)?,
        };
        let deadline_us = deadline_us(now.mono_us, request.timeout_ms)?;
        if let Content::Value(value) = &request.content
            && value.len() > props.value_limit_bytes as usize
        {
            let (length, limit) = (value.len(), props.value_limit_bytes);
            let message = format!(
                "the value has {length} bytes, over the bucket's value_limit_bytes={limit}"
            );
            return Err(Failure::new(ErrorCode::ValueTooLarge, message));
        }
        let context = request.context.as_ref().map_or(Ok(Context::default()), |token| {
            Context::decode(token, self.config.cluster, &request.key)
        });
        let context =
            context.map_err(|error| Failure::new(ErrorCode::InvalidContext, format!("{error}")))?.0;
        let key = PlacedKey::new(self.config.cluster, view.partitions(), request.key.clone());
        let targets = self.targets(&view, key.partition, n);
        Ok((key, WaitingPut { asker, request, context, props, targets, needs, deadline_us }))
    }

    /// The stored record of a key is there: mints every put that waited for it, in order.
    pub(crate) fn mint_waiting(
        &mut self,
        now: Now,
        key: &PlacedKey,
        result: Result<Option<StoredRecord>, StorageFault>,
    ) {
        let waiting = self.minting.remove(key).unwrap_or_default();
        let mut held = self.held(result);
        for id in waiting {
            let Some(Operation::Waiting(put)) = self.operations.remove(&id) else { continue };
            self.sleep(id);
            let drawn = ActorId(self.random.next_u64());
            let actor =
                if planted::on(Bug::OneActorPerNode) { ActorId(self.config.me.0) } else { drawn };
            let fresh = (self.config.incarnation, actor);
            let minted = held.as_mut().map_err(|failure| failure.clone()).and_then(|held| {
                let minted =
                    mint(held, &put.request, &put.context, &put.props, now.wall_ms, fresh)?;
                Ok((minted, held.record.clone()))
            });
            match minted {
                Ok((minted, record)) => self.run_put(now, id, key, put, minted, &record),
                Err(failure) => self.refuse(put.asker, failure),
            }
        }
    }

    fn held(
        &mut self,
        result: Result<Option<StoredRecord>, StorageFault>,
    ) -> Result<Held, Failure> {
        match result {
            Ok(None) => Ok(Held::default()),
            Ok(Some(stored)) => match stored.record.decode() {
                Ok(record) => {
                    let encoded_bytes = stored.record.bytes().len();
                    Ok(Held { local: stored.local, record, encoded_bytes })
                }
                Err(_) => {
                    self.count(Counter::DamagedRecords);
                    Ok(Held::default())
                }
            },
            // As good as missing; without a local actor a fresh one is drawn.
            Err(StorageFault::Damaged) => {
                self.count(Counter::DamagedRecords);
                Ok(Held::default())
            }
            Err(fault) => Err(fault.failure()),
        }
    }

    fn run_put(
        &mut self,
        now: Now,
        id: OperationId,
        key: &PlacedKey,
        put: WaitingPut,
        minted: Minted,
        record: &Record,
    ) {
        if minted.retried {
            self.count(Counter::RetriedPuts);
        }
        for _ in 0..minted.truncated {
            self.count(Counter::TruncatedEntries);
        }
        let plan = WritePlan {
            targets: put.targets,
            needs: put.needs,
            durability: put.props.durability,
            deadline_us: put.deadline_us,
        };
        let siblings = record.siblings().len();
        let operation = PutOperation {
            machine: Put::new(&plan),
            asker: put.asker,
            context: context(record, self.config.cluster, &key.key),
            key: key.clone(),
            stored: minted.stored,
            write_id: put.request.write_id,
            siblings: u16::try_from(siblings).unwrap_or(u16::MAX),
            warning: siblings >= usize::from(put.props.sibling_warning),
            refusal: None,
        };
        self.operations.insert(id, Operation::Put(operation));
        self.drive(now, id);
    }

    pub(crate) fn drive_put(
        &mut self,
        now: Now,
        id: OperationId,
        mut put: PutOperation,
    ) -> (Option<Operation>, Option<u64>) {
        while let Some(output) = put.machine.poll_output() {
            match output {
                PutOutput::Write { node, durability } if node == self.config.me => {
                    let ticket = self.pending.ticket(Ticket::Local { operation: id, durability });
                    let (key, record) = (put.key.clone(), put.stored.clone());
                    self.emit(Output::Apply { ticket, key, record, durability });
                }
                PutOutput::Write { node, durability } => {
                    let (key, record) = (put.key.key.clone(), put.sent());
                    self.call(now, node, Some(id), PeerRequest::Write { key, record, durability });
                }
                PutOutput::Answer(result) => {
                    let response = put.answer(result);
                    self.answer(put.asker, response);
                }
            }
        }
        let wake_us = put.machine.poll_timeout();
        ((!put.machine.is_done()).then_some(Operation::Put(put)), wake_us)
    }

    /// Storage did not answer in time: nothing was minted.
    pub(crate) fn give_up_waiting(&mut self, id: OperationId) {
        if let Some(Operation::Waiting(put)) = self.operations.remove(&id) {
            let message = "put: the coordinator's storage did not answer before the timeout";
            self.refuse(put.asker, Failure::new(ErrorCode::Timeout, message));
        }
    }

    /// A local write that failed may have lost a dot: under the actor rule a new life begins.
    pub(crate) fn renew_incarnation(&mut self) {
        self.config.incarnation = Incarnation(self.random.next_u64());
    }
}

impl StorageFault {
    /// How a request that met it is refused.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Damaged => Failure::new(ErrorCode::Storage, "the record fails its checksum"),
            Self::Overloaded => Failure::new(
                ErrorCode::Overloaded,
                "the node's write buffer is full; try again in a moment",
            ),
            Self::Failed(why) => Failure::new(ErrorCode::Storage, why),
        }
    }
}

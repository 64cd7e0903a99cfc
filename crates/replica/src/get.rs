//! Gets: any node coordinates one, with what it holds itself where it is among those to be asked.

use alloc::vec;

use jedlik_coordinator::{Get, GetOutput, Needs, ReadPlan, RepairCause};
use jedlik_handoff::Foreground;
use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientResponse, GetRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Durability, EncodedRecord, Now, PlacedKey, StoredRecord};

use crate::Counter;
use crate::answer::{deadline_us, got, resolve, resolve_n, shortfall};
use crate::held::merged;
use crate::io::{Holding, Output, StorageFault};
use crate::pending::{Asker, HoldFor, OperationId, Purpose, Ticket};
use crate::replica::{Operation, Replica, SILENT_AFTER_US};

/// A get under way.
#[derive(Debug)]
pub(crate) struct GetOperation {
    pub(crate) machine: Get,
    asker: Asker,
    key: PlacedKey,
    props: BucketProps,
    started_us: u64,
}

impl GetOperation {
    pub(crate) fn handle_answer(&mut self, now: Now, from: NodeId, response: PeerResponse) {
        match response {
            PeerResponse::Read(record) => self.machine.handle_record(now.mono_us, from, record),
            PeerResponse::Same => self.machine.handle_same(now.mono_us, from),
            _ => self.machine.handle_failure(now.mono_us, from),
        }
    }
}

impl Replica {
    pub(crate) fn start_get(&mut self, now: Now, asker: Asker, request: GetRequest) {
        match self.plan_get(now, request) {
            Ok((key, props, plan)) => {
                self.count(Counter::Gets);
                let machine = Get::new(now.mono_us, plan);
                let started_us = now.mono_us;
                let get = GetOperation { machine, asker, key, props, started_us };
                self.run(now, Operation::Get(get));
            }
            Err(failure) => self.refuse(asker, failure),
        }
    }

    fn plan_get(
        &self,
        now: Now,
        request: GetRequest,
    ) -> Result<(PlacedKey, BucketProps, ReadPlan), Failure> {
        let view = self.ready()?;
        let props = view.bucket(request.key.bucket()).clone();
        let n = resolve_n(request.n, props.n)?;
        let needs = Needs {
            answers: resolve("r", request.r, props.r, n, 1)?,
            primaries: resolve("pr", request.pr, props.pr, n, 0)?,
            synced: 0,
        };
        let key = PlacedKey::new(self.config.cluster, view.partitions(), request.key);
        let (primaries, fallbacks) = self.targets(&view, key.partition, n);
        let plan = ReadPlan {
            me: self.config.me,
            primaries,
            fallbacks,
            needs,
            hedge_after_us: self.usual_read.get_us(),
            silent_after_us: SILENT_AFTER_US.max(2 * self.usual_read.get_us()),
            repair_until_us: self.ages.until_us(now),
            deadline_us: deadline_us(now.mono_us, request.timeout_ms)?,
        };
        Ok((key, props, plan))
    }

    pub(crate) fn drive_get(
        &mut self,
        now: Now,
        id: OperationId,
        mut get: GetOperation,
    ) -> (Option<Operation>, Option<u64>) {
        while let Some(output) = get.machine.poll_output() {
            match output {
                GetOutput::ReadLocal => {
                    let durability = Durability::Buffered;
                    let ticket = self.pending.ticket(Ticket::Local { operation: id, durability });
                    self.emit(Output::Load { ticket, key: get.key.clone() });
                }
                GetOutput::Read { node, known } => {
                    let key = get.key.key.clone();
                    let request = PeerRequest::Read { key, known };
                    self.call(now, node, Purpose::Operation(id), request);
                }
                GetOutput::Answer(result) => {
                    self.observe(now, Foreground::Get, get.started_us);
                    let response = match result {
                        Ok(record) => self.found(now, &get, record.as_ref()),
                        Err(short) => ClientResponse::Failed(shortfall("get", short, false)),
                    };
                    self.answer(get.asker, response);
                }
                GetOutput::Repair { node, stands_in_for, record, cause } => {
                    self.count(match cause {
                        RepairCause::Missing => Counter::ReadRepairsMissing,
                        RepairCause::Stale => Counter::ReadRepairsStale,
                    });
                    self.repair(now, (node, stands_in_for), &get.key, record);
                }
                GetOutput::Hedged => self.count(Counter::Hedges),
            }
        }
        let wake_us = get.machine.poll_timeout();
        ((!get.machine.is_done()).then_some(Operation::Get(get)), wake_us)
    }

    fn found(
        &self,
        now: Now,
        get: &GetOperation,
        record: Option<&EncodedRecord>,
    ) -> ClientResponse {
        match record.map(EncodedRecord::decode).transpose() {
            Ok(record) => {
                let key = (self.config.cluster, &get.key.key);
                let answered = get.machine.answered();
                let answered = (answered, get.machine.primaries());
                let answer = got(record.as_ref(), &get.props, key, now.wall_ms, answered);
                ClientResponse::Got(answer)
            }
            Err(error) => {
                let message = alloc::format!("the merged record can't be read: {error}");
                ClientResponse::Failed(Failure::new(ErrorCode::Internal, message))
            }
        }
    }

    /// Sends a replica that was behind the merge of all. At the bucket's own durability it would
    /// be waited for by nobody, so `Written` does.
    fn repair(
        &mut self,
        now: Now,
        (node, stands_in_for): (NodeId, Option<NodeId>),
        key: &PlacedKey,
        record: EncodedRecord,
    ) {
        let durability = Durability::Written;
        let own = node == self.config.me;
        match stands_in_for {
            Some(primary) => {
                self.count(Counter::ReadRepairsFallback);
                let targets = vec![primary];
                if own {
                    let record = StoredRecord { local: None, record };
                    let kept = (key.clone(), record);
                    return self.hold(now, HoldFor::Nobody, kept, &targets, durability);
                }
                let key = key.key.clone();
                let request = PeerRequest::Hint { key, record, targets, durability };
                self.call(now, node, Purpose::Nobody, request);
            }
            None if own => {
                let ticket = self.pending.ticket(Ticket::Nobody);
                let record = StoredRecord { local: None, record };
                self.emit(Output::Apply { ticket, key: key.clone(), record, durability });
            }
            None => {
                let key = key.key.clone();
                let request = PeerRequest::Write { key, record, durability };
                self.call(now, node, Purpose::Nobody, request);
            }
        }
    }

    /// This node's own record and hints of the key, for a get.
    pub(crate) fn get_own(
        &mut self,
        now: Now,
        id: OperationId,
        result: Result<Holding, StorageFault>,
    ) {
        let result = self.noticed(result);
        let me = self.config.me;
        if let Some(Operation::Get(GetOperation { machine, .. })) = self.operations.get_mut(&id) {
            match result {
                Ok(holding) => machine.handle_record(now.mono_us, me, merged(holding)),
                Err(_) => machine.handle_failure(now.mono_us, me),
            }
            self.drive(now, id);
        }
    }
}

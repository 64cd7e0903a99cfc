//! Gets: any node coordinates one, and reads its own storage where it is among the nodes to be asked.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use jedlik_coordinator::{
    JointGet, JointGetOutput, ListedNode, Needs, ReadPlan, RepairCause, RequestId,
};
use jedlik_handoff::Foreground;
use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientResponse, GetRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Durability, EncodedRecord, Now, PlacedKey, StoredRecord};
use jedlik_storage_port::Holding;
use rand_core::Rng;

use crate::Counter;
use crate::answer::{check_nodes, deadline_us, got, resolve, resolve_n, shortfall};
use crate::cx::{Cx, Fact};
use crate::io::{Output, StorageFault};
use crate::local_copy::merged;
use crate::operations::{Next, Operation, Operations, SILENT_AFTER_US};
use crate::pending::{Asker, Caller, HoldFor, OperationId, Purpose};
use crate::reading::Held;
use crate::reasons::{ApplyFor, LoadFor};

/// Of so many gets one compares all replicas, though those that it has asked agree. The others cost two messages less for
/// each replica that they do not ask.
const COMPARES_ALL_ONE_IN: u32 = 16;

/// Get under way, until all repairs are sent.
#[derive(Debug)]
pub(crate) struct GetOperation {
    pub(crate) machine: JointGet,
    pub(crate) asker: Asker,
    request: GetRequest,
    key: PlacedKey,
    props: BucketProps,
    started_us: u64,
    answered: bool,
    /// Large record that the get holds in memory, counted until the get is over.
    pub(crate) held: Option<Held>,
}

impl GetOperation {
    /// Returns whether the get has yet to answer this asker.
    pub(crate) fn waits(&self, asker: Asker) -> bool {
        self.asker == asker && !self.answered
    }

    pub(crate) fn handle_answer(&mut self, now: Now, to: RequestId, response: PeerResponse) {
        match response {
            PeerResponse::Read(record) => self.machine.handle_record(now.mono_us, to, record),
            PeerResponse::Same => self.machine.handle_same(now.mono_us, to),
            PeerResponse::Unknown { why, record } => {
                self.machine.handle_unknown(now.mono_us, to, record, why);
            }
            _ => self.machine.handle_failure(now.mono_us, to),
        }
    }

    /// Carries out the get's effects.
    pub(crate) fn drive(&mut self, cx: &mut Cx, id: OperationId) -> Next {
        while let Some(output) = self.machine.poll_output() {
            match output {
                JointGetOutput::ReadLocal { request } => {
                    let caller = Caller { operation: id, request };
                    let ticket = cx.pending.load(LoadFor::Get(caller));
                    cx.emit(Output::Load { ticket, key: self.key.clone() });
                }
                JointGetOutput::Read { request, node, known } => {
                    let purpose = Purpose::Operation(Caller { operation: id, request });
                    let key = self.key.key.clone();
                    let request = PeerRequest::Read { key, known, n: self.props.n };
                    cx.call(node, purpose, request);
                }
                JointGetOutput::Answer(result) => {
                    self.answered = true;
                    let (kind, started_us) = (Foreground::Get, self.started_us);
                    cx.tell(Fact::Answered { kind, started_us });
                    let response = match result {
                        Ok(record) => self.found(cx, record.as_ref()),
                        Err(short) => {
                            let name = |node| cx.name_of(node);
                            let away = cx.owners_away(self.key.partition, self.props.n);
                            ClientResponse::Failed(shortfall("get", &short, &away, name))
                        }
                    };
                    cx.answer(self.asker, response);
                }
                JointGetOutput::Repair { node, stands_in_for, record, cause } => {
                    cx.count(match cause {
                        RepairCause::Missing => Counter::ReadRepairsMissing,
                        RepairCause::Stale => Counter::ReadRepairsStale,
                    });
                    cx.repair(node, stands_in_for, &self.key, record);
                }
                JointGetOutput::Hedged => cx.count(Counter::Hedges),
            }
        }
        match self.machine.is_done() {
            true => Next::Over,
            false => Next::Waits(self.machine.poll_timeout()),
        }
    }

    fn found(&self, cx: &Cx, record: Option<&EncodedRecord>) -> ClientResponse {
        match record.map(EncodedRecord::decode).transpose() {
            Ok(record) => {
                let key = (cx.config.cluster, &self.key.key);
                let answered = self.machine.answered();
                let answered = (answered, self.machine.primaries());
                let answer = got(record.as_ref(), &self.props, key, cx.now.judged_ms(), answered);
                ClientResponse::Got(answer)
            }
            Err(error) => {
                let message = alloc::format!("the merged record can't be read: {error}");
                ClientResponse::Failed(Failure::new(ErrorCode::Internal, message))
            }
        }
    }
}

impl Operations {
    pub(crate) fn start_get(&mut self, cx: &mut Cx, asker: Asker, request: GetRequest) {
        cx.count(Counter::Gets);
        let deadline_us = deadline_us(cx.now.mono_us, request.timeout_ms);
        let started = deadline_us.and_then(|by_us| self.begin_get(cx, asker, request, by_us));
        if let Err(failure) = started {
            cx.refuse(asker, failure);
        }
    }

    fn begin_get(
        &mut self,
        cx: &mut Cx,
        asker: Asker,
        request: GetRequest,
        deadline_us: u64,
    ) -> Result<(), Failure> {
        let compares_all = cx.random.next_u32().is_multiple_of(COMPARES_ALL_ONE_IN);
        let (key, props, plans) = self.plan_get(cx, &request, (deadline_us, compares_all))?;
        let machine = JointGet::new(cx.now.mono_us, &plans);
        let (started_us, answered) = (cx.now.mono_us, false);
        let held = None;
        let get = GetOperation { machine, asker, request, key, props, started_us, answered, held };
        self.run(cx, Operation::Get(Box::new(get)));
        Ok(())
    }

    /// Begins an unanswered get anew under another layout, with the time that is left.
    pub(crate) fn restart_get(&mut self, cx: &mut Cx, get: GetOperation) {
        if get.answered {
            return;
        }
        let GetOperation { asker, request, started_us, .. } = get;
        let deadline_us = started_us + u64::from(request.timeout_ms) * 1_000;
        if let Err(failure) = self.begin_get(cx, asker, request, deadline_us) {
            cx.refuse(asker, failure);
        }
    }

    fn plan_get(
        &self,
        cx: &Cx,
        request: &GetRequest,
        (deadline_us, compares_all): (u64, bool),
    ) -> Result<(PlacedKey, BucketProps, Vec<ReadPlan>), Failure> {
        let view = cx.ready()?;
        let props = view.bucket(request.key.bucket()).clone();
        let n = resolve_n(request.n, props.n)?;
        let needs = Needs {
            answers: resolve("r", request.r, props.r, n, 1)?,
            primaries: resolve("pr", request.pr, props.pr, n, 0)?,
            synced: 0,
        };
        let key = PlacedKey::new(cx.config.cluster, view.partitions(), request.key.clone());
        let sets = cx.owner_sets(&view, key.partition, n);
        check_nodes("get", needs, &sets)?;
        let moves = sets.len() > 1;
        let filling = |primaries: &[ListedNode]| {
            let nodes = primaries.iter().map(|target| target.node).filter(|_| moves);
            nodes.filter(|node| view.is_inbound(*node, key.partition, n)).collect()
        };
        let plan = |(mut primaries, fallbacks): (Vec<ListedNode>, _)| {
            self.nearness.sort(cx.config.me, &mut primaries);
            ReadPlan {
                me: cx.config.me,
                // The range is on its way to these nodes: sending it record by record, too, would cost clients as
                // much again as their own puts do.
                filling: filling(&primaries),
                compares_all,
                primaries,
                fallbacks,
                needs,
                hedge_after_us: self.read_latency.get_us(),
                silent_after_us: SILENT_AFTER_US.max(2 * self.read_latency.get_us()),
                repair_until_us: cx.message_age.until_us(cx.now),
                deadline_us,
            }
        };
        let plans = sets.into_iter().map(plan).collect();
        Ok((key, props, plans))
    }

    /// Gives a get this node's own record and hints of the key.
    pub(crate) fn get_own(
        &mut self,
        cx: &mut Cx,
        Caller { operation, request }: Caller,
        result: Result<Holding, StorageFault>,
    ) {
        let Some(Operation::Get(get)) = self.by_id.get(&operation) else { return };
        let (key, n) = (get.key.clone(), get.props.n);
        let result = cx.noticed(&key, result);
        let doubt = result.as_ref().ok().and_then(|holding| cx.doubt(&key, n, holding));
        let record = result.as_ref().ok().and_then(|holding| holding.record.as_ref());
        let bytes = record.map_or(0, |stored| stored.record.bytes().len());
        if !self.hold_read(cx, operation, bytes) {
            return;
        }
        if let Some(Operation::Get(get)) = self.by_id.get_mut(&operation) {
            let (now_us, machine) = (cx.now.mono_us, &mut get.machine);
            match (result, doubt) {
                (Ok(holding), None) => machine.handle_record(now_us, request, merged(holding)),
                (Ok(holding), Some(why)) => {
                    machine.handle_unknown(now_us, request, merged(holding), why);
                }
                (Err(_), _) => machine.handle_failure(now_us, request),
            }
            self.drive(cx, operation);
        }
    }
}

impl Cx {
    /// Returns the owners of a partition, for keys with this N, that are not up.
    pub(crate) fn owners_away(&self, partition: Partition, n: u8) -> Vec<NodeId> {
        let Some(view) = &self.view else { return Vec::new() };
        let owners = view.owners(partition, n).into_iter();
        owners.filter(|node| !view.is_alive(*node)).collect()
    }

    /// Returns a node's name for people; its id if it is no member.
    pub(crate) fn name_of(&self, node: NodeId) -> String {
        let member = self.view.as_ref().and_then(|view| view.member(node));
        member.map_or_else(|| node.to_string(), |member| member.name.clone())
    }

    /// Sends the merge of all records to a replica that was behind. Nobody waits for its acknowledgement, so
    /// `Written` does in place of the bucket's durability.
    fn repair(
        &mut self,
        node: NodeId,
        stands_in_for: Option<NodeId>,
        key: &PlacedKey,
        record: EncodedRecord,
    ) {
        let durability = Durability::Written;
        let within = record.decode().map(|record| EncodedRecord::encode_within_limits(&record));
        // A merge that no replica may store stays apart until a client has reconciled siblings.
        if !matches!(within, Ok(Ok(_))) {
            return;
        }
        let own = node == self.config.me;
        match stands_in_for {
            Some(primary) => {
                self.count(Counter::ReadRepairsFallback);
                let targets = vec![primary];
                if own {
                    let record = StoredRecord { local: None, record };
                    let kept = (key.clone(), record);
                    return self.hold(HoldFor::Nobody, kept, &targets, durability);
                }
                let key = key.key.clone();
                let request = PeerRequest::Hint { key, record, targets, durability };
                self.call(node, Purpose::Nobody, request);
            }
            None if own => {
                let ticket = self.pending.apply(ApplyFor::Nobody);
                let record = StoredRecord { local: None, record };
                self.emit(Output::Apply { ticket, key: key.clone(), record, durability });
            }
            None => {
                let key = key.key.clone();
                let request = PeerRequest::Write { key, record, durability };
                self.call(node, Purpose::Nobody, request);
            }
        }
    }
}

//! Puts: checked, forwarded to an owner or minted here, then run by the coordinator's machine.

mod base;
mod operation;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use jedlik_coordinator::{Home, Needs, PutChain, PutChainOutput, Target, WritePlan};
use jedlik_handoff::Foreground;
use jedlik_membership::View;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientRequest, PutRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::escape::Escaped;
use jedlik_protocol::limits::VALUE_LIMIT_MAX_BYTES;
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{Context, Incarnation, Now, PlacedKey, Record, StoredRecord};
use jedlik_vclock::planted::{self, Bug};
use jedlik_vclock::{ActorId, Content};
use rand_core::Rng;

pub(crate) use self::base::Minting;
pub(crate) use self::operation::{PutOperation, WaitingPut};
use crate::Counter;
use crate::answer::{context, deadline_us, resolve, resolve_n};
use crate::io::{Holding, Output, StorageFault};
use crate::mint::{Held, Minted, mint};
use crate::pending::{Asker, Caller, HoldFor, OperationId, Purpose, Ticket};
use crate::reaper::remains;
use crate::replica::{Operation, Replica, SILENT_AFTER_US};

impl Replica {
    pub(crate) fn start_put(&mut self, now: Now, asker: Asker, request: PutRequest) {
        let (key, put) = match self.plan_put(now, asker, request) {
            Ok(planned) => planned,
            Err(failure) => return self.refuse(asker, failure),
        };
        let me = self.config.me;
        let Some(WritePlan { primaries, fallbacks, .. }) = put.plans.first() else { return };
        let living = |targets: &[Target]| targets.iter().any(|target| target.alive);
        let is_in = |targets: &[Target]| targets.iter().any(|target| target.node == me);
        let is_primary = put.plans.iter().any(|plan| is_in(&plan.primaries));
        let is_fallback = put.plans.iter().any(|plan| is_in(&plan.fallbacks));
        // A fallback coordinates what it was asked to by a node that found no better one, and what
        // nobody else can.
        let asked_to = matches!(asker, Asker::Peer(_)) || !living(primaries);
        if is_primary || (is_fallback && asked_to) {
            return self.coordinate_put(now, key, put);
        }
        if matches!(asker, Asker::Peer(_)) {
            let message = "this node is not in the key's preference list under its layout";
            return self.refuse(asker, Failure::new(ErrorCode::NotOwner, message));
        }
        let all = || primaries.iter().chain(fallbacks);
        let up = all().filter(|target| target.alive);
        let away = all().filter(|target| !target.alive);
        let owners = up.chain(away).map(|target| target.node).collect();
        let deadline_us = put.deadline_us();
        self.forward(now, asker, ClientRequest::Put(put.request), owners, deadline_us);
    }

    /// Coordinates here what was to be forwarded: this node's turn among those to be asked has come.
    pub(crate) fn start_put_here(&mut self, now: Now, asker: Asker, request: PutRequest) {
        match self.plan_put(now, asker, request) {
            Ok((key, put)) => self.coordinate_put(now, key, put),
            Err(failure) => self.refuse(asker, failure),
        }
    }

    fn coordinate_put(&mut self, now: Now, key: PlacedKey, put: WaitingPut) {
        self.count(Counter::Puts);
        let id = self.pending.operation();
        self.operations.insert(id, Operation::Waiting(Box::new(put)));
        self.drive(now, id);
        let waiting = self.minting.entry(key.clone()).or_default();
        waiting.puts.push(id);
        if waiting.puts.len() == 1 {
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
        check_least(&request, needs.answers, &props)?;
        let deadline_us = deadline_us(now.mono_us, request.timeout_ms)?;
        if request.ttl_ms == Some(0) {
            let message = "a time to live of 0 ms would be over before the put is answered: use at least \
                           1 ms, or none";
            return Err(Failure::new(ErrorCode::InvalidRequest, message));
        }
        if let Content::Value(value) = &request.content
            && value.len() > props.value_limit_bytes as usize
        {
            let (length, limit) = (value.len(), props.value_limit_bytes);
            let message = format!(
                "the value has {length} bytes, over the bucket's value_limit_bytes={limit}, which \
                 `jedlik-admin bucket set` raises up to {VALUE_LIMIT_MAX_BYTES}"
            );
            return Err(Failure::new(ErrorCode::ValueTooLarge, message));
        }
        let context = request.context.as_ref().map_or(Ok(Context::default()), |token| {
            Context::decode(token, self.config.cluster, &request.key)
        });
        let context =
            context.map_err(|error| Failure::new(ErrorCode::InvalidContext, format!("{error}")))?.0;
        let key = PlacedKey::new(self.config.cluster, view.partitions(), request.key.clone());
        let plans = self.plans_of_put(now, &view, &key, (n, needs), deadline_us);
        let started_us = now.mono_us;
        Ok((key, WaitingPut { asker, request, context, props, plans, started_us, deadline_us }))
    }

    /// What a put is to do in each owner set that counts, the newest first.
    fn plans_of_put(
        &self,
        now: Now,
        view: &View,
        key: &PlacedKey,
        (n, needs): (u8, Needs),
        deadline_us: u64,
    ) -> Vec<WritePlan> {
        let durability = view.bucket(key.key.bucket()).durability;
        let plan = |(primaries, fallbacks)| WritePlan {
            me: self.config.me,
            primaries,
            fallbacks,
            needs,
            durability,
            hedge_after_us: SILENT_AFTER_US.max(2 * self.usual_write.get_us()),
            send_until_us: self.ages.until_us(now),
            deadline_us,
        };
        self.owner_sets(view, key.partition, n).into_iter().map(plan).collect()
    }

    /// The layout is another: a put that waits for its record goes on under it.
    pub(crate) fn replan_waiting(&mut self, now: Now, put: WaitingPut) -> Option<WaitingPut> {
        let (asker, started_us, deadline_us) = (put.asker, put.started_us, put.deadline_us);
        match self.plan_put(now, asker, put.request) {
            Ok((_, mut put)) => {
                (put.started_us, put.deadline_us) = (started_us, deadline_us);
                put.plans.iter_mut().for_each(|plan| plan.deadline_us = deadline_us);
                Some(put)
            }
            Err(failure) => {
                self.refuse(asker, failure);
                None
            }
        }
    }

    /// The layout is another: what was minted and not answered is written under it, with the time that
    /// is left.
    pub(crate) fn restart_put(&mut self, now: Now, mut put: Box<PutOperation>) {
        if put.answered {
            return;
        }
        match self.plan_put(now, put.asker, put.request.clone()) {
            Ok((_, WaitingPut { mut plans, deadline_us, .. })) => {
                let left_us = put.started_us + (deadline_us - now.mono_us);
                plans.iter_mut().for_each(|plan| plan.deadline_us = left_us);
                put.machine = PutChain::new(now.mono_us, &plans);
                self.run(now, Operation::Put(put));
            }
            Err(failure) => self.refuse(put.asker, failure),
        }
    }

    /// What is held of a key is there: mints every put that waited for it, in order, each on top of
    /// those before it that are kept in the same place.
    pub(crate) fn mint_waiting(
        &mut self,
        now: Now,
        key: &PlacedKey,
        result: Result<Holding, StorageFault>,
    ) {
        match self.noticed(key, result) {
            Ok(holding) if self.lacks_base(key, &holding) => self.ask_for_base(now, key, holding),
            result => self.mint_on(now, key, &result),
        }
    }

    fn mint_on(&mut self, now: Now, key: &PlacedKey, holding: &Result<Holding, StorageFault>) {
        let waiting = self.minting.remove(key).unwrap_or_default();
        let mut places: Vec<(Home, Held)> = Vec::new();
        for id in waiting.puts {
            let Some(Operation::Waiting(put)) = self.operations.remove(&id) else { continue };
            self.sleep(id);
            let holding = match holding {
                Ok(holding) => holding,
                Err(fault) => {
                    self.refuse(put.asker, fault.clone().failure());
                    continue;
                }
            };
            let home = PutChain::home(&put.plans);
            let place = places.iter().position(|(other, _)| *other == home).unwrap_or_else(|| {
                places.push((home, Held::of(holding, home)));
                places.len() - 1
            });
            let held = &mut places[place].1;
            let drawn = ActorId(self.random.next_u64());
            let actor =
                if planted::on(Bug::OneActorPerNode) { ActorId(self.config.me.0) } else { drawn };
            let fresh = (self.config.incarnation, actor);
            match mint(held, &put.request, &put.context, &put.props, now, fresh) {
                Ok(minted) => {
                    let record = held.record.clone();
                    self.run_put(now, id, key, *put, minted, &record);
                }
                Err(failure) => self.refuse(put.asker, failure),
            }
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
        if let Some(due_us) = self.reap_due_us(now, &put, record) {
            self.background.reaper.notice(key, due_us);
        }
        let siblings = record.distinct().count();
        let operation = PutOperation {
            machine: PutChain::new(now.mono_us, &put.plans),
            asker: put.asker,
            context: context(record, self.config.cluster, &key.key),
            key: key.clone(),
            stored: minted.stored,
            write_id: put.request.write_id,
            siblings: u16::try_from(siblings).unwrap_or(u16::MAX),
            warning: siblings >= usize::from(put.props.sibling_warning),
            refusal: None,
            started_us: put.started_us,
            answered: false,
            home: PutChain::home(&put.plans),
            request: put.request,
        };
        self.operations.insert(id, Operation::Put(Box::new(operation)));
        self.drive(now, id);
    }

    /// From when on something of a record that is being written here may be forgotten.
    fn reap_due_us(&self, now: Now, put: &WaitingPut, record: &Record) -> Option<u64> {
        let soon_us = now.mono_us + self.config.tuning.message_life_us;
        if remains(record, now.judged_ms()).is_some() {
            return Some(soon_us);
        }
        let ttl_ms = put.request.ttl_ms.or(put.props.ttl_ms)?;
        Some(soon_us.saturating_add(ttl_ms.saturating_mul(1_000)))
    }

    pub(crate) fn drive_put(
        &mut self,
        now: Now,
        id: OperationId,
        mut put: Box<PutOperation>,
    ) -> (Option<Operation>, Option<u64>) {
        let me = self.config.me;
        while let Some(output) = put.machine.poll_output() {
            match output {
                PutChainOutput::Write { request, node, durability } if node == me => {
                    let caller = Caller { operation: id, request };
                    let ticket = self.pending.ticket(Ticket::Local { caller, durability });
                    let local = put.stored.local.filter(|_| put.home == Home::Record);
                    let record = StoredRecord { local, record: put.stored.record.clone() };
                    let key = put.key.clone();
                    self.emit(Output::Apply { ticket, key, record, durability });
                }
                PutChainOutput::Write { request, node, durability } => {
                    let purpose = Purpose::Operation(Caller { operation: id, request });
                    let (key, record) = (put.key.key.clone(), put.sent());
                    self.call(now, node, purpose, PeerRequest::Write { key, record, durability });
                }
                PutChainOutput::Hint { request, node, targets, durability } if node == me => {
                    let home = targets.first().map(|target| Home::Hint(*target));
                    let local = put.stored.local.filter(|_| Some(put.home) == home);
                    let record = StoredRecord { local, record: put.stored.record.clone() };
                    let kept = (put.key.clone(), record);
                    let caller = Caller { operation: id, request };
                    let whose = HoldFor::Own { caller, durability };
                    self.hold(now, whose, kept, &targets, durability);
                }
                PutChainOutput::Hint { request, node, targets, durability } => {
                    let purpose = Purpose::Operation(Caller { operation: id, request });
                    let (key, record) = (put.key.key.clone(), put.sent());
                    let hint = PeerRequest::Hint { key, record, targets, durability };
                    self.call(now, node, purpose, hint);
                }
                PutChainOutput::Answer(result) => {
                    put.answered = true;
                    self.observe(now, Foreground::Put, put.started_us);
                    let response = put.answer(result, |node| self.name_of(node));
                    self.answer(put.asker, response);
                }
                PutChainOutput::Hedged => self.count(Counter::PutHedges),
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

/// Refuses a put with fewer acknowledgements than owners are compared for where partitions move.
fn check_least(request: &PutRequest, answers: u8, props: &BucketProps) -> Result<(), Failure> {
    let least_w = props.least_w();
    if answers >= least_w {
        return Ok(());
    }
    let bucket = Escaped(request.key.bucket());
    let of_n = request.n.map(|n| format!(" of n={n}")).unwrap_or_default();
    let message = format!(
        "w={answers}{of_n} is below the bucket's min_w={least_w}: a move between nodes could leave such a put \
         behind; `jedlik-admin bucket set {bucket} min_w={answers}` allows it, and moves then wait for more of \
         the old owners"
    );
    Err(Failure::new(ErrorCode::InvalidRequest, message))
}

impl StorageFault {
    /// How a request that met it is refused.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Overloaded => Failure::new(
                ErrorCode::Overloaded,
                "the node's write buffer is full; try again in a moment",
            ),
            Self::Failed(why) => Failure::new(ErrorCode::Storage, why),
            Self::TooLarge(why) => Failure::new(ErrorCode::RecordTooLarge, why),
        }
    }
}

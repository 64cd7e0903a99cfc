//! Rounds of one key's puts: minted on one another and sent as one record.
//!
//! Invariant: all puts that waited before a round are minted in it, each on all that were taken before it: limits hold.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use jedlik_coordinator::{CoordinatorCopy, JointPut, Needs, WritePlan};
use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::Holding;
use jedlik_vclock::{ActorId, VectorClock};
use rand_core::Rng;

use super::operation::{Member, PutOperation, WaitingPut};
use super::refuse_put;
use crate::Counter;
use crate::answer::context;
use crate::collector::residue;
use crate::cx::{Cx, Fact};
use crate::io::StorageFault;
use crate::mint::{Held, Minted, mint};
use crate::operations::{Operation, Operations, SILENT_AFTER_US};
use crate::pending::OperationId;

/// Most puts of one key that wait at its coordinator.
const QUEUE_PUTS: usize = 512;
/// Bytes of waiting puts of one key past which no more are taken.
const QUEUE_BYTES: usize = 8 << 20;
/// Size in bytes from which on a record is given time to reach all replicas before the next one is sent. So
/// copies that wait for a slow replica do not pile up.
const LARGE_RECORD_BYTES: usize = 256 << 10;

/// Puts of one round that want the same of the replicas.
pub(super) struct Group {
    n: u8,
    needs: Needs,
    plans: Vec<WritePlan>,
    coordinator_copy: CoordinatorCopy,
    members: Vec<Member>,
}

impl Operations {
    /// Adds a put to its key's queue; refuses it if the queue is full.
    pub(super) fn coordinate_put(&mut self, cx: &mut Cx, put: WaitingPut) {
        let (key, bytes) = (put.key.clone(), put.bytes());
        let queue = self.queues.at(&key);
        if !queue.puts.is_empty()
            && (queue.puts.len() >= QUEUE_PUTS || queue.bytes + bytes > QUEUE_BYTES)
        {
            let (waiting, held) = (queue.puts.len(), queue.bytes);
            let message = format!(
                "{waiting} puts of this key with {held} bytes wait at the node that coordinates them, which is all \
                 that may; nothing was done, try again in a moment, or write to more keys than one"
            );
            let busy = Failure::new(ErrorCode::KeyBusy, message);
            return refuse_put(cx, put.asker, busy, put.elsewhere);
        }
        let id = cx.pending.operation();
        queue.puts.push(id);
        queue.bytes += bytes;
        cx.count(Counter::Puts);
        self.by_id.insert(id, Operation::Waiting(Box::new(put)));
        self.drive(cx, id);
        self.queues.begin_round(cx, &key);
    }

    /// Removes a put that no longer waits from its queue.
    pub(super) fn leave_queue(&mut self, cx: &mut Cx, id: OperationId, put: &WaitingPut) {
        if let Some(queue) = self.queues.get(&put.key)
            && queue.puts.contains(&id)
        {
            queue.puts.retain(|other| *other != id);
            queue.bytes -= put.bytes();
            self.queues.begin_round(cx, &put.key);
        }
    }

    /// Mints every put that waited for the key's record, in order, each on top of those before it that are kept in the
    /// same place. Asks the other owners first where the record lacks what they may have acknowledged.
    pub(crate) fn mint_waiting(
        &mut self,
        cx: &mut Cx,
        key: &PlacedKey,
        result: Result<Holding, StorageFault>,
    ) {
        let base = self.queues.get(key).and_then(|queue| queue.base.take());
        match (cx.noticed(key, result), base) {
            (Ok(own), Some(base)) => {
                let (holding, last) = base.under(own);
                self.mint_on(cx, key, &Ok(holding), Some(last));
            }
            (Ok(own), None) if self.lacks_base(cx, key, &own) => self.ask_for_base(cx, key, own),
            (result, _) => self.mint_on(cx, key, &result, None),
        }
    }

    /// Mints the waiting puts, up to the last one that `holding` is a base for.
    pub(super) fn mint_on(
        &mut self,
        cx: &mut Cx,
        key: &PlacedKey,
        holding: &Result<Holding, StorageFault>,
        last: Option<OperationId>,
    ) {
        let Some(queue) = self.queues.get(key) else { return };
        queue.loading = false;
        let puts = queue.take_up_to(last);
        let mut places: Vec<(CoordinatorCopy, Held)> = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut freed_bytes = 0;
        for id in puts {
            let Some(Operation::Waiting(put)) = self.end(id) else { continue };
            freed_bytes += put.bytes();
            match holding {
                Ok(holding) => self.mint_one(cx, *put, holding, (&mut places, &mut groups)),
                Err(fault) => {
                    refuse_put(cx, put.asker, fault.clone().failure(), put.elsewhere);
                }
            }
        }
        if let Some(queue) = self.queues.get(key) {
            queue.bytes -= freed_bytes;
        }
        for group in groups {
            let Some((_, held)) = places
                .iter()
                .find(|(coordinator_copy, _)| *coordinator_copy == group.coordinator_copy)
            else {
                continue;
            };
            let (stored, seen) = (held.stored(), held.record.clock().clone());
            self.send_round(cx, key, group, (stored, seen));
        }
        self.queues.begin_round(cx, key);
    }

    fn mint_one(
        &mut self,
        cx: &mut Cx,
        mut put: WaitingPut,
        holding: &Holding,
        (places, groups): (&mut Vec<(CoordinatorCopy, Held)>, &mut Vec<Group>),
    ) {
        let Some(view) = cx.view.clone() else { return };
        if put.started_us < cx.now.mono_us {
            // Other nodes may be up than when the put came, and the version is only made cx.now.
            let wants = (put.n, put.needs);
            put.plans = self.plans_of_put(cx, &view, &put.key, wants, put.deadline_us);
        }
        let coordinator_copy = JointPut::coordinator_copy(&put.plans);
        let place =
            places.iter().position(|(other, _)| *other == coordinator_copy).unwrap_or_else(|| {
                places.push((coordinator_copy, Held::of(holding, coordinator_copy)));
                places.len() - 1
            });
        // Each is later than those before it, wherever they are kept.
        let follows_ms = places.iter().filter_map(|(_, held)| held.newest_ms()).max();
        let held = &mut places[place].1;
        let mut stands_in = false;
        if put.mint_request(false, None).adds_to(&held.record)
            && let Some(first) = self.first_up(cx, &put)
        {
            stands_in = true;
            if put.passes_on {
                return self.pass_on(cx, put, first);
            }
        }
        let drawn = ActorId(cx.random.next_u64());
        let actor = if planted::on(Bug::OneActorPerNode) { ActorId(cx.config.me.0) } else { drawn };
        let fresh = (cx.config.incarnation, actor);
        match mint(held, put.mint_request(stands_in, follows_ms), cx.now, fresh) {
            Ok(minted) => {
                self.note_minted(cx, &put, held, minted);
                self.join(cx, groups, put, coordinator_copy, held);
            }
            Err(failure) => refuse_put(cx, put.asker, failure, put.elsewhere),
        }
    }

    /// Returns the first of the key's owners that is up, if that is another node. Puts that leave siblings
    /// are coordinated there, so that they wait in one queue and one node counts the siblings.
    fn first_up(&self, cx: &Cx, put: &WaitingPut) -> Option<NodeId> {
        let view = cx.view.as_ref()?;
        let lists = view.owner_lists(put.key.partition, put.n);
        let owners = lists.first()?.iter().take(usize::from(put.n));
        let first = owners.copied().find(|owner| view.is_alive(*owner))?;
        (first != cx.config.me).then_some(first)
    }

    fn pass_on(&mut self, cx: &mut Cx, put: WaitingPut, first: NodeId) {
        let owners = [first, cx.config.me].into();
        let request = ClientRequest::Put(put.request);
        self.forward(cx, put.asker, request, owners, put.deadline_us);
    }

    fn note_minted(&mut self, cx: &mut Cx, put: &WaitingPut, held: &Held, minted: Minted) {
        if minted.retried {
            cx.count(Counter::RetriedPuts);
        }
        for _ in 0..minted.truncated {
            cx.count(Counter::TruncatedEntries);
        }
        let soon_us = cx.now.mono_us + cx.config.tuning.message_life_us;
        let ttl_ms = put.request.ttl_ms.or(put.props.ttl_ms);
        // Time from which on something of the record may be forgotten.
        let due_us = if residue(&held.record, cx.now.judged_ms()).is_some() {
            Some(soon_us)
        } else {
            ttl_ms.map(|ttl_ms| soon_us.saturating_add(ttl_ms.saturating_mul(1_000)))
        };
        if let Some(due_us) = due_us {
            cx.tell(Fact::MayBeForgotten { key: put.key.clone(), due_us });
        }
    }

    /// Adds a minted put to the group that wants the same of the replicas.
    fn join(
        &self,
        cx: &Cx,
        groups: &mut Vec<Group>,
        put: WaitingPut,
        coordinator_copy: CoordinatorCopy,
        held: &Held,
    ) {
        let siblings = held.record.distinct().count();
        let member = Member {
            asker: put.asker,
            context: context(&held.record, cx.config.cluster, &put.key.key),
            siblings: u16::try_from(siblings).unwrap_or(u16::MAX),
            warning: siblings >= usize::from(put.props.sibling_warning),
            started_us: put.started_us,
            deadline_us: put.deadline_us,
            answered: false,
            request: put.request,
        };
        let (n, needs, plans) = (put.n, put.needs, put.plans);
        Group::add(groups, Group { n, needs, plans, coordinator_copy, members: [member].into() });
    }

    /// Sends the minted record of a group to its replicas.
    pub(super) fn send_round(
        &mut self,
        cx: &mut Cx,
        key: &PlacedKey,
        group: Group,
        (stored, seen): (StoredRecord, VectorClock),
    ) {
        let is_large = stored.record.bytes().len() >= LARGE_RECORD_BYTES;
        let holds_us = if is_large { SILENT_AFTER_US } else { 0 };
        self.retire(cx, key, &seen);
        let id = cx.pending.operation();
        let queue = self.queues.at(key);
        queue.open.push(id);
        queue.last.push(id);
        let operation = PutOperation {
            machine: JointPut::new(cx.now.mono_us, &group.plans),
            members: group.members,
            key: key.clone(),
            n: group.n,
            stored,
            seen,
            refusal: None,
            coordinator_copy: group.coordinator_copy,
            holds_until_us: cx.now.mono_us + holds_us,
        };
        self.by_id.insert(id, Operation::Put(Box::new(operation)));
        self.drive(cx, id);
    }

    /// Ends rounds that are answered and go on only for replicas that are behind: the record that is about to
    /// be sent has seen theirs, and goes to the same owners.
    fn retire(&mut self, cx: &mut Cx, key: &PlacedKey, seen: &VectorClock) {
        let Some(queue) = self.queues.get(key) else { return };
        let operations = &self.by_id;
        let is_outdone = |id: &OperationId| match operations.get(id) {
            Some(Operation::Put(put)) => put.is_answered() && seen.descends(&put.seen),
            _ => false,
        };
        let outdone: Vec<OperationId> =
            queue.last.iter().copied().filter(|id| is_outdone(id)).collect();
        queue.last.retain(|id| !outdone.contains(id));
        queue.open.retain(|id| !outdone.contains(id));
        for id in outdone {
            self.end(id);
            cx.pending.give_up_calls(id);
        }
    }
}

impl Group {
    /// Adds a group, or its puts to the group that wants the same.
    pub(super) fn add(groups: &mut Vec<Self>, one: Self) {
        let alike = |group: &&mut Self| {
            (group.n, group.needs, group.coordinator_copy)
                == (one.n, one.needs, one.coordinator_copy)
        };
        let Some(group) = groups.iter_mut().find(alike) else { return groups.push(one) };
        for (plan, other) in group.plans.iter_mut().zip(&one.plans) {
            plan.deadline_us = plan.deadline_us.max(other.deadline_us);
        }
        group.members.extend(one.members);
    }

    pub(super) fn of(put: WaitingPut, coordinator_copy: CoordinatorCopy, member: Member) -> Self {
        let WaitingPut { n, needs, plans, .. } = put;
        Self { n, needs, plans, coordinator_copy, members: [member].into() }
    }
}

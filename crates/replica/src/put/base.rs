//! The base of a put where this node's own record is not all that it should be.
//!
//! Invariant: in a bucket where the last write wins, a put follows what was acknowledged before it: a
//! coordinator that can't say what that is asks the other owners once the put has come, and reads its own
//! record after they have answered. Where nobody answers, the put is taken all the same.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::Reconcile;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{EncodedRecord, PlacedKey, StoredRecord};
use jedlik_storage_port::Holding;

use crate::cx::Cx;
use crate::io::Output;
use crate::local_copy::merged_in_order;
use crate::operations::Operations;
use crate::pending::{OperationId, Purpose};
use crate::reasons::LoadFor;

/// Other owners' records of a key, while they are asked for.
#[derive(Debug)]
pub(super) struct Base {
    theirs: Option<EncodedRecord>,
    left: Vec<NodeId>,
    /// Number of further answers by replicas with a vote that show all that was acknowledged; `None` while
    /// the key has several owner sets, which are all asked.
    voters_left: Option<usize>,
    /// Last of the puts that the base is for. What others acknowledge before a later put comes need not be in it.
    last: OperationId,
}

impl Base {
    fn is_whole(&self) -> bool {
        self.left.is_empty() || self.voters_left == Some(0)
    }

    /// Returns the base of the puts that came before the others were asked, and the last of these puts. This
    /// node's own record is as it is now: it has taken what was acknowledged while others were asked.
    pub(super) fn under(self, mut own: Holding) -> (Holding, OperationId) {
        let local = own.record.as_ref().and_then(|stored| stored.local);
        let records = own.record.take().map(|stored| stored.record).into_iter().chain(self.theirs);
        own.record = merged_in_order(records).map(|record| StoredRecord { local, record });
        (own, self.last)
    }
}

impl Operations {
    /// Returns whether a put of the key might be minted as if what others acknowledged had never been.
    pub(super) fn lacks_base(&self, cx: &Cx, key: &PlacedKey, holding: &Holding) -> bool {
        let Some(view) = &cx.view else { return false };
        let by_time = view.bucket(key.key.bucket()).reconcile == Reconcile::LastWriteWins;
        by_time && (holding.damaged || cx.is_refilling_key(key))
    }

    /// Asks the other owners for their records of the key, for the puts that wait; `own` is what this node holds.
    pub(super) fn ask_for_base(&mut self, cx: &mut Cx, key: &PlacedKey, own: Holding) {
        let Some(view) = cx.view.clone() else { return };
        let props = view.bucket(key.key.bucket());
        let mut left = view.owners(key.partition, props.n);
        left.retain(|node| *node != cx.config.me && view.is_alive(*node));
        let last = self.queues.get(key).and_then(|queue| queue.last());
        let Some(last) = last.filter(|_| !left.is_empty()) else {
            return self.mint_on(cx, key, &Ok(own), None);
        };
        let one_set = view.owner_lists(key.partition, props.n).len() == 1;
        let voters_left = one_set.then(|| usize::from(props.n + 1 - props.least_w().min(props.n)));
        if let Some(queue) = self.queues.get(key) {
            queue.base = Some(Base { theirs: None, left: left.clone(), voters_left, last });
        }
        for node in left {
            let request = PeerRequest::Read { key: key.key.clone(), known: None, n: props.n };
            cx.call(node, Purpose::Base(key.clone()), request);
        }
    }

    /// Takes another owner's answer into the base.
    pub(crate) fn handle_base(
        &mut self,
        cx: &mut Cx,
        from: NodeId,
        key: &PlacedKey,
        response: PeerResponse,
    ) {
        match response {
            PeerResponse::Read(record) => self.take_base(cx, from, key, record, true),
            PeerResponse::Unknown { record, .. } => self.take_base(cx, from, key, record, false),
            _ => self.take_base(cx, from, key, None, false),
        }
    }

    /// Goes on without another owner, which will not answer.
    pub(crate) fn handle_base_lost(&mut self, cx: &mut Cx, from: NodeId, key: &PlacedKey) {
        self.take_base(cx, from, key, None, false);
    }

    fn take_base(
        &mut self,
        cx: &mut Cx,
        from: NodeId,
        key: &PlacedKey,
        record: Option<EncodedRecord>,
        votes: bool,
    ) {
        let Some(queue) = self.queues.get(key) else { return };
        let Some(base) = queue.base.as_mut().filter(|base| base.left.contains(&from)) else {
            return;
        };
        base.left.retain(|node| *node != from);
        let records = base.theirs.take().into_iter().chain(record);
        base.theirs = merged_in_order(records);
        if votes {
            base.voters_left = base.voters_left.map(|left| left.saturating_sub(1));
        }
        if base.is_whole() {
            base.left.clear();
            let ticket = cx.pending.load(LoadFor::Mint(key.clone()));
            cx.emit(Output::Load { ticket, key: key.clone() });
        }
    }
}

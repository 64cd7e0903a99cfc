//! Which requests of peers are answered.
//!
//! Invariants: only members are answered, and of a member only the process that is taken for it. The layout
//! fence: a request made under an older layout than this replica's is refused. A request that would change
//! something is refused if it has been under way for longer than a message lives.

use alloc::format;
use alloc::sync::Arc;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::{ActiveLayout, View};
use jedlik_merkle::LEAF_BITS;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{ActiveLayouts, LayoutId, Stamp};

use crate::Counter;
use crate::cx::Cx;
use crate::io::Output;
use crate::serve::Arrival;

impl Cx {
    pub(crate) fn admit(
        &mut self,
        arrival: &Arrival,
        request: &PeerRequest,
    ) -> Result<Arc<View>, Failure> {
        self.unheeded(arrival, request).map_or(Ok(()), Err)?;
        let view = self.fence(arrival, request)?;
        if request.changes_state()
            && self.message_age.is_too_old(self.now, arrival.terms.receiver_clock)
        {
            self.count(Counter::TooOldMessages);
            let life_ms = self.config.tuning.message_life_us / 1_000;
            let message =
                format!("the message may have been under way for longer than {life_ms} ms");
            return Err(Failure::new(ErrorCode::TooOld, message));
        }
        let outside = |partition: Partition| partition.0 >= view.partitions().get();
        let leaves = 1 << LEAF_BITS;
        match request {
            PeerRequest::Scan { partition, .. }
            | PeerRequest::Hashes { partition, .. }
            | PeerRequest::Vote { partition, .. }
                if outside(*partition) =>
            {
                Err(no_such_partition(*partition))
            }
            PeerRequest::Digests { partition, first_leaf, last_leaf, .. }
            | PeerRequest::Fetch { partition, first_leaf, last_leaf, .. }
                if outside(*partition) || first_leaf > last_leaf || *last_leaf >= leaves =>
            {
                Err(no_such_partition(*partition))
            }
            _ => Ok(view),
        }
    }

    /// Returns why a node is not answered, if it has no place in the cluster. A node that is not known yet
    /// may be known in a moment, and asks again.
    pub(crate) fn stranger(&self, from: NodeId) -> Option<Failure> {
        let view = self.view.as_ref().filter(|view| !view.hears(from))?;
        if planted::on(Bug::RemovedNodeTakenBack) {
            return None;
        }
        Some(if view.is_barred(from) {
            let message = "the asker is no member of this cluster any more";
            Failure::new(ErrorCode::Forbidden, message)
        } else {
            let message = "this node does not know the asker as a member yet";
            Failure::new(ErrorCode::UnknownLayout, message)
        })
    }

    /// Refuses a peer's request without a word that it could use: not even this node's clock.
    pub(crate) fn turn_away(&mut self, reply: u64, failure: Failure) {
        let response = PeerResponse::Refused(failure);
        self.emit(Output::AnswerPeer { reply, stamp: Stamp::UNTOLD, response });
    }

    /// Refuses a request under another layout, and has the node that is behind told the newer one. Requests
    /// that only pass a client's request on, or inspect, are taken under any layout.
    pub(crate) fn fence(
        &mut self,
        arrival: &Arrival,
        request: &PeerRequest,
    ) -> Result<Arc<View>, Failure> {
        let layouts = &arrival.terms.layouts;
        let (theirs, ours) = (layouts.newest, self.layout());
        let missing = self.unknown_to(layouts);
        if theirs != ours || missing.is_some() {
            self.emit(Output::Behind { node: arrival.from });
        }
        let fenced = !matches!(request, PeerRequest::Forward(_) | PeerRequest::Inspect { .. });
        if theirs > ours && fenced {
            let message = format!("this node has layout {ours} and is waiting for {theirs}");
            return Err(Failure::new(ErrorCode::UnknownLayout, message));
        }
        let view = self.ready()?;
        if concludes(request) && !view.has_stored_layout() {
            let message = format!("this node has layout {ours} and has yet to store it");
            return Err(Failure::new(ErrorCode::UnknownLayout, message));
        }
        if let Some(missing) = missing.filter(|_| fenced && !planted::on(Bug::NoLayoutFence)) {
            self.count(Counter::StaleLayouts);
            let message =
                format!("the request was made under layout {theirs}; this node has {missing} too");
            return Err(Failure::new(ErrorCode::StaleLayout, message));
        }
        Ok(view)
    }

    /// Returns the newest active layout here that the sender does not reckon with. Partitions may have flipped under
    /// it, also under one that a rival of the same version has overruled, and then its owners have to be asked.
    pub(crate) fn unknown_to(&self, theirs: &ActiveLayouts) -> Option<LayoutId> {
        let mut ours = self.view.iter().flat_map(|view| view.layouts()).map(ActiveLayout::id);
        ours.find(|layout| !theirs.reckons_with(*layout))
    }
}

fn no_such_partition(partition: Partition) -> Failure {
    let message = format!("there is no partition {partition}, or no such leaf in it");
    Failure::new(ErrorCode::InvalidRequest, message)
}

/// Returns whether the sender concludes something lasting from the answer: that it holds all that this node
/// does, or that a tombstone may go. That takes a node which goes on refusing what is asked under older
/// layouts, after a crash, too.
fn concludes(request: &PeerRequest) -> bool {
    matches!(
        request,
        PeerRequest::Hashes { .. }
            | PeerRequest::Digests { .. }
            | PeerRequest::Fetch { .. }
            | PeerRequest::Compare { .. }
            | PeerRequest::Revise { .. }
    )
}

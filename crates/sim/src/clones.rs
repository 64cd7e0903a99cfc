//! Two processes of one node: where each is found, and admins who decide which one stays.
//!
//! Invariant: an admin decides for one of them, and does not change its mind once that one was told.

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::gossip::Rival;

use crate::breach::{Breach, Promise};
use crate::node::{address, at_address, id, index};
use crate::world::{Event, World};

/// An admin looks at a node that has found a rival within so long.
const DECIDED_WITHIN_US: u64 = 15_000_000;
/// How often an admin tries again that could not reach it.
const AGAIN_US: u64 = 1_000_000;

impl World {
    /// Which node the process at this place is.
    pub(crate) fn who(&self, slot: u8) -> NodeId {
        id(self.nodes[usize::from(slot)].identity)
    }

    /// Where a node's requests for another one go: to where that one's record says it listens.
    pub(crate) fn slot_known_to(&self, node: u8, to: NodeId) -> u8 {
        let running = self.nodes[usize::from(node)].running.as_ref();
        let view = running.map(|running| running.membership.view());
        let record = view.as_ref().and_then(|view| view.member(to));
        record.map_or(index(to), |record| at_address(record.address))
    }

    /// The place of the process that is this node, or that has stayed.
    pub(crate) fn seat_of(&self, identity: u8) -> u8 {
        let ended = self.nodes[usize::from(identity)].over;
        let clone =
            self.nodes.iter().find(|place| place.index != identity && place.identity == identity);
        clone.filter(|clone| ended && clone.begun).map_or(identity, |clone| clone.index)
    }

    /// The other process of a node, if one has ever run.
    fn other_of(&self, slot: u8) -> Option<u8> {
        let identity = self.nodes[usize::from(slot)].identity;
        let other = |place: &&crate::node::Node| {
            place.index != slot && place.identity == identity && place.begun && !place.over
        };
        self.nodes.iter().find(other).map(|place| place.index)
    }

    /// Whether two processes of a node may answer, each of what it was given itself.
    pub(crate) fn runs_twice(&self) -> bool {
        let original = |clone: &crate::node::Node| &self.nodes[usize::from(clone.identity)];
        self.nodes.iter().any(|place| {
            place.index != place.identity && place.begun && !place.over && !original(place).over
        })
    }

    /// A copy of a node's directory is started at another address. Whichever of the two ends, what it has
    /// acknowledged is lost.
    pub(crate) fn begin_clone(&mut self, node: u8) {
        let slot = self.plan.setting.places();
        let original = &self.nodes[usize::from(node)];
        if original.over || original.removed || self.nodes[usize::from(slot)].begun {
            return;
        }
        self.damage.destroyed = true;
        let copy = original.copied();
        self.nodes[usize::from(slot)].become_copy(copy);
        self.start(slot);
    }

    /// Whether a process that has yet to hear of the other one may have answered by itself what it holds, though that was
    /// deleted and forgotten since: where R is 1 it asks nobody who could tell it.
    pub(crate) fn answers_alone(&self, r: u8) -> bool {
        r == 1 && self.nodes.iter().any(|clone| clone.begun && clone.index != clone.identity)
    }

    /// An admin has decided for this process. What it holds is set aside if the others have done without it for long.
    pub(crate) fn prevail(&mut self, node: u8, outlived: bool) {
        let place = &mut self.nodes[usize::from(node)];
        place.papers.prevail();
        if !outlived {
            return self.stop(node);
        }
        place.ended();
        place.disk.set_aside();
        self.hang_up(node, 10_000);
        self.after(1_000, Event::Start { node });
    }

    /// What a node takes to carry out is no put if its directory says that another process runs, or did: what that one
    /// acknowledges goes when an admin decides for the other.
    pub(crate) fn check_taken(&mut self, node: u8, request: &ClientRequest) {
        let place = &self.nodes[usize::from(node)];
        if matches!(request, ClientRequest::Put(_)) && place.papers.is_disputed() {
            let what = format!("n{} knows of another one", place.identity + 1);
            let breach = Breach { promise: Promise::Undisputed, key: None, what };
            self.breach.get_or_insert(breach);
        }
    }

    /// Another process of this node runs, or did: an admin is called.
    pub(crate) fn dispute(&mut self, node: u8, rival: Rival) {
        self.nodes[usize::from(node)].papers.note_rival(rival);
        self.call_admin(node);
    }

    /// An admin is called where a directory says that there is a rival: a copy may say so that was made before an
    /// earlier call ended in a decision.
    pub(crate) fn call_admin(&mut self, node: u8) {
        if self.nodes[usize::from(node)].papers.is_disputed() {
            let after_us = self.chances.admins.below(DECIDED_WITHIN_US);
            self.after(after_us, Event::Decide { node });
        }
    }

    /// Whether an admin who is for this process stays so: it was told, or can be. One whose disk was lost before that knows of no
    /// rival any more, and an admin who asks it is refused.
    fn may_stay(&self, slot: u8) -> bool {
        self.admins.has_kept || self.nodes[usize::from(slot)].papers.is_disputed()
    }

    /// An admin decides for this process, if there is still something to be decided, and not for the other.
    pub(crate) fn decide(&mut self, node: u8) {
        let place = &self.nodes[usize::from(node)];
        if place.over || !place.papers.is_disputed() {
            return;
        }
        let mine = place.identity;
        let up = place.running.as_ref().is_some_and(|running| !running.stopping);
        let reached = up && place.pauses == 0;
        let stays = match (self.other_of(node), self.admins.kept) {
            (Some(_), Some((of, slot))) if of == mine && self.may_stay(slot) => slot,
            (Some(other), _) => {
                let slot = self.chances.admins.pick(&[node, other]);
                self.admins.kept = Some((mine, slot));
                slot
            }
            (None, _) => node,
        };
        if reached && stays == node {
            let keep = AdminRequest::Keep { address: address(node) };
            let kept = self.admin(node, &keep);
            self.admins.has_kept |= kept.is_ok();
            self.say(node, || format!("ADMIN: it stays: {kept:?}"));
        }
        self.after(AGAIN_US, Event::Decide { node });
    }
}

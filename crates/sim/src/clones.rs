//! Two processes of one node: the places where they are found, and admins who decide which one stays.
//!
//! Invariant: an admin decides for one of them, and does not change that once the process was told.

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::gossip::Rival;

use crate::breach::{Breach, Promise};
use crate::node::{Running, address, at_address, id, index};
use crate::world::{Event, World};

/// Time within which an admin attends to a node that has found a rival.
const DECIDED_WITHIN_US: u64 = 15_000_000;
/// Time after which an admin tries again, until nothing is left to be decided.
const AGAIN_US: u64 = 1_000_000;

impl World {
    /// Returns the identity of the process at this place.
    pub(crate) fn who(&self, slot: u8) -> NodeId {
        id(self.nodes[usize::from(slot)].identity)
    }

    /// Returns the place to which a node's requests for another one go: where that one's record says it listens.
    pub(crate) fn slot_known_to(&self, node: u8, to: NodeId) -> u8 {
        let running = self.nodes[usize::from(node)].running.as_ref();
        let view = running.map(|running| running.membership.view());
        let record = view.as_ref().and_then(|view| view.member(to));
        record.map_or(index(to), |record| at_address(record.address))
    }

    /// Returns the place of an identity's process; if the original has ended, that of the clone.
    pub(crate) fn seat_of(&self, identity: u8) -> u8 {
        let ended = self.nodes[usize::from(identity)].over;
        let clone =
            self.nodes.iter().find(|place| place.index != identity && place.identity == identity);
        clone.filter(|clone| ended && clone.begun).map_or(identity, |clone| clone.index)
    }

    /// Returns the place of the identity's other process, if one has run and not ended for good.
    fn other_of(&self, slot: u8) -> Option<u8> {
        let identity = self.nodes[usize::from(slot)].identity;
        let other = |place: &&crate::node::Node| {
            place.index != slot && place.identity == identity && place.begun && !place.over
        };
        self.nodes.iter().find(other).map(|place| place.index)
    }

    /// Whether two processes of one identity may both answer, each from its own data.
    pub(crate) fn runs_twice(&self) -> bool {
        let original = |clone: &crate::node::Node| &self.nodes[usize::from(clone.identity)];
        self.nodes.iter().any(|place| {
            place.index != place.identity && place.begun && !place.over && !original(place).over
        })
    }

    /// Returns the number of the first write that was begun when all nodes, and both processes of one node, knew that it
    /// runs twice; `None` if some do not. Neither process's word counts then, so that later writes are where gets look.
    pub(crate) fn since_all_know_of_the_clone(&mut self) -> Option<usize> {
        let victim = id(self.plan.setting.victim);
        let knows = |running: &Running| running.membership.view().rival(victim).is_some();
        let all_know = || self.nodes.iter().filter_map(|place| place.running.as_ref()).all(knows);
        if !self.runs_twice() || !all_know() {
            self.damage.twice_since = None;
        } else if self.damage.twice_since.is_none() {
            self.damage.twice_since = Some(self.history.writes_begun());
        }
        self.damage.twice_since
    }

    /// Starts a copy of a node's directory at another address. Whichever of the two processes ends, the writes that it
    /// has acknowledged are lost.
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

    /// Whether a process that has yet to learn of the other one may have answered alone with data that was deleted and
    /// forgotten since: with R of 1 it asks no node that could tell.
    pub(crate) fn answers_alone(&self, r: u8) -> bool {
        r == 1 && self.nodes.iter().any(|clone| clone.begun && clone.index != clone.identity)
    }

    /// Carries out an admin's decision for this process. Its data is set aside if the others have done without it for
    /// long.
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

    /// Checks that a node takes no put to carry out while its directory names a rival process: writes that it
    /// acknowledges are lost if an admin decides for the other.
    pub(crate) fn check_taken(&mut self, node: u8, request: &ClientRequest) {
        let place = &self.nodes[usize::from(node)];
        if matches!(request, ClientRequest::Put(_)) && place.papers.is_disputed() {
            let what = format!("n{} knows of another one", place.identity + 1);
            let breach = Breach { promise: Promise::Undisputed, key: None, what };
            self.breach.get_or_insert(breach);
        }
    }

    /// Notes that another process of this node runs or ran, and calls an admin.
    pub(crate) fn dispute(&mut self, node: u8, rival: Rival) {
        self.nodes[usize::from(node)].papers.note_rival(rival);
        self.call_admin(node);
    }

    /// Calls an admin if the node's directory names a rival. A copy may name one from before an earlier call ended in a
    /// decision.
    pub(crate) fn call_admin(&mut self, node: u8) {
        if self.nodes[usize::from(node)].papers.is_disputed() {
            let after_us = self.chances.admins.below(DECIDED_WITHIN_US);
            self.after(after_us, Event::Decide { node });
        }
    }

    /// Whether an admin's choice of this process still stands: the process was told, or can be. If its disk was lost
    /// before that, it knows of no rival any more and refuses.
    fn may_stay(&self, slot: u8) -> bool {
        self.admins.has_kept || self.nodes[usize::from(slot)].papers.is_disputed()
    }

    /// Decides between the node's two processes, if that is still open, and tells the chosen one.
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

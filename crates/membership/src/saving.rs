//! States that are handed out to be saved, and what this node tells only once its disk has it.
//!
//! Invariant: this node's record names a layout, and what is ready under it, and a departure notice is answered, only
//! after a state that holds them was saved. Everything else is told at once: others have it from a node that still
//! has it, or it is about this process, and a node that forgets it is one that has not heard of it yet.

use jedlik_protocol::gossip::{Delta, Ready, Status};
use jedlik_protocol::{LayoutId, Now};

use crate::Membership;
use crate::machine::NodePhase;
use crate::output::Output;

/// States that were handed out to be saved.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Saving {
    /// Number of the state that was handed out last, from 1; 0 if none was.
    handed: u64,
    /// Newest state that is on disk.
    saved: u64,
    /// First state that holds the layout in force, while that is not on disk.
    layout: Option<(u64, LayoutId)>,
    /// First state that holds the newest departure notice of another node.
    departure: u64,
}

impl Saving {
    /// Notes that a member has said that it has left, which no state holds yet.
    pub(crate) fn note_departure(&mut self) {
        self.departure = self.handed + 1;
    }

    /// Whether every known departure notice is on disk.
    pub(crate) fn has_departures(&self) -> bool {
        self.saved >= self.departure
    }
}

impl Membership {
    /// Learns that a state which was handed out is on disk, or a later one in its place.
    pub fn handle_saved(&mut self, now: Now, state: u64) {
        let saving = &mut self.saving;
        saving.saved = saving.saved.max(state);
        let newest = self.known.history().newest_id();
        let is_new = |(first, id): &mut (u64, LayoutId)| *first <= saving.saved && *id == newest;
        let has_layout = saving.layout.take_if(is_new).is_some();
        // The record of a node that has left goes on naming the layout under which it knew that all had moved.
        let speaks = self.phase != NodePhase::Fenced && self.config.me.status != Status::Left;
        if has_layout && speaks {
            self.rewrite(|me| {
                me.layout = newest;
                me.ready = Ready { layout: newest, ..Ready::default() };
            });
            self.flip_all();
            self.spread(now);
        }
        self.settle();
    }

    /// Whether a node that has left waits for an answer until its departure notice is on disk here.
    #[must_use]
    pub fn owes_answers(&self) -> bool {
        !self.saving.has_departures()
    }

    /// Whether this node's record names the layout in force.
    pub(crate) fn has_stored_layout(&self) -> bool {
        self.config.me.layout == self.known.history().newest_id()
    }

    /// Hands out all that is known, to be saved.
    pub(crate) fn hand_out(&mut self) {
        let has_stored = self.has_stored_layout();
        let newest = self.known.history().newest_id();
        let saving = &mut self.saving;
        saving.handed += 1;
        let state = saving.handed;
        if !has_stored && saving.layout.is_none_or(|(_, id)| id != newest) {
            saving.layout = Some((state, newest));
        }
        let whole = self.to_be_stored();
        self.outputs.push_back(Output::Persist { state, whole });
    }

    /// Returns all that is known, except that this node has left before others know it too.
    pub(crate) fn to_be_stored(&self) -> Delta {
        let mut whole = self.known.whole();
        if self.is_departure_owed() {
            let mine = whole.members.iter_mut().filter(|record| record.node == self.config.me.node);
            mine.for_each(|record| record.status = Status::Away);
        }
        whole
    }
}

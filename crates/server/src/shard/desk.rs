//! Desk of one shard, as the rest of the node has it: mail is left in its inbox, and whoever left it sees to it that the
//! shard's work is done, at the shard's seat or by its thread.

use crate::clock::AgreedClock;
use crate::inbox::Inbox;

use super::seat::Seat;
use super::visit::Visit;

/// Desk of one shard; clones share it.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) inbox: Inbox,
    pub(super) seat: Seat,
}

impl Desk {
    /// Makes a desk whose seat nobody has taken yet.
    pub(crate) fn new(inbox: Inbox) -> Self {
        Self { inbox, seat: Seat::default() }
    }

    /// Sees to it that mail which was left is dealt with: `here`, as far as that takes no waiting, or by the shard's
    /// thread.
    pub(crate) fn attend(&self, here: bool) {
        if !self.inbox.take_left() {
            return;
        }
        if here { self.visit() } else { self.inbox.call() }
    }

    /// Keeps the timers that visitors have set.
    pub(crate) async fn keep_time(self, clock: AgreedClock) {
        loop {
            self.seat.timer(&clock).await;
            self.visit();
        }
    }

    /// Does what is to do without waiting, and calls the shard's thread for the rest.
    fn visit(&self) {
        match self.seat.visit() {
            Some(Visit::Done(due_us)) => self.seat.remember(due_us),
            // Whoever is at work may have seen that there was nothing more just before.
            Some(Visit::Unfinished) | None => self.inbox.call(),
        }
    }
}

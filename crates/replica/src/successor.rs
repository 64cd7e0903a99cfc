//! A replica in the place of one whose storage has ended, within the same process.
//!
//! Invariant: no answer to what was asked of peers or of storage before is taken for an answer to what is asked now.

use jedlik_planted::{self as planted, Bug};

use crate::{Config, Replica};

impl Replica {
    /// Creates a replica in the place of this one. It knows nothing that this one knew of records; its ids go
    /// on where these end, and it keeps the clocks that this one has heard of peers.
    #[must_use]
    pub fn successor(self, config: Config) -> Self {
        let life_before = self.cx.config.incarnation;
        let mut next = Self::new(config);
        if planted::on(Bug::ActorKeptAcrossReopening) {
            next.cx.config.incarnation = life_before;
        }
        next.cx.pending.continue_after(&self.cx.pending);
        next.cx.message_age = self.cx.message_age;
        next
    }
}

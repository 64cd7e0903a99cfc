//! The operations' timers.
//!
//! Invariant: at most one timer an operation, so that a finished request leaves nothing behind.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::pending::OperationId;

/// Operations' timers, in the order of their times.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(u64, OperationId)>,
    by_machine: BTreeMap<OperationId, u64>,
}

impl Timers {
    /// Sets an operation's timer, or cancels it.
    pub(crate) fn set(&mut self, id: OperationId, at_us: Option<u64>) {
        if self.by_machine.get(&id).copied() == at_us {
            return;
        }
        if let Some(old_us) = self.by_machine.remove(&id) {
            self.by_time.remove(&(old_us, id));
        }
        if let Some(at_us) = at_us {
            self.by_machine.insert(id, at_us);
            self.by_time.insert((at_us, id));
        }
    }

    /// Takes out the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now_us: u64) -> Option<OperationId> {
        let (_, id) = self.by_time.first().copied().filter(|(at_us, _)| *at_us <= now_us)?;
        self.set(id, None);
        Some(id)
    }

    /// Returns the time of the earliest timer, in microseconds.
    pub(crate) fn next(&self) -> Option<u64> {
        self.by_time.first().map(|(at_us, _)| *at_us)
    }
}

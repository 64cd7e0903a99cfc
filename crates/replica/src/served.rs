//! Requests for whose sake something is done: what a driver asks that follows a request on its way.
//!
//! Invariant: nothing here changes anything; what the background does serves nobody.

use crate::operations::Operation;
use crate::pending::{Asker, HoldFor, OperationId, Purpose};
use crate::reasons::{ApplyFor, LoadFor};
use crate::replica::Replica;

/// Party for which something is done.
enum Served {
    Operation(OperationId),
    Reply(u64),
}

impl Replica {
    /// Returns the handle of a request for whose sake a call to a peer, a read or a write goes on that has this id or
    /// ticket. Puts of one key may be written together: of several requests it is the first that is `wanted`.
    pub fn served_by(&self, id: u64, wanted: impl Fn(u64) -> bool) -> Option<u64> {
        match self.served(id)? {
            Served::Reply(reply) => Some(reply).filter(|reply| wanted(*reply)),
            Served::Operation(id) => {
                let operation = self.operations.by_id.get(&id)?;
                let handle = |asker| match asker {
                    Asker::Client(reply) | Asker::Peer(reply) => reply,
                };
                operation.askers().map(handle).find(|reply| wanted(*reply))
            }
        }
    }

    /// Whether a call to a peer that has this id waits for its answer.
    #[must_use]
    pub fn awaits(&self, id: u64) -> bool {
        self.cx.pending.purpose_of(id).is_some()
    }

    fn served(&self, id: u64) -> Option<Served> {
        let pending = &self.cx.pending;
        if let Some(purpose) = pending.purpose_of(id) {
            return match purpose {
                Purpose::Operation(caller) => Some(Served::Operation(caller.operation)),
                _ => None,
            };
        }
        if let Some(load) = pending.load_of(id) {
            return match load {
                LoadFor::Get(caller) => Some(Served::Operation(caller.operation)),
                LoadFor::ServeRead { reply, .. } => Some(Served::Reply(*reply)),
                _ => None,
            };
        }
        match pending.apply_of(id)? {
            ApplyFor::Put { caller, .. } => Some(Served::Operation(caller.operation)),
            ApplyFor::Serve { reply, .. } => Some(Served::Reply(*reply)),
            ApplyFor::Hold { group } => match pending.hold_of(*group)? {
                HoldFor::Peer { reply } => Some(Served::Reply(reply)),
                HoldFor::Own { caller, .. } => Some(Served::Operation(caller.operation)),
                HoldFor::Page { .. } | HoldFor::Recall(_) | HoldFor::Nobody => None,
            },
            _ => None,
        }
    }
}

impl Operation {
    /// Returns the askers of an operation, answered ones too.
    fn askers(&self) -> impl Iterator<Item = Asker> {
        let (one, several) = match self {
            Self::Waiting(put) => (Some(put.asker()), None),
            Self::Put(put) => (None, Some(put.askers())),
            Self::Get(get) => (Some(get.asker), None),
            Self::Scan(scan) => (Some(scan.asker), None),
            Self::Forward(forward) => (Some(forward.asker()), None),
            Self::Explain(explain) => (Some(explain.asker()), None),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }
}

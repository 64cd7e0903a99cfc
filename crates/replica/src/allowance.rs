//! What a node may do of its own accord, as far as its directory goes.
//!
//! Invariant: a node that does not know what others remember of it gives nobody what it holds unless it is asked.

use jedlik_membership::{Past, View};
use jedlik_protocol::admin::WorkKind;

/// How much background work is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// All of it.
    Everything,
    /// The node would forget the layout in force in a crash: it lets nobody draw lasting conclusions from what it holds
    /// under it, itself included.
    HandOff,
    /// Others may remember a life of which the directory lacks a part, or one of another process: what is in it may
    /// have been deleted since, and the delete been collected.
    Nothing,
}

impl May {
    /// What is allowed under this view.
    pub(crate) fn under(view: &View) -> Self {
        match view.past() {
            Past::Unconfirmed => Self::Nothing,
            Past::Lost | Past::Continuous if view.has_stored_layout() => Self::Everything,
            Past::Lost | Past::Continuous => Self::HandOff,
        }
    }

    /// Whether this kind of work is allowed.
    pub(crate) fn includes(self, kind: WorkKind) -> bool {
        match self {
            Self::Everything => true,
            Self::HandOff => kind == WorkKind::Handoff,
            Self::Nothing => false,
        }
    }
}

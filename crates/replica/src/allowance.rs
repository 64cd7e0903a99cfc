//! Background work that a node may do, as far as the state of its directory allows.
//!
//! Invariant: a node that does not know what others remember of it gives nobody what it holds unless it is asked.

use jedlik_membership::{Past, View};
use jedlik_protocol::admin::WorkKind;

/// Extent of the background work that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// All background work is allowed.
    Everything,
    /// Only handoff is allowed: the node would forget the layout in force in a crash. Nobody may draw lasting
    /// conclusions from what it holds under that layout, itself included.
    HandOff,
    /// No background work is allowed: others may remember a life of which the directory lacks a part, or one
    /// of another process. What it holds may have been deleted since, and the tombstone been collected.
    Nothing,
}

impl May {
    /// Returns the work that is allowed under this view.
    pub(crate) fn under(view: &View) -> Self {
        match view.past() {
            Past::Unconfirmed => Self::Nothing,
            Past::Lost | Past::Continuous if view.has_stored_layout() => Self::Everything,
            Past::Lost | Past::Continuous => Self::HandOff,
        }
    }

    /// Returns whether this kind of work is allowed.
    pub(crate) fn includes(self, kind: WorkKind) -> bool {
        match self {
            Self::Everything => true,
            Self::HandOff => kind == WorkKind::Handoff,
            Self::Nothing => false,
        }
    }
}

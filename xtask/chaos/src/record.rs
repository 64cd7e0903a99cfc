//! What clients asked and were told, one event each.

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Read.
    Get,
    /// Write a value that names this write; after what the session's last get of the key showed, or blind.
    Put {
        /// Its number among all writes of the run.
        write: u64,
        /// Whether it has that get's context.
        follows: bool,
    },
    /// Delete what the session's last get of the key showed.
    Delete {
        /// Its number among all writes of the run.
        write: u64,
    },
}

impl Asked {
    /// To count it under.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
        }
    }
}

/// What a version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// The value of the write with this number.
    Write(u64),
    /// A delete.
    Tombstone,
    /// Nothing that a session of this run has written.
    Foreign,
}

/// A get's answer, as far as it is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Each version's tag, and what it holds.
    pub(crate) versions: Vec<(u64, Held)>,
    /// How many primaries had answered.
    pub(crate) primaries: u8,
    /// The context's clock was as long as it may get.
    pub(crate) truncated: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A get's answer.
    Got(Shown),
    /// A write was acknowledged.
    Stored {
        /// By how many nodes that keep it for themselves.
        primaries: u8,
    },
    /// It failed.
    Failed {
        /// A short name of the reason.
        kind: &'static str,
        /// A write may have been done all the same.
        maybe_applied: bool,
    },
}

/// One request with its outcome. Times are in microseconds since the run's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) session: u16,
    pub(crate) key: u16,
    pub(crate) start_us: u64,
    pub(crate) end_us: u64,
    pub(crate) asked: Asked,
    pub(crate) outcome: Outcome,
    /// The membership rested from start to end.
    pub(crate) at_rest: bool,
}

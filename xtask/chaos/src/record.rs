//! The requests of clients and their outcomes, an event each.

/// Request of a session, with what identifies a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Get of the key.
    Get,
    /// Put of a value that names this write; with the context of the session's last get of the key, or blind.
    Put {
        /// Number of the write among all writes of the run.
        write: u64,
        /// Whether the put has the context of the session's last get.
        follows: bool,
    },
    /// Delete of the versions that the session's last get of the key returned.
    Delete {
        /// Number of the write among all writes of the run.
        write: u64,
    },
}

impl Asked {
    /// Returns the name under which the request is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
        }
    }
}

/// Content of a version, as far as it can be identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Value of the write with this number.
    Write(u64),
    /// Tombstone of any delete.
    Tombstone,
    /// Value that no session of this run has written.
    Foreign,
}

/// Answer to a get, as far as it is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Tag and content of each version.
    pub(crate) versions: Vec<(u64, Held)>,
    /// Number of primaries that had answered.
    pub(crate) primaries: u8,
    /// Whether the context's clock is as long as it may get, so that entries may be missing.
    pub(crate) truncated: bool,
}

/// Outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answer of a get.
    Got(Shown),
    /// Acknowledgement of a write.
    Stored {
        /// Number of acknowledging nodes that keep the write as primaries.
        primaries: u8,
    },
    /// Failure of the request.
    Failed {
        /// Short name of the reason.
        kind: &'static str,
        /// Whether a write may have been applied all the same.
        maybe_applied: bool,
    },
}

/// Request with its outcome. Times are in microseconds since the run's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) session: u16,
    pub(crate) key: u16,
    pub(crate) start_us: u64,
    pub(crate) end_us: u64,
    pub(crate) asked: Asked,
    pub(crate) outcome: Outcome,
    /// Whether the membership rested from start to end.
    pub(crate) at_rest: bool,
}

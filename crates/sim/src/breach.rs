//! Promises of a cluster, and their breaches.

use core::fmt;

/// Promise that a run checks ([design 7](../../../docs/design.md#7-what-must-always-hold)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// At rest, every acknowledged write is there, or a version that has seen it.
    NothingLost,
    /// The very next get with R + W > N returns every acknowledged write, or a version that has seen it.
    NextGet,
    /// The very next scan returns every acknowledged write, or a version that has seen it.
    ScanWhole,
    /// A get finds a key absent only if as many primaries as it asks for say so.
    AbsentIsKnown,
    /// No version is a sibling of one that has seen it.
    NoAncestors,
    /// At rest, all owners of a key hold the same bytes.
    OwnersAgree,
    /// At rest, every node has the same layout and bucket properties.
    OneLayout,
    /// At rest, every partition has moved to the owners of the newest layout.
    MovesEnd,
    /// At rest, no node has a record that it does not own.
    NoUnowned,
    /// A range is dropped only once every member knows the layout and the present owners hold it.
    RangeKept,
    /// A request made under an older layout than the receiver's is refused.
    Fenced,
    /// A removed node serves no request, and one that was to leave has stopped.
    GoneStayGone,
    /// A version that a delete had seen is not returned after the delete.
    DeletedStaysDeleted,
    /// A get returns only versions that a client wrote.
    OnlyWhatWasWritten,
    /// One dot names one write, by the actor rule.
    OneDotOneWrite,
    /// In a bucket where the last write wins, a version is later than all that it had seen.
    LaterThanSeen,
    /// At rest, every request is answered.
    Available,
    /// Puts and gets succeed with whatever nodes are left.
    AlwaysWriteable,
    /// A hint stays until its target has its contents on disk.
    HintKept,
    /// At rest, no hint is left.
    HintsDrain,
    /// At rest, every replica that had lost its past has earned its votes back.
    VotesComeBack,
    /// At rest, nothing is left of deleted and expired keys.
    DeadAreForgotten,
    /// A dead record is collected only once no disk has any version that it had seen.
    NothingOlderLeft,
    /// A complete hash tree matches the records.
    TreesAreTrue,
    /// Frames that a node sends can be read by another.
    Readable,
    /// A node that knows of another process under its identity takes no puts.
    Undisputed,
    /// Conversations end: nodes with no news for one another fall silent.
    Quiet,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingLost => "an acknowledged write is lost",
            Self::NextGet => "an acknowledged write is missing from the next get",
            Self::ScanWhole => "a scan leaves out what a get would show",
            Self::AbsentIsKnown => "a key is said to be absent by who would not know",
            Self::NoAncestors => "a sibling is an ancestor of another",
            Self::OwnersAgree => "owners differ at rest",
            Self::OneLayout => "nodes differ about the cluster at rest",
            Self::MovesEnd => "data still moves at rest",
            Self::NoUnowned => "records are left with a node that does not own them",
            Self::RangeKept => "a range is dropped too early",
            Self::Fenced => "a request under an older layout is carried out",
            Self::GoneStayGone => "a node that is gone still runs",
            Self::DeletedStaysDeleted => "deleted data came back",
            Self::OnlyWhatWasWritten => "a version came from nowhere",
            Self::OneDotOneWrite => "a dot names two writes",
            Self::LaterThanSeen => "a version is no later than what it had seen",
            Self::Available => "a request fails at rest",
            Self::AlwaysWriteable => "a request fails while nodes are left for it",
            Self::HintKept => "a hint is dropped before its target has synced it",
            Self::HintsDrain => "hints are left at rest",
            Self::VotesComeBack => "a replica still has no vote at rest",
            Self::DeadAreForgotten => "a dead record is left at rest",
            Self::NothingOlderLeft => "a dead record is forgotten before what it had seen",
            Self::TreesAreTrue => "a tree does not say what the records do",
            Self::Readable => "a frame can't be read",
            Self::Undisputed => "one of two processes of a node takes a put",
            Self::Quiet => "nodes talk without end",
        })
    }
}

/// Breach of a promise, with which a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Promise that was broken.
    pub promise: Promise,
    /// Key that the breach is about, if it is about one.
    pub key: Option<u8>,
    /// Description of the writes and nodes involved.
    pub what: String,
}

impl Breach {
    pub(crate) fn new(promise: Promise, key: u8, what: String) -> Self {
        Self { promise, key: Some(key), what }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.promise)?;
        if let Some(key) = self.key {
            write!(f, " (k{key})")?;
        }
        write!(f, ": {}", self.what)
    }
}

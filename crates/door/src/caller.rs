//! Who asks by a door, and what that allows.

/// Client that asks by a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Rights that the client has.
    pub rights: Rights,
}

/// Rights of a client, each including those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// The client may read keys, and look at the cluster.
    Read,
    /// The client may write keys.
    Write,
    /// The client may change buckets and the cluster.
    Admin,
}

//! Who asks by a door.

use std::sync::Arc;

/// Client that asks by a door. The node decides at each request what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Client of a door that trusts everybody, as one on its own machine may.
    Trusted,
    /// The door itself, which reads what it shows.
    Reader,
    /// Client that has shown the secret of the token with that name.
    Token(Arc<str>),
}

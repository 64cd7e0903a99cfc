//! Who asks by a door.

use std::sync::Arc;

use jedlik_protocol::access::hash_secret;

/// Client that asks by a door. The node decides at each request what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Client of a door that trusts everybody, as one on its own machine may.
    Trusted,
    /// The door itself, which reads what it shows.
    Reader,
    /// Client that has shown a token.
    Token(Token),
    /// Client that has shown a certificate of the role client with that name.
    Certificate(Arc<str>),
}

/// Token as a client has shown it. Its secret is not kept, only what tells whether it still is the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Name of the token.
    pub name: Arc<str>,
    /// SHA-256 hash of the secret.
    pub secret_hash: [u8; 32],
}

impl Token {
    /// Takes a token's name and secret. It takes the same time whether there is such a token or not.
    #[must_use]
    pub fn new(name: &str, secret: &[u8]) -> Self {
        Self { name: name.into(), secret_hash: hash_secret(secret) }
    }
}

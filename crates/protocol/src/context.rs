//! The opaque token that carries a clock to a client and back (paper 4.4).
//!
//! Invariant: a token is accepted only whole and only for the key it was given out for. Its length is checked
//! before anything else, since anybody who knows the format can make one up.

use alloc::vec::Vec;

use jedlik_vclock::VectorClock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::InvalidContext;
use crate::limits::CONTEXT_LIMIT_BYTES;
use crate::{Blob, ClusterId, Key, archive};

const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 8;

/// Causal context of a key: the clock of all that a client has seen of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(pub VectorClock);

impl Context {
    /// Encodes the token for `key`: format, clock, checksum seeded by the key's position. With up to
    /// [`CLOCK_ENTRIES_MAX`](crate::limits::CLOCK_ENTRIES_MAX) clock entries the token is within its limit.
    #[must_use]
    pub fn encode(&self, cluster: ClusterId, key: &Key) -> Blob {
        let clock = archive::encode(&self.0);
        let mut bytes = Vec::with_capacity(1 + clock.len() + CHECKSUM_BYTES);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&clock);
        let checksum = checksum(&bytes, cluster, key);
        bytes.extend_from_slice(&checksum);
        bytes.into()
    }

    /// Decodes a token that a client sent with a put of `key`.
    ///
    /// # Errors
    /// The token is over its limit, cut short, of an unknown format, damaged, or was given out for another key.
    pub fn decode(token: &Blob, cluster: ClusterId, key: &Key) -> Result<Self, InvalidContext> {
        if token.len() > CONTEXT_LIMIT_BYTES {
            return Err(InvalidContext::TooLong { length: token.len() });
        }
        let Some(split) = token.len().checked_sub(CHECKSUM_BYTES).filter(|split| *split > 0) else {
            return Err(InvalidContext::TooShort { length: token.len() });
        };
        let (body, found) = token.split_at(split);
        if body[0] != FORMAT {
            return Err(InvalidContext::UnknownFormat { format: body[0] });
        }
        if checksum(body, cluster, key) != found {
            return Err(InvalidContext::Checksum);
        }
        let clock = archive::decode(&token.bytes().slice(1..split), "clock");
        let well_formed = clock.ok().filter(VectorClock::is_well_formed);
        well_formed.map(Self).ok_or(InvalidContext::Checksum)
    }
}

fn checksum(body: &[u8], cluster: ClusterId, key: &Key) -> [u8; CHECKSUM_BYTES] {
    xxh3_64_with_seed(body, key.position(cluster).0 as u64).to_le_bytes()
}

#[cfg(test)]
mod tests;

//! The number of replicas that a request waits for.

use std::fmt;
use std::str::FromStr;

use jedlik_protocol::Quorum as Wire;
use thiserror::Error;

/// Number of replicas that a request waits for: a count such as `2`, or one of the names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quorum {
    /// The bucket's own setting.
    #[default]
    Default,
    /// Answer of a single replica.
    One,
    /// A majority of the bucket's N.
    Majority,
    /// Each of the N replicas.
    All,
    /// Count of replicas, up to the bucket's N.
    Count(u8),
}

/// Text that is not a quorum: neither a number up to 255 nor `one`, `quorum`, `all` or `default`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a quorum is a number or one of: one, quorum, all, default")]
pub struct InvalidQuorum(());

impl From<u8> for Quorum {
    fn from(count: u8) -> Self {
        Self::Count(count)
    }
}

impl FromStr for Quorum {
    type Err = InvalidQuorum;

    fn from_str(text: &str) -> Result<Self, InvalidQuorum> {
        Ok(match text.parse().map_err(|_| InvalidQuorum(()))? {
            Wire::Default => Self::Default,
            Wire::One => Self::One,
            Wire::Majority => Self::Majority,
            Wire::All => Self::All,
            Wire::Count(count) => Self::Count(count),
        })
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wire().fmt(f)
    }
}

impl Quorum {
    pub(crate) fn wire(self) -> Wire {
        match self {
            Self::Default => Wire::Default,
            Self::One => Wire::One,
            Self::Majority => Wire::Majority,
            Self::All => Wire::All,
            Self::Count(count) => Wire::Count(count),
        }
    }
}

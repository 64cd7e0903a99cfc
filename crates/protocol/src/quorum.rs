//! Quorums of a request: how many replicas have to answer it.

use core::fmt;
use core::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

use crate::error::InvalidQuorum;

/// A request's setting for r, w, pr, pw or dw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Quorum {
    /// The bucket's own setting, at most N.
    #[default]
    Default,
    /// One replica of the N.
    One,
    /// A majority of N.
    Majority,
    /// All N replicas of the key.
    All,
    /// This many replicas, at most N.
    Count(u8),
}

impl Quorum {
    /// Returns the number meant, given the bucket's own setting and N.
    ///
    /// # Errors
    /// The number is above `n`.
    pub fn resolve(self, bucket: u8, n: u8) -> Result<u8, InvalidQuorum> {
        let count = match self {
            Self::Default => bucket.min(n),
            Self::One => 1,
            Self::Majority => n / 2 + 1,
            Self::All => n,
            Self::Count(count) => count,
        };
        if count > n { Err(InvalidQuorum::AboveN { count, n }) } else { Ok(count) }
    }
}

impl FromStr for Quorum {
    type Err = InvalidQuorum;

    fn from_str(text: &str) -> Result<Self, InvalidQuorum> {
        Ok(match text {
            "default" => Self::Default,
            "one" => Self::One,
            "quorum" => Self::Majority,
            "all" => Self::All,
            number => Self::Count(number.parse().map_err(|_| InvalidQuorum::NotAQuorum)?),
        })
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::One => f.write_str("one"),
            Self::Majority => f.write_str("quorum"),
            Self::All => f.write_str("all"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;

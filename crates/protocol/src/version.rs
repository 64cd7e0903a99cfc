//! The versions of the protocol: how a handshake names them, and which of them this build speaks.
//!
//! Invariant: what a version's frames look like never changes; whatever changes them is a new version.

use core::fmt;

/// A version of the protocol. The two ends of a connection agree on one when they make it, and every
/// frame on it is laid out as that version says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// A frame is its bytes and nothing else.
    V5,
    /// Each frame names its version and carries a checksum. It stands in for whatever comes next, so
    /// that an upgrade can be tried with two builds: only one with the feature `next-protocol` speaks it.
    V6,
}

impl ProtocolVersion {
    /// Those that this build speaks, the newest first.
    pub const SPOKEN: &'static [Self] =
        if cfg!(feature = "next-protocol") { &[Self::V6, Self::V5] } else { &[Self::V5] };
    /// The newest that this build speaks.
    pub const NEWEST: Self = Self::SPOKEN[0];
    /// The oldest that this build speaks.
    pub const OLDEST: Self = Self::SPOKEN[Self::SPOKEN.len() - 1];

    const ALL: [Self; 2] = [Self::V5, Self::V6];

    /// As nodes tell it of themselves.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::V5 => 5,
            Self::V6 => 6,
        }
    }

    /// As the TLS handshake names it (ALPN).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5 => "jedlik/5",
            Self::V6 => "jedlik/6",
        }
    }

    /// The version of that name, also one that this build doesn't speak.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name().as_bytes() == name)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

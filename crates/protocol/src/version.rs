//! The versions of the protocol: how a handshake names them, and which of them this build speaks.
//!
//! Invariant: the layout of a version's frames never changes; any change to it is a new version.

use core::fmt;

/// Version of the protocol. The two ends of a connection agree on one in the handshake, and every frame on that
/// connection has its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// Frames without version or checksum: the encoded bytes and nothing else.
    V5,
    /// Frames that each name their version and carry a checksum. It stands in for the next version, so that an
    /// upgrade can be tried with two builds: only a build with the feature `next-protocol` speaks it.
    V6,
}

impl ProtocolVersion {
    /// Versions that this build speaks, the newest first.
    pub const SPOKEN: &'static [Self] =
        if cfg!(feature = "next-protocol") { &[Self::V6, Self::V5] } else { &[Self::V5] };
    /// Newest version that this build speaks.
    pub const NEWEST: Self = Self::SPOKEN[0];
    /// Oldest version that this build speaks.
    pub const OLDEST: Self = Self::SPOKEN[Self::SPOKEN.len() - 1];

    const ALL: [Self; 2] = [Self::V5, Self::V6];

    /// Number of the version, as members gossip it.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::V5 => 5,
            Self::V6 => 6,
        }
    }

    /// Name of the version in the TLS handshake (ALPN).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5 => "jedlik/5",
            Self::V6 => "jedlik/6",
        }
    }

    /// Returns the version with that name, also one that this build doesn't speak.
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

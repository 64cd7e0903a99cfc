//! Who may do what with which buckets, as admins have set it and gossip spreads it.
//!
//! Invariant: an entry never holds a secret, only its hash, so whoever reads a node's disk or its gossip can't come in
//! with it.

use alloc::string::String;
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::InvalidAccess;
use crate::limits::{ACCESS_GRANTS_MAX, ACCESS_NAME_BYTES, BUCKET_LIMIT_BYTES};
use crate::{Blob, Digest, archive};

/// Hashes a token's secret, as entries keep it. A secret is drawn at random and long, so a fast hash protects it.
#[must_use]
pub fn hash_secret(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Right to do something, each including those before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub enum Right {
    /// Keys may be read and listed.
    Read,
    /// Keys may be written and deleted, too.
    Write,
    /// Properties of buckets may be set, too; with an empty prefix, the cluster may be changed.
    Admin,
}

/// Right to the buckets whose names begin with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub struct Grant {
    /// Beginning of the buckets' names; empty for all buckets.
    pub prefix: Blob,
    /// Right to these buckets.
    pub right: Right,
}

/// Party that an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum Subject {
    /// Clients that have the secret of the token with that name.
    Token(String),
    /// Clients that have a certificate of the role client with that name.
    Certificate(String),
}

impl Right {
    /// Returns the name of the right in commands and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl Subject {
    /// Returns the name of the token or the certificate.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Token(name) | Self::Certificate(name) => name,
        }
    }
}

/// Rights of a token or a certificate.
///
/// Of two entries for one subject the one with the higher version wins, then the one that is revoked, then the one with
/// the greater bytes.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct AccessEntry {
    /// Token or certificate that the entry is about.
    pub subject: Subject,
    /// Number of times that the entry was set.
    pub version: u64,
    /// SHA-256 hash of the token's secret; zeros for a certificate.
    pub secret_hash: [u8; 32],
    /// Rights, in order and without repetition.
    pub grants: Vec<Grant>,
    /// When the rights end, in milliseconds since the Unix epoch; `None` if they don't.
    pub expires_at_ms: Option<u64>,
    /// Whether the rights were taken back.
    pub revoked: bool,
}

impl AccessEntry {
    /// Returns an entry that was never set and gives no rights.
    #[must_use]
    pub fn none(subject: Subject) -> Self {
        let (version, secret_hash, revoked) = (0, [0; 32], false);
        Self { subject, version, secret_hash, grants: Vec::new(), expires_at_ms: None, revoked }
    }

    /// Checks the entry against the limits.
    ///
    /// # Errors
    /// The name can't be had, or there are too many grants, or they are out of order.
    pub fn check(&self) -> Result<(), InvalidAccess> {
        let name = self.subject.name();
        let is_known = |byte: u8| match &self.subject {
            Subject::Token(_) => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            // Certificates are issued to no other names.
            Subject::Certificate(_) => {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
            }
        };
        if name.is_empty() || name.len() > ACCESS_NAME_BYTES || !name.bytes().all(is_known) {
            return Err(InvalidAccess::Name { name: name.into() });
        }
        if self.grants.len() > ACCESS_GRANTS_MAX {
            return Err(InvalidAccess::TooManyGrants { count: self.grants.len() });
        }
        let fits = self.grants.iter().all(|grant| grant.prefix.len() <= BUCKET_LIMIT_BYTES);
        let ordered = self.grants.is_sorted_by(|a, b| a < b);
        if fits && ordered { Ok(()) } else { Err(InvalidAccess::Grants) }
    }

    /// Whether this is the hash of the token's secret. It takes the same time whatever is wrong with it.
    #[must_use]
    pub fn has_secret(&self, secret_hash: &[u8; 32]) -> bool {
        let is_token = matches!(self.subject, Subject::Token(_));
        bool::from(self.secret_hash.ct_eq(secret_hash)) && is_token
    }

    /// Computes the digest of the entry, by which gossip summaries compare entries of one version.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(xxh3_64(&archive::encode(self)))
    }

    /// Whether this entry wins over another one for the same subject; every node applies this rule.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |entry: &Self| (entry.version, entry.revoked);
        match rank(self).cmp(&rank(other)) {
            core::cmp::Ordering::Equal => archive::encode(self)[..] > archive::encode(other)[..],
            order => order.is_gt(),
        }
    }

    /// Whether the entry gives any right at this time.
    #[must_use]
    pub fn is_in_force(&self, wall_ms: u64) -> bool {
        !self.revoked && self.expires_at_ms.is_none_or(|end_ms| wall_ms < end_ms)
    }

    /// Returns the highest right to a bucket, whether the entry is in force or not; `None` if it gives none.
    #[must_use]
    pub fn right_to(&self, bucket: &[u8]) -> Option<Right> {
        let grants = self.grants.iter().filter(|grant| bucket.starts_with(&grant.prefix));
        grants.map(|grant| grant.right).max()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::{AccessEntry, Grant, Right, Subject, hash_secret};
    use crate::limits::ACCESS_GRANTS_MAX;

    fn entry(grants: &[(&str, Right)]) -> AccessEntry {
        let grant =
            |(prefix, right): &(&str, Right)| Grant { prefix: (*prefix).into(), right: *right };
        AccessEntry {
            subject: Subject::Token("shop".into()),
            version: 1,
            secret_hash: [7; 32],
            grants: grants.iter().map(grant).collect(),
            expires_at_ms: None,
            revoked: false,
        }
    }

    #[test]
    fn only_the_secret_itself_is_it() {
        let entry = AccessEntry { secret_hash: hash_secret(b"tea"), ..entry(&[]) };
        for (secret, is) in [("tea", true), ("teas", false), ("", false)] {
            assert_eq!(entry.has_secret(&hash_secret(secret.as_bytes())), is, "{secret}");
        }
        let certificate = AccessEntry { subject: Subject::Certificate("shop".into()), ..entry };
        assert!(!certificate.has_secret(&hash_secret(b"tea")), "a certificate has no secret");
    }

    #[test]
    fn the_highest_right_to_a_bucket_counts() {
        let entry = entry(&[("", Right::Read), ("carts", Right::Admin), ("carts/", Right::Write)]);
        for (bucket, right) in [
            ("anything", Some(Right::Read)),
            ("carts", Some(Right::Admin)),
            ("carts/x", Some(Right::Admin)),
            ("cart", Some(Right::Read)),
        ] {
            assert_eq!(entry.right_to(bucket.as_bytes()), right, "{bucket}");
        }
        assert_eq!(self::entry(&[("a", Right::Write)]).right_to(b"b"), None);
    }

    #[test]
    fn rights_end_with_their_time_or_when_they_are_taken_back() {
        let limited = AccessEntry { expires_at_ms: Some(100), ..entry(&[]) };
        assert!(limited.is_in_force(99) && !limited.is_in_force(100));
        let revoked = AccessEntry { revoked: true, ..entry(&[]) };
        assert!(!revoked.is_in_force(0) && entry(&[]).is_in_force(u64::MAX));
    }

    #[test]
    fn a_revocation_wins_over_a_change_of_the_same_version_and_a_later_one_over_both() {
        let (made, revoked) = (entry(&[]), AccessEntry { revoked: true, ..entry(&[]) });
        let changed = entry(&[("a", Right::Read)]);
        let anew = AccessEntry { version: 2, ..entry(&[]) };
        assert!(revoked.supersedes(&made) && revoked.supersedes(&changed));
        assert!(!changed.supersedes(&revoked) && anew.supersedes(&revoked));
        assert!(made.supersedes(&changed) != changed.supersedes(&made), "one of them wins");
        assert!(!made.supersedes(&made));
    }

    #[test]
    fn what_no_tool_sends_is_refused() {
        let named = |subject| AccessEntry { subject, ..entry(&[]) };
        assert!(entry(&[("a", Right::Read), ("b", Right::Read)]).check().is_ok());
        for wrong in [
            named(Subject::Token(String::new())),
            named(Subject::Token("a.b".into())),
            named(Subject::Certificate("x".repeat(300))),
            entry(&[("b", Right::Read), ("a", Right::Read)]),
            entry(&[("a", Right::Read), ("a", Right::Read)]),
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        let number =
            |number: usize| Grant { prefix: number.to_be_bytes()[..].into(), right: Right::Read };
        let many: Vec<Grant> = (0..=ACCESS_GRANTS_MAX).map(number).collect();
        assert!(AccessEntry { grants: many, ..entry(&[]) }.check().is_err());
        assert!(named(Subject::Certificate("shop-1".into())).check().is_ok());
        for name in ["a.b c", "Shop", "a\nb", "a_b", ""] {
            assert!(named(Subject::Certificate(name.into())).check().is_err(), "{name}");
        }
    }
}

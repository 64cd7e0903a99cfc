//! Buckets: their properties, how these are set by name, and which of two rival settings wins.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{InvalidKey, InvalidProperty};
use crate::key::check_bucket;
use crate::limits::{
    N_MAX, RECORD_OVERHEAD_BYTES, SIBLING_LIMIT_MAX, VALUE_LIMIT_MAX_BYTES, record_limit_max_bytes,
};
use crate::{Blob, Digest, Durability, archive};

/// Treatment of concurrent versions in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Reconcile {
    /// Clients see all concurrent versions and write the reconciled one with their context.
    Siblings,
    /// Clients see the version written last. A put counts as having seen all that its coordinator holds.
    LastWriteWins,
}

/// Properties of a bucket: replication, quorums, durability and limits for all of its keys.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BucketProps {
    /// Number of replicas of each key (N).
    pub n: u8,
    /// Number of replicas that must answer a get (R).
    pub r: u8,
    /// Number of replicas that must acknowledge a put (W).
    pub w: u8,
    /// Least W that a put may ask for. Transfers and refills compare with enough owners to meet every put that has
    /// this many acknowledgements. Where W is less, W counts instead.
    pub min_w: u8,
    /// Number of primaries among the replicas that must answer a get.
    pub pr: u8,
    /// Number of primaries among the replicas that must acknowledge a put.
    pub pw: u8,
    /// Number of replicas that must have synced a put among those that acknowledge it, where `durability` asks for
    /// less.
    pub dw: u8,
    /// Durability that a replica's acknowledgement promises.
    pub durability: Durability,
    /// Treatment of concurrent versions.
    pub reconcile: Reconcile,
    /// Largest value that a put may have.
    pub value_limit_bytes: u32,
    /// Largest record that a put may leave, all siblings together. Records that several coordinators let grow to it
    /// may be merged: up to N times as much is still stored, sent and shown.
    pub record_limit_bytes: u32,
    /// Number of siblings from which on a put is answered with a warning.
    pub sibling_warning: u16,
    /// Number of siblings past which a put is refused.
    pub sibling_limit: u16,
    /// Time to live of a version, unless its put sets another; `None` if versions don't expire.
    pub ttl_ms: Option<u64>,
}

impl Default for BucketProps {
    fn default() -> Self {
        Self {
            n: 3,
            r: 2,
            w: 2,
            min_w: 2,
            pr: 0,
            pw: 0,
            dw: 0,
            durability: Durability::Synced,
            reconcile: Reconcile::Siblings,
            value_limit_bytes: 1 << 20,
            record_limit_bytes: 4 << 20,
            sibling_warning: 10,
            sibling_limit: 100,
            ttl_ms: None,
        }
    }
}

/// Names that [`BucketProps::set`] takes, in the order in which they are shown.
pub const PROPERTY_NAMES: [&str; 14] = [
    "n",
    "r",
    "w",
    "min_w",
    "pr",
    "pw",
    "dw",
    "durability",
    "reconcile",
    "value_limit_bytes",
    "record_limit_bytes",
    "sibling_warning",
    "sibling_limit",
    "ttl_ms",
];

impl BucketProps {
    /// Returns the least number of acknowledgements with which a put succeeds.
    #[must_use]
    pub fn least_w(&self) -> u8 {
        self.min_w.min(self.w)
    }

    /// Returns the smallest quorum with which a put or a get of the bucket succeeds.
    #[must_use]
    pub fn least_quorum(&self) -> u8 {
        self.least_w().min(self.r)
    }

    /// Sets one property from text. Call [`Self::check`] once all are set.
    ///
    /// # Errors
    /// The name is unknown or the property doesn't take the value; nothing is changed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidProperty> {
        match name {
            "n" => self.n = self.number(name, value)?,
            "r" => self.r = self.number(name, value)?,
            "w" => {
                self.w = self.number(name, value)?;
                // Were it raised again later, it would leave out what was put meanwhile.
                self.min_w = self.least_w();
            }
            "min_w" => self.min_w = self.number(name, value)?,
            "pr" => self.pr = self.number(name, value)?,
            "pw" => self.pw = self.number(name, value)?,
            "dw" => self.dw = self.number(name, value)?,
            "durability" => self.durability = durability(value)?,
            "reconcile" => self.reconcile = reconcile(value)?,
            "value_limit_bytes" => self.value_limit_bytes = self.number(name, value)?,
            "record_limit_bytes" => self.record_limit_bytes = self.number(name, value)?,
            "sibling_warning" => self.sibling_warning = self.number(name, value)?,
            "sibling_limit" => self.sibling_limit = self.number(name, value)?,
            "ttl_ms" if value == "none" => self.ttl_ms = None,
            "ttl_ms" => self.ttl_ms = Some(self.number(name, value)?),
            _ => {
                return Err(InvalidProperty::Unknown { name: name.into(), known: &PROPERTY_NAMES });
            }
        }
        Ok(())
    }

    /// Returns the value of one property as [`Self::set`] takes it; `None` for an unknown name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        Some(match name {
            "n" => self.n.to_string(),
            "r" => self.r.to_string(),
            "w" => self.w.to_string(),
            "min_w" => self.least_w().to_string(),
            "pr" => self.pr.to_string(),
            "pw" => self.pw.to_string(),
            "dw" => self.dw.to_string(),
            "durability" => self.durability.name().into(),
            "reconcile" => self.reconcile.name().into(),
            "value_limit_bytes" => self.value_limit_bytes.to_string(),
            "record_limit_bytes" => self.record_limit_bytes.to_string(),
            "sibling_warning" => self.sibling_warning.to_string(),
            "sibling_limit" => self.sibling_limit.to_string(),
            "ttl_ms" => self.ttl_ms.map_or_else(|| "none".into(), |ttl| ttl.to_string()),
            _ => return None,
        })
    }

    /// Returns warnings about settings that are allowed and rarely intended, each with its consequence and an
    /// alternative.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Self { n, r, w, .. } = *self;
        let mut warnings = Vec::new();
        if u16::from(r) + u16::from(w) <= u16::from(n) {
            warnings.push(format!(
                "r={r} and w={w} together are not above n={n}: a get may be answered by replicas that have \
                 not seen the last acknowledged put; r={} or w={} would do",
                n - w + 1,
                n - r + 1
            ));
        }
        warnings
    }

    /// Checks that each property is in the range that the others leave it.
    ///
    /// # Errors
    /// The first property that is out of its range, with the range.
    pub fn check(&self) -> Result<(), InvalidProperty> {
        let n = u64::from(self.n);
        let record_most = record_limit_max_bytes(self.n);
        let value_most =
            VALUE_LIMIT_MAX_BYTES.min(record_most.saturating_sub(RECORD_OVERHEAD_BYTES));
        let record_least = self.value_limit_bytes.saturating_add(RECORD_OVERHEAD_BYTES);
        for (name, value, least, most) in [
            ("n", n, 1, u64::from(N_MAX)),
            ("r", self.r.into(), 1, n),
            ("w", self.w.into(), 1, n),
            ("min_w", self.min_w.into(), 1, u64::from(N_MAX)),
            ("pr", self.pr.into(), 0, n),
            ("pw", self.pw.into(), 0, n),
            ("dw", self.dw.into(), 0, n),
            ("value_limit_bytes", self.value_limit_bytes.into(), 1, value_most.into()),
            (
                "record_limit_bytes",
                self.record_limit_bytes.into(),
                record_least.into(),
                record_most.into(),
            ),
            ("sibling_limit", self.sibling_limit.into(), 1, SIBLING_LIMIT_MAX.into()),
            ("sibling_warning", self.sibling_warning.into(), 1, self.sibling_limit.into()),
        ] {
            if value < least || value > most {
                return Err(InvalidProperty::OutOfRange { name, value, least, most });
            }
        }
        if self.ttl_ms == Some(0) {
            return Err(invalid("ttl_ms", "0", self.range("ttl_ms")));
        }
        Ok(())
    }

    fn number<T: FromStr>(&self, name: &str, value: &str) -> Result<T, InvalidProperty> {
        value.parse().map_err(|_| invalid(name, value, self.range(name)))
    }

    /// Describes the numbers that a property takes, whatever the other properties are.
    fn range(&self, name: &str) -> String {
        let (least, most) = match name {
            "n" => (1, N_MAX.to_string()),
            "r" | "w" => (1, "the bucket's n".into()),
            "min_w" => (1, "the bucket's w".into()),
            "pr" | "pw" | "dw" => (0, "the bucket's n".into()),
            "value_limit_bytes" => (1, VALUE_LIMIT_MAX_BYTES.to_string()),
            "record_limit_bytes" => {
                let most = record_limit_max_bytes(self.n);
                return format!(
                    "a whole number from value_limit_bytes and {RECORD_OVERHEAD_BYTES} more to {most}, the most with \
                     n={}",
                    self.n
                );
            }
            "sibling_warning" => (1, "the bucket's sibling_limit".into()),
            "sibling_limit" => (1, SIBLING_LIMIT_MAX.to_string()),
            _ => {
                let most = u64::MAX;
                return format!(
                    "milliseconds from 1 to {most}, or \"none\" for values that never expire"
                );
            }
        };
        format!("a whole number from {least} to {most}")
    }
}

/// Properties that an admin has set for a bucket, as gossip carries them.
///
/// Of two entries the one with the higher version wins, then the one with the greater properties by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BucketEntry {
    /// Name of the bucket.
    pub name: Blob,
    /// Number of times that the properties were set; 0 if never.
    pub version: u64,
    /// Properties as last set.
    pub props: BucketProps,
}

impl BucketEntry {
    /// Computes the digest of the properties, by which gossip summaries compare them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(xxh3_64(&archive::encode(&self.props)))
    }

    /// Whether this entry wins over another one for the same bucket; every node applies this rule.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        self.version > other.version
            || self.version == other.version
                && archive::encode(&self.props)[..] > archive::encode(&other.props)[..]
    }
}

/// Checks a bucket's name against its limits.
///
/// # Errors
/// The name is empty or over its limit.
pub fn check_name(name: &[u8]) -> Result<(), InvalidKey> {
    check_bucket(name)
}

impl Durability {
    /// Returns the name of the level in commands and configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

impl Reconcile {
    /// Returns the name of the rule in commands and configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Siblings => "siblings",
            Self::LastWriteWins => "last-write-wins",
        }
    }
}

fn durability(value: &str) -> Result<Durability, InvalidProperty> {
    [Durability::Buffered, Durability::Written, Durability::Synced]
        .into_iter()
        .find(|level| level.name() == value)
        .ok_or_else(|| invalid("durability", value, "buffered, written or synced".into()))
}

fn reconcile(value: &str) -> Result<Reconcile, InvalidProperty> {
    [Reconcile::Siblings, Reconcile::LastWriteWins]
        .into_iter()
        .find(|rule| rule.name() == value)
        .ok_or_else(|| invalid("reconcile", value, "siblings or last-write-wins".into()))
}

fn invalid(name: &str, value: &str, takes: String) -> InvalidProperty {
    InvalidProperty::BadValue { name: name.into(), value: value.into(), takes }
}

#[cfg(test)]
mod tests;

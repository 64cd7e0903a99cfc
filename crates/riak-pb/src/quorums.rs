//! Quorums of a message, and what they mean in a bucket.
//!
//! `sloppy_quorum=false` asks that nobody stand in for a primary, which is a number of primaries as large as the quorum.
//! `node_confirms` is a number of different nodes, which is a quorum of at least as many.
//!
//! Invariant: what is asked for is never lowered.

use jedlik_protocol::Quorum;
use jedlik_protocol::bucket::BucketProps;
use jedlik_riak::quorums::from_number;

use crate::refusal::Refusal;

/// Quorums as a message has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Number of replicas: R or W.
    pub(crate) count: Option<u32>,
    /// Number of primaries among them: PR or PW.
    pub(crate) primaries: Option<u32>,
    pub(crate) n_val: Option<u32>,
    pub(crate) node_confirms: Option<u32>,
    pub(crate) sloppy_quorum: Option<bool>,
}

/// Quorums as a request to the node has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meant {
    pub(crate) n: Option<u8>,
    pub(crate) count: Quorum,
    pub(crate) primaries: Quorum,
}

/// Kind of request, which says which of a bucket's quorums are its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

impl Asked {
    /// Whether [`Self::meant`] depends on the bucket.
    pub(crate) fn need_properties(&self) -> bool {
        self.sloppy_quorum == Some(false) || self.node_confirms.is_some_and(|nodes| nodes > 0)
    }

    /// Returns what is meant, in a bucket with these properties where they are needed.
    ///
    /// # Errors
    /// A number is none that a quorum can have.
    pub(crate) fn meant(&self, kind: Kind, props: &BucketProps) -> Result<Meant, Refusal> {
        let n = self.n_val.map(u8::try_from).transpose();
        let n = n.map_err(|_| Refusal::invalid("n_val is above the replicas of any bucket"))?;
        let (mut count, mut primaries) = (quorum(self.count)?, quorum(self.primaries)?);
        if self.need_properties() {
            let replicas = n.unwrap_or(props.n);
            let (of_count, of_primaries) = match kind {
                Kind::Read => (props.r, props.pr),
                Kind::Write => (props.w, props.pw),
            };
            let resolved =
                |quorum: Quorum, bucket| quorum.resolve(bucket, replicas).map_err(Refusal::invalid);
            let least = resolved(quorum(self.node_confirms)?, 0)?;
            let all = resolved(count, of_count)?.max(least);
            count = Quorum::Count(all);
            if self.sloppy_quorum == Some(false) {
                primaries = Quorum::Count(resolved(primaries, of_primaries)?.max(all));
            }
        }
        Ok(Meant { n, count, primaries })
    }
}

/// Returns the quorum of a field; the bucket's own where the field is left out.
///
/// # Errors
/// The number is none that a quorum can have.
pub(crate) fn quorum(number: Option<u32>) -> Result<Quorum, Refusal> {
    number.map_or(Ok(Quorum::Default), from_number).map_err(Refusal::invalid)
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::Quorum::{All, Count, Default as Bucket, One};
    use jedlik_protocol::bucket::BucketProps;

    use super::{Asked, Kind, Meant};

    const ONE: u32 = 4_294_967_294;
    const ALL: u32 = 4_294_967_292;

    #[test]
    fn numbers_become_quorums_and_what_is_left_out_is_the_buckets() {
        let props = BucketProps { pw: 1, ..BucketProps::default() };
        let asked = Asked::default();
        let strict = Some(false);
        for (asked, n, count, primaries) in [
            (asked, None, Bucket, Bucket),
            (Asked { count: Some(ONE), primaries: Some(ALL), ..asked }, None, One, All),
            (Asked { count: Some(1), n_val: Some(2), ..asked }, Some(2), Count(1), Bucket),
            (Asked { node_confirms: Some(0), ..asked }, None, Bucket, Bucket),
            (Asked { node_confirms: Some(3), ..asked }, None, Count(3), Bucket),
            (Asked { node_confirms: Some(1), ..asked }, None, Count(2), Bucket),
            (Asked { sloppy_quorum: Some(true), ..asked }, None, Bucket, Bucket),
            (Asked { sloppy_quorum: strict, ..asked }, None, Count(2), Count(2)),
            (Asked { count: Some(ALL), sloppy_quorum: strict, ..asked }, None, Count(3), Count(3)),
            (Asked { count: Some(1), sloppy_quorum: strict, ..asked }, None, Count(1), Count(1)),
        ] {
            let meant = asked.meant(Kind::Write, &props).unwrap();
            assert_eq!(meant, Meant { n, count, primaries }, "{asked:?}");
        }
    }

    #[test]
    fn what_no_bucket_has_is_refused() {
        let asked = Asked::default();
        for asked in [
            Asked { n_val: Some(300), ..asked },
            Asked { count: Some(300), ..asked },
            Asked { node_confirms: Some(4), ..asked },
            Asked { count: Some(4), sloppy_quorum: Some(false), ..asked },
        ] {
            assert!(asked.meant(Kind::Read, &BucketProps::default()).is_err(), "{asked:?}");
        }
    }
}

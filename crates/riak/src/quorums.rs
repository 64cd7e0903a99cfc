//! Quorums that Riak's clients ask for beside Jedlik's own.
//!
//! `node_confirms` is a number of different nodes that must have acknowledged a put. Jedlik's acknowledgements always come
//! from different nodes, so it raises W. `sync_on_write` asks for replicas that have synced, which is Jedlik's DW: `one`
//! raises it to 1 and `all` to N, and `backend` leaves it to the bucket.
//!
//! `notfound_ok=false` asks that a key be called absent only once too few replicas are left for R of them to have it;
//! `basic_quorum=true` that a majority without it be enough. Jedlik's get counts an answer that the key is absent like any
//! other, so an absent key is asked for again, with the R that such an answer takes.
//!
//! Invariant: nothing here lowers what a request or its bucket asks for.

use std::str::FromStr;

use jedlik_protocol::Quorum;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::error::InvalidQuorum;
use thiserror::Error;

/// Number by which Riak's Protocol Buffers name a majority and others; every lower one is a count.
const ONE: u32 = 4_294_967_294;
const MAJORITY: u32 = 4_294_967_293;
const ALL: u32 = 4_294_967_292;
const DEFAULT: u32 = 4_294_967_291;

/// Replicas that must have synced a put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyncOnWrite {
    /// As many as the bucket says.
    #[default]
    Backend,
    /// One replica at least.
    One,
    /// All replicas of the key.
    All,
}

/// Text that is no setting of `sync_on_write`; name one that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("sync_on_write is one of: default, backend, one, all")]
pub struct InvalidSync;

impl FromStr for SyncOnWrite {
    type Err = InvalidSync;

    fn from_str(text: &str) -> Result<Self, InvalidSync> {
        match text {
            "default" | "backend" => Ok(Self::Backend),
            "one" => Ok(Self::One),
            "all" => Ok(Self::All),
            _ => Err(InvalidSync),
        }
    }
}

/// Quorums of a put as a client of Riak asks for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteQuorums {
    /// Number of replicas that must acknowledge.
    pub w: Quorum,
    /// Number of replicas that must have synced.
    pub dw: Quorum,
    /// Number of different nodes that must acknowledge; `Default` for as many as W.
    pub node_confirms: Quorum,
    /// Replicas that must have synced, by another name.
    pub sync_on_write: SyncOnWrite,
}

impl WriteQuorums {
    /// Whether [`Self::resolve`] needs the properties of the bucket: otherwise W and DW are as they were asked for.
    #[must_use]
    pub fn need_properties(&self) -> bool {
        self.node_confirms != Quorum::Default || self.sync_on_write == SyncOnWrite::One
    }

    /// Returns the W and the DW that meet all that is asked for, in a bucket with these properties.
    ///
    /// # Errors
    /// One of them is above the bucket's N.
    pub fn resolve(&self, props: &BucketProps) -> Result<(Quorum, Quorum), InvalidQuorum> {
        let raised = |asked: Quorum, bucket: u8, least: u8| {
            Ok::<_, InvalidQuorum>(Quorum::Count(asked.resolve(bucket, props.n)?.max(least)))
        };
        let w = match self.node_confirms {
            Quorum::Default => self.w,
            confirms => raised(self.w, props.w, confirms.resolve(0, props.n)?)?,
        };
        let dw = match self.sync_on_write {
            SyncOnWrite::Backend => self.dw,
            SyncOnWrite::One => raised(self.dw, props.dw, 1)?,
            SyncOnWrite::All => Quorum::All,
        };
        Ok((w, dw))
    }
}

/// Returns the R with which an absent key is to be asked for again where `notfound_ok` is false; `None` if the R that was
/// asked for is enough.
///
/// # Errors
/// The R is above the bucket's N.
pub fn absence(
    r: Quorum,
    basic_quorum: bool,
    props: &BucketProps,
) -> Result<Option<Quorum>, InvalidQuorum> {
    let n = props.n;
    let asked = r.resolve(props.r, n)?;
    let enough = n.min(n - asked + 1);
    let enough = if basic_quorum { enough.min(n / 2 + 1) } else { enough };
    Ok((enough > asked).then_some(Quorum::Count(enough)))
}

/// Returns the quorum that a number in a Protocol Buffers message means.
///
/// # Errors
/// The number is above every N.
pub fn from_number(number: u32) -> Result<Quorum, InvalidQuorum> {
    match number {
        ONE => Ok(Quorum::One),
        MAJORITY => Ok(Quorum::Majority),
        ALL => Ok(Quorum::All),
        DEFAULT => Ok(Quorum::Default),
        count => u8::try_from(count).map(Quorum::Count).map_err(|_| InvalidQuorum::NotAQuorum),
    }
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::Quorum::{All, Count, Default as Bucket, Majority, One};
    use jedlik_protocol::bucket::BucketProps;
    use jedlik_protocol::error::InvalidQuorum;

    use super::{SyncOnWrite, WriteQuorums, absence, from_number};

    fn asked(w: jedlik_protocol::Quorum, node_confirms: jedlik_protocol::Quorum) -> WriteQuorums {
        WriteQuorums { w, node_confirms, ..WriteQuorums::default() }
    }

    #[test]
    fn confirms_raise_w_and_never_lower_it() {
        let props = BucketProps::default();
        for (w, confirms, expected) in [
            (Bucket, Bucket, Bucket),
            (Bucket, Count(3), Count(3)),
            (Bucket, Count(1), Count(2)),
            (All, One, Count(3)),
            (One, Majority, Count(2)),
            (One, Count(0), Count(1)),
        ] {
            let (w_meant, dw) = asked(w, confirms).resolve(&props).unwrap();
            assert_eq!((w_meant, dw), (expected, Bucket), "w={w} node_confirms={confirms}");
        }
        assert!(!asked(All, Bucket).need_properties());
        let above = asked(Bucket, Count(4)).resolve(&props);
        assert_eq!(above, Err(InvalidQuorum::AboveN { count: 4, n: 3 }));
    }

    #[test]
    fn synced_replicas_are_dw() {
        let props = BucketProps { dw: 2, ..BucketProps::default() };
        for (text, dw, expected) in [
            ("backend", Bucket, Bucket),
            ("default", Count(1), Count(1)),
            ("one", Bucket, Count(2)),
            ("one", Count(0), Count(1)),
            ("all", Count(1), All),
        ] {
            let sync_on_write = text.parse().unwrap();
            let asked = WriteQuorums { dw, sync_on_write, ..WriteQuorums::default() };
            assert_eq!(asked.resolve(&props).unwrap().1, expected, "{text} dw={dw}");
        }
        assert!("two".parse::<SyncOnWrite>().is_err());
    }

    #[test]
    fn an_absent_key_is_asked_for_again_where_too_few_have_said_so() {
        let props = BucketProps { n: 5, r: 3, ..BucketProps::default() };
        for (r, basic, expected) in [
            (Bucket, false, None),
            (One, false, Some(Count(5))),
            (One, true, Some(Count(3))),
            (Count(2), false, Some(Count(4))),
            (All, false, None),
        ] {
            assert_eq!(absence(r, basic, &props).unwrap(), expected, "r={r} basic={basic}");
        }
    }

    #[test]
    fn numbers_near_the_largest_are_names() {
        let names = [(4_294_967_294, One), (4_294_967_293, Majority), (4_294_967_292, All)];
        for (number, expected) in names.into_iter().chain([(4_294_967_291, Bucket), (2, Count(2))])
        {
            assert_eq!(from_number(number), Ok(expected), "{number}");
        }
        assert_eq!(from_number(256), Err(InvalidQuorum::NotAQuorum));
    }
}

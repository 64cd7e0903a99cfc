//! Records of the fake node: each key's versions, and what a put does to them.
//!
//! Invariant: a put removes the versions that its context lists, and no others, but where the last write wins.

use std::collections::{BTreeMap, BTreeSet};

use jedlik_hashing::PartitionCount;
use jedlik_protocol::bucket::{BucketProps, Reconcile};
use jedlik_protocol::client::{
    Acknowledgement, GetAnswer, GetRequest, PutAnswer, PutRequest, ScanAnswer, ScanItem, ScanMark,
    ScanOf, ScanRequest, Version,
};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{Blob, Key, PlacedKey, Quorum};
use jedlik_vclock::Content;

use super::{CLUSTER, PARTITIONS, invalid};

/// Time of the first put.
const FIRST_MS: u64 = 1_700_000_000_000;
/// Time from one put to the next.
const STEP_MS: u64 = 1_000;

/// All records of a node, in no order that a client sees.
#[derive(Debug, Default)]
pub(super) struct Records {
    versions: BTreeMap<Key, Vec<Version>>,
    puts: u64,
}

impl Records {
    pub(super) fn get(
        &self,
        request: &GetRequest,
        props: &BucketProps,
    ) -> Result<GetAnswer, Failure> {
        let answered = check(&[request.r, request.pr], props.r, props.n)?;
        let versions = self.versions.get(&request.key).cloned().unwrap_or_default();
        let context = (!versions.is_empty()).then(|| context(&versions));
        Ok(GetAnswer { versions, context, answered, primaries: answered, partial: false })
    }

    pub(super) fn put(
        &mut self,
        request: PutRequest,
        props: &BucketProps,
    ) -> Result<PutAnswer, Failure> {
        let acknowledged = check(&[request.w, request.pw, request.dw], props.w, props.n)?;
        let length = match &request.content {
            Content::Value(value) => value.size(),
            Content::Tombstone => 0,
        };
        if length > props.value_limit_bytes as usize {
            let message = format!(
                "the value has {length} bytes, over the bucket's limit of {}",
                props.value_limit_bytes
            );
            return Err(Failure::new(ErrorCode::ValueTooLarge, message));
        }
        let seen = request.context.as_ref().map_or(Ok(BTreeSet::new()), seen)?;
        let versions = self.versions.entry(request.key).or_default();
        let last_write_wins = props.reconcile == Reconcile::LastWriteWins;
        versions.retain(|version| !last_write_wins && !seen.contains(&version.tag));
        self.puts += 1;
        let written_at_ms = FIRST_MS + self.puts * STEP_MS;
        let expires_at_ms = request.ttl_ms.map(|ttl| written_at_ms + ttl);
        let tag = self.puts;
        versions.push(Version { content: request.content, tag, written_at_ms, expires_at_ms });
        let siblings = u16::try_from(versions.len()).unwrap_or(u16::MAX);
        let by = (1..=u64::from(acknowledged)).map(|id| Acknowledgement {
            node: jedlik_hashing::NodeId(id),
            stands_in_for: None,
            synced: true,
        });
        Ok(PutAnswer {
            context: context(versions),
            siblings,
            warning: siblings >= props.sibling_warning,
            acknowledged,
            synced: acknowledged,
            by: by.collect(),
        })
    }

    /// Returns a page; `n` tells a bucket's N.
    pub(super) fn scan(&self, request: &ScanRequest, n: impl Fn(&Blob) -> u8) -> ScanAnswer {
        let wanted = |key: &Key| match &request.of {
            ScanOf::Bucket(bucket) => key.bucket() == bucket,
            ScanOf::EveryBucket(count) => n(key.bucket()) == *count,
        };
        let partitions = PartitionCount::new(PARTITIONS).expect("the number is a power of two");
        let place = |key: &Key| PlacedKey::new(CLUSTER, partitions, key.clone());
        let mut places: Vec<PlacedKey> = self
            .versions
            .iter()
            .filter(|(key, versions)| wanted(key) && versions.iter().any(is_value))
            .map(|(key, _)| place(key))
            .filter(|place| place.partition == request.partition)
            .collect();
        places.sort();
        let mark =
            |place: &PlacedKey| ScanMark { position: place.position, key: place.key.clone() };
        places.retain(|place| request.after.as_ref().is_none_or(|after| mark(place) > *after));
        let page = &places[..places.len().min(request.limit as usize)];
        let next = (page.len() < places.len()).then(|| page.last().map(mark)).flatten();
        let items = page.iter().map(|place| self.item(&place.key, request.values)).collect();
        ScanAnswer { items, next }
    }

    fn item(&self, key: &Key, values: bool) -> ScanItem {
        let mut versions = self.versions.get(key).cloned().unwrap_or_default();
        let mut value_bytes = 0;
        for version in &mut versions {
            if let Content::Value(value) = &mut version.content {
                value_bytes += value.size() as u64;
                if !values {
                    *value = jedlik_protocol::Value::default();
                }
            }
        }
        ScanItem { bucket: key.bucket().clone(), key: key.key().clone(), value_bytes, versions }
    }
}

fn is_value(version: &Version) -> bool {
    matches!(version.content, Content::Value(_))
}

/// Returns the number that the first quorum means, once all are known to be within N.
fn check(quorums: &[Quorum], bucket: u8, n: u8) -> Result<u8, Failure> {
    let mut counts = Vec::new();
    for quorum in quorums {
        counts.push(quorum.resolve(bucket, n).map_err(|error| invalid(&error))?);
    }
    Ok(counts.first().copied().unwrap_or(n))
}

fn context(versions: &[Version]) -> Blob {
    let tags = versions.iter().flat_map(|version| version.tag.to_le_bytes());
    tags.collect::<Vec<u8>>().into()
}

fn seen(context: &Blob) -> Result<BTreeSet<u64>, Failure> {
    let (tags, rest) = context.as_chunks::<8>();
    if !rest.is_empty() || tags.is_empty() {
        let message = "the context is damaged or belongs to another key; get the key again";
        return Err(Failure::new(ErrorCode::InvalidContext, message));
    }
    Ok(tags.iter().map(|tag| u64::from_le_bytes(*tag)).collect())
}

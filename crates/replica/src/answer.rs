//! Answers to clients, made from records and shortfalls.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_coordinator::{ListedNode, Needs, Shortfall};
use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::{BucketProps, Reconcile};
use jedlik_protocol::client::{GetAnswer, Version};
use jedlik_protocol::error::{ErrorCode, Failure, InvalidQuorum};
use jedlik_protocol::limits::{ANSWER_VALUES_BYTES, CLOCK_ENTRIES_MAX, TIMEOUT_MAX_MS};
use jedlik_protocol::peer::Doubt;
use jedlik_protocol::{Blob, ClusterId, Context, Key, Quorum, Record, Sibling};
use jedlik_vclock::{Content, Dot, VectorClock};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::io::StorageFault;

/// Returns the versions of a record that a client of the bucket sees at this time.
///
/// Retries of one put show as one and expired versions not at all. Tombstones show as they are beside a
/// value, and as one where there is nothing else.
pub(crate) fn versions(record: &Record, props: &BucketProps, wall_ms: u64) -> Vec<Version> {
    if props.reconcile == Reconcile::LastWriteWins {
        let newest = record.newest().filter(|sibling| !sibling.has_expired(wall_ms));
        return newest.into_iter().map(version).collect();
    }
    let seen = record.distinct().filter(|sibling| !sibling.has_expired(wall_ms)).map(version);
    let mut versions: Vec<Version> = seen.collect();
    if versions.iter().all(|version| version.content == Content::Tombstone) {
        versions.truncate(1);
    }
    versions
}

/// Returns the answer to a get: versions within the size limit, and the context for the next put.
pub(crate) fn got(
    record: Option<&Record>,
    props: &BucketProps,
    key: (ClusterId, &Key),
    wall_ms: u64,
    (answered, primaries): (u8, u8),
) -> GetAnswer {
    let (cluster, key) = key;
    let shown = record.map(|record| part_within(record, ANSWER_VALUES_BYTES));
    let record = shown.as_ref().map(|(record, _)| &**record);
    GetAnswer {
        versions: record.map_or_else(Vec::new, |record| versions(record, props, wall_ms)),
        context: record.map(|record| context(record, cluster, key)),
        answered,
        primaries,
        partial: shown.is_some_and(|(_, partial)| partial),
    }
}

/// Returns as much of a record as `limit_bytes` of values allow, at least one sibling, and whether siblings
/// were left out.
///
/// The clock of a part covers of each actor only what came before its first sibling that is left out. So a
/// put that follows the part replaces nothing that its client was not shown.
fn part_within(record: &Record, limit_bytes: usize) -> (Cow<'_, Record>, bool) {
    let length = |sibling: &Sibling| match &sibling.content {
        Content::Value(value) => value.size(),
        Content::Tombstone => 0,
    };
    if record.distinct().map(length).sum::<usize>() <= limit_bytes {
        return (Cow::Borrowed(record), false);
    }
    let (mut bytes, mut unseen) = (0, BTreeMap::new());
    for (index, sibling) in record.siblings().iter().enumerate() {
        bytes += length(sibling);
        if bytes > limit_bytes && index > 0 {
            unseen.entry(sibling.dot.actor).or_insert(sibling.dot.counter);
        }
    }
    if unseen.is_empty() {
        return (Cow::Borrowed(record), false);
    }
    let mut clock = VectorClock::new();
    for entry in record.clock().entries() {
        let counter = unseen.get(&entry.actor).map_or(entry.counter, |first| first - 1);
        if counter > 0 {
            clock.extend(Dot { actor: entry.actor, counter }, entry.touched_ms);
        }
    }
    (Cow::Owned(record.seen_by(clock)), true)
}

/// Returns the token for everything that `record` has seen. A clock that is too long for a context loses the
/// entries that truncation would forget; a put with the token then replaces no more than its client has seen.
pub(crate) fn context(record: &Record, cluster: ClusterId, key: &Key) -> Blob {
    if record.clock().len() <= CLOCK_ENTRIES_MAX {
        return Context(record.clock().clone()).encode(cluster, key);
    }
    let mut shorter = record.clone();
    shorter.truncate(CLOCK_ENTRIES_MAX);
    Context(shorter.clock().clone()).encode(cluster, key)
}

/// Returns the tag of the version with this dot: opaque to clients, and unique among a key's versions.
#[must_use]
pub fn version_tag(dot: Dot) -> u64 {
    xxh3_64_with_seed(&dot.counter.to_le_bytes(), dot.actor.0)
}

fn version(sibling: &Sibling) -> Version {
    Version {
        content: sibling.content.clone(),
        tag: version_tag(sibling.dot),
        written_at_ms: sibling.written_at_ms,
        expires_at_ms: sibling.expires_at_ms,
    }
}

/// Refuses a request that can't succeed however many nodes answer: the layout has too few for it.
pub(crate) fn check_nodes(
    what: &str,
    needs: Needs,
    sets: &[(Vec<ListedNode>, Vec<ListedNode>)],
) -> Result<(), Failure> {
    let lacks = |(primaries, fallbacks): &&(Vec<ListedNode>, Vec<ListedNode>)| {
        let nodes = primaries.len() + fallbacks.len();
        nodes < usize::from(needs.answers) || primaries.len() < usize::from(needs.primaries)
    };
    let Some((primaries, fallbacks)) = sets.iter().find(lacks) else { return Ok(()) };
    let nodes = primaries.len() + fallbacks.len();
    let wanted = needs.answers.max(needs.primaries);
    let message = format!(
        "{what}: {wanted} replicas have to answer, and the layout has no more than {nodes} nodes: add \
         nodes, or ask for fewer replicas"
    );
    Err(Failure::new(ErrorCode::Unavailable, message))
}

/// Returns the failure for a request that too few replicas answered: how many did, which owners are away, and which
/// nodes could not say what is absent. `name` gives a node's name for people.
pub(crate) fn shortfall(
    what: &str,
    shortfall: &Shortfall,
    away: &[NodeId],
    name: impl Fn(NodeId) -> String,
) -> Failure {
    let Shortfall { needs, had, timed_out, in_doubt, nothing_at_fallbacks } = shortfall;
    let told = |had: u8, needed: u8, what| format!("{had} of {needed} {what}");
    let answers = told(had.answers, needs.answers, "replicas answered");
    let primaries = told(had.primaries, needs.primaries, "primaries among them");
    let synced = told(had.synced, needs.synced, "synced");
    let mut short = Vec::new();
    // What was reached is not what is wrong. A request may lack nothing but an answer that says enough.
    short.extend((had.primaries < needs.primaries).then_some(primaries));
    short.extend((had.synced < needs.synced).then_some(synced));
    if had.answers < needs.answers || short.is_empty() {
        short.insert(0, answers);
    }
    let mut message = format!("{what}: {}", short.join(", "));
    let named = |wanted: Doubt| -> Vec<String> {
        let nodes = in_doubt.iter().filter(|(_, why)| *why == wanted);
        nodes.map(|(node, _)| name(*node)).collect()
    };
    let (refilling, damaged) = (named(Doubt::Refilling), named(Doubt::Damaged));
    if !refilling.is_empty() {
        message += &format!(
            "; {} can't say what is absent, for it is refilling: it holds less than it once acknowledged, or \
             was to be given, until it has been compared with the other owners (`jedlik-admin doctor`)",
            refilling.join(" and ")
        );
    }
    if !damaged.is_empty() {
        let damaged = damaged.join(" and ");
        message +=
            &format!("; the record at {damaged} is damaged, and is repaired from the others");
    }
    if *nothing_at_fallbacks > 0 {
        message += &format!(
            "; {nothing_at_fallbacks} that stand in for owners hold nothing, which does not say that the key is \
             absent"
        );
    }
    if *timed_out {
        message += " before the timeout";
    }
    let away: Vec<String> = away.iter().map(|node| name(*node)).collect();
    if !away.is_empty() {
        message += &format!("; {} can't be reached", away.join(" and "));
    } else if !*timed_out {
        message += "; the others can't be reached or refuse";
    }
    let code = if *timed_out { ErrorCode::Timeout } else { ErrorCode::Unavailable };
    Failure::new(code, message)
}

pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::InvalidRequest, message)
}

/// Returns N for one request: the wanted one, between 1 and the bucket's, or the bucket's own.
pub(crate) fn resolve_n(wanted: Option<u8>, bucket: u8) -> Result<u8, Failure> {
    match wanted {
        None => Ok(bucket),
        Some(n) if (1..=bucket).contains(&n) => Ok(n),
        Some(n) => Err(invalid(format!("n={n} is not between 1 and the bucket's n={bucket}"))),
    }
}

/// Returns one of the quorums of a request as a number. `least` is 1 for r and w, 0 for the others.
pub(crate) fn resolve(
    name: &str,
    wanted: Quorum,
    bucket: u8,
    n: u8,
    least: u8,
) -> Result<u8, Failure> {
    let count = wanted.resolve(bucket, n).map_err(|error| match error {
        InvalidQuorum::AboveN { count, n } => {
            invalid(format!("{name}={count} is above the {n} replicas of the bucket (n={n})"))
        }
        InvalidQuorum::NotAQuorum => invalid(format!("{name}: {error}")),
    })?;
    if count < least {
        Err(invalid(format!("{name} has to be at least {least}")))
    } else {
        Ok(count)
    }
}

/// Returns the deadline of a request that came now, in microseconds on the monotonic clock.
pub(crate) fn deadline_us(mono_us: u64, timeout_ms: u32) -> Result<u64, Failure> {
    if (1..=TIMEOUT_MAX_MS).contains(&timeout_ms) {
        Ok(mono_us + u64::from(timeout_ms) * 1_000)
    } else {
        Err(invalid(format!("timeout_ms={timeout_ms} is not between 1 and {TIMEOUT_MAX_MS}")))
    }
}

#[cfg(test)]
mod tests;

impl StorageFault {
    /// Returns the refusal of a request that met this fault.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Overloaded => Failure::new(
                ErrorCode::Overloaded,
                "the node's write buffer is full; try again in a moment",
            ),
            Self::Failed(why) => Failure::new(ErrorCode::Storage, why),
            Self::TooLarge(why) => Failure::new(ErrorCode::RecordTooLarge, why),
        }
    }
}

//! Minting: from what is stored and what a client puts to the record that the replicas get.
//!
//! Invariant: the actor rule. A dot is drawn only under an actor of this life whose every dot is in
//! the stored record, or under a fresh one.

use alloc::format;
use alloc::vec::Vec;

use jedlik_coordinator::CoordinatorCopy;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::bucket::{BucketProps, Reconcile};
use jedlik_protocol::client::PutRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::{CLOCK_ENTRIES_LIMIT, CLOCK_ENTRIES_MAX, SIBLINGS_MAX};
use jedlik_protocol::{EncodedRecord, Incarnation, LocalActor, Now, Record, StoredRecord};
use jedlik_storage_port::Holding;
use jedlik_vclock::{ActorId, Content, VectorClock, Write, actor_for};

use crate::local_copy::merged_in_order;

/// Most bytes of an encoded sibling beside its value, its clock entry included.
const SIBLING_MOST_BYTES: usize = 192;
/// Most bytes of a clock entry in an encoded record.
const ENTRY_MOST_BYTES: usize = 32;
/// Furthest time ahead of now that a clock's entry is believed, in milliseconds. A client could have made up
/// a later one, and the key would hold on to that time for ever.
const TOUCHED_AHEAD_MS: u64 = 24 * 60 * 60 * 1_000;

/// Record and actor of a key while puts of it are minted one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    pub(crate) local: Option<LocalActor>,
    pub(crate) record: Record,
    /// Upper bound of the encoded record's length, in bytes: a record is encoded once for all the puts of a round.
    most_bytes: usize,
    /// Whether `most_bytes` is the exact length.
    exact: bool,
}

/// Put to be minted, and the limits that apply to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MintRequest<'a> {
    pub(crate) put: &'a PutRequest,
    pub(crate) context: &'a VectorClock,
    pub(crate) props: &'a BucketProps,
    /// Whether another node coordinates the key's puts when it can be reached. Siblings that it has under way
    /// are not seen here, and have room left to them.
    pub(crate) stands_in: bool,
    /// Time of the latest version that this node holds in any place, where the last write wins.
    pub(crate) follows_ms: Option<u64>,
}

impl MintRequest<'_> {
    /// Returns whether the put leaves a version of `record` beside its own.
    pub(crate) fn adds_to(&self, record: &Record) -> bool {
        if self.props.reconcile == Reconcile::LastWriteWins || record.holds_write(self.put.write_id)
        {
            return false;
        }
        record.siblings().iter().any(|sibling| !self.context.covers(sibling.dot))
    }

    /// Returns how many siblings this node lets the key have.
    fn sibling_limit(&self) -> u16 {
        let limit = self.props.sibling_limit;
        if self.stands_in { limit - limit / STAND_IN_PART } else { limit }
    }
}

/// Divisor of a sibling limit for the part that is left to puts that a stand-in does not see.
const STAND_IN_PART: u16 = 4;

impl Held {
    /// Returns the base of a put: all that this node holds of the key. The local actor is that of the record
    /// or hint that will keep the version. So an actor's every dot lies in one place, and is handed off or
    /// collected together with its actor.
    pub(crate) fn of(holding: &Holding, coordinator_copy: CoordinatorCopy) -> Self {
        let local = match coordinator_copy {
            CoordinatorCopy::Record => holding.record.as_ref().and_then(|stored| stored.local),
            CoordinatorCopy::Hint(primary) => {
                let hint = holding.hints.iter().find(|hint| hint.target == primary);
                hint.and_then(|hint| hint.record.local)
            }
            CoordinatorCopy::Nowhere => None,
        };
        // The record with the actor's dots comes first: it has to be part of the base.
        let own = holding.record.iter().map(|stored| &stored.record);
        let hints = holding.hints.iter();
        let is_own = |target| coordinator_copy == CoordinatorCopy::Hint(target);
        let own_hint = hints.clone().filter(|hint| is_own(hint.target));
        let others = hints.filter(|hint| !is_own(hint.target)).map(|hint| &hint.record.record);
        let all = own_hint.map(|hint| &hint.record.record).chain(own).chain(others);
        let encoded = merged_in_order(all.cloned());
        let record = encoded.as_ref().and_then(|encoded| encoded.decode().ok());
        let encoded_bytes = encoded.map_or(0, |encoded| encoded.bytes().len());
        // Without a readable record there is no actor to go on under.
        let local = local.filter(|_| record.is_some());
        let record = record.unwrap_or_default();
        Self { local, record, most_bytes: encoded_bytes, exact: true }
    }

    /// Returns the time of the latest version.
    pub(crate) fn newest_ms(&self) -> Option<u64> {
        self.record.newest().map(|sibling| sibling.written_at_ms)
    }

    /// Returns the record as it is written, with all that was minted.
    pub(crate) fn stored(&self) -> StoredRecord {
        let record = EncodedRecord::encode(&self.record);
        debug_assert!(record.bytes().len() <= self.most_bytes.max(self.record_floor()));
        StoredRecord { local: self.local, record }
    }

    /// Returns an upper bound of the length of a record without siblings, in bytes.
    fn record_floor(&self) -> usize {
        SIBLING_MOST_BYTES + self.record.clock().len() * ENTRY_MOST_BYTES
    }

    fn exact_bytes(&mut self) -> usize {
        if !self.exact {
            self.most_bytes = EncodedRecord::encode(&self.record).bytes().len();
            self.exact = true;
        }
        self.most_bytes
    }
}

/// Result of minting a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Minted {
    pub(crate) truncated: usize,
    /// Whether the write was held already: the put is a retry, and nothing new was minted.
    pub(crate) retried: bool,
}

/// Mints a put on top of `held`, which becomes the base of the key's next put.
///
/// # Errors
/// A limit of the bucket is passed, or the value is to expire and this node can't say when; `held` is unchanged.
pub(crate) fn mint(
    held: &mut Held,
    mint_request: MintRequest<'_>,
    now: Now,
    (incarnation, fresh): (Incarnation, ActorId),
) -> Result<Minted, Failure> {
    let MintRequest { put, context, props, .. } = mint_request;
    if held.record.holds_write(put.write_id) {
        return Ok(Minted { truncated: 0, retried: true });
    }
    let last_write_wins = props.reconcile == Reconcile::LastWriteWins;
    let mut seen = context.clone();
    let mut written_at_ms = now.wall_ms;
    if last_write_wins {
        seen.merge(held.record.clock());
        let after_ms = after_ms(mint_request.follows_ms.max(held.newest_ms()), &seen, now);
        written_at_ms = now.wall_ms.max(after_ms);
    }
    let actor = actor_for(held.local, incarnation, held.record.clock(), &seen, fresh);
    let expires_at_ms = match put.ttl_ms.or(props.ttl_ms) {
        None => None,
        Some(ttl_ms) => Some(now.end_ms(ttl_ms).ok_or_else(unheard)?),
    };
    let write = Write {
        write_id: put.write_id,
        written_at_ms,
        expires_at_ms,
        content: put.content.clone(),
    };
    let mut record = held.record.clone();
    record.put(&seen, actor, write);
    if planted::on(Bug::PrunedAtAnyTime) {
        let prunable: Vec<ActorId> = record.prunable().map(|entry| entry.actor).collect();
        record.prune(&prunable);
    }
    let truncated = record.truncate_after(held.record.siblings(), CLOCK_ENTRIES_LIMIT);
    check_siblings(held, &record, mint_request)?;
    let (most_bytes, exact) = check_bytes(held, &record, mint_request)?;
    let local = Some(LocalActor { actor, incarnation });
    *held = Held { local, record, most_bytes, exact };
    Ok(Minted { truncated, retried: false })
}

/// Returns the earliest time at which a version is later than all that it has seen, whether that is held here
/// or not: its client may have met a version that this node lacks. With an earlier time a version that it had
/// won over would be the latest again.
fn after_ms(newest_ms: Option<u64>, seen: &VectorClock, now: Now) -> u64 {
    if planted::on(Bug::LastWriteByOwnClock) {
        return 0;
    }
    let believed_ms = now.wall_ms.saturating_add(TOUCHED_AHEAD_MS);
    let touched_ms = seen.entries().iter().map(|entry| entry.touched_ms.min(believed_ms));
    touched_ms.chain(newest_ms).max().map_or(0, |latest_ms| latest_ms.saturating_add(1))
}

/// Returns the refusal of a put with an expiry by a node that has heard no other's clock: its own may be
/// wrong and give the value an early end.
fn unheard() -> Failure {
    let why = "this node has just started and has heard no other member's clock, so it can't say when a \
               value expires: another node takes the put, or this one in a moment";
    Failure::new(ErrorCode::NotReady, why)
}

const REMEDY: &str =
    "get the key, reconcile its siblings and put the result with the get's context";

/// Refuses a put that raises the number of siblings above the limit; one that reconciles is never refused.
fn check_siblings(
    held: &Held,
    record: &Record,
    mint_request: MintRequest<'_>,
) -> Result<(), Failure> {
    // Retries of one put are one sibling to readers, so they are one here.
    let siblings = record.distinct().count();
    let (limit, room) = (mint_request.props.sibling_limit, mint_request.sibling_limit());
    if siblings <= usize::from(room) || siblings <= held.record.distinct().count() {
        return Ok(());
    }
    let why = if siblings > usize::from(limit) {
        format!("over sibling_limit={limit}")
    } else {
        format!(
            "over the {room} of sibling_limit={limit} that a node lets it have while the one that coordinates its \
             puts does not answer"
        )
    };
    let message = format!("the key would have {siblings} siblings, {why}: {REMEDY}");
    Err(Failure::new(ErrorCode::TooManySiblings, message))
}

/// Refuses a put that raises the record's length above the limit. Returns an upper bound of the length in
/// bytes, and whether it is exact.
fn check_bytes(
    held: &mut Held,
    record: &Record,
    mint_request: MintRequest<'_>,
) -> Result<(usize, bool), Failure> {
    let limit = mint_request.props.record_limit_bytes as usize;
    let value_bytes = match &mint_request.put.content {
        Content::Value(value) => value.size(),
        Content::Tombstone => 0,
    };
    let entries_bytes = (mint_request.context.len() + record.clock().len()) * ENTRY_MOST_BYTES;
    let most_bytes = held.most_bytes + value_bytes + SIBLING_MOST_BYTES + entries_bytes;
    let counts_fit =
        record.clock().len() <= CLOCK_ENTRIES_MAX && record.siblings().len() <= SIBLINGS_MAX;
    if most_bytes <= limit && counts_fit {
        return Ok((most_bytes, false));
    }
    let encoded = EncodedRecord::encode_within_limits(record)
        .map_err(|over| Failure::new(ErrorCode::RecordTooLarge, format!("{over}")))?;
    let length = encoded.bytes().len();
    if length > limit && length > held.exact_bytes() {
        let message = format!(
            "the record would have {length} bytes, over record_limit_bytes={limit}: {REMEDY}"
        );
        return Err(Failure::new(ErrorCode::RecordTooLarge, message));
    }
    Ok((length, true))
}

#[cfg(test)]
mod tests;

//! Minting: from what is stored and what a client puts to the record that the replicas get.
//!
//! Invariant: the actor rule. A dot is drawn only under an actor of this life whose every dot is in
//! the stored record, or under a fresh one.

use alloc::format;
use alloc::vec::Vec;

use jedlik_coordinator::Home;
use jedlik_protocol::bucket::{BucketProps, Reconcile};
use jedlik_protocol::client::PutRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::CLOCK_ENTRIES_LIMIT;
use jedlik_protocol::{EncodedRecord, Incarnation, LocalActor, Now, Record, StoredRecord};
use jedlik_vclock::planted::{self, Bug};
use jedlik_vclock::{ActorId, VectorClock, Write, actor_for};

use crate::held::merged_in_order;
use crate::io::Holding;

/// What a key's coordinator holds while puts of it are minted one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    pub(crate) local: Option<LocalActor>,
    pub(crate) record: Record,
    pub(crate) encoded_bytes: usize,
}

impl Held {
    /// What a put is minted on: all that this node holds of the key. The local actor is that of the
    /// place where the version will be kept: an actor's every dot lies in one place, so that what is
    /// handed off or reaped takes its actor with it.
    pub(crate) fn of(holding: &Holding, home: Home) -> Self {
        let local = match home {
            Home::Record => holding.record.as_ref().and_then(|stored| stored.local),
            Home::Hint(primary) => {
                let hint = holding.hints.iter().find(|hint| hint.target == primary);
                hint.and_then(|hint| hint.record.local)
            }
            Home::Nowhere => None,
        };
        // What the actor has issued comes first: it has to be among what is minted on.
        let own = holding.record.iter().map(|stored| &stored.record);
        let hints = holding.hints.iter();
        let is_home = |target| home == Home::Hint(target);
        let home_hint = hints.clone().filter(|hint| is_home(hint.target));
        let others = hints.filter(|hint| !is_home(hint.target)).map(|hint| &hint.record.record);
        let all = home_hint.map(|hint| &hint.record.record).chain(own).chain(others);
        let encoded = merged_in_order(all.cloned());
        let record = encoded.as_ref().and_then(|encoded| encoded.decode().ok());
        let encoded_bytes = encoded.map_or(0, |encoded| encoded.bytes().len());
        // Without a record that can be read there is nothing under which to go on.
        let local = local.filter(|_| record.is_some());
        Self { local, record: record.unwrap_or_default(), encoded_bytes }
    }
}

/// A minted put.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) stored: StoredRecord,
    pub(crate) truncated: usize,
    /// The write was held already: this is a retry, and nothing new was minted.
    pub(crate) retried: bool,
}

/// Mints `put` on top of `held`, which becomes what the next put of the key is minted on.
///
/// # Errors
/// A limit of the bucket is passed, or the value is to expire and this node can't say when; `held` is unchanged.
pub(crate) fn mint(
    held: &mut Held,
    put: &PutRequest,
    context: &VectorClock,
    props: &BucketProps,
    now: Now,
    (incarnation, fresh): (Incarnation, ActorId),
) -> Result<Minted, Failure> {
    if held.record.holds_write(put.write_id) {
        let stored =
            StoredRecord { local: held.local, record: EncodedRecord::encode(&held.record) };
        return Ok(Minted { stored, truncated: 0, retried: true });
    }
    let last_write_wins = props.reconcile == Reconcile::LastWriteWins;
    let mut seen = context.clone();
    let mut written_at_ms = now.wall_ms;
    if last_write_wins {
        seen.merge(held.record.clock());
        let newest_ms = held.record.newest().map_or(0, |sibling| sibling.written_at_ms + 1);
        written_at_ms = now.wall_ms.max(newest_ms);
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
    let encoded = EncodedRecord::encode_within_limits(&record)
        .map_err(|over| Failure::new(ErrorCode::RecordTooLarge, format!("{over}")))?;
    check_limits(held, &record, &encoded, props)?;
    let local = Some(LocalActor { actor, incarnation });
    *held = Held { local, record, encoded_bytes: encoded.bytes().len() };
    Ok(Minted { stored: StoredRecord { local, record: encoded }, truncated, retried: false })
}

/// A wrong clock of this node's own must not give the value an early end: others have heard one another's.
fn unheard() -> Failure {
    let why = "this node has just started and has heard no other member's clock, so it can't say when a \
               value expires: another node takes the put, or this one in a moment";
    Failure::new(ErrorCode::NotReady, why)
}

/// A put that makes things worse past a limit is refused; one that reconciles never is.
fn check_limits(
    held: &Held,
    record: &Record,
    encoded: &EncodedRecord,
    props: &BucketProps,
) -> Result<(), Failure> {
    // Retries of one put are one sibling to whoever reads, so they are one here.
    let siblings = record.distinct().count();
    let remedy = "get the key, reconcile its siblings and put the result with the get's context";
    if siblings > usize::from(props.sibling_limit) && siblings > held.record.distinct().count() {
        let limit = props.sibling_limit;
        let message =
            format!("the key would have {siblings} siblings, over sibling_limit={limit}: {remedy}");
        return Err(Failure::new(ErrorCode::TooManySiblings, message));
    }
    let length = encoded.bytes().len();
    if length > props.record_limit_bytes as usize && length > held.encoded_bytes {
        let limit = props.record_limit_bytes;
        let message = format!(
            "the record would have {length} bytes, over record_limit_bytes={limit}: {remedy}"
        );
        return Err(Failure::new(ErrorCode::RecordTooLarge, message));
    }
    Ok(())
}

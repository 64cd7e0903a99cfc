//! Application of one record over another, as a node keeps them.
//!
//! Invariant: the local actor that comes with the newer write wins, and without one the older stays. Of
//! two hints the older time stands.

use jedlik_protocol::{EncodedRecord, StoredRecord};

use crate::StoreError;
use crate::hint::HintRow;

/// Returns the record to be stored once `new` has been applied over `current`. It shares no memory with `new`, which
/// would otherwise keep alive the whole message that it came in.
///
/// The bytes of the stored or the new record are kept wherever the merged record equals it.
pub(crate) fn merged(
    current: Option<&StoredRecord>,
    new: StoredRecord,
) -> Result<StoredRecord, StoreError> {
    let arrived = new.record.bytes().as_ptr();
    let mut stored = match current {
        Some(current) => merged_over(current, new)?,
        None => new,
    };
    if stored.record.bytes().as_ptr() == arrived {
        stored.record = stored.record.detached();
    }
    Ok(stored)
}

/// Returns the time and the record of a hint once `new`, kept since `since_ms`, has been applied over `current`.
pub(crate) fn merged_hint(
    current: Option<&HintRow>,
    since_ms: u64,
    new: StoredRecord,
) -> Result<(u64, StoredRecord), StoreError> {
    let oldest_ms = current.map_or(since_ms, |row| row.mark.since_ms.min(since_ms));
    let record = merged(current.and_then(|row| row.record.as_ref()), new)?;
    Ok((oldest_ms, record))
}

fn merged_over(current: &StoredRecord, new: StoredRecord) -> Result<StoredRecord, StoreError> {
    let local = new.local.or(current.local);
    if current.record.bytes() == new.record.bytes() {
        return Ok(StoredRecord { local, record: current.record.clone() });
    }
    let decode = |record: &EncodedRecord| record.decode().map_err(|_| StoreError::Malformed);
    let (ours, theirs) = (decode(&current.record)?, decode(&new.record)?);
    let mut both = ours.clone();
    both.merge(&theirs);
    let record = if both == theirs {
        new.record
    } else if both == ours {
        current.record.clone()
    } else {
        EncodedRecord::encode_within_limits(&both)?
    };
    Ok(StoredRecord { local, record })
}

//! Applying one record over another as a node keeps them.
//!
//! Invariant: the local actor that comes with the newer write wins, and without one the older stays.

use jedlik_protocol::{EncodedRecord, StoredRecord};

use crate::StoreError;

/// What is to be stored once `new` has been applied over `current`.
///
/// Bytes are kept as they came wherever the merged record equals one of the two.
pub(crate) fn merged(
    current: Option<&StoredRecord>,
    new: StoredRecord,
) -> Result<StoredRecord, StoreError> {
    let Some(current) = current else { return Ok(new) };
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
        EncodedRecord::encode(&both)
    };
    Ok(StoredRecord { local, record })
}

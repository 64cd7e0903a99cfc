//! Time limits for peers' answers to calls.
//!
//! Invariant: a record of the largest size, either way, has the time that a slow network and a slow disk need for
//! it, so that it is not sent again and again and never arrives.

use jedlik_protocol::Key;
use jedlik_protocol::peer::PeerRequest;

use crate::pending::Purpose;

/// Time that a peer has to answer a small call before it is tried again or elsewhere, in microseconds.
pub(crate) const CALL_LIMIT_US: u64 = 2_000_000;

/// Time that a page of a range may wait for its turn at the node that has it, in microseconds: about what all
/// that may wait there before it takes at the slowest pace.
pub(crate) const FETCH_LIMIT_US: u64 = 20_000_000;

/// Bytes that travel and are synced in a microsecond, at the slowest. The largest record has 18 s, less than
/// a message lives.
const BYTES_PER_US: u64 = 4;

/// Returns the time limit for the answer to a request, in microseconds. `record_limit_bytes` gives the limit
/// of a key's bucket.
pub(crate) fn answer_limit_us(
    purpose: &Purpose,
    request: &PeerRequest,
    record_limit_bytes: impl FnOnce(&Key) -> u32,
) -> u64 {
    match request {
        PeerRequest::Fetch { .. } => FETCH_LIMIT_US,
        PeerRequest::Write { record, .. }
        | PeerRequest::Hint { record, .. }
        | PeerRequest::Deliver { record, .. } => {
            CALL_LIMIT_US + record.bytes().len() as u64 / BYTES_PER_US
        }
        // The size of the record in the answer is not known yet. A client's request is not to be kept for
        // longer than its bucket's records need, nor puts that wait for the records that they are to follow.
        PeerRequest::Read { key, .. } => match purpose {
            Purpose::Operation(_) | Purpose::Base(_) => {
                CALL_LIMIT_US.max(u64::from(record_limit_bytes(key)) / BYTES_PER_US)
            }
            _ => FETCH_LIMIT_US,
        },
        _ => CALL_LIMIT_US,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use jedlik_coordinator::RequestId;
    use jedlik_protocol::bucket::BucketProps;
    use jedlik_protocol::limits::{RECORD_MAX_BYTES, record_limit_max_bytes};
    use jedlik_protocol::peer::PeerRequest;
    use jedlik_protocol::{EncodedRecord, Key, Record};
    use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

    use super::{CALL_LIMIT_US, answer_limit_us};
    use crate::pending::{Caller, OperationId, Purpose};

    #[test]
    fn the_largest_record_has_time_to_arrive_within_the_life_of_a_message() {
        let write = Write {
            write_id: WriteId(1),
            written_at_ms: 1,
            expires_at_ms: None,
            content: Content::Value(vec![7; RECORD_MAX_BYTES - 1_000].into()),
        };
        let mut record = Record::new();
        record.put(&VectorClock::new(), ActorId(1), write);
        let (record, key) = (EncodedRecord::encode(&record), Key::new("b", "k").unwrap());
        let deliver = PeerRequest::Deliver { key, record };
        let limit_us = answer_limit_us(&Purpose::Nobody, &deliver, |_| 0);
        // A network of 100 Mbit/s, and a disk that is as slow.
        assert!(limit_us > 2 * RECORD_MAX_BYTES as u64 / 12, "{limit_us}");
        assert!(limit_us < 30_000_000, "{limit_us}");
    }

    #[test]
    fn a_read_for_a_client_is_waited_for_as_long_as_its_bucket_allows_records_to_need() {
        let key = Key::new("b", "k").unwrap();
        let purpose =
            Purpose::Operation(Caller { operation: OperationId(1), request: RequestId(1) });
        let read = PeerRequest::Read { key, known: None, n: 3 };
        let limit_us = |bytes| answer_limit_us(&purpose, &read, |_| bytes);
        assert_eq!(limit_us(BucketProps::default().record_limit_bytes), CALL_LIMIT_US);
        assert!(limit_us(record_limit_max_bytes(3)) > 2 * CALL_LIMIT_US);
    }
}

//! One body for each decoder, over bytes from anywhere: for properties here and for a fuzzer.
//!
//! Each panics if the decoder does, or if it accepts what breaks an invariant of the type it gives.

use bytes::Bytes;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::{Blob, ClusterId, Context, EncodedRecord, Key, ProtocolVersion};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::V5, ProtocolVersion::V6];

/// A frame that is accepted must mean the same when it is sent on, in whatever version.
pub(crate) fn frame(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    for from in VERSIONS {
        let Ok(frame) = Frame::decode(&bytes, from) else { continue };
        for to in VERSIONS {
            let again = Bytes::from(frame.encode(to).into_vec());
            assert_eq!(Frame::decode(&again, to).as_ref(), Ok(&frame));
        }
    }
}

/// A record that is accepted must be well formed, and stay so through what replicas do with it.
pub(crate) fn record(bytes: &[u8]) {
    let Ok(encoded) = EncodedRecord::from_bytes(bytes) else { return };
    let record = encoded.decode().expect("it was decoded before");
    assert!(record.is_well_formed());
    let mut merged = record.clone();
    merged.merge(&record);
    assert_eq!(merged, record);
    let _ = (record.newest(), record.distinct().count(), record.prunable().count());
}

/// A context that is accepted must be well formed, and give an equal one when it is given out again.
pub(crate) fn context(bytes: &[u8]) {
    let key = Key::new("bucket", "key").expect("it is within the limits");
    let cluster = ClusterId(1);
    if let Ok(context) = Context::decode(&Blob::from(bytes), cluster, &key) {
        assert!(context.0.is_well_formed());
        assert_eq!(Context::decode(&context.encode(cluster, &key), cluster, &key), Ok(context));
    }
}

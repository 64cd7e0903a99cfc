//! Frames in every version of the protocol.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use jedlik_hashing::NodeId;

use super::{Frame, PROTOCOL_MAX, PROTOCOL_MIN};
use crate::ProtocolVersion::{self, V5, V6};
use crate::Stamp;
use crate::client::ClientRequest;
use crate::error::{DecodeError, ErrorCode, Failure};
use crate::frame::ArchivedFrame;
use crate::gossip::Gossip;
use crate::limits::FRAME_LIMIT_BYTES;
use crate::peer::PeerResponse;

/// One frame of each kind, and some whose last bytes might look like a frame's kind.
fn frames() -> Vec<Frame> {
    let refused = |length| {
        let failure =
            Failure::new(ErrorCode::Internal, String::from_utf8(vec![b'x'; length]).unwrap());
        Frame::PeerResponse {
            id: 1,
            stamp: Stamp::UNTOLD,
            response: PeerResponse::Refused(failure),
        }
    };
    let failed = crate::client::ClientResponse::Failed(Failure::new(ErrorCode::Timeout, "late"));
    let newest = crate::LayoutId { version: 1, digest: 2 };
    let layouts = crate::ActiveLayouts { newest, older: vec![newest] };
    let request = crate::peer::PeerRequest::Forward(ClientRequest::Topology);
    let life = crate::Incarnation(3);
    let (terms, stamp) =
        (crate::Terms { life, layouts, receiver_clock: 0, trace: None }, Stamp { life, clock: 2 });
    vec![
        Frame::ClientRequest { id: 1, request: ClientRequest::Topology },
        Frame::ClientResponse { id: 1, layout: 3, response: failed },
        Frame::PeerRequest { id: 0, terms, request },
        Frame::PeerResponse { id: 1, stamp, response: PeerResponse::Written },
        Frame::PeerResponse { id: 0, stamp: Stamp::UNTOLD, response: PeerResponse::Same },
        refused(0),
        refused(100_000),
        Frame::Gossip(Gossip::Probe { nonce: 0 }),
        Frame::Gossip(Gossip::ProbeFor { target: NodeId(0), nonce: u64::MAX }),
    ]
}

fn encoded(frame: &Frame, version: ProtocolVersion) -> Bytes {
    Bytes::from(frame.encode(version).into_vec())
}

#[test]
fn a_frame_is_read_in_the_version_in_which_it_was_written_and_in_no_other() {
    for frame in frames() {
        for version in [V5, V6] {
            let bytes = encoded(&frame, version);
            assert_eq!(frame.encoded_length(version), bytes.len());
            assert_eq!(Frame::decode(&bytes, version).as_ref(), Ok(&frame));
        }
        let (old, new) = (encoded(&frame, V5), encoded(&frame, V6));
        let as_old = Frame::decode(&new, V5);
        assert_eq!(as_old, Err(DecodeError::Malformed { what: "frame" }), "{frame:?}");
        let as_new = Frame::decode(&old, V6);
        assert_eq!(as_new, Err(DecodeError::Malformed { what: "sealed frame" }), "{frame:?}");
    }
}

#[test]
fn where_a_reader_of_version_3_looks_for_the_kind_of_a_sealed_frame_there_is_none() {
    for frame in frames() {
        let root = size_of::<ArchivedFrame>();
        let kind = |bytes: &Bytes| bytes[bytes.len() - root];
        assert!(kind(&encoded(&frame, V5)) <= 4);
        assert_eq!(kind(&encoded(&frame, V6)), 0xFF);
    }
}

#[test]
fn a_sealed_frame_with_any_byte_changed_or_missing_is_refused() {
    let broken = Err(DecodeError::Malformed { what: "sealed frame" });
    let whole = encoded(&frames()[1], V6);
    for at in 0..whole.len() {
        let mut changed = whole.to_vec();
        changed[at] ^= 1;
        assert_eq!(Frame::decode(&changed.into(), V6), broken, "byte {at} changed");
        assert_eq!(Frame::decode(&whole.slice(..at), V6), broken, "cut to {at} bytes");
        assert_eq!(Frame::decode(&whole.slice(at + 1..), V6), broken, "{at} bytes cut off");
    }
}

#[test]
fn a_frame_of_version_3_is_its_archive_and_nothing_else() {
    for frame in frames() {
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&frame).unwrap();
        assert_eq!(frame.encode(V5).as_slice(), archive.as_slice());
        assert_eq!(frame.encode(V6)[..archive.len()], archive[..]);
    }
}

#[test]
fn the_limit_holds_for_what_is_sent_with_the_seal() {
    let length = FRAME_LIMIT_BYTES + 1;
    for version in [V5, V6] {
        let refused = Frame::decode(&vec![0; length].into(), version);
        assert_eq!(refused, Err(DecodeError::TooLong { length, limit: FRAME_LIMIT_BYTES }));
    }
}

#[test]
fn versions_go_by_their_names_and_numbers() {
    for version in [V5, V6] {
        assert_eq!(ProtocolVersion::from_name(version.name().as_bytes()), Some(version));
        assert!(version.name().ends_with(&alloc::format!("/{}", version.number())));
    }
    assert_eq!(ProtocolVersion::from_name(b"jedlik"), None);
    assert_eq!(ProtocolVersion::from_name(b"jedlik/55"), None);
}

#[test]
fn a_build_speaks_its_versions_from_the_newest_to_the_oldest() {
    let spoken = ProtocolVersion::SPOKEN;
    assert!(spoken.is_sorted_by(|newer, older| newer > older));
    assert_eq!(
        (spoken[0].number(), spoken[spoken.len() - 1].number()),
        (PROTOCOL_MAX, PROTOCOL_MIN)
    );
    assert_eq!(spoken.contains(&V6), cfg!(feature = "next-protocol"));
}

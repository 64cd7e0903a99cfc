//! Frames out of bytes, however these are cut.

use bytes::BytesMut;
use jedlik_protocol::ProtocolVersion;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::gossip::Gossip;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Sender, split};
use crate::{CloseCode, Role};

const NODE: Sender = Sender { role: Role::Node, version: ProtocolVersion::NEWEST };

fn written(nonces: &[u64]) -> (Vec<Frame>, Vec<u8>) {
    let frames: Vec<Frame> =
        nonces.iter().map(|nonce| Frame::Gossip(Gossip::Probe { nonce: *nonce })).collect();
    let mut bytes = Vec::new();
    for frame in &frames {
        let encoded = frame.encode(NODE.version);
        bytes.extend_from_slice(&u32::try_from(encoded.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&encoded);
    }
    (frames, bytes)
}

proptest! {
    #[test]
    fn frames_are_the_same_however_their_bytes_are_cut(
        nonces in proptest::collection::vec(any::<u64>(), 0..20),
        cut in 1_usize..100,
    ) {
        let (frames, bytes) = written(&nonces);
        let (mut waiting, mut taken) = (BytesMut::new(), Vec::new());
        for piece in bytes.chunks(cut) {
            waiting.extend_from_slice(piece);
            split(&mut waiting, &NODE, &mut taken).unwrap();
        }
        prop_assert_eq!(taken, frames);
        prop_assert!(waiting.is_empty());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut waiting = BytesMut::from(bytes.as_slice());
        // Whether they happen to be frames is not the point.
        let _ = split(&mut waiting, &NODE, &mut Vec::new());
    }
}

#[test]
fn a_frame_before_a_fault_is_taken() {
    let (frames, mut bytes) = written(&[1, 2]);
    bytes.extend_from_slice(&[0xFF; 4]);
    let (mut waiting, mut taken) = (BytesMut::from(bytes.as_slice()), Vec::new());
    let fault = split(&mut waiting, &NODE, &mut taken).unwrap_err();
    assert_eq!(fault.code, CloseCode::FrameTooLong);
    assert_eq!(taken, frames);
}

//! The body of the fuzz target for the journal's frames, run by tests here and by a fuzzer.

use super::frame::{FRAME_HEADER_BYTES, FrameChange, MAGIC, parse, push, push_drop, seal};

const SALT: u32 = 7;

/// Parses any bytes as a frame, and as the payload of a frame whose checksum is right: what is accepted must encode to
/// the same bytes.
pub(crate) fn frame(bytes: &[u8]) {
    let _ = parse(bytes, SALT);
    let mut framed = vec![0; FRAME_HEADER_BYTES];
    framed[..4].copy_from_slice(&MAGIC);
    framed[12..16].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    framed.extend_from_slice(bytes);
    seal(&mut framed, SALT, 3, 2);
    if let Some(read) = parse(&framed, SALT) {
        assert_eq!((read.lsn, read.synced_through, read.length_bytes), (3, 2, framed.len()));
        let mut again = Vec::new();
        match read.change {
            FrameChange::Edit(key, edit) => {
                push(&mut again, &key, &edit).expect("it was read from a frame within the limit");
            }
            FrameChange::Drop(partition) => drop(push_drop(&mut again, partition)),
        }
        assert_eq!(again[FRAME_HEADER_BYTES..], framed[FRAME_HEADER_BYTES..]);
    }
}

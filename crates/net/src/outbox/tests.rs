//! What may wait to be sent.

use super::{Outbox, PREFIX_BYTES};
use crate::SendError;
use crate::limits::{SEND_QUEUE_BYTES, SEND_QUEUE_FRAMES};
use jedlik_protocol::limits::{FRAME_LIMIT_BYTES, SMALL_FRAME_BYTES};

#[tokio::test]
async fn frames_that_wait_together_are_taken_together() {
    let outbox = Outbox::new(SEND_QUEUE_BYTES);
    outbox.push(b"one").unwrap();
    outbox.push(b"three").unwrap();
    assert_eq!(&*outbox.next_small().await.unwrap(), b"\x03\0\0\0one\x05\0\0\0three");
    outbox.push(b"two").unwrap();
    assert_eq!(&*outbox.next_small().await.unwrap(), b"\x03\0\0\0two");
}

#[tokio::test]
async fn large_frames_are_taken_apart_and_without_a_copy() {
    let outbox = Outbox::new(SEND_QUEUE_BYTES);
    let large = vec![7_u8; SMALL_FRAME_BYTES + 1];
    let at = large.as_ptr();
    outbox.push(large).unwrap();
    outbox.push(vec![8_u8; SMALL_FRAME_BYTES]).unwrap();
    assert_eq!(outbox.next_large().await.unwrap().as_ptr(), at);
    assert_eq!(outbox.next_small().await.unwrap().len(), PREFIX_BYTES + SMALL_FRAME_BYTES);
}

#[test]
fn frames_are_counted() {
    let outbox = Outbox::new(SEND_QUEUE_BYTES);
    (0..SEND_QUEUE_FRAMES).for_each(|_| outbox.push(b"x").unwrap());
    let refused = outbox.push(b"x").unwrap_err();
    assert!(matches!(refused, SendError::Full { frames: SEND_QUEUE_FRAMES, .. }), "{refused}");
}

#[tokio::test]
async fn bytes_are_counted_until_they_are_written() {
    let outbox = Outbox::new(SEND_QUEUE_BYTES);
    let half = vec![0_u8; SEND_QUEUE_BYTES / 2];
    outbox.push(half.clone()).unwrap();
    outbox.push(half.clone()).unwrap();
    assert!(matches!(outbox.push(b"x"), Err(SendError::Full { frames: 2, .. })));
    let taken = outbox.next_large().await.unwrap();
    assert!(matches!(outbox.push(b"x"), Err(SendError::Full { frames: 1, .. })));
    outbox.large_written(taken.len());
    outbox.push(b"x").unwrap();
}

#[tokio::test]
async fn what_the_writer_of_small_frames_holds_is_counted_until_it_comes_for_more() {
    let outbox = Outbox::new(SEND_QUEUE_BYTES);
    let frame = vec![0_u8; SMALL_FRAME_BYTES];
    while outbox.push(frame.clone()).is_ok() {}
    let batch = outbox.next_small().await.unwrap();
    assert!(batch.len() + PREFIX_BYTES + SMALL_FRAME_BYTES > SEND_QUEUE_BYTES);
    assert!(outbox.push(frame.clone()).is_err());
    outbox.finish();
    assert_eq!(outbox.next_small().await, None);
}

#[test]
fn a_frame_that_fits_no_limit_is_too_long_and_the_longest_is_not() {
    let outbox = Outbox::new(SEND_QUEUE_BYTES);
    let length = FRAME_LIMIT_BYTES + 1;
    let refused = outbox.push(vec![0_u8; length]).unwrap_err();
    assert_eq!(refused, SendError::TooLong { length, limit: FRAME_LIMIT_BYTES });
    outbox.push(vec![0_u8; FRAME_LIMIT_BYTES]).unwrap();
}

#[tokio::test]
async fn an_outbox_that_ends_is_emptied_first() {
    let outbox = Outbox::new(SEND_QUEUE_BYTES);
    outbox.push(b"last").unwrap();
    outbox.finish();
    assert_eq!(outbox.push(b"later"), Err(SendError::Closed));
    assert!(outbox.next_small().await.is_some());
    assert_eq!(outbox.next_small().await, None);
    // As many times as there are writers.
    assert_eq!(outbox.next_large().await, None);
    assert_eq!(outbox.next_large().await, None);
}

#[tokio::test]
async fn an_outbox_that_is_discarded_ends_at_once() {
    let outbox = Outbox::new(SEND_QUEUE_BYTES);
    outbox.push(b"lost").unwrap();
    outbox.push(vec![0_u8; SMALL_FRAME_BYTES + 1]).unwrap();
    outbox.discard();
    assert_eq!(outbox.next_small().await, None);
    assert_eq!(outbox.next_large().await, None);
}

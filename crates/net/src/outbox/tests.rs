//! What may wait to be sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Outbox, PREFIX_BYTES, Shared};
use crate::SendError;
use crate::limits::{CLIENT_QUEUE_BYTES, SEND_QUEUE_BYTES, SEND_QUEUE_FRAMES, SMALL_FRAMES_PART};
use jedlik_protocol::limits::{FRAME_LIMIT_BYTES, SMALL_FRAME_BYTES};

#[tokio::test]
async fn frames_that_wait_together_are_taken_together() {
    let outbox = Outbox::to_node();
    outbox.push(b"one").unwrap();
    outbox.push(b"three").unwrap();
    assert_eq!(&*outbox.next_small().await.unwrap(), b"\x03\0\0\0one\x05\0\0\0three");
    outbox.push(b"two").unwrap();
    assert_eq!(&*outbox.next_small().await.unwrap(), b"\x03\0\0\0two");
}

#[tokio::test]
async fn large_frames_are_taken_apart_and_without_a_copy() {
    let outbox = Outbox::to_node();
    let large = vec![7_u8; SMALL_FRAME_BYTES + 1];
    let at = large.as_ptr();
    outbox.push(large).unwrap();
    outbox.push(vec![8_u8; SMALL_FRAME_BYTES]).unwrap();
    assert_eq!(outbox.next_large().await.unwrap().as_ptr(), at);
    assert_eq!(outbox.next_small().await.unwrap().len(), PREFIX_BYTES + SMALL_FRAME_BYTES);
}

#[test]
fn frames_are_counted() {
    let outbox = Outbox::to_node();
    (0..SEND_QUEUE_FRAMES).for_each(|_| outbox.push(b"x").unwrap());
    let refused = outbox.push(b"x").unwrap_err();
    assert!(matches!(refused, SendError::Full { frames: SEND_QUEUE_FRAMES, .. }), "{refused}");
}

#[tokio::test]
async fn bytes_are_counted_until_they_are_written() {
    let outbox = Outbox::to_node();
    let half = vec![0_u8; SEND_QUEUE_BYTES / 2];
    outbox.push(half.clone()).unwrap();
    outbox.push(half.clone()).unwrap();
    let more = || vec![0_u8; SMALL_FRAME_BYTES + 1];
    assert!(matches!(outbox.push(more()), Err(SendError::Full { frames: 2, .. })));
    let taken = outbox.next_large().await.unwrap();
    assert!(matches!(outbox.push(more()), Err(SendError::Full { frames: 1, .. })));
    outbox.large_written(taken.len());
    outbox.push(more()).unwrap();
}

#[test]
fn what_is_said_in_place_of_a_large_answer_finds_room_where_that_did_not() {
    let outbox = Outbox::to_client();
    assert!(outbox.has_room(SMALL_FRAME_BYTES + 1));
    outbox.push_announced(1, vec![0_u8; CLIENT_QUEUE_BYTES - 10], b"coming").unwrap();
    assert!(!outbox.has_room(SMALL_FRAME_BYTES + 1) && outbox.has_room(1));
    let answer = outbox.push_announced(2, vec![0_u8; SMALL_FRAME_BYTES + 1], b"coming");
    assert!(matches!(answer, Err(SendError::Full { .. })));
    let refusal = vec![0_u8; SMALL_FRAME_BYTES];
    let taken = (0..SEND_QUEUE_FRAMES).take_while(|_| outbox.push(refusal.clone()).is_ok()).count();
    let room = CLIENT_QUEUE_BYTES / SMALL_FRAMES_PART;
    assert!((1..=room / SMALL_FRAME_BYTES).contains(&taken), "{taken}");
}

#[tokio::test]
async fn an_answer_that_is_withdrawn_is_not_sent_and_its_room_is_free() {
    let outbox = Outbox::to_client();
    let answer = |byte| vec![byte; CLIENT_QUEUE_BYTES / 2 - 100];
    outbox.push_announced(1, answer(1), b"first").unwrap();
    outbox.push_announced(2, answer(2), b"second").unwrap();
    assert!(outbox.push_announced(3, answer(3), b"third").is_err());
    outbox.withdraw(1);
    outbox.withdraw(7);
    outbox.push_announced(3, answer(3), b"third").unwrap();
    assert_eq!(outbox.next_large().await.unwrap()[0], 2);
    assert_eq!(outbox.next_large().await.unwrap()[0], 3);
}

#[test]
fn clients_outboxes_have_one_limit_together_and_one_answer_each_in_any_case() {
    static HELD: AtomicUsize = AtomicUsize::new(0);
    let shared = Shared { held_bytes: &HELD, limit_bytes: 1 << 20 };
    let outbox = || Outbox::with(CLIENT_QUEUE_BYTES, Some(shared));
    let (first, second) = (outbox(), outbox());
    let answer = || vec![0_u8; 600 << 10];
    first.push_announced(1, answer(), b"coming").unwrap();
    assert!(first.push_announced(2, answer(), b"coming").is_err());
    second.push_announced(1, answer(), b"coming").unwrap();
    assert!(!second.has_room(SMALL_FRAME_BYTES + 1) && HELD.load(Ordering::Relaxed) == 1200 << 10);
    drop(second);
    first.discard();
    assert_eq!(HELD.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_the_writer_of_small_frames_holds_is_counted_until_it_comes_for_more() {
    let outbox = Outbox::to_node();
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
    let outbox = Outbox::to_node();
    let length = FRAME_LIMIT_BYTES + 1;
    let refused = outbox.push(vec![0_u8; length]).unwrap_err();
    assert_eq!(refused, SendError::TooLong { length, limit: FRAME_LIMIT_BYTES });
    outbox.push(vec![0_u8; FRAME_LIMIT_BYTES]).unwrap();
}

#[tokio::test]
async fn an_outbox_that_ends_is_emptied_first() {
    let outbox = Outbox::to_node();
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
    let outbox = Outbox::to_node();
    outbox.push(b"lost").unwrap();
    outbox.push(vec![0_u8; SMALL_FRAME_BYTES + 1]).unwrap();
    outbox.discard();
    assert_eq!(outbox.next_small().await, None);
    assert_eq!(outbox.next_large().await, None);
}

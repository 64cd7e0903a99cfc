//! Frames: whole ones, pieces, claimed lengths, and any bytes.

use std::io::ErrorKind;

use bytes::Bytes;
use jedlik_door::Room;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{Frames, Head, Reply};
use crate::limits::READ_BYTES;
use crate::messages::ClientId;

/// Returns both ends of a connection that takes so many bytes at a time.
fn connection(bytes: usize) -> (DuplexStream, Frames<DuplexStream>) {
    let (client, server) = duplex(bytes);
    (client, Frames::new(server))
}

fn room() -> Room {
    Room::new(1 << 20)
}

#[tokio::test]
async fn a_frame_in_any_pieces_is_the_same_frame() {
    for pieces in 1..9 {
        let (mut client, mut frames) = connection(pieces);
        let sent = tokio::spawn(async move {
            let two = [&[0, 0, 0, 4, 9][..], b"abc", &[0, 0, 0, 1, 7]].concat();
            client.write_all(&two).await.unwrap();
        });
        let head = frames.head().await.unwrap().unwrap();
        assert_eq!(head, Head::Message { code: 9, length: 3 }, "in pieces of {pieces}");
        let message = frames.message(3, &mut room().hold()).await.unwrap();
        assert_eq!(message, Some(Bytes::from("abc")), "in pieces of {pieces}");
        let head = frames.head().await.unwrap().unwrap();
        assert_eq!(head, Head::Message { code: 7, length: 0 }, "in pieces of {pieces}");
        sent.await.unwrap();
        assert_eq!(frames.head().await.unwrap(), None, "the end between two frames is none within");
    }
}

#[tokio::test]
async fn a_beginning_that_was_not_waited_for_is_kept() {
    let (mut client, mut frames) = connection(64);
    client.write_all(&[0, 0]).await.unwrap();
    let given_up = tokio::time::timeout(std::time::Duration::ZERO, frames.head()).await;
    assert!(given_up.is_err());
    client.write_all(&[0, 1, 1]).await.unwrap();
    assert_eq!(frames.head().await.unwrap(), Some(Head::Message { code: 1, length: 0 }));
}

#[tokio::test]
async fn the_end_within_a_frame_is_an_error() {
    for sent in [&[0, 0][..], &[0, 0, 0, 9], &[0, 0, 0, 9, 1], &[0, 0, 0, 9, 1, b'a']] {
        let (mut client, mut frames) = connection(64);
        client.write_all(sent).await.unwrap();
        drop(client);
        let (room, error) = (room(), ErrorKind::UnexpectedEof);
        let ended = match frames.head().await {
            Ok(Some(Head::Message { length, .. })) => {
                frames.message(length, &mut room.hold()).await.unwrap_err()
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => error,
        };
        assert_eq!(ended.kind(), error, "{sent:?}");
        assert_eq!(room.taken_bytes(), 0);
    }
}

#[tokio::test]
async fn a_frame_without_a_code_is_empty() {
    let (mut client, mut frames) = connection(64);
    client.write_all(&[0, 0, 0, 0, 0, 0, 0, 1, 1]).await.unwrap();
    assert_eq!(frames.head().await.unwrap(), Some(Head::Empty));
    assert_eq!(frames.head().await.unwrap(), Some(Head::Message { code: 1, length: 0 }));
}

#[tokio::test]
async fn nothing_is_taken_for_a_claimed_length() {
    let (mut client, mut frames) = connection(64);
    client.write_all(&[0xff, 0xff, 0xff, 0xff, 11]).await.unwrap();
    let Some(Head::Message { length, .. }) = frames.head().await.unwrap() else { panic!() };
    client.write_all(&[0; 60]).await.unwrap();
    let room = room();
    let mut held = room.hold();
    let receiving = frames.message(length, &mut held);
    let never = tokio::time::timeout(std::time::Duration::from_millis(20), receiving).await;
    assert!(never.is_err());
    assert!(room.taken_bytes() <= 120, "{} bytes for 60", room.taken_bytes());
    let capacity = frames.received.capacity();
    assert!(capacity <= 2 * READ_BYTES, "{capacity} bytes for 60");
}

#[tokio::test]
async fn a_message_without_room_is_passed_over_and_the_next_one_is_there() {
    let (mut client, mut frames) = connection(1 << 16);
    let long = [&20_001_u32.to_be_bytes()[..], &[11], &[0; 20_000], &[0, 0, 0, 1, 1]].concat();
    client.write_all(&long).await.unwrap();
    let room = Room::new(10_000);
    let other = room.take(5_000);
    let Some(Head::Message { length, .. }) = frames.head().await.unwrap() else { panic!() };
    let mut held = room.hold();
    assert_eq!(frames.message(length, &mut held).await.unwrap(), None);
    assert_eq!(frames.head().await.unwrap(), Some(Head::Message { code: 1, length: 0 }));
    drop((held, other));
    assert_eq!(room.taken_bytes(), 0);
}

#[tokio::test]
async fn a_long_message_leaves_no_memory_behind() {
    let (mut client, mut frames) = connection(1 << 16);
    let length = 300_000_u32;
    let sent = tokio::spawn(async move {
        client.write_all(&(length + 1).to_be_bytes()).await.unwrap();
        client.write_all(&[11]).await.unwrap();
        client.write_all(&vec![7; length as usize]).await.unwrap();
        client.write_all(&[0, 0, 0, 1, 1]).await.unwrap();
    });
    let Some(Head::Message { length, .. }) = frames.head().await.unwrap() else { panic!() };
    let message = frames.message(length, &mut room().hold()).await.unwrap().unwrap();
    assert!(message.len() == length && message.iter().all(|byte| *byte == 7));
    assert!(frames.received.capacity() <= READ_BYTES);
    assert_eq!(frames.head().await.unwrap(), Some(Head::Message { code: 1, length: 0 }));
    sent.await.unwrap();
}

#[tokio::test]
async fn what_is_sent_counts_its_code() {
    let (mut client, mut frames) = connection(64);
    frames.send(Reply::empty(2)).await.unwrap();
    let id = ClientId { client_id: Bytes::from("me") };
    frames.send(Reply::new(4, &id)).await.unwrap();
    drop(frames);
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, [0, 0, 0, 1, 2, 0, 0, 0, 5, 4, 0x0a, 2, b'm', b'e']);
}

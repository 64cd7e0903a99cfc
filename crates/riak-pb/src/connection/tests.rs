//! Connections that stay open after a mistake, and those that end.

use std::sync::Arc;

use jedlik_door::fake::FakeNode;
use jedlik_door::{Connections, Node, Room, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::watch;

use super::Connection;
use crate::Settings;
use crate::code;
use crate::session::{Entry, Session};

#[tokio::test]
async fn a_request_without_room_is_refused_and_the_next_one_is_not() {
    let (mut client, server) = duplex(1 << 20);
    let (node, room) = (Arc::new(FakeNode::default()), Room::new(10_000));
    let settings = Settings::default();
    let entry = Entry::new(&settings.guard, ([127, 0, 0, 1], 1).into());
    let session = Session::new(node as Arc<dyn Node>, "n1".into(), entry);
    let server = Stream::Over(Box::new(server));
    let connection = Connection::new(server, session, &settings, room.clone());
    let place = Arc::new(Connections::new(1).enter().unwrap());
    let (_stop, stopped) = watch::channel(());
    let serving = tokio::spawn(connection.serve(place, stopped));

    let others = room.take(6_000);
    // A field that nobody knows: the message is well formed, and names no bucket.
    let field = [&[0xfa, 0x07, 0xc0, 0x3e][..], &[0; 8_000]].concat();
    let get = [&(field.len() as u32 + 1).to_be_bytes()[..], &[code::GET], &field].concat();
    client.write_all(&get).await.unwrap();
    assert!(error(&mut client).await.contains("Overloaded: "));
    drop(others);
    client.write_all(&get).await.unwrap();
    assert!(error(&mut client).await.contains("the bucket name is empty"));

    drop(client);
    serving.await.unwrap().unwrap();
    assert_eq!(room.taken_bytes(), 0);
}

/// Reads the answer of a request that was refused, and returns it as text.
async fn error(client: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = [0; 5];
    client.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let mut message = vec![0; length as usize - 1];
    client.read_exact(&mut message).await.unwrap();
    assert_eq!(head[4], code::ERROR);
    String::from_utf8_lossy(&message).into_owned()
}

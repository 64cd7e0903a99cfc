//! Each message of a session, over a node in memory.

mod listings;
mod objects;
mod properties;
mod server_info;

use std::sync::Arc;

use bytes::{Buf, Bytes};
use jedlik_door::fake::FakeNode;
use jedlik_door::{Guard, Node};
use jedlik_protocol::client::ClientRequest;
use prost::Message;
use tokio::io::{AsyncReadExt, duplex};

use super::{Entry, Session};
use crate::code;
use crate::frame::Frames;
use crate::messages::{Content, Delete, ErrorAnswer, Get, Got, Put, Stored};

/// Client of a session with a fake node.
struct Client {
    node: Arc<FakeNode>,
    session: Session,
}

impl Client {
    fn new() -> Self {
        let node = Arc::new(FakeNode::default());
        let entry = Entry::new(&Guard::default(), ([127, 0, 0, 1], 1).into());
        let session = Session::new(Arc::clone(&node) as Arc<dyn Node>, "n1".into(), entry);
        Self { node, session }
    }

    /// Sends a message and returns all answers to it.
    async fn send(&mut self, code: u8, message: Vec<u8>) -> Vec<(u8, Bytes)> {
        let (mut client, server) = duplex(1 << 20);
        let mut frames = Frames::new(server);
        self.session.answer(code, message.into(), &mut frames).await.unwrap();
        drop(frames);
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        split(received.into())
    }

    /// Sends a message and returns its only answer, which has the code `answered`.
    async fn ask<A: Message + Default>(
        &mut self,
        code: u8,
        message: &impl Message,
        answered: u8,
    ) -> A {
        let answers = self.send(code, message.encode_to_vec()).await;
        let [(code, answer)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(*code, answered, "{}", String::from_utf8_lossy(answer));
        A::decode(answer.clone()).unwrap()
    }

    /// Sends a message that is refused, and returns why.
    async fn refused(&mut self, code: u8, message: &impl Message) -> String {
        let answer: ErrorAnswer = self.ask(code, message, code::ERROR).await;
        assert_eq!(answer.code, 0);
        String::from_utf8(answer.message.into()).unwrap()
    }

    async fn put(&mut self, put: Put) -> Stored {
        self.ask(code::PUT, &put, code::STORED).await
    }

    async fn get(&mut self, get: Get) -> Got {
        self.ask(code::GET, &get, code::GOT).await
    }

    async fn delete(&mut self, delete: Delete) {
        let () = self.ask(code::DELETE, &delete, code::DELETED).await;
    }

    /// Returns the requests that the node was asked for data.
    fn asked(&self) -> Vec<ClientRequest> {
        let asked = self.node.asked().into_iter();
        asked.filter(|request| !matches!(request, ClientRequest::Admin(_))).collect()
    }
}

/// Cuts what was received into frames.
fn split(mut received: Bytes) -> Vec<(u8, Bytes)> {
    let mut frames = Vec::new();
    while received.has_remaining() {
        let mut frame = received.split_to(4);
        let mut frame = received.split_to(frame.get_u32() as usize);
        frames.push((frame.get_u8(), frame));
    }
    frames
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn value(value: &str) -> Content {
    Content { value: text(value), ..Content::default() }
}

/// Returns the put of a value at one key, which follows a context.
fn put(of: &str, vclock: Option<Bytes>) -> Put {
    let content = value(of).encode_to_vec().into();
    Put { bucket: text("carts"), key: Some(text("alice")), content, vclock, ..Put::default() }
}

fn get() -> Get {
    Get { bucket: text("carts"), key: text("alice"), ..Get::default() }
}

fn delete(vclock: Option<Bytes>) -> Delete {
    Delete { bucket: text("carts"), key: text("alice"), vclock, ..Delete::default() }
}

/// Returns the values of versions in the order of their bytes; a tombstone is `-`.
fn values(contents: &[Content]) -> Vec<String> {
    let shown = |content: &Content| match content.deleted {
        Some(true) => "-".to_owned(),
        _ => String::from_utf8_lossy(&content.value).into_owned(),
    };
    let mut values: Vec<String> = contents.iter().map(shown).collect();
    values.sort();
    values
}

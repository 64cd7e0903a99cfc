//! The interface over a real connection: the case of headers' names, and lists whose client goes away.

use std::sync::Arc;
use std::time::Duration;

use jedlik_door::Node;
use jedlik_door::fake::FakeNode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Door, Settings};

/// Limit on every wait.
const LIMIT: Duration = Duration::from_secs(60);

/// Opens a door before a node in memory, and a connection to it.
async fn connect() -> (Arc<FakeNode>, TcpStream) {
    let node = Arc::new(FakeNode::default());
    let place = ([127, 0, 0, 1], 0).into();
    let door = Door::bind(place, Arc::clone(&node) as Arc<dyn Node>, Settings::default());
    let door = door.await.unwrap();
    let stream = TcpStream::connect(door.address().unwrap()).await.unwrap();
    tokio::spawn(door.serve(std::future::pending()));
    (node, stream)
}

async fn put(stream: &mut TcpStream, path: &str) -> String {
    let request = format!(
        "PUT {path}?returnbody=true HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\nx-riak-meta-colour: red\r\n\
         content-length: 3\r\n\r\ntea"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(stream, "\r\n\r\ntea").await
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut said = String::new();
    let reading = async {
        while !said.contains(end) {
            let mut bytes = [0; 1_024];
            let length = stream.read(&mut bytes).await.unwrap();
            assert!(length > 0, "the connection ended after {said:?}");
            said.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        }
    };
    tokio::time::timeout(LIMIT, reading).await.unwrap();
    said
}

#[tokio::test]
async fn names_of_headers_have_riaks_case() {
    let (_node, mut stream) = connect().await;
    let said = put(&mut stream, "/buckets/carts/keys/alice").await;
    for header in
        ["X-Riak-Vclock: ", "X-Riak-Meta-Colour: red", "Content-Type: ", "Last-Modified: "]
    {
        assert!(said.contains(&format!("\r\n{header}")), "{header}: {said}");
    }
}

#[tokio::test]
async fn a_list_stops_once_its_client_has_gone() {
    let (node, mut stream) = connect().await;
    for key in 0..20 {
        put(&mut stream, &format!("/buckets/carts/keys/{key}")).await;
    }
    // The node answers with the topology and one page, and then no more.
    node.stall_after(2);
    let request = "GET /buckets/carts/keys?keys=stream HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut stream, "{\"keys\":").await;
    drop(stream);
    let withdrawn = async {
        while node.withdrawn() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, withdrawn).await.unwrap();
}

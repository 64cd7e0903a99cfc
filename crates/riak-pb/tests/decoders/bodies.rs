//! A connection of a Riak client that sends any bytes: for properties here and for a fuzzer.

use std::net::Ipv4Addr;
use std::sync::Arc;

use jedlik_door::Stream;
use jedlik_door::fake::FakeNode;
use jedlik_riak_pb::{Settings, serve_stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

/// Bytes that may be on their way in each direction.
const ON_THE_WAY_BYTES: usize = 4 << 10;

/// Whatever a client sends, it receives whole frames, and then its connection ends.
pub(crate) fn connection(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let received = runtime.expect("a runtime without threads").block_on(async {
        let (client, server) = duplex(ON_THE_WAY_BYTES);
        let (mut read, mut write) = split(client);
        let node = Arc::new(FakeNode::default());
        let (stream, from) = (Stream::Over(Box::new(server)), (Ipv4Addr::LOCALHOST, 1).into());
        let serving = serve_stream((stream, from), ("n1", node), Settings::default());
        let sending = async {
            // The door may have ended the connection before all was sent.
            let _ended = write.write_all(bytes).await;
            let _ended = write.shutdown().await;
        };
        let mut received = Vec::new();
        let (_ended, (), read) = tokio::join!(serving, sending, read.read_to_end(&mut received));
        read.expect("memory can be read");
        received
    });
    let mut left = &received[..];
    while !left.is_empty() {
        let (length, rest) = left.split_first_chunk().expect("a frame has a length");
        let length = u32::from_be_bytes(*length) as usize;
        assert!((1..=rest.len()).contains(&length), "{received:?}");
        left = &rest[length..];
    }
}

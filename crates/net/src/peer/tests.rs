//! A peer whose other end comes and goes, over real QUIC on loopback.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use jedlik_hashing::NodeId;

use super::{Backoff, Peer, PeerState};
use crate::endpoint::tests::{BOTH, End, Keys, OLD, probe};
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, BACKOFF_SELDOM_MAX, PEER_QUEUE_FRAMES};
use crate::{CloseReason, ConnectError, Credentials, SendError};

/// Timeout far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Waits until the peer's state is as wanted.
async fn reached(peer: &Peer, wanted: impl Fn(&PeerState) -> bool) {
    let reached = async {
        while !wanted(&peer.state()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let state = tokio::time::timeout(PATIENCE, reached).await;
    assert!(state.is_ok(), "it stays {:?}", peer.state());
}

#[tokio::test]
async fn what_is_sent_while_connecting_arrives_first_and_in_order() {
    let keys = Keys::new();
    let mut server = End::bind(LOOPBACK, &keys.node(1));
    let client = End::bind(LOOPBACK, &keys.node(2));
    let peer = Peer::new(&client.endpoint, server.endpoint.local_addr(), Some(NodeId(1)));
    assert_eq!(peer.state(), PeerState::Connecting);
    (0..100).for_each(|nonce| peer.send(probe(nonce)).unwrap());
    reached(&peer, |state| *state == PeerState::Up).await;
    (100..200).for_each(|nonce| peer.send(probe(nonce)).unwrap());
    for nonce in 0..200 {
        assert_eq!(server.frame().await, probe(nonce));
    }
}

#[tokio::test]
async fn what_waits_for_a_connection_is_sent_in_the_version_that_is_then_agreed() {
    let keys = Keys::new();
    for (theirs, ours) in [(OLD, BOTH), (BOTH, OLD), (BOTH, BOTH)] {
        let mut server = End::speaking(theirs, LOOPBACK, &keys.node(1));
        let client = End::speaking(ours, LOOPBACK, &keys.node(2));
        let peer = Peer::new(&client.endpoint, server.endpoint.local_addr(), Some(NodeId(1)));
        peer.send(probe(1)).unwrap();
        assert_eq!(peer.state(), PeerState::Connecting);
        assert_eq!(server.frame().await, probe(1));
    }
}

#[tokio::test]
async fn only_so_much_waits_for_a_connection() {
    let keys = Keys::new();
    let client = End::bind(LOOPBACK, &keys.node(2));
    let silent = UdpSocket::bind(LOOPBACK).unwrap();
    let peer = Peer::new(&client.endpoint, silent.local_addr().unwrap(), None);
    for nonce in 0..PEER_QUEUE_FRAMES as u64 {
        peer.send(probe(nonce)).unwrap();
    }
    let refused = peer.send(probe(0)).unwrap_err();
    assert!(matches!(refused, SendError::Full { frames: PEER_QUEUE_FRAMES, .. }), "{refused}");
}

#[tokio::test]
async fn a_peer_that_is_down_refuses_at_once_and_says_why() {
    let keys = Keys::new();
    let server = End::bind(LOOPBACK, &keys.node(1));
    let client = End::bind(LOOPBACK, &keys.node(2));
    let peer = Peer::new(&client.endpoint, server.endpoint.local_addr(), Some(NodeId(5)));
    reached(&peer, |state| matches!(state, PeerState::Down { .. })).await;
    let PeerState::Down { error } = peer.state() else { panic!("it came up") };
    assert_eq!(error, ConnectError::WrongNode { expected: NodeId(5), found: NodeId(1) });
    assert_eq!(peer.send(probe(1)), Err(SendError::Closed));
}

#[tokio::test]
async fn a_peer_comes_back_when_the_other_end_does() {
    let keys = Keys::new();
    let theirs = keys.node(1);
    let first = End::bind(LOOPBACK, &theirs);
    let address = first.endpoint.local_addr();
    let mut client = End::bind(LOOPBACK, &keys.node(2));
    let peer = Peer::new(&client.endpoint, address, Some(NodeId(1)));
    reached(&peer, |state| *state == PeerState::Up).await;
    first.endpoint.close().await;
    client.closed().await;
    reached(&peer, |state| matches!(state, PeerState::Down { .. })).await;
    drop(first);
    let mut second = rebind(address, &theirs).await;
    reached(&peer, |state| *state == PeerState::Up).await;
    peer.send(probe(1)).unwrap();
    assert_eq!(second.frame().await, probe(1));
}

#[test]
fn a_node_that_was_killed_and_is_back_says_so_before_it_would_have_been_taken_for_silent() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let keys = Keys::new();
    let theirs = keys.node(1);
    let (killed, back, ours) = (runtime(), runtime(), runtime());
    let first = killed.block_on(async { End::bind(LOOPBACK, &theirs) });
    let address = first.endpoint.local_addr();
    let (mut client, connection) = ours.block_on(async {
        let client = End::bind(LOOPBACK, &keys.node(2));
        let connection = client.endpoint.connect(address, None).await.unwrap();
        (client, connection)
    });
    // Without a goodbye.
    killed.shutdown_timeout(PATIENCE);
    drop(first);
    let _second = back.block_on(rebind(address, &theirs));
    match connection.send(probe(1)) {
        // It was told in answer to what the connection sends of its own accord.
        Ok(()) | Err(SendError::Closed) => {}
        Err(error) => panic!("{error}"),
    }
    let why = ours.block_on(client.closed());
    assert_eq!(why, CloseReason::Broken { reason: "reset by peer".into() });
}

/// Takes the port again once the first owner's tasks have let go of it.
async fn rebind(address: SocketAddr, credentials: &Credentials) -> End {
    let free = async {
        while UdpSocket::bind(address).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("the port is let go");
    End::bind(address, credentials)
}

#[tokio::test]
async fn dropping_a_peer_ends_its_connection() {
    let keys = Keys::new();
    let mut server = End::bind(LOOPBACK, &keys.node(1));
    let client = End::bind(LOOPBACK, &keys.node(2));
    let peer = Peer::new(&client.endpoint, server.endpoint.local_addr(), None);
    reached(&peer, |state| *state == PeerState::Up).await;
    drop(peer);
    server.closed().await;
}

#[test]
fn waits_double_up_to_a_limit_and_are_spread() {
    for longest in [BACKOFF_MAX, BACKOFF_SELDOM_MAX] {
        let mut backoff = Backoff::default();
        let mut full = BACKOFF_MIN;
        for _ in 0..20 {
            let wait = backoff.next(longest);
            assert!(full / 2 <= wait && wait <= full, "{wait:?} of {full:?}");
            full = (full * 2).min(longest);
        }
        assert_eq!(full, longest);
    }
}

#[tokio::test]
async fn a_peer_that_is_dialled_seldom_is_dialled_at_once_when_there_is_a_sign_of_it_or_it_matters_again()
 {
    type Act = fn(&Peer);
    let acts: [Act; 2] = [Peer::wake, |peer| peer.dial_seldom(false)];
    for act in acts {
        let keys = Keys::new();
        let address = UdpSocket::bind(LOOPBACK).unwrap().local_addr().unwrap();
        let client = End::bind(LOOPBACK, &keys.node(2));
        // It pauses for a minute at least, which is as long as anything is waited for here.
        let backoff = Backoff { wait: BACKOFF_SELDOM_MAX };
        let peer = Peer::with_backoff(&client.endpoint, address, Some(NodeId(1)), backoff);
        peer.dial_seldom(true);
        reached(&peer, |state| matches!(state, PeerState::Down { .. })).await;
        let _end = rebind(address, &keys.node(1)).await;
        act(&peer);
        reached(&peer, |state| *state == PeerState::Up).await;
    }
}

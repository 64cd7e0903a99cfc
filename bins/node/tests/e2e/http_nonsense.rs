//! Garbage, slow clients and floods at the HTTP door: memory stays flat, and good clients are served meanwhile.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cluster::Cluster;
use crate::http::{Http, open};
use crate::node::LIMIT;

/// Memory that a node may take beyond what it had: what its allocator keeps of a flood.
const MORE_BYTES: u64 = 96 << 20;
/// Connections that do nothing, if this process may have so many.
const IDLE: usize = 10_000;
/// Descriptors that the test itself needs.
const OWN_DESCRIPTORS: u64 = 500;
/// Beginning of every connection of HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn rss(door: &Http) -> u64 {
    let stats = door.get("/v1/members/self/stats", &[]).json();
    stats["counters"]["rss_bytes"].as_u64().unwrap()
}

/// Asserts that a new client is served.
fn serves(door: &Http) {
    let path = "/v1/buckets/b/keys/good";
    assert_eq!(door.put(path, &[], b"v").status.as_u16(), 200);
    assert!(matches!(door.get(path, &[]).status.as_u16(), 200 | 300));
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends bytes, and reads until the node closes the connection or has said enough.
fn say(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // A node that has had enough closes the connection while it is being written to.
    let _closed = stream.write_all(bytes);
    let _closed = stream.shutdown(Shutdown::Write);
    let mut answer = vec![0; 1 << 16];
    let length = stream.read(&mut answer).unwrap_or(0);
    answer.truncate(length);
    answer
}

/// Pseudo-random bytes, the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Frame of HTTP/2: its kind, flags, stream and payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[test]
fn garbage_and_floods_cost_nobody_else() {
    let cluster = Cluster::start_with(open);
    let (address, door) = (cluster.nodes[0].address.unwrap(), Http::to(&cluster.nodes[0]));
    serves(&door);
    let before = rss(&door);
    for seed in 0..300 {
        say(address, &noise(seed, 2_000));
    }
    for text in [
        "GET",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\r\n\r\n\r\n",
        "PUT /v1 HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
        say(address, text.as_bytes());
    }
    oversized(address);
    resets(address);
    settings(address);
    serves(&door);
    let after = rss(&door);
    assert!(after < before + MORE_BYTES, "{before} bytes before, {after} after");
}

/// Heads and bodies that are too large are refused, without having been taken in.
fn oversized(address: SocketAddr) {
    let long =
        format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000));
    let many = (0..500).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let many = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{many}\r\n");
    for head in [long, many] {
        let answer = String::from_utf8_lossy(&say(address, head.as_bytes())).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let body =
        "PUT /v1/buckets/b/keys/k HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n";
    let answer = String::from_utf8_lossy(&say(address, body.as_bytes())).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// Streams that are begun and reset at once, more than anybody needs.
fn resets(address: SocketAddr) {
    let mut stream = connect(address);
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    // GET https://a/healthz, in the static table of header compression.
    let head =
        [0x82, 0x87, 0x04, 0x08, b'/', b'h', b'e', b'a', b'l', b't', b'h', b'z', 0x41, 0x01, b'a'];
    for index in 0..20_000_u32 {
        let id = 2 * index + 1;
        bytes.extend(frame(1, 5, id, &head));
        bytes.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
    }
    let _closed = stream.write_all(&bytes);
    let mut answer = Vec::new();
    // The node ends the connection, or answers all of it.
    let _ended = stream.take(1 << 20).read_to_end(&mut answer);
}

/// Settings without end, each of which asks for an answer that nobody reads.
fn settings(address: SocketAddr) {
    let mut stream = connect(address);
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut bytes = PREFACE.to_vec();
    for _ in 0..200_000 {
        bytes.extend(frame(4, 0, 0, &[]));
    }
    let _closed = stream.write_all(&bytes);
}

#[test]
fn connections_that_do_nothing_keep_nobody_out() {
    let cluster = Cluster::start_with(open);
    let (address, door) = (cluster.nodes[0].address.unwrap(), Http::to(&cluster.nodes[0]));
    serves(&door);
    let before = rss(&door);
    let idle: Vec<TcpStream> = (0..most(IDLE)).map(|_| connect(address)).collect();
    serves(&Http::to(&cluster.nodes[0]));
    let half: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = connect(address);
            stream
                .write_all(b"PUT /v1/buckets/b/keys/k HTTP/1.1\r\nHost: a\r\nContent-Le")
                .unwrap();
            stream
        })
        .collect();
    serves(&Http::to(&cluster.nodes[0]));
    let after = rss(&door);
    assert!(after < before + MORE_BYTES, "{before} bytes before, {after} after");
    drop((idle, half));
    serves(&door);
}

/// Raises this process's limit of descriptors, and returns how many connections that allows, at most `wanted`.
fn most(wanted: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let allowed = maximum.unwrap_or(u64::MAX).saturating_sub(OWN_DESCRIPTORS);
    wanted.min(usize::try_from(allowed).unwrap())
}

#[test]
fn a_head_that_comes_too_slowly_is_given_up() {
    let cluster = Cluster::start_with(open);
    let address = cluster.nodes[0].address.unwrap();
    let mut stream = connect(address);
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let begun = Instant::now();
    let mut byte = [0];
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    loop {
        // One byte after the other, without an end; the read's limit is the pause between two.
        let written = stream.write_all(b"X");
        match stream.read(&mut byte) {
            Ok(_) => break,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
            Err(_) => break,
        }
        if written.is_err() {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "it is still listened to");
    }
}

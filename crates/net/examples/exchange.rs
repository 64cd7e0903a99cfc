//! Measures exchanges between two endpoints on loopback: 1 KiB out, 64 bytes back, with many in flight.
//!
//! `cargo run --release -p jedlik-net --example exchange [seconds]`; compare with `docs/measurements.md`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use jedlik_hashing::NodeId;
use jedlik_net::authority::{Authority, Subject};
use jedlik_net::{Connection, Credentials, Endpoint, Handler};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::Gossip;
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{ClusterId, ProtocolVersion, Stamp};

/// Handler that answers each frame with a short one.
struct Answer;

impl Handler for Answer {
    fn received(&self, connection: &Connection, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            if let Frame::PeerResponse { id, .. } = frame {
                // A refused answer would show as an exchange that never ends.
                let _ = connection.send(answer(id));
            }
        }
    }
}

/// Handler that starts a new exchange for each that ends.
struct Ask {
    running: AtomicBool,
    started: Vec<AtomicU64>,
    since: Instant,
    waits_ns: Mutex<Vec<u64>>,
}

impl Ask {
    fn new(in_flight: u64) -> Self {
        Self {
            running: AtomicBool::new(true),
            started: (0..in_flight).map(|_| AtomicU64::new(0)).collect(),
            since: Instant::now(),
            waits_ns: Mutex::default(),
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn start(&self, connection: &Connection, slot: u64) {
        let index = usize::try_from(slot).expect("a few hundred slots");
        self.started[index].store(self.now_ns(), Ordering::Relaxed);
        let _ = connection.send(question(slot));
    }
}

impl Handler for Ask {
    fn received(&self, connection: &Connection, frames: &mut Vec<Frame>) {
        let now = self.now_ns();
        let mut waits = self.waits_ns.lock().unwrap_or_else(PoisonError::into_inner);
        for frame in frames.drain(..) {
            let Frame::Gossip(Gossip::Alive { nonce: slot, .. }) = frame else { continue };
            let index = usize::try_from(slot).expect("a few hundred slots");
            waits.push(now - self.started[index].load(Ordering::Relaxed));
            if self.running.load(Ordering::Relaxed) {
                self.start(connection, slot);
            }
        }
    }
}

fn question(id: u64) -> Frame {
    let failure = Failure::new(ErrorCode::Internal, "x".repeat(900));
    Frame::PeerResponse { id, stamp: Stamp::UNTOLD, response: PeerResponse::Refused(failure) }
}

fn answer(nonce: u64) -> Frame {
    Frame::Gossip(Gossip::Alive { nonce, wall_ms: 0 })
}

fn credentials(authority: &Authority, node: u64) -> anyhow::Result<Credentials> {
    let issued = authority.issue(&Subject::node(NodeId(node), format!("n{node}")))?;
    let authority = authority.certificate_pem();
    Ok(Credentials::from_pem(authority, &issued.certificate_pem, &issued.key_pem)?)
}

/// Returns the processor time of this process in microseconds, as Linux counts it.
fn processor_us() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().context("the name ends with a parenthesis")?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    Ok(ticks.iter().sum::<u64>() * 10_000)
}

async fn measure(authority: &Authority, in_flight: u64, length: Duration) -> anyhow::Result<()> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Endpoint::bind(loopback, &credentials(authority, 1)?, Arc::new(Answer))?;
    let ask = Arc::new(Ask::new(in_flight));
    let client = Endpoint::bind(loopback, &credentials(authority, 2)?, ask.clone())?;
    let connection = client.connect(server.local_addr(), Some(NodeId(1))).await?;
    (0..in_flight).for_each(|slot| ask.start(&connection, slot));
    tokio::time::sleep(length / 4).await;

    ask.waits_ns.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let (from, processor) = (Instant::now(), processor_us()?);
    tokio::time::sleep(length).await;
    let mut waits =
        std::mem::take(&mut *ask.waits_ns.lock().unwrap_or_else(PoisonError::into_inner));
    let (elapsed, processor) = (from.elapsed(), processor_us()? - processor);
    ask.running.store(false, Ordering::Relaxed);
    client.close().await;
    server.close().await;

    waits.sort_unstable();
    let count = waits.len() as u64;
    anyhow::ensure!(count > 0, "no exchange ended");
    let at = |thousandths: usize| waits[waits.len() * thousandths / 1000] / 1000;
    println!(
        "{in_flight:>4} in flight: {:>7}/s, p50 {} p99 {} p99.9 {} us, processor {:.1} us each",
        count * 1_000_000 / u64::try_from(elapsed.as_micros())?,
        at(500),
        at(990),
        at(999),
        processor as f64 / count as f64,
    );
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(4), |argument| argument.parse())?;
    let authority = Authority::create(ClusterId(1))?;
    let version = ProtocolVersion::NEWEST;
    let (out, back) = (question(0).encode(version).len(), answer(0).encode(version).len());
    println!("{out} bytes out, {back} bytes back");
    for in_flight in [1, 16, 64, 256] {
        measure(&authority, in_flight, Duration::from_secs(seconds)).await?;
    }
    Ok(())
}

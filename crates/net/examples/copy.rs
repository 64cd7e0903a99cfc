//! Measures a plain copy over one connection on loopback: pages of 128 KiB, a few under way, appended to a file at
//! the other end and synced there. Transfers between nodes are compared with it.
//!
//! `cargo run --release -p jedlik-net --example copy [mebibytes] [directory]`; compare with
//! `docs/measurements.md`.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jedlik_hashing::NodeId;
use jedlik_net::authority::{Authority, Subject};
use jedlik_net::{Connection, Credentials, Endpoint, Handler};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::Gossip;
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{ClusterId, ProtocolVersion, Stamp};
use tokio::sync::Notify;

const PAGE_BYTES: usize = 128 << 10;
/// Number of pages under way, as many as one shard fetches at a time.
const WINDOW: u64 = 4;

/// Handler that appends each page to the file, syncs pages that came together, and asks for as many more.
struct Receive(Mutex<File>);

impl Handler for Receive {
    fn received(&self, connection: &Connection, frames: &mut Vec<Frame>) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pages = 0;
        for frame in frames.drain(..) {
            if let Frame::PeerResponse { response: PeerResponse::Refused(page), .. } = frame {
                file.write_all(page.message.as_bytes()).expect("the file takes a page");
                pages += 1;
            }
        }
        file.sync_data().expect("the file is synced");
        for nonce in 0..pages {
            // A connection that is gone shows as a copy that never ends.
            let _ = connection.send(Frame::Gossip(Gossip::Alive { nonce, wall_ms: 0 }));
        }
    }
}

/// Handler that sends a page for each request, until enough have gone.
struct Send {
    left: AtomicU64,
    asked: AtomicU64,
    pages: u64,
    over: Notify,
}

impl Send {
    fn next(&self, connection: &Connection) {
        let left =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if left.is_ok() {
            let _ = connection.send(page());
        }
    }
}

impl Handler for Send {
    fn received(&self, connection: &Connection, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            let Frame::Gossip(Gossip::Alive { .. }) = frame else { continue };
            if self.asked.fetch_add(1, Ordering::Relaxed) + 1 == self.pages {
                self.over.notify_one();
            }
            self.next(connection);
        }
    }
}

/// Makes the plainest frame of a page's size, whose contents nobody compares, merges or keeps in tables.
fn page() -> Frame {
    let failure = Failure::new(ErrorCode::Internal, "x".repeat(PAGE_BYTES));
    Frame::PeerResponse { id: 0, stamp: Stamp::UNTOLD, response: PeerResponse::Refused(failure) }
}

fn credentials(authority: &Authority, node: u64) -> anyhow::Result<Credentials> {
    let issued = authority.issue(&Subject::node(NodeId(node), format!("n{node}")))?;
    let authority = authority.certificate_pem();
    Ok(Credentials::from_pem(authority, &issued.certificate_pem, &issued.key_pem)?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mebibytes: u64 = std::env::args().nth(1).map_or(Ok(160), |argument| argument.parse())?;
    let folder = std::env::args().nth(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let authority = Authority::create(ClusterId(1))?;
    println!("a page is a frame of {} bytes", page().encode(ProtocolVersion::NEWEST).len());
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let receive = Arc::new(Receive(Mutex::new(tempfile::tempfile_in(folder)?)));
    let server = Endpoint::bind(loopback, &credentials(&authority, 1)?, receive)?;
    let pages = (mebibytes << 20) / PAGE_BYTES as u64;
    let (left, asked, over) = (AtomicU64::new(pages), AtomicU64::new(0), Notify::new());
    let send = Arc::new(Send { left, asked, pages, over });
    let client = Endpoint::bind(loopback, &credentials(&authority, 2)?, send.clone())?;
    let connection = client.connect(server.local_addr(), Some(NodeId(1))).await?;
    let from = Instant::now();
    (0..WINDOW).for_each(|_| send.next(&connection));
    send.over.notified().await;
    let took = from.elapsed().as_secs_f64();
    println!("{mebibytes} MiB in {took:.2} s, {:.1} MB/s", (mebibytes << 20) as f64 / took / 1e6);
    client.close().await;
    server.close().await;
    Ok(())
}

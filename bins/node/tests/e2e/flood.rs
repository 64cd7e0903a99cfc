//! A connection below the Rust client, without retries, hedges or limits, so that each answer of a node is seen.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jedlik_net::{CloseReason, Connection, Credentials, Endpoint, Handler};
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::codec::Frame;
use tokio::sync::oneshot;

/// An answer, and the time that it took.
type Timed = (ClientResponse, Duration);

/// Requests on one connection that wait for their answers.
#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, (Instant, oneshot::Sender<Timed>)>>);

impl Handler for Waiting {
    fn received(&self, _connection: &Connection, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            let Frame::ClientResponse { id, response, .. } = frame else { continue };
            let (since, asker) = self.0.lock().unwrap().remove(&id).unwrap();
            asker.send((response, since.elapsed())).unwrap();
        }
    }

    fn closed(&self, _connection: &Connection, _why: &CloseReason) {
        // Requests that still wait learn of it from the closed channel.
        self.0.lock().unwrap().clear();
    }
}

/// Connection to one node that sends any number of requests at once.
pub(crate) struct Hose {
    connection: Connection,
    waiting: Arc<Waiting>,
    endpoint: Endpoint,
    next: u64,
}

impl Hose {
    /// Connects with the certificate in `tls`.
    pub(crate) async fn connect(address: SocketAddr, tls: &Path) -> Self {
        let file = |name| tls.join(name);
        let credentials =
            Credentials::load(file("ca.pem"), file("cert.pem"), file("key.pem")).unwrap();
        let waiting = Arc::new(Waiting::default());
        let endpoint = Endpoint::client(&credentials, waiting.clone()).unwrap();
        let connection = endpoint.connect(address, None).await.unwrap();
        Self { connection, waiting, endpoint, next: 0 }
    }

    /// Sends all requests at once, and waits for all answers, in the order of the requests.
    pub(crate) async fn ask(&mut self, requests: Vec<ClientRequest>) -> Vec<Timed> {
        let mut askers = Vec::new();
        for request in requests {
            let (sender, receiver) = oneshot::channel();
            self.next += 1;
            self.waiting.0.lock().unwrap().insert(self.next, (Instant::now(), sender));
            self.connection.send(Frame::ClientRequest { id: self.next, request }).unwrap();
            askers.push(receiver);
        }
        let mut answers = Vec::new();
        for asker in askers {
            answers.push(asker.await.expect("the node answers every request"));
        }
        answers
    }

    /// Closes the connection and its socket.
    pub(crate) async fn close(self) {
        self.endpoint.close().await;
    }
}

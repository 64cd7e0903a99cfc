//! Caller that asks one chosen node, and no other, as a client that knows no layout would.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jedlik_net::{Connection, Credentials, Endpoint, Handler};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, GetAnswer, GetRequest, PutAnswer, PutRequest,
};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::Failure;
use jedlik_protocol::{Blob, Key, LayoutVersion, Quorum, Value};
use jedlik_vclock::{Content, WriteId};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Time that is far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Answer = (LayoutVersion, ClientResponse);

#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, oneshot::Sender<Answer>>>);

impl Handler for Waiting {
    fn received(&self, _: &Connection, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            let Frame::ClientResponse { id, layout, response } = frame else { continue };
            if let Some(waiter) = self.0.lock().unwrap().remove(&id) {
                let _gone = waiter.send((layout, response));
            }
        }
    }
}

/// Connection to one node, with the requests that wait for its answers.
pub(crate) struct Caller {
    connection: Connection,
    waiting: Arc<Waiting>,
    next: AtomicU64,
    _endpoint: Endpoint,
}

impl Caller {
    pub(crate) async fn connect(credentials: &Credentials, address: SocketAddr) -> Self {
        let waiting = Arc::new(Waiting::default());
        let handler: Arc<dyn Handler> = Arc::clone(&waiting) as Arc<dyn Handler>;
        let endpoint = Endpoint::client(credentials, handler).unwrap();
        let connection = endpoint.connect(address, None).await.unwrap();
        Self { connection, waiting, next: AtomicU64::new(1), _endpoint: endpoint }
    }

    pub(crate) async fn ask(&self, request: ClientRequest) -> Answer {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (waiter, answer) = oneshot::channel();
        self.waiting.0.lock().unwrap().insert(id, waiter);
        self.connection.send(Frame::ClientRequest { id, request }).unwrap();
        timeout(PATIENCE, answer).await.expect("no answer").unwrap()
    }

    pub(crate) async fn get(&self, key: &Key, r: Quorum) -> Result<GetAnswer, Failure> {
        let (key, n, pr) = (key.clone(), None, Quorum::Default);
        let get = GetRequest { key, n, r, pr, timeout_ms: 5_000 };
        match self.ask(ClientRequest::Get(get)).await.1 {
            ClientResponse::Got(answer) => Ok(answer),
            ClientResponse::Failed(failure) => Err(failure),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn put(
        &self,
        key: &Key,
        value: &str,
        context: Option<Blob>,
    ) -> Result<PutAnswer, Failure> {
        let put = PutRequest {
            key: key.clone(),
            content: Content::Value(value.into()),
            context,
            write_id: WriteId(u128::from(getrandom::u64().unwrap())),
            ttl_ms: None,
            n: None,
            w: Quorum::Default,
            pw: Quorum::Default,
            dw: Quorum::Default,
            timeout_ms: 5_000,
        };
        match self.ask(ClientRequest::Put(put)).await.1 {
            ClientResponse::Put(answer) => Ok(answer),
            ClientResponse::Failed(failure) => Err(failure),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn admin(&self, request: AdminRequest) -> Result<AdminResponse, Failure> {
        match self.ask(ClientRequest::Admin(request)).await.1 {
            ClientResponse::Admin(answer) => Ok(answer),
            ClientResponse::Failed(failure) => Err(failure),
            other => panic!("{other:?}"),
        }
    }
}

/// Returns the values of an answer, sorted.
pub(crate) fn values(answer: &GetAnswer) -> Vec<String> {
    let text = |content: &Content<Value>| match content {
        Content::Value(value) => String::from_utf8(value.bytes().to_vec()).unwrap(),
        Content::Tombstone => "deleted".to_owned(),
    };
    let mut values: Vec<String> =
        answer.versions.iter().map(|version| text(&version.content)).collect();
    values.sort();
    values
}

//! Doors of a node: opened as they are configured, and closed with what is under way.
//!
//! Invariant: a door that serves other machines unguarded is told of at every start.

mod node;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use jedlik_door::{Access, DoorName, Guard, Node};
use jedlik_net::{Credentials, Endpoint};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::warn;

use self::node::NodeOfDoors;
pub(crate) use self::node::{DOORS, DoorCall};
use crate::config::{self, Config, Door, Place};
use crate::descriptors;
use crate::error::NodeError;
use crate::router::Router;
use crate::seeds;

/// Reads the certificates and keys of the node and its doors as a start does, and uses them for nothing.
///
/// # Errors
/// A file can't be read or isn't what it should be, or a key does not belong to its certificate.
pub fn check_certificates(config: &Config) -> Result<(), NodeError> {
    let credentials = Credentials::load(&config.tls.ca, &config.tls.cert, &config.tls.key)?;
    Ok(tls::check(&config.doors, &credentials)?)
}

/// Protocols that the HTTP door offers within TLS.
const HTTP_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Doors of a node that are open.
#[derive(Default)]
pub(crate) struct Doors {
    http: Option<OpenDoor>,
    riak_pb: Option<OpenDoor>,
    /// Task that keeps their certificates up to date; `None` if they have none.
    certificates: Option<JoinHandle<()>>,
}

/// Door that serves until it is closed.
struct OpenDoor {
    address: SocketAddr,
    close: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Doors {
    /// Opens the doors that are configured. They answer at once, and say that the node does not serve yet.
    pub(crate) async fn open(
        config: &config::Doors,
        name: &str,
        router: &Arc<Router>,
        endpoint: &Endpoint,
    ) -> Result<Self, NodeError> {
        let configured = [
            (DoorName::Http, &config.http, HTTP_PROTOCOLS),
            (DoorName::RiakPb, &config.riak_pb, &[]),
        ];
        let mut doors = Vec::new();
        for (door, config, protocols) in configured {
            let Some(config) = config else { continue };
            warn_if_insecure(door, config);
            doors.push((door, tls::load(config, protocols, endpoint).await?));
        }
        let descriptors = descriptors::raise().checked_div(doors.len() as u64).unwrap_or_default();
        let tls =
            |name| doors.iter().find(|(door, _)| *door == name).and_then(|(_, tls)| tls.as_ref());
        let guard = |name, door: &Door| tls::guard(door.access, tls(name));
        let node = NodeOfDoors::new(Arc::clone(router), endpoint.clone(), doors.clone());
        let http = match &config.http {
            Some(door) => {
                let guard = guard(DoorName::Http, door);
                let node = node.behind(DoorName::Http);
                Some(open_http(&door.listen, guard, node, descriptors).await?)
            }
            None => None,
        };
        let riak_pb = match &config.riak_pb {
            Some(door) => {
                let guard = guard(DoorName::RiakPb, door);
                let node = node.behind(DoorName::RiakPb);
                Some(open_riak_pb(&door.listen, guard, (name, node), descriptors).await?)
            }
            None => None,
        };
        let kept = doors.into_iter().filter_map(|(door, tls)| Some((door.name(), tls?)));
        let kept: Vec<_> = kept.collect();
        let certificates = (!kept.is_empty()).then(|| tls::keep(kept, endpoint.clone()));
        Ok(Self { http, riak_pb, certificates })
    }

    /// Returns the address of the HTTP door, with the port that the system chose; `None` if there is none.
    pub(crate) fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|door| door.address)
    }

    /// Returns the address of the door for Riak's Protocol Buffers clients, with the port that the system chose; `None`
    /// if there is none.
    pub(crate) fn riak_pb(&self) -> Option<SocketAddr> {
        self.riak_pb.as_ref().map(|door| door.address)
    }

    /// Closes the doors once what came by them is answered, or the time for that is over.
    pub(crate) async fn close(self) {
        tokio::join!(close(self.http), close(self.riak_pb));
        if let Some(certificates) = self.certificates {
            certificates.abort();
        }
    }
}

/// Says what an operator has allowed in as many words, at every start.
fn warn_if_insecure(name: DoorName, door: &Door) {
    if door.insecure {
        warn!(
            door = name.name(),
            place = %door.listen,
            tls = door.tls.is_some(),
            asks_for_tokens = door.access == Access::Tokens,
            "other machines reach this door without what protects it, since insecure_beyond_loopback is true: whoever \
             can reach it may read secrets or do everything"
        );
    }
}

async fn open_http(
    place: &Place,
    guard: Guard,
    node: Arc<dyn Node>,
    descriptors: u64,
) -> Result<OpenDoor, NodeError> {
    const OPTION: &str = "http.listen";
    let usual = jedlik_http::Limits::default();
    let connections = descriptors::connections(usual.connections, descriptors);
    let limits = jedlik_http::Limits { connections, ..usual };
    let settings = jedlik_http::Settings { limits, guard };
    let address = address(OPTION, place).await?;
    let door = jedlik_http::Door::bind(address, node, settings).await;
    let door = door.map_err(unusable(OPTION, place))?;
    let address = door.address().map_err(unusable(OPTION, place))?;
    Ok(OpenDoor::new(address, |closed| door.serve(closed)))
}

async fn open_riak_pb(
    place: &Place,
    guard: Guard,
    named: (&str, Arc<dyn Node>),
    descriptors: u64,
) -> Result<OpenDoor, NodeError> {
    const OPTION: &str = "riak_pb.listen";
    let usual = jedlik_riak_pb::Limits::default();
    let connections = descriptors::connections(usual.connections, descriptors);
    let limits = jedlik_riak_pb::Limits { connections, ..usual };
    let settings = jedlik_riak_pb::Settings { limits, guard };
    let address = address(OPTION, place).await?;
    let door = jedlik_riak_pb::Door::bind(address, named, settings).await;
    let door = door.map_err(unusable(OPTION, place))?;
    let address = door.address().map_err(unusable(OPTION, place))?;
    Ok(OpenDoor::new(address, |closed| door.serve(closed)))
}

/// Returns the first address of a place at which a door is to listen.
async fn address(option: &'static str, place: &Place) -> Result<SocketAddr, NodeError> {
    let addresses = seeds::look_up(place).await.map_err(|why| NodeError::UnknownPlace {
        option,
        place: place.to_string(),
        why,
    })?;
    Ok(*addresses.first().expect("a place that was looked up has an address"))
}

fn unusable(option: &'static str, place: &Place) -> impl Fn(io::Error) -> NodeError {
    move |source| NodeError::Door { option, place: place.to_string(), source }
}

impl OpenDoor {
    /// Has a door serve until it is closed.
    fn new<S: Future<Output = ()> + Send + 'static>(
        address: SocketAddr,
        serve: impl FnOnce(Closed) -> S,
    ) -> Self {
        let (close, closed) = oneshot::channel();
        let serving = tokio::spawn(serve(Closed(closed)));
        Self { address, close, serving }
    }
}

async fn close(door: Option<OpenDoor>) {
    if let Some(OpenDoor { close, serving, .. }) = door {
        // A door that has ended needs no telling.
        let _ended = close.send(());
        let _failed = serving.await;
    }
}

/// Future that is done once a door is to be closed, also by dropping it.
struct Closed(oneshot::Receiver<()>);

impl Future for Closed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

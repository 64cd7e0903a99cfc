//! A socket with its identity: it listens, dials, and closes without losing what was sent.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jedlik_hashing::NodeId;
use jedlik_protocol::ProtocolVersion;
use quinn::{EndpointConfig, Incoming, RecvStream, ServerConfig, TokioRuntime};
use rustls::pki_types::CertificateDer;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits::{
    CLOSE_TIMEOUT, CONNECT_TIMEOUT, CONNECTIONS, HANDSHAKES, NODE_CONNECTIONS, SOCKET_BUFFER_BYTES,
};
use crate::tls::{Refusal, client_config, endpoint_config, server_config};
use crate::version::{Spoken, agreed, listed};
use crate::{CloseCode, ConnectError, Connection, Credentials, Handler, Identity, Role};

/// Host name in QUIC's first packet, which nobody checks: the identity is checked instead, see [`crate::tls`].
const SERVER_NAME: &str = "node.jedlik";

/// An endpoint that can't be made or renewed.
#[derive(Debug, Error)]
pub enum NetError {
    /// The port is another process's, or the address is not this machine's.
    #[error("can't listen on {address} (UDP): {source}")]
    Bind {
        /// Address of the socket.
        address: SocketAddr,
        /// Cause as the system reports it.
        source: io::Error,
    },
    /// The certificate is not a node's, and only nodes serve.
    #[error("a node can't serve with the certificate of {identity}; issue it a node's certificate")]
    NotANode {
        /// Identity in the certificate.
        identity: Identity,
    },
    /// The certificate is of another identity. A node keeps its identity as long as it runs: restart it.
    #[error(
        "the certificate is of {found}, but this runs as {expected}; restart it to change that"
    )]
    OtherIdentity {
        /// Identity of the endpoint.
        expected: Box<Identity>,
        /// Identity in the certificate.
        found: Box<Identity>,
    },
}

/// One UDP socket and all connections over it, shared by its clones. Its tasks live until [`Self::close`].
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

struct Shared {
    quic: quinn::Endpoint,
    address: SocketAddr,
    /// Whether it accepts connections.
    serves: bool,
    credentials: RwLock<Credentials>,
    handler: Arc<dyn Handler>,
    spoken: Spoken,
    connections: Mutex<Connections>,
    /// Notified when the last connection has ended.
    emptied: Notify,
    handshakes: Arc<Semaphore>,
}

#[derive(Default)]
struct Connections {
    open: HashMap<u64, Connection>,
    closing: bool,
}

impl Endpoint {
    /// Makes a node's endpoint, which listens on `address` (port 0 for any) and dials from the same socket. Call it
    /// within a tokio runtime, on which its tasks then run.
    ///
    /// # Errors
    /// The socket can't be bound, or the credentials are not a node's.
    pub fn bind(
        address: SocketAddr,
        credentials: &Credentials,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, NetError> {
        let identity = credentials.identity();
        if identity.role != Role::Node {
            return Err(NetError::NotANode { identity: identity.clone() });
        }
        Self::serve(address, credentials, handler, ProtocolVersion::SPOKEN)
    }

    /// Makes an endpoint that only dials, for any role. Call it within a tokio runtime.
    ///
    /// # Errors
    /// The socket can't be bound.
    pub fn client(credentials: &Credentials, handler: Arc<dyn Handler>) -> Result<Self, NetError> {
        let any_v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let config = EndpointConfig::default();
        // A machine without IPv6 refuses the first.
        let socket = bind_socket(any_v6)
            .or_else(|_| bind_socket(any_v4))
            .map_err(|source| NetError::Bind { address: any_v4, source })?;
        Self::start(socket, (config, None), credentials, handler, ProtocolVersion::SPOKEN)
            .map_err(|source| NetError::Bind { address: any_v4, source })
    }

    /// Listens without a check of the role.
    pub(crate) fn serve(
        address: SocketAddr,
        credentials: &Credentials,
        handler: Arc<dyn Handler>,
        spoken: Spoken,
    ) -> Result<Self, NetError> {
        let config = (endpoint_config(credentials), Some(server_config(credentials, spoken)));
        let endpoint = bind_socket(address)
            .and_then(|socket| Self::start(socket, config, credentials, handler, spoken))
            .map_err(|source| NetError::Bind { address, source })?;
        tokio::spawn(endpoint.clone().accept());
        Ok(endpoint)
    }

    fn start(
        socket: UdpSocket,
        (config, server): (EndpointConfig, Option<ServerConfig>),
        credentials: &Credentials,
        handler: Arc<dyn Handler>,
        spoken: Spoken,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let serves = server.is_some();
        let shared = Shared {
            serves,
            quic: quinn::Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?,
            address,
            credentials: RwLock::new(credentials.clone()),
            handler,
            spoken,
            connections: Mutex::default(),
            emptied: Notify::new(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the address on which the endpoint listens, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// Uses other credentials of the same node for new connections; open connections keep theirs.
    ///
    /// # Errors
    /// The credentials are of another identity, or this endpoint is not a node's.
    pub fn renew(&self, credentials: &Credentials) -> Result<(), NetError> {
        let (expected, found) = (self.credentials().identity().clone(), credentials.identity());
        if *found != expected {
            let (expected, found) = (Box::new(expected), Box::new(found.clone()));
            return Err(NetError::OtherIdentity { expected, found });
        }
        if !self.shared.serves {
            return Err(NetError::NotANode { identity: expected });
        }
        self.shared.quic.set_server_config(Some(server_config(credentials, self.shared.spoken)));
        *self.shared.credentials.write().unwrap_or_else(PoisonError::into_inner) =
            credentials.clone();
        Ok(())
    }

    /// Returns the credentials that new connections use.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.shared.credentials.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a connection to the node at `address`, and only to `expected` if that is given. It is ready once the
    /// other side has let this one in.
    ///
    /// # Errors
    /// Cause of the failure, with its remedy.
    pub async fn connect(
        &self,
        address: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<Connection, ConnectError> {
        let refusal = Refusal::default();
        let dialing = self.dial(address, expected, &refusal);
        let (connection, first) = match timeout(CONNECT_TIMEOUT, dialing).await {
            Ok(dialed) => dialed.map_err(|error| refusal.get().cloned().unwrap_or(error))?,
            Err(_) => return Err(ConnectError::Timeout { address }),
        };
        self.admit(connection, Some(first)).ok_or(ConnectError::Closed)
    }

    /// Ends all open connections to or from nodes for which `is_barred` is true, and tells the other side that it is
    /// no member.
    pub fn close_nodes(&self, is_barred: impl Fn(NodeId) -> bool) {
        let barred: Vec<Connection> = {
            let connections = self.connections();
            let of_barred =
                |connection: &&Connection| connection.peer().node.is_some_and(&is_barred);
            connections.open.values().filter(of_barred).cloned().collect()
        };
        for connection in barred {
            connection.close(CloseCode::NotAMember, "no member of this cluster any more");
        }
    }

    /// Ends all connections once the peers have taken what was sent, or after [`CLOSE_TIMEOUT`]. Sends and connects
    /// fail from now on.
    pub async fn close(&self) {
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        {
            let mut connections = self.connections();
            connections.closing = true;
            connections.open.values().for_each(Connection::finish);
        }
        let emptied = async {
            loop {
                let notified = self.shared.emptied.notified();
                if self.connections().open.is_empty() {
                    return;
                }
                notified.await;
            }
        };
        if timeout_at(deadline, emptied).await.is_err() {
            let left = self.connections().open.len();
            tracing::warn!(left, "closing connections that have not taken all in time");
        }
        self.shared.quic.close(CloseCode::Done.number(), b"done");
        // Peers that miss the goodbye hear nothing more, which tells them as much.
        let _ = timeout_at(deadline, self.shared.quic.wait_idle()).await;
    }

    async fn dial(
        &self,
        address: SocketAddr,
        expected: Option<NodeId>,
        refusal: &Refusal,
    ) -> Result<(Connection, RecvStream), ConnectError> {
        let Shared { quic, spoken, .. } = &*self.shared;
        let config = client_config(&self.credentials(), spoken, expected, refusal);
        let connecting =
            quic.connect_with(config, address, SERVER_NAME).map_err(|error| match error {
                quinn::ConnectError::EndpointStopping => ConnectError::Closed,
                other => ConnectError::BadAddress { address, reason: other.to_string() },
            })?;
        let failed = |error| ConnectError::from_transport(&error, address, spoken);
        let quic = connecting.await.map_err(failed)?;
        let peer = peer_of(&quic).ok_or(ConnectError::NotANode { found: None })?;
        // The other side judges this side's certificate after the handshake looks done from here; its first stream
        // says that it has accepted it.
        let first = quic.accept_uni().await.map_err(failed)?;
        let version = agreed(&quic).ok_or_else(|| ConnectError::no_common_version(spoken, None))?;
        Ok((Connection::new(quic, peer, version), first))
    }

    /// Accepts connections until the endpoint is closed.
    async fn accept(self) {
        while let Some(incoming) = self.shared.quic.accept().await {
            match self.shared.handshakes.clone().try_acquire_owned() {
                Ok(permit) => {
                    tokio::spawn(self.clone().greet(incoming, permit));
                }
                // The dialing side repeats its first packet, so this only slows it down.
                Err(_) => incoming.ignore(),
            }
        }
    }

    /// Lets the other side in, or tells it why not.
    async fn greet(self, incoming: Incoming, _permit: OwnedSemaphorePermit) {
        let address = incoming.remote_address();
        let handshake = async { incoming.accept()?.await };
        let quic = match timeout(CONNECT_TIMEOUT, handshake).await {
            Ok(Ok(quic)) => quic,
            Ok(Err(error)) => {
                let error = ConnectError::from_transport(&error, address, self.shared.spoken);
                self.shared.handler.refused(address, &error.to_string());
                return;
            }
            Err(_) => {
                tracing::debug!(%address, "a handshake took too long");
                return;
            }
        };
        match self.judge(&quic) {
            Ok((peer, version)) => {
                self.admit(Connection::new(quic, peer, version), None);
            }
            Err((code, reason)) => {
                self.shared.handler.refused(address, &reason);
                quic.close(code.number(), reason.as_bytes());
            }
        }
    }

    /// Returns the other side's identity and version, or a reason to refuse it that TLS can't express.
    fn judge(
        &self,
        quic: &quinn::Connection,
    ) -> Result<(Identity, ProtocolVersion), (CloseCode, String)> {
        let Some(peer) = peer_of(quic) else {
            let reason = "the certificate names no node, admin or client";
            return Err((CloseCode::NoIdentity, reason.into()));
        };
        let own = self.credentials().identity().cluster;
        if peer.cluster != own {
            let reason = format!("the certificate is of cluster {}, this is {own}", peer.cluster);
            return Err((CloseCode::WrongCluster, reason));
        }
        let limit = connection_limit(peer.role);
        if self.connections().open.len() >= limit {
            let reason =
                format!("this node has {limit} connections, its limit for a {}", peer.role);
            return Err((CloseCode::TooManyConnections, reason));
        }
        match agreed(quic) {
            Some(version) => Ok((peer, version)),
            None => Err((CloseCode::NoCommonVersion, listed(self.shared.spoken))),
        }
    }

    /// Registers and runs a connection; `None` if the endpoint is closing.
    fn admit(&self, connection: Connection, first: Option<RecvStream>) -> Option<Connection> {
        {
            let mut connections = self.connections();
            if connections.closing {
                connection.close(CloseCode::Done, "closing");
                return None;
            }
            connections.open.insert(connection.id(), connection.clone());
        }
        let (endpoint, running) = (self.clone(), connection.clone());
        let handler = self.shared.handler.clone();
        tokio::spawn(async move {
            let id = running.id();
            running.run(first, handler).await;
            endpoint.forget(id);
        });
        Some(connection)
    }

    fn forget(&self, id: u64) {
        let mut connections = self.connections();
        connections.open.remove(&id);
        if connections.open.is_empty() {
            self.shared.emptied.notify_waiters();
        }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.shared.connections.lock().expect("nothing panics with the connections locked")
    }
}

/// Binds a socket with room for bursts. It takes IPv4, too, if its address is any of IPv6.
fn bind_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    let roomier = socket
        .set_recv_buffer_size(SOCKET_BUFFER_BYTES)
        .and_then(|()| socket.set_send_buffer_size(SOCKET_BUFFER_BYTES));
    if let Err(error) = roomier {
        tracing::debug!(%error, "the socket keeps its small buffers");
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Returns the number of connections from which on a further one of this role is refused. Clients and admins leave
/// room for the members that a node can't do without.
fn connection_limit(role: Role) -> usize {
    if role == Role::Node { CONNECTIONS } else { CONNECTIONS - NODE_CONNECTIONS }
}

/// Returns the identity in the certificate that the other side has proved to hold.
fn peer_of(quic: &quinn::Connection) -> Option<Identity> {
    let chain = quic.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    chain.first().and_then(Identity::of)
}

#[cfg(test)]
pub(crate) mod tests;

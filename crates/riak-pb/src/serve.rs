//! Server of the door: its accept loop, and the limits on all connections together.
//!
//! Invariant: a client that sends or reads slowly, or nothing, holds a connection for a limited time, and only while
//! nobody else needs it.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jedlik_door::{Connections, Guard, Node, Room, Stream};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::connection::Connection;
use crate::limits::Limits;
use crate::session::{Entry, Session};

/// Pause after the system could not accept a connection, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Settings of a door.
#[derive(Clone, Default)]
pub struct Settings {
    /// Limits on what clients may hold.
    pub limits: Limits,
    /// TLS, and the clients that are let in.
    pub guard: Guard,
}

/// Door that listens for Riak's Protocol Buffers clients.
pub struct Door {
    listener: TcpListener,
    node: Arc<dyn Node>,
    name: Arc<str>,
    settings: Settings,
}

impl Door {
    /// Listens at `address` for the node with this name; port 0 takes any free one.
    ///
    /// # Errors
    /// The address can't be had.
    pub async fn bind(
        address: SocketAddr,
        (name, node): (&str, Arc<dyn Node>),
        settings: Settings,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, node, name: name.into(), settings })
    }

    /// Returns the address at which the door listens, with the port that the system chose.
    ///
    /// # Errors
    /// The system does not tell it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is done. Then it takes nothing new, and finishes what is under way within the limit for that.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let limits = self.settings.limits;
        let (connections, room) =
            (Connections::new(limits.connections), Room::new(limits.requests_bytes));
        let (stopping, stopped) = watch::channel(());
        let (mut serving, mut stop) = (JoinSet::new(), pin!(stop));
        loop {
            let (stream, from) = tokio::select! {
                () = &mut stop => break,
                Some(_ended) = serving.join_next() => continue,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        warn!(%error, "a connection of a Riak client could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let Some(place) = connections.enter() else { continue };
            let place = Arc::new(place);
            let entry = Entry::new(&self.settings.guard, from);
            let session = Session::new(Arc::clone(&self.node), Arc::clone(&self.name), entry);
            // An answer leaves at once; a socket that refuses the option is served all the same.
            let _slow = stream.set_nodelay(true);
            let connection = Connection::new(stream.into(), session, &self.settings, room.clone());
            let (stopped, idle_limit) = (stopped.clone(), limits.idle);
            serving.spawn(async move {
                tokio::select! {
                    ended = connection.serve(Arc::clone(&place), stopped) => if let Err(error) = ended {
                        debug!(%error, "a connection of a Riak client has ended");
                    },
                    () = place.is_over(idle_limit) => {}
                }
            });
        }
        drop((self.listener, stopping));
        let all = async { while serving.join_next().await.is_some() {} };
        if tokio::time::timeout(limits.drain, all).await.is_err() {
            warn!("the door for Riak's clients closes with requests unanswered");
        }
    }
}

/// Serves one client of the node with this name, on a stream that is open already, until it ends.
///
/// # Errors
/// The client has gone in the middle of something.
pub async fn serve_stream(
    (stream, from): (Stream, SocketAddr),
    (name, node): (&str, Arc<dyn Node>),
    settings: Settings,
) -> io::Result<()> {
    let Some(place) = Connections::new(1).enter() else { return Ok(()) };
    let session = Session::new(node, name.into(), Entry::new(&settings.guard, from));
    let room = Room::new(settings.limits.requests_bytes);
    let connection = Connection::new(stream, session, &settings, room);
    let (_stopping, stopped) = watch::channel(());
    connection.serve(Arc::new(place), stopped).await
}

#[cfg(test)]
mod tests;

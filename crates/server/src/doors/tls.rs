//! TLS of the doors: certificates that are read anew when they change, and who a client is by its own.
//!
//! Invariant: a client's certificate makes it what the same certificate makes it over QUIC. A node has no business at a
//! door, so that a node which has left can't come in by one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jedlik_door::{Access, Caller, Guard, Handshaking, Secured, Stream, Tls};
use jedlik_net::{Credentials, CredentialsError, DoorSettings, DoorTls, Endpoint, Role};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::config;

/// Time between two looks at the certificates' files.
const INTERVAL: Duration = Duration::from_secs(2);

/// Certificate of a door, as its guard uses it.
struct ByCertificate(Arc<DoorTls>);

impl Tls for ByCertificate {
    fn handshake(&self, stream: Stream) -> Handshaking {
        let tls = Arc::clone(&self.0);
        Box::pin(async move {
            let (stream, identity) = tls.accept(stream).await?;
            let client = match identity {
                None => None,
                Some(identity) => match identity.role {
                    Role::Client => Some(Caller::Certificate(identity.name.into())),
                    Role::Admin => Some(Caller::Trusted),
                    Role::Node => return Err(io::Error::other("a node does not come by a door")),
                },
            };
            Ok(Secured { stream: Stream::Over(Box::new(stream)), client })
        })
    }
}

/// Reads the certificates of all doors, and uses them for nothing.
pub(super) fn check(
    doors: &config::Doors,
    credentials: &Credentials,
) -> Result<(), CredentialsError> {
    for door in [&doors.http, &doors.riak_pb].into_iter().flatten() {
        let Some(files) = door.tls.clone() else { continue };
        DoorTls::load(DoorSettings { files, clients: door.clients, protocols: &[] }, credentials)?;
    }
    Ok(())
}

/// Reads the certificate of a door; `None` if it has none.
pub(super) async fn load(
    door: &config::Door,
    protocols: &'static [&'static [u8]],
    endpoint: &Endpoint,
) -> Result<Option<Arc<DoorTls>>, CredentialsError> {
    let Some(files) = door.tls.clone() else { return Ok(None) };
    let settings = DoorSettings { files, clients: door.clients, protocols };
    let credentials = endpoint.credentials();
    let loaded = spawn_blocking(move || DoorTls::load(settings, &credentials)).await;
    let tls = loaded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    Ok(Some(Arc::new(tls)))
}

/// Returns the guard of a door.
pub(super) fn guard(access: Access, tls: Option<&Arc<DoorTls>>) -> Guard {
    let tls = tls.map(|tls| Arc::new(ByCertificate(Arc::clone(tls))) as Arc<dyn Tls>);
    Guard::new(access, tls)
}

/// Keeps the certificates up to date until the task is aborted.
pub(super) fn keep(doors: Vec<(&'static str, Arc<DoorTls>)>, endpoint: Endpoint) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (door, tls) in &doors {
                let (tls, credentials) = (Arc::clone(tls), endpoint.credentials());
                match spawn_blocking(move || tls.renew(&credentials)).await {
                    Ok(Ok(true)) => info!(door, "a door's certificate was read anew"),
                    Ok(Err(error)) => warn!(
                        door, %error,
                        "a door's certificate was not read anew; the door goes on with the one it has"
                    ),
                    // Nothing has changed, or the process ends.
                    Ok(Ok(false)) | Err(_) => {}
                }
            }
        }
    })
}

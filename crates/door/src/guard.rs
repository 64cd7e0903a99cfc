//! Guard of a door: TLS and its handshakes, who is let in, and why somebody was not.
//!
//! Invariant: a client that does not finish its handshake keeps no other from doing so: it has a limited time for it,
//! and less where many others have begun since.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::{Caller, Connections, Stream};

/// Handshakes that may be under way at a door. Past it, the one that began first gives way to a new one.
const HANDSHAKES_MAX: usize = 256;
/// Time that a client has for its handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// First byte of a client that speaks TLS: the type of a record that belongs to a handshake.
const HANDSHAKE: u8 = 22;

/// Clients that a door lets in without a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody, with every right: for a door on this machine, where all programs are trusted.
    #[default]
    Open,
    /// Clients that show a token, with its rights.
    Tokens,
}

/// TLS of a door, with its certificate.
pub trait Tls: Send + Sync + 'static {
    /// Does the handshake with a client.
    fn handshake(&self, stream: Stream) -> Handshaking;
}

/// Future of a handshake.
pub type Handshaking = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

/// Client whose handshake is done.
pub struct Secured {
    /// Stream to the client, which is encrypted beneath.
    pub stream: Stream,
    /// Client by the certificate that it has shown; `None` if it has shown none.
    pub client: Option<Caller>,
}

/// Client that was not let in.
#[derive(Debug)]
pub struct Refused {
    /// Reason, as it is counted.
    pub reason: Reason,
    /// Cause as the system or TLS describes it.
    pub error: io::Error,
    /// Stream to a client that is still to be told; `None` if it can't be.
    pub stream: Option<Stream>,
}

/// Guard of a door; clones share its handshakes.
#[derive(Clone)]
pub struct Guard {
    access: Access,
    tls: Option<Arc<dyn Tls>>,
    handshakes: Connections,
    handshake_time: Duration,
}

impl Guard {
    /// Makes a guard that lets these clients in, over TLS if it is given.
    #[must_use]
    pub fn new(access: Access, tls: Option<Arc<dyn Tls>>) -> Self {
        let handshakes = Connections::new(HANDSHAKES_MAX);
        Self { access, tls, handshakes, handshake_time: HANDSHAKE_TIME }
    }

    /// Gives clients another time for their handshakes.
    #[must_use]
    pub fn with_handshake_time(self, handshake_time: Duration) -> Self {
        Self { handshake_time, ..self }
    }

    /// Returns the clients that are let in without a certificate.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether clients have to speak TLS.
    #[must_use]
    pub fn wants_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the number of handshakes under way.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.count()
    }

    /// Does the handshake with a client, if it is to speak TLS.
    ///
    /// # Errors
    /// The client does not do its part, or not in time.
    pub async fn secure(&self, mut stream: Stream) -> Result<Secured, Refused> {
        let Some(tls) = &self.tls else { return Ok(Secured { stream, client: None }) };
        let failed = |error| Refused { reason: Reason::Handshake, error, stream: None };
        // No handshake counts as at work, so there always is one that gives way.
        let place = self.handshakes.enter().ok_or(io::ErrorKind::QuotaExceeded.into());
        let place = place.map_err(failed)?;
        let securing = async {
            if !stream.begins_with(HANDSHAKE).await.map_err(failed)? {
                let error = io::Error::new(io::ErrorKind::InvalidData, "the client speaks no TLS");
                return Err(Refused { reason: Reason::Plain, error, stream: Some(stream) });
            }
            tls.handshake(stream).await.map_err(failed)
        };
        tokio::select! {
            secured = securing => secured,
            () = place.is_over(self.handshake_time) => Err(failed(io::Error::new(
                io::ErrorKind::TimedOut,
                "the handshake took too long, or gave way to newer ones",
            ))),
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(Access::Open, None)
    }
}

/// Door of a node, as it is named where something is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorName {
    /// Door for programs that speak HTTP.
    Http,
    /// Door for Riak's Protocol Buffers clients.
    RiakPb,
}

/// Reason for which a door refuses a client or its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The TLS handshake failed, or took too long.
    Handshake,
    /// The client did not speak TLS where it has to.
    Plain,
    /// The client showed neither a token nor a certificate.
    Nothing,
    /// The client showed a token that is not in force, or never was.
    Token,
    /// The client asked for what it has no right to.
    Forbidden,
}

impl DoorName {
    /// Every door that a node may have.
    pub const ALL: [Self; 2] = [Self::Http, Self::RiakPb];

    /// Returns the door's name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::RiakPb => "riak_pb",
        }
    }
}

impl Reason {
    /// Every reason that there is.
    pub const ALL: [Self; 5] =
        [Self::Handshake, Self::Plain, Self::Nothing, Self::Token, Self::Forbidden];

    /// Returns the reason's name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Plain => "plain",
            Self::Nothing => "no_token",
            Self::Token => "wrong_token",
            Self::Forbidden => "forbidden",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{Access, DoorName, Guard, HANDSHAKES_MAX, Handshaking, Reason, Tls};
    use crate::Stream;

    /// Handshakes that never end.
    struct Never;

    impl Tls for Never {
        fn handshake(&self, _: Stream) -> Handshaking {
            Box::pin(std::future::pending())
        }
    }

    fn stream() -> Stream {
        Stream::Over(Box::new(tokio::io::empty()))
    }

    #[tokio::test]
    async fn the_handshake_that_began_first_gives_way() {
        let guard = Guard::new(Access::Open, Some(Arc::new(Never)));
        let guard = guard.with_handshake_time(Duration::MAX);
        let secure = |guard: Guard| async move { guard.secure(stream()).await.map(drop) };
        let first = tokio::spawn(secure(guard.clone()));
        while guard.handshakes() < 1 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> =
            (0..HANDSHAKES_MAX).map(|_| tokio::spawn(secure(guard.clone()))).collect();
        assert_eq!(first.await.unwrap().unwrap_err().error.kind(), io::ErrorKind::TimedOut);
        others.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn a_handshake_has_its_time() {
        let guard = Guard::new(Access::Open, Some(Arc::new(Never)));
        let ended = guard.with_handshake_time(Duration::ZERO).secure(stream()).await;
        assert_eq!(ended.map(drop).unwrap_err().error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_speaks_no_tls_can_still_be_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let guard = Guard::new(Access::Open, Some(Arc::new(Never)));
        let refused = guard.secure(accepted.into()).await.map(drop).unwrap_err();
        assert_eq!(refused.reason, Reason::Plain);
        refused.stream.unwrap().write_all(b"no").await.unwrap();
        let mut said = [0; 2];
        client.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"no");
    }

    #[test]
    fn doors_and_reasons_are_counted_under_names_of_their_own() {
        for (index, door) in DoorName::ALL.iter().enumerate() {
            assert_eq!(*door as usize, index, "{}", door.name());
        }
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index, "{}", reason.name());
        }
    }
}

//! Server of the door: its own accept loop, TLS, and the limits on every connection.
//!
//! Invariant: a client that sends or reads slowly, or nothing, holds a connection for a limited time, and only while
//! nobody else needs it. That goes for its handshake, too.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use jedlik_door::{Connections, DoorName, Guard, Node, Place, Reason, Refused, Secured, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tower_service::Service as _;
use tracing::{debug, warn};

use crate::access::{PartlyForbidden, Peer};
use crate::keep::{Held, Keeping};
use crate::limits::{
    CONNECTION_WINDOW_BYTES, HEAD_BYTES, HEADERS_MAX, LINGER, Limits, RESETS_MAX,
    SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::metrics::{Call, Served};
use crate::routes;

/// Pause after the system could not accept a connection, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answer to a client that speaks HTTP in plaintext where the door has TLS.
const PLAIN_ANSWER: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 39\r\n\
                            Connection: close\r\n\r\nThis port speaks TLS only: use https://";

/// Settings of a door.
#[derive(Clone, Default)]
pub struct Settings {
    /// Limits on what clients may hold.
    pub limits: Limits,
    /// TLS, and the clients that are let in.
    pub guard: Guard,
}

/// Door that listens for HTTP/1.1 and HTTP/2.
pub struct Door {
    listener: TcpListener,
    serving: Serving,
}

/// Parts of a door that all its connections share.
struct Serving {
    node: Arc<dyn Node>,
    routes: Router,
    served: Arc<Served>,
    guard: Guard,
    limits: Limits,
    builder: Builder<TokioExecutor>,
}

impl Door {
    /// Listens at `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// The address can't be had.
    pub async fn bind(
        address: SocketAddr,
        node: Arc<dyn Node>,
        settings: Settings,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let served = Arc::<Served>::default();
        let routes = routes::of(Arc::clone(&node), &settings, Arc::clone(&served));
        let (Settings { limits, guard }, builder) = (settings.clone(), builder(settings.limits));
        Ok(Self { listener, serving: Serving { node, routes, served, guard, limits, builder } })
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
        let Self { listener, serving } = self;
        let (limits, serving) = (serving.limits, Arc::new(serving));
        let (graceful, connections) =
            (GracefulShutdown::new(), Connections::new(limits.connections));
        let (stopping, stopped) = watch::channel(());
        let mut stop = pin!(stop);
        loop {
            let (stream, from) = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted over HTTP");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let Some(place) = connections.enter() else { continue };
            let (place, serving) = (Arc::new(place), Arc::clone(&serving));
            let (watcher, mut stopped) = (graceful.watcher(), stopped.clone());
            tokio::spawn(async move {
                let served = async {
                    let securing = serving.guard.secure(open(stream));
                    let secured = tokio::select! {
                        secured = securing => secured,
                        // An error means that the door is gone, which is the same.
                        _ = stopped.changed() => return,
                    };
                    match secured {
                        Ok(secured) => serving.requests(secured, from, &place, watcher).await,
                        Err(refused) => serving.refuse(refused, from).await,
                    }
                };
                tokio::select! {
                    () = served => {}
                    () = place.is_over(limits.idle) => {}
                }
            });
        }
        drop((listener, stopping));
        if timeout(limits.drain, graceful.shutdown()).await.is_err() {
            warn!("the HTTP door closes with requests unanswered");
        }
    }
}

impl Serving {
    /// Serves the requests of one connection until it ends.
    async fn requests(
        &self,
        secured: Secured,
        from: SocketAddr,
        place: &Arc<Place>,
        watcher: Watcher,
    ) {
        let Secured { stream, client } = secured;
        let service = self.service(Peer { client, address: from }, Arc::clone(place));
        let connection = self.builder.serve_connection(io(stream, self.limits), service);
        if let Err(error) = watcher.watch(connection.into_owned()).await {
            debug!(%error, "an HTTP connection has ended");
        }
    }

    /// Notes that a client was not let in, and tells it, if it speaks plain HTTP.
    async fn refuse(&self, refused: Refused, from: SocketAddr) {
        let Refused { reason, error, stream } = refused;
        debug!(%error, %from, "a client was not let in over HTTP");
        self.node.refused(DoorName::Http, reason, from);
        let Some(mut stream) = stream else { return };
        let telling = async {
            stream.write_all(PLAIN_ANSWER.as_bytes()).await?;
            stream.shutdown().await?;
            // What is unread at the end of a connection takes back what was sent.
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // A client that does not read it has had its time.
        let _gone = timeout(LINGER, telling).await;
    }

    /// Returns the service of one connection, which counts its requests, and marks it as at work from a request's head
    /// to its answer's last byte.
    fn service(
        &self,
        peer: Peer,
        place: Arc<Place>,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + use<> {
        let (routes, served) = (self.routes.clone(), Arc::clone(&self.served));
        let node = Arc::clone(&self.node);
        service_fn(move |mut request: Request<Incoming>| {
            let under_way = place.begin();
            let call = Call::of(request.method(), request.uri().path());
            let (mut routes, served, began) = (routes.clone(), Arc::clone(&served), Instant::now());
            let (node, address) = (Arc::clone(&node), peer.address);
            request.extensions_mut().insert(peer.clone());
            async move {
                let response = routes.call(request.map(Body::new)).await?;
                served.answered(call, response.status(), began.elapsed());
                let partly = response.extensions().get::<PartlyForbidden>().is_some();
                if partly || response.status() == StatusCode::FORBIDDEN {
                    node.refused(DoorName::Http, Reason::Forbidden, address);
                }
                let (mut parts, body) = response.into_parts();
                let held = parts.extensions.remove::<Held>();
                Ok(Response::from_parts(parts, Body::new(Keeping::new(body, (under_way, held)))))
            }
        })
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES)
        // Old clients compare the names of headers by case.
        .title_case_headers(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES as u32)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    builder
}

/// Returns the stream of a client that has just come.
fn open(stream: TcpStream) -> Stream {
    // An answer leaves at once; a socket that refuses the option is served all the same.
    let _slow = stream.set_nodelay(true);
    stream.into()
}

type Io = TokioIo<Pin<Box<TimeoutStream<Stream>>>>;

fn io(stream: Stream, limits: Limits) -> Io {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write));
    TokioIo::new(Box::pin(stream))
}

#[cfg(test)]
mod tests;

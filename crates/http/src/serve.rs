//! Server of the door: its own accept loop, and the limits on every connection.
//!
//! Invariant: a client that sends or reads slowly, or nothing, holds a connection for a limited time, and only while
//! nobody else needs it.

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
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use jedlik_door::{Connections, Node, Place};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tower_service::Service as _;
use tracing::{debug, warn};

use crate::access::Access;
use crate::keep::{Held, Keeping};
use crate::limits::{
    CONNECTION_WINDOW_BYTES, HEAD_BYTES, HEADERS_MAX, Limits, RESETS_MAX, SEND_BUFFER_BYTES,
    STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::metrics::{Call, Served};
use crate::routes;

/// Pause after the system could not accept a connection, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Settings of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Limits on what clients may hold.
    pub limits: Limits,
    /// Clients that are let in.
    pub access: Access,
}

impl Default for Settings {
    fn default() -> Self {
        Self { limits: Limits::default(), access: Access::Open }
    }
}

/// Door that listens for HTTP/1.1 and HTTP/2.
pub struct Door {
    listener: TcpListener,
    routes: Router,
    served: Arc<Served>,
    limits: Limits,
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
        let routes = routes::of(node, settings, Arc::clone(&served));
        Ok(Self { listener, routes, served, limits: settings.limits })
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
        let (graceful, connections) =
            (GracefulShutdown::new(), Connections::new(self.limits.connections));
        let builder = builder(self.limits);
        let mut stop = pin!(stop);
        loop {
            let stream = tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted over HTTP");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let Some(place) = connections.enter() else { continue };
            let place = Arc::new(place);
            let service =
                service(self.routes.clone(), Arc::clone(&self.served), Arc::clone(&place));
            let connection = builder.serve_connection(io(stream, self.limits), service);
            let connection = graceful.watch(connection.into_owned());
            let idle_limit = self.limits.idle;
            tokio::spawn(async move {
                tokio::select! {
                    ended = connection => if let Err(error) = ended {
                        debug!(%error, "an HTTP connection has ended");
                    },
                    () = place.is_over(idle_limit) => {}
                }
            });
        }
        drop(self.listener);
        if tokio::time::timeout(self.limits.drain, graceful.shutdown()).await.is_err() {
            warn!("the HTTP door closes with requests unanswered");
        }
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

type Io = TokioIo<Pin<Box<TimeoutStream<TcpStream>>>>;

fn io(stream: TcpStream, limits: Limits) -> Io {
    // An answer leaves at once; a socket that refuses the option is served all the same.
    let _slow = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write));
    TokioIo::new(Box::pin(stream))
}

/// Returns the service of one connection, which counts its requests, and marks it as at work from a request's head to
/// its answer's last byte.
fn service(
    routes: Router,
    served: Arc<Served>,
    place: Arc<Place>,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Send + 'static,
> + Send
+ 'static {
    service_fn(move |request: Request<Incoming>| {
        let under_way = place.begin();
        let call = Call::of(request.method(), request.uri().path());
        let (mut routes, served, began) = (routes.clone(), Arc::clone(&served), Instant::now());
        async move {
            let response = routes.call(request.map(Body::new)).await?;
            served.answered(call, response.status(), began.elapsed());
            let (mut parts, body) = response.into_parts();
            let held = parts.extensions.remove::<Held>();
            Ok(Response::from_parts(parts, Body::new(Keeping::new(body, (under_way, held)))))
        }
    })
}

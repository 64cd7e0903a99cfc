//! Sending of spans to a collector, batch by batch: OTLP over HTTP, each batch on a connection of its own.
//!
//! Invariant: a batch is tried once and for a limited time. What the collector does not take is counted and gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use jedlik_trouble::{Report, Trouble};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::otlp::{self, Resource};
use crate::span::Span;
use crate::tracer::{Counters, Settings};

/// Most spans of one request to the collector.
const BATCH_SPANS: usize = 512;
/// Time for which spans are gathered for one request.
const GATHER: Duration = Duration::from_secs(1);
/// Time that the collector has to take one request.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// Length of an answer that is still read.
const ANSWER_BYTES: usize = 64 << 10;

/// Part of the queue of a tracer.
#[derive(Debug)]
pub(crate) enum Item {
    Span(Box<Span>),
    /// End of the queue: what comes later is not sent. Whoever waits hears once the rest is.
    Close(oneshot::Sender<()>),
}

/// Reason why a collector has not taken a batch. Look at the collector; the spans are lost, and nothing else.
#[derive(Debug, Error)]
pub enum SendError {
    /// Collector that can't be connected to, or whose connection broke.
    #[error("the collector can't be reached: {0}")]
    Io(#[from] io::Error),
    /// Connection on which the collector does not speak HTTP, or that it has closed.
    #[error("the collector's connection failed: {0}")]
    Http(#[from] hyper::Error),
    /// Answer that is no success.
    #[error("the collector answered {0}")]
    Refused(StatusCode),
    /// Collector that has not answered in time.
    #[error("the collector has not answered within {} s", SEND_LIMIT.as_secs())]
    Slow,
}

/// Begins to send what is queued.
pub(crate) fn start(
    settings: &Settings,
    resource: &Resource,
    queued: mpsc::Receiver<Item>,
    counters: Arc<Counters>,
) {
    let (settings, resource) = (settings.clone(), resource.clone());
    let (start, trouble) = (Instant::now(), Trouble::default());
    let exporter = Exporter { settings, resource, queued, counters, start, trouble };
    tokio::spawn(exporter.run());
}

/// End of the queue, and who waits for it.
struct End(Option<oneshot::Sender<()>>);

struct Exporter {
    settings: Settings,
    resource: Resource,
    queued: mpsc::Receiver<Item>,
    counters: Arc<Counters>,
    start: Instant,
    trouble: Trouble,
}

impl Exporter {
    async fn run(mut self) {
        let mut end = None;
        while end.is_none() {
            let mut batch = Vec::new();
            end = self.take(&mut batch).await;
            let gathered = timeout(GATHER, async {
                while batch.len() < BATCH_SPANS && end.is_none() {
                    end = self.take(&mut batch).await;
                }
            });
            // What came until then is enough.
            let _over = gathered.await;
            if !batch.is_empty() {
                self.send(batch).await;
            }
        }
        if let Some(End(Some(waits))) = end {
            // Whoever waited may have gone.
            let _gone = waits.send(());
        }
    }

    /// Takes the next span from the queue; returns the queue's end if it has come.
    async fn take(&mut self, batch: &mut Vec<Span>) -> Option<End> {
        match self.queued.recv().await {
            Some(Item::Span(span)) => {
                batch.push(*span);
                None
            }
            Some(Item::Close(waits)) => Some(End(Some(waits))),
            None => Some(End(None)),
        }
    }

    async fn send(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = otlp::request(&self.resource, batch);
        let sent = timeout(SEND_LIMIT, post(&self.settings, body)).await;
        let sent = sent.unwrap_or(Err(SendError::Slow));
        let refused = sent.as_ref().map_or(count, |refused| *refused).min(count);
        self.counters.unsent.fetch_add(refused, Ordering::Relaxed);
        self.counters.sent.fetch_add(count - refused, Ordering::Relaxed);
        let now_us = self.start.elapsed().as_micros() as u64;
        match sent {
            Ok(_) => {
                if let Some(Report::Over { times, lasted_s }) = self.trouble.over() {
                    info!(times, lasted_s, "the collector takes spans again");
                }
            }
            Err(error) => match self.trouble.happened(now_us) {
                Some(Report::Began) => warn!(%error, "spans are not sent, and are lost"),
                Some(Report::Continues { times }) => {
                    warn!(%error, times, "spans are still not sent");
                }
                Some(Report::Over { .. }) | None => {}
            },
        }
    }
}

/// Sends one request, and returns how many of its spans the collector refuses.
async fn post(settings: &Settings, body: Vec<u8>) -> Result<u64, SendError> {
    let stream = TcpStream::connect(&settings.collector).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(&settings.path)
        .header(header::HOST, &settings.collector)
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("jedlik/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        // An answer that is not understood refuses nothing.
        let read = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let answer = read.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if status.is_success() {
            Ok(otlp::refused(&answer))
        } else {
            Err(SendError::Refused(status))
        }
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        done = &mut exchange => done,
        // What was read before the connection's end is still to be taken.
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests;

//! Tracer: which requests are traced, and the queue of spans that have ended.
//!
//! Invariant: a request that is not traced costs a look at its context and one draw; nothing here waits.

use std::num::{NonZeroU64, NonZeroU128};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jedlik_protocol::TraceContext;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::warn;

use crate::export::{self, Item};
use crate::limit::SpanLimit;
use crate::otlp::Resource;
use crate::span::{Kind, OpenSpan, Parent, Span};

/// Number of ended spans that may wait to be sent: some megabytes.
pub(crate) const QUEUE_SPANS: usize = 4_096;

/// Settings of a tracer.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Host and port of the collector, as `HOST:PORT`.
    pub collector: String,
    /// Path at which the collector takes traces.
    pub path: String,
    /// Share of the requests without a trace of their own that are traced, from 0 to 1.
    pub sample: f64,
    /// Most spans of a second.
    pub limit_per_s: u32,
}

/// Beginner of spans. Clones share everything.
#[derive(Debug, Clone)]
pub struct Tracer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: mpsc::Sender<Item>,
    /// Draws below this are sampled.
    threshold: u64,
    draws: AtomicU64,
    limit: Mutex<SpanLimit>,
    counters: Arc<Counters>,
}

/// Counters of spans, which the tracer and its exporter share.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sent: AtomicU64,
    pub(crate) unsent: AtomicU64,
    queue_full: AtomicU64,
    over_limit: AtomicU64,
}

/// Numbers of spans since the start, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of spans that the collector has taken.
    pub sent: u64,
    /// Number of spans that the collector has not taken: it was away, was slow or refused them.
    pub unsent: u64,
    /// Number of spans for which the queue had no room.
    pub queue_full: u64,
    /// Number of spans that were not begun, because of the limit of a second.
    pub over_limit: u64,
}

impl Tracer {
    /// Returns a tracer whose spans are sent from now on. To be called within a tokio runtime with timers and sockets.
    #[must_use]
    pub fn start(settings: &Settings, resource: &Resource) -> Self {
        let (queue, queued) = mpsc::channel(QUEUE_SPANS);
        let counters = Arc::<Counters>::default();
        export::start(settings, resource, queued, Arc::clone(&counters));
        // Of a share of 1 each draw is below the threshold but one of 2^64.
        let threshold = (settings.sample.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
        let limit = Mutex::new(SpanLimit::new(settings.limit_per_s, Instant::now()));
        let draws = AtomicU64::new(random_u64().unwrap_or_default());
        Self { shared: Arc::new(Shared { queue, threshold, draws, limit, counters }) }
    }

    /// Sends what is queued, within a limit. Spans that end later are not sent.
    pub async fn close(&self, limit: Duration) {
        let (told, heard) = oneshot::channel();
        let closed = timeout(limit, async {
            // An exporter that has ended has sent everything.
            let _ended = self.shared.queue.send(Item::Close(told)).await;
            let _gone = heard.await;
        });
        if closed.await.is_err() {
            warn!("the collector has not taken the last spans");
        }
    }

    /// Begins the span of a request that comes from outside, if it is traced: its caller has decided that, or it is drawn.
    #[must_use]
    pub fn begin(&self, caller: Option<&TraceContext>) -> Option<OpenSpan> {
        match caller {
            Some(caller) => self.under(caller, Kind::Server, (true, true)),
            None if self.is_drawn() && self.has_room(true) => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).ok()?;
                let trace = NonZeroU128::new(u128::from_le_bytes(bytes))?;
                let context = TraceContext::sampled(trace, span_id()?);
                Some(OpenSpan::begin(self.clone(), context, None, Kind::Server))
            }
            None => None,
        }
    }

    /// Begins the span of a request that another node of the cluster sends, if its trace is wanted.
    #[must_use]
    pub fn join(&self, asker: &TraceContext) -> Option<OpenSpan> {
        self.under(asker, Kind::Server, (false, true))
    }

    /// Begins a span under another one of this process, if its trace is wanted.
    #[must_use]
    pub fn child(&self, parent: &TraceContext, kind: Kind) -> Option<OpenSpan> {
        self.under(parent, kind, (false, false))
    }

    /// Returns what has become of spans so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        Counts {
            sent: read(&counters.sent),
            unsent: read(&counters.unsent),
            queue_full: read(&counters.queue_full),
            over_limit: read(&counters.over_limit),
        }
    }

    fn under(
        &self,
        parent: &TraceContext,
        kind: Kind,
        (begins, remote): (bool, bool),
    ) -> Option<OpenSpan> {
        if !parent.is_sampled() || !self.has_room(begins) {
            return None;
        }
        let context = TraceContext { span: span_id()?, ..*parent };
        let parent = Parent { span: parent.span, remote };
        Some(OpenSpan::begin(self.clone(), context, Some(parent), kind))
    }

    fn has_room(&self, begins: bool) -> bool {
        let mut limit = self.shared.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = limit.take(Instant::now(), begins);
        if !has_room {
            self.shared.counters.over_limit.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    fn is_drawn(&self) -> bool {
        // The sequence of splitmix64: a step for each request, and a mix of it.
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let Shared { threshold, draws, .. } = &*self.shared;
        if *threshold == 0 {
            return false;
        }
        let mut draw = draws.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (draw ^ (draw >> 31)) < *threshold
    }

    pub(crate) fn queue(&self, span: Box<Span>) {
        if self.shared.queue.try_send(Item::Span(span)).is_err() {
            self.shared.counters.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn span_id() -> Option<NonZeroU64> {
    NonZeroU64::new(random_u64()?)
}

fn random_u64() -> Option<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).ok()?;
    Some(u64::from_le_bytes(bytes))
}

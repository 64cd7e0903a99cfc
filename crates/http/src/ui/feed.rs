//! News for the pages that are open, as server-sent events.
//!
//! Invariant: the cluster is asked once for all pages, and not at all while no page is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use jedlik_door::{Caller, Node, Phase};
use jedlik_protocol::error::{ErrorCode, Failure};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::snapshot::Snapshot;
use crate::access::{Asked, check_sees_all};
use crate::pieces::{Pieces, Source};
use crate::problem::Problem;

/// Time between two questions to the cluster.
const INTERVAL: Duration = Duration::from_secs(1);
/// Most pages that may be open.
const PAGES_MAX: usize = 64;

/// Feed of all pages; clones share it.
#[derive(Clone)]
pub(crate) struct Feed {
    latest: watch::Sender<Arc<Snapshot>>,
    running: Arc<AtomicBool>,
    pages: Arc<AtomicUsize>,
}

/// Mark that a page is open.
struct Page(Arc<AtomicUsize>);

impl Default for Feed {
    fn default() -> Self {
        let latest = watch::Sender::new(Arc::default());
        Self { latest, running: Arc::default(), pages: Arc::default() }
    }
}

impl Feed {
    /// Opens a page; `None` if there are too many.
    fn open(&self) -> Option<Page> {
        let open = self.pages.fetch_add(1, Ordering::AcqRel);
        let page = Page(Arc::clone(&self.pages));
        (open < PAGES_MAX).then_some(page)
    }

    /// Asks the cluster again and again while any page is open, unless another task does.
    fn run(&self, node: Arc<dyn Node>) {
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let feed = self.clone();
        tokio::spawn(async move {
            while feed.pages.load(Ordering::Acquire) > 0 {
                let next = Instant::now() + INTERVAL;
                // A node that does not answer has no news; the page sees that it is cut off.
                if let Ok(snapshot) = Snapshot::take(&node).await {
                    feed.latest.send_replace(Arc::new(snapshot));
                }
                sleep_until(next).await;
            }
            feed.running.store(false, Ordering::Release);
            // A page may have come between the last look and this.
            if feed.pages.load(Ordering::Acquire) > 0 {
                feed.run(node);
            }
        });
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Sends the news as they come, until the page is closed.
pub(crate) async fn events(shared: Asked) -> Result<Response, Problem> {
    shared.check_sees_all().await?;
    let feed = shared.feed.clone();
    let Some(page) = feed.open() else {
        let message = format!("{PAGES_MAX} pages are open, the most there may be; close one");
        return Err(Failure::new(ErrorCode::Overloaded, message).into());
    };
    let mut latest = feed.latest.subscribe();
    latest.mark_unchanged();
    feed.run(Arc::clone(&shared.node));
    let (node, caller) = (Arc::clone(&shared.node), shared.caller());
    let news = News { node, caller, latest, told: Arc::default(), _open: page };
    let mut response = Response::new(Body::new(Pieces::new(Bytes::new(), news)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// News that one page is being told.
struct News {
    node: Arc<dyn Node>,
    caller: Caller,
    latest: watch::Receiver<Arc<Snapshot>>,
    /// News of which the page was told last.
    told: Arc<Snapshot>,
    _open: Page,
}

impl News {
    /// Waits for news, and returns them as events; `None` once the node stops, or the caller may not see them any more.
    async fn events(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                changed = self.latest.changed() => {
                    changed.ok()?;
                    break;
                }
                // A node that stops waits for no page.
                () = sleep(INTERVAL) => match self.node.phase() {
                    Phase::Stopping => return None,
                    Phase::Starting | Phase::Serving | Phase::Drained => {}
                },
            }
        }
        // Rights end while a page is open, too.
        check_sees_all(&*self.node, &self.caller).await.ok()?;
        let snapshot = Arc::clone(&self.latest.borrow_and_update());
        let mut text = String::new();
        if snapshot.layouts != self.told.layouts {
            text += &format!("event: layouts\ndata: {}\n\n", snapshot.layouts);
        }
        text += &format!("event: news\ndata: {}\n\n", snapshot.news);
        self.told = snapshot;
        Some(text)
    }
}

impl Source for News {
    async fn next(mut self) -> Option<(Result<Bytes, axum::Error>, Self)> {
        let events = self.events().await?;
        Some((Ok(events.into()), self))
    }
}

//! Body of an answer that keeps something until it has been sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Room that a node's answers take, as an extension of the response that it became.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    _room: Arc<[jedlik_door::Held]>,
}

impl Held {
    pub(crate) fn new(held: impl IntoIterator<Item = jedlik_door::Held>) -> Self {
        Self { _room: held.into_iter().collect() }
    }
}

/// Body that keeps `K` until it is dropped, which the server does once all of it has left, or can't.
pub(crate) struct Keeping<K> {
    body: Body,
    _kept: K,
}

impl<K> Keeping<K> {
    pub(crate) fn new(body: Body, kept: K) -> Self {
        Self { body, _kept: kept }
    }
}

impl<K: Unpin> http_body::Body for Keeping<K> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

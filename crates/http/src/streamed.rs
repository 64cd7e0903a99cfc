//! Body of an answer that is made while it is sent.
//!
//! Invariant: nothing is made ahead of its reader but what the channel holds, and making ends when the reader goes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// Parts of a body that may wait for its reader.
const WAITING_MAX: usize = 4;

/// Returns a body, and the way to add to it. Adding fails once nobody reads any more.
pub(crate) fn body() -> (mpsc::Sender<Bytes>, Body) {
    let (parts, receiver) = mpsc::channel(WAITING_MAX);
    (parts, Body::new(Streamed(receiver)))
}

struct Streamed(mpsc::Receiver<Bytes>);

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
    }
}

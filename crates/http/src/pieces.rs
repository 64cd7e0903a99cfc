//! Bodies of answers that are not one run of bytes.
//!
//! Invariant: the next piece is asked for once there is room for it on the way to the client, and never again after the
//! client has gone: dropping the body drops what makes it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Body of pieces that are all there, none of which is copied.
pub(crate) struct Parts {
    parts: VecDeque<Bytes>,
}

impl Parts {
    pub(crate) fn new(parts: impl IntoIterator<Item = Bytes>) -> Self {
        Self { parts: parts.into_iter().filter(|part| !part.is_empty()).collect() }
    }
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.parts.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.parts.iter().map(|part| part.len() as u64).sum())
    }
}

/// Maker of pieces that come one after the other.
pub(crate) trait Source: Sized + Send + 'static {
    /// Makes the next piece; `None` after the last one. An error cuts the answer off, so that its client sees that it is
    /// not whole.
    fn next(self) -> impl Future<Output = Option<(Result<Bytes, axum::Error>, Self)>> + Send;
}

type Making<S> = Pin<Box<dyn Future<Output = Option<(Result<Bytes, axum::Error>, S)>> + Send>>;

/// Body of pieces that are made while it is sent.
pub(crate) struct Pieces<S> {
    ready: Option<Bytes>,
    making: Option<Making<S>>,
}

impl<S: Source> Pieces<S> {
    /// Makes the body that begins with `first`, if that has any bytes, and goes on with what `source` makes.
    pub(crate) fn new(first: Bytes, source: S) -> Self {
        let ready = Some(first).filter(|first| !first.is_empty());
        Self { ready, making: Some(Box::pin(source.next())) }
    }
}

impl<S: Source> http_body::Body for Pieces<S> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(first) = self.ready.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let Some(making) = &mut self.making else { return Poll::Ready(None) };
        let Poll::Ready(made) = making.as_mut().poll(context) else { return Poll::Pending };
        let (piece, making) = match made {
            Some((Ok(piece), source)) => {
                (Some(Ok(Frame::data(piece))), Some(Box::pin(source.next()) as Making<S>))
            }
            Some((Err(error), _)) => (Some(Err(error)), None),
            None => (None, None),
        };
        self.making = making;
        Poll::Ready(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use bytes::Bytes;
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::{Parts, Pieces, Source};

    struct Letters {
        left: usize,
        fails: bool,
        made: Arc<AtomicUsize>,
    }

    impl Source for Letters {
        async fn next(mut self) -> Option<(Result<Bytes, axum::Error>, Self)> {
            if self.left == 0 {
                let error = axum::Error::new("the source has dried up");
                return self.fails.then_some((Err(error), self));
            }
            self.left -= 1;
            self.made.fetch_add(1, Ordering::Relaxed);
            Some((Ok(Bytes::from("b")), self))
        }
    }

    fn letters(left: usize, fails: bool) -> (Body, Arc<AtomicUsize>) {
        let made = Arc::default();
        let source = Letters { left, fails, made: Arc::clone(&made) };
        (Body::new(Pieces::new(Bytes::from("a"), source)), made)
    }

    #[tokio::test]
    async fn parts_are_sent_in_order_with_their_whole_length() {
        let body = Body::new(Parts::new(["te", "", "a"].map(Bytes::from)));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "tea");
    }

    #[tokio::test]
    async fn a_piece_is_made_when_it_is_asked_for() {
        let (mut body, made) = letters(3, false);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        assert_eq!(made.load(Ordering::Relaxed), 0);
        body.frame().await.unwrap().unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "bb");
    }

    #[tokio::test]
    async fn a_source_that_fails_cuts_the_answer_off() {
        let (body, _) = letters(1, true);
        assert!(body.collect().await.is_err());
    }
}

//! Bodies of requests: received whole, within limits on their size, their time, and the memory of all of them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use jedlik_door::{Held, Room};
use jedlik_protocol::error::{ErrorCode, Failure};

use crate::limits::Limits;
use crate::problem::Problem;

/// Receiver of bodies; clones share its room.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    room: Arc<Room>,
    time: Duration,
}

/// Body that has arrived, with the room that it takes.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    pub(crate) _held: Held,
}

impl Bodies {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { room: Arc::new(Room::new(limits.bodies_bytes)), time: limits.body }
    }

    /// Receives a body of at most `limit` bytes.
    ///
    /// # Errors
    /// The body is too long, arrives too slowly or not at all, or too many others are being received.
    pub(crate) async fn receive(&self, body: Body, limit: usize) -> Result<Received, Problem> {
        if body.size_hint().lower() > limit as u64 {
            return Err(too_long(limit));
        }
        let received = tokio::time::timeout(self.time, self.collect(body, limit)).await;
        received.unwrap_or_else(|_| Err(too_slow(self.time)))
    }

    async fn collect(&self, mut body: Body, limit: usize) -> Result<Received, Problem> {
        let (mut first, mut bytes) = (Bytes::new(), BytesMut::new());
        let mut held = self.room.hold();
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| Problem::invalid(format!("the body ended early: {error}")))?;
            let Ok(chunk) = frame.into_data() else { continue };
            if first.len() + bytes.len() + chunk.len() > limit {
                return Err(too_long(limit));
            }
            if !held.grow(chunk.len()) {
                return Err(no_room());
            }
            if bytes.is_empty() && first.is_empty() {
                first = chunk;
            } else {
                bytes.extend_from_slice(&std::mem::take(&mut first));
                bytes.extend_from_slice(&chunk);
            }
        }
        // A body of one part is not copied.
        let bytes = if bytes.is_empty() { first } else { bytes.freeze() };
        Ok(Received { bytes, _held: held })
    }
}

fn too_long(limit: usize) -> Problem {
    let message =
        format!("the body is longer than {limit} bytes, the most that this request takes");
    Failure::new(ErrorCode::ValueTooLarge, message).into()
}

fn too_slow(time: Duration) -> Problem {
    let message = format!("the body did not arrive within {} s; nothing was done", time.as_secs());
    Problem::with_status(StatusCode::REQUEST_TIMEOUT, message)
}

fn no_room() -> Problem {
    let message =
        "the bodies of other requests take all the room that there is; nothing was done, try again";
    Failure::new(ErrorCode::Overloaded, message).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::StatusCode;

    use super::Bodies;
    use crate::Limits;

    fn bodies(bodies_bytes: usize) -> Bodies {
        Bodies::new(Limits { bodies_bytes, body: Duration::from_secs(1), ..Limits::default() })
    }

    #[tokio::test]
    async fn a_body_is_received_up_to_its_limit() {
        let bodies = bodies(1_000);
        let received = bodies.receive(Body::from("tea"), 3).await.unwrap();
        assert_eq!(&received.bytes[..], b"tea");
        let status = bodies.receive(Body::from("teas"), 3).await.unwrap_err().status;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn bodies_share_their_room() {
        let bodies = bodies(10);
        let first = bodies.receive(Body::from("0123456789"), 100).await.unwrap();
        let status = bodies.receive(Body::from("a"), 100).await.unwrap_err().status;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        assert!(bodies.receive(Body::from("a"), 100).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let never = Body::new(http_body_util::StreamBody::new(Never));
        let status = bodies(10).receive(never, 100).await.unwrap_err().status;
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    }

    struct Never;

    impl futures_core::Stream for Never {
        type Item = Result<http_body::Frame<bytes::Bytes>, std::convert::Infallible>;

        fn poll_next(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Pending
        }
    }
}

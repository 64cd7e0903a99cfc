//! One connection: its requests one after the other, and the limits on each.
//!
//! Invariant: the connection ends only where its client has ended it, was idle or slow for too long, gives way to another,
//! or has sent what can't be passed over. Every other fault is an answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jedlik_door::{Place, Room};
use jedlik_protocol::error::{ErrorCode, Failure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::code;
use crate::frame::{Frames, Head, Reply};
use crate::limits::{LINGER, Limits, SKIP_LIMIT_BYTES};
use crate::refusal::Refusal;
use crate::session::Session;

/// Connection of one client.
pub(crate) struct Connection<S> {
    frames: Frames<S>,
    session: Session,
    room: Room,
    limits: Limits,
}

/// Fate of a connection after a request.
enum After {
    /// The connection goes on with the next request.
    On,
    /// The connection can't go on, and its client has been told why.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(stream: S, session: Session, room: Room, limits: Limits) -> Self {
        Self { frames: Frames::new(stream), session, room, limits }
    }

    /// Serves until the connection has ended, or until `stop` says so and no request is under way.
    ///
    /// # Errors
    /// The client has gone in the middle of something.
    pub(crate) async fn serve(
        mut self,
        place: Arc<Place>,
        mut stop: watch::Receiver<()>,
    ) -> io::Result<()> {
        loop {
            let head = tokio::select! {
                biased;
                // An error means that the door is gone, which is the same.
                _ = stop.changed() => break,
                head = self.frames.head() => head?,
            };
            let Some(head) = head else { return Ok(()) };
            let _under_way = place.begin();
            match self.request(head).await? {
                After::On => {}
                After::End => break,
            }
        }
        // A client that does not read it has had its time.
        timeout(LINGER, self.frames.end()).await.unwrap_or(Ok(()))
    }

    /// Receives a request, and answers it or refuses it.
    async fn request(&mut self, head: Head) -> io::Result<After> {
        let Head::Message { code, length } = head else {
            return self
                .refuse(&Refusal::invalid("the frame is empty: it has no message code"))
                .await;
        };
        let refusal = match Session::limit(code) {
            Ok(limit) if length <= limit => None,
            Ok(limit) => Some(too_long(length, limit)),
            Err(refusal) => Some(refusal),
        };
        if let Some(refusal) = refusal {
            if length > SKIP_LIMIT_BYTES {
                self.refuse(&refusal).await?;
                return Ok(After::End);
            }
            return match timeout(self.limits.message, self.frames.skip(length)).await {
                Ok(skipped) => {
                    skipped?;
                    self.refuse(&refusal).await
                }
                Err(_) => self.end_slow().await,
            };
        }
        let mut held = self.room.hold();
        let received = timeout(self.limits.message, self.frames.message(length, &mut held)).await;
        let Ok(received) = received else { return self.end_slow().await };
        match received? {
            Some(message) => self.answer(code, message).await,
            None => self.refuse(&no_room()).await,
        }
    }

    async fn answer(&mut self, code: u8, message: Bytes) -> io::Result<After> {
        self.session.answer(code, message, &mut self.frames).await?;
        Ok(After::On)
    }

    async fn refuse(&mut self, refusal: &Refusal) -> io::Result<After> {
        self.frames.send(Reply::new(code::ERROR, &refusal.message())).await?;
        Ok(After::On)
    }

    async fn end_slow(&mut self) -> io::Result<After> {
        self.refuse(&too_slow(self.limits.message)).await?;
        Ok(After::End)
    }
}

fn too_long(length: usize, limit: usize) -> Refusal {
    let message = format!(
        "the message has {length} bytes, over the limit of {limit} for a message of its kind"
    );
    Failure::new(ErrorCode::ValueTooLarge, message).into()
}

fn too_slow(time: Duration) -> Refusal {
    Refusal::invalid(format!(
        "the message did not arrive within {} s; nothing was done, and the connection ends",
        time.as_secs()
    ))
}

fn no_room() -> Refusal {
    let message = "the messages of other requests take all the room that there is; nothing was done, try again";
    Failure::new(ErrorCode::Overloaded, message).into()
}

#[cfg(test)]
mod tests;

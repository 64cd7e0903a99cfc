//! One connection: its requests one after the other, and the limits on each.
//!
//! Invariant: the connection ends only where its client has ended it, was idle or slow for too long, gives way to another,
//! is not let in, or has sent what can't be passed over. Every other fault is an answer. No byte that came before a
//! handshake is looked at after it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jedlik_door::{Guard, Place, Reason, Refused, Room, Secured, Stream};
use jedlik_protocol::error::{ErrorCode, Failure};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;

use crate::code;
use crate::frame::{Frames, Head, Reply};
use crate::limits::{LINGER, Limits, SKIP_LIMIT_BYTES};
use crate::refusal::Refusal;
use crate::serve::Settings;
use crate::session::Session;

/// Stream of a client, with a limit on the time that it leaves an answer untaken.
pub(crate) type Timed = Pin<Box<TimeoutStream<Stream>>>;

/// Connection of one client.
pub(crate) struct Connection {
    frames: Frames<Timed>,
    session: Session,
    guard: Guard,
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

impl Connection {
    pub(crate) fn new(stream: Stream, session: Session, settings: &Settings, room: Room) -> Self {
        let Settings { limits, guard } = settings.clone();
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write));
        Self { frames: Frames::new(Box::pin(stream)), session, guard, room, limits }
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
            match self.request(head, &mut stop).await? {
                After::On => {}
                After::End => break,
            }
        }
        // A client that does not read it has had its time.
        timeout(LINGER, self.frames.end()).await.unwrap_or(Ok(()))
    }

    /// Receives a request, and answers it or refuses it.
    async fn request(&mut self, head: Head, stop: &mut watch::Receiver<()>) -> io::Result<After> {
        let Head::Message { code, length } = head else {
            return self
                .refuse(&Refusal::invalid("the frame is empty: it has no message code"))
                .await;
        };
        let refusal = match self.session.limit(code) {
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
            Some(_) if code == code::START_TLS && self.session.entry().wants_tls() => {
                self.start_tls(stop).await
            }
            Some(message) => self.answer(code, message).await,
            None => self.refuse(&no_room()).await,
        }
    }

    async fn answer(&mut self, code: u8, message: Bytes) -> io::Result<After> {
        self.session.answer(code, message, &mut self.frames).await?;
        Ok(if self.session.entry().is_over() { After::End } else { After::On })
    }

    /// Goes on over TLS. The client hears of it first, and has to wait for that.
    async fn start_tls(&mut self, stop: &mut watch::Receiver<()>) -> io::Result<After> {
        if self.frames.between().is_none() {
            // Somebody may have put them between the client and this door, to have them taken for the client's.
            self.session.note(Reason::Handshake);
            self.refuse(&Refusal::invalid(
                "bytes came after the request for TLS and before its answer; the connection ends",
            ))
            .await?;
            return Ok(After::End);
        }
        self.frames.send(Reply::empty(code::START_TLS)).await?;
        let Some(stream) = self.frames.between() else { return Ok(After::End) };
        let stream = stream.as_mut().get_pin_mut().get_mut();
        let secured = tokio::select! {
            secured = self.guard.secure(stream.take()) => secured,
            // A door that closes waits for no handshake.
            _ = stop.changed() => return Ok(After::End),
        };
        match secured {
            Ok(Secured { stream: secured, client }) => {
                *stream = secured;
                self.session.entry().is_secured(client);
                Ok(After::On)
            }
            Err(Refused { reason, error, .. }) => {
                self.session.note(reason);
                Err(error)
            }
        }
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

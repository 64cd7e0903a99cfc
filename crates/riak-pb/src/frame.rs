//! Frames of a connection: received in pieces, and sent whole.
//!
//! ```text
//! length    4 bytes, big endian: of code and message
//! code      1 byte
//! message   Protocol Buffers
//! ```
//!
//! Invariant: a frame takes memory and room as its bytes arrive, and never for the length that it claims.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jedlik_door::Held;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::READ_BYTES;

/// Length of a frame's own length.
const LENGTH_BYTES: usize = 4;

/// Beginning of a frame, whose message follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// The frame has no code, and so nothing at all.
    Empty,
    /// The frame has a code, and a message of that many bytes.
    Message { code: u8, length: usize },
}

/// Frame that is to be sent, with the room that it takes until it is.
#[derive(Debug)]
pub(crate) struct Reply {
    bytes: Bytes,
    held: Held,
}

impl Reply {
    /// Encodes a message as one frame.
    pub(crate) fn new(code: u8, message: &impl Message) -> Self {
        let length = 1 + message.encoded_len();
        let mut bytes = BytesMut::with_capacity(LENGTH_BYTES + length);
        bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        bytes.put_u8(code);
        message.encode(&mut bytes).expect("a buffer grows as it must");
        Self { bytes: bytes.freeze(), held: Held::default() }
    }

    /// Makes a frame without a message.
    pub(crate) fn empty(code: u8) -> Self {
        Self { bytes: Bytes::copy_from_slice(&[0, 0, 0, 1, code]), held: Held::default() }
    }

    /// Keeps the room of the answer that the frame was made of.
    pub(crate) fn keeping(self, held: Held) -> Self {
        Self { held, ..self }
    }
}

/// Connection that is read and written in frames.
#[derive(Debug)]
pub(crate) struct Frames<S> {
    stream: S,
    /// Bytes that have arrived and belong to no frame yet.
    received: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, received: BytesMut::new() }
    }

    /// Returns the stream for a change beneath the frames; `None` if bytes have arrived that belong to none yet.
    pub(crate) fn between(&mut self) -> Option<&mut S> {
        self.received.is_empty().then_some(&mut self.stream)
    }

    /// Waits for the next frame's beginning; `None` if the client has ended the connection before it. What has arrived
    /// is kept where the wait is given up.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = self.take_head() {
                return Ok(Some(head));
            }
            if self.fill(READ_BYTES).await? == 0 {
                return if self.received.is_empty() { Ok(None) } else { Err(cut_short()) };
            }
        }
    }

    fn take_head(&mut self) -> Option<Head> {
        let length = u32::from_be_bytes(*self.received.first_chunk::<LENGTH_BYTES>()?);
        let Some(length) = (length as usize).checked_sub(1) else {
            self.received.advance(LENGTH_BYTES);
            return Some(Head::Empty);
        };
        let code = *self.received.get(LENGTH_BYTES)?;
        self.received.advance(LENGTH_BYTES + 1);
        Some(Head::Message { code, length })
    }

    /// Receives a message of this length into `room`. `None` if there is no more room, and the rest of the message was
    /// passed over.
    pub(crate) async fn message(
        &mut self,
        length: usize,
        room: &mut Held,
    ) -> io::Result<Option<Bytes>> {
        let mut taken = 0;
        loop {
            let arrived = self.received.len().min(length);
            if arrived > taken {
                // Twice as much each time, so that a sender of single bytes costs no more than others.
                let more = (arrived - taken).max(taken.min(length - taken));
                if !room.grow(more) {
                    self.skip(length).await?;
                    return Ok(None);
                }
                taken += more;
            }
            if arrived == length {
                let message = self.received.split_to(length).freeze();
                // What is left would keep the memory of the whole message.
                self.received = BytesMut::from(&self.received[..]);
                return Ok(Some(message));
            }
            if self.fill(length - arrived).await? == 0 {
                return Err(cut_short());
            }
        }
    }

    /// Passes over a message of this length, of which nothing is kept.
    pub(crate) async fn skip(&mut self, length: usize) -> io::Result<()> {
        let mut left = length;
        loop {
            let arrived = self.received.len().min(left);
            self.received.advance(arrived);
            left -= arrived;
            if left == 0 {
                self.received = BytesMut::from(&self.received[..]);
                return Ok(());
            }
            if self.fill(left).await? == 0 {
                return Err(cut_short());
            }
        }
    }

    /// Sends a frame to the client.
    pub(crate) async fn send(&mut self, reply: Reply) -> io::Result<()> {
        self.stream.write_all(&reply.bytes).await?;
        self.stream.flush().await?;
        drop(reply.held);
        Ok(())
    }

    /// Ends the connection once its client has read what was sent, as far as that can be told: a connection that is
    /// dropped with bytes unread takes back what was sent.
    pub(crate) async fn end(mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        loop {
            self.received.clear();
            if self.fill(READ_BYTES).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Reads what has arrived, at most so many bytes, and returns their number; 0 at the connection's end.
    async fn fill(&mut self, most: usize) -> io::Result<usize> {
        // Where that is too little, there are twice as many the next time.
        self.received.reserve(most.min(READ_BYTES));
        self.stream.read_buf(&mut (&mut self.received).limit(most)).await
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a frame")
}

#[cfg(test)]
mod tests;

//! Reads streams into frames and hands them on, a batch for each read.
//!
//! Invariant: memory grows with what has arrived, never with what a length prefix promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use jedlik_protocol::ProtocolVersion;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::DecodeError;
use jedlik_protocol::limits::{FRAME_LIMIT_BYTES, REQUEST_LIMIT_BYTES, SMALL_FRAME_BYTES};
use quinn::{ReadError, RecvStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::limits::{FRAME_BYTES_PER_S, FRAME_TIME_LEAST, UNFINISHED_BYTES, UNFINISHED_FRAMES};
use crate::outbox::PREFIX_BYTES;
use crate::transmit::{LARGE_STREAM, SMALL_STREAM};
use crate::{CloseCode, Connection, Handler, Role, may_send};

/// Most pieces of packets that one read takes: some 64 KiB.
const READ_PIECES: usize = 48;
/// Room that a large frame is given at first, before it has sent as much.
const LARGE_ROOM_BYTES: usize = 64 << 10;

/// Room for frames that clients have begun to send, in KiB, over all connections of this process.
static UNFINISHED: Semaphore = Semaphore::const_new(UNFINISHED_BYTES >> 10);

/// Returns how long a large frame of this role may take to arrive.
fn patience(role: Role, length: usize) -> Duration {
    if role == Role::Node {
        return Duration::MAX;
    }
    FRAME_TIME_LEAST + Duration::from_secs((length / FRAME_BYTES_PER_S) as u64)
}

/// An act of a peer that ends its connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    fn truncated() -> Self {
        Self::new(CloseCode::MalformedFrame, "a stream ended within a frame")
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        let code = match error {
            DecodeError::TooLong { .. } => CloseCode::FrameTooLong,
            DecodeError::Malformed { .. } | DecodeError::TooMany { .. } | DecodeError::Key(_) => {
                CloseCode::MalformedFrame
            }
        };
        Self::new(code, error.to_string())
    }
}

/// Role and version of the sending side, which decide how a frame is decoded and whether it is allowed.
struct Sender {
    role: Role,
    version: ProtocolVersion,
}

impl Sender {
    /// Returns the length of the longest frame that the role may send: only nodes send records.
    fn frame_limit_bytes(&self) -> usize {
        if self.role == Role::Node { FRAME_LIMIT_BYTES } else { REQUEST_LIMIT_BYTES }
    }

    fn decode(&self, bytes: &Bytes) -> Result<Frame, Fault> {
        let frame = Frame::decode(bytes, self.version)?;
        if may_send(self.role, &frame) {
            Ok(frame)
        } else {
            let reason = format!("the role {} may only send client requests", self.role);
            Err(Fault::new(CloseCode::ForbiddenFrame, reason))
        }
    }
}

/// Reader of all streams of one connection.
pub(crate) struct Receiver {
    connection: Connection,
    handler: Arc<dyn Handler>,
    small_seen: AtomicBool,
    /// Permits for the large frames of a client that may be received at the same time.
    turns: Semaphore,
}

impl Receiver {
    pub(crate) fn new(connection: Connection, handler: Arc<dyn Handler>) -> Self {
        Self {
            connection,
            handler,
            small_seen: AtomicBool::new(false),
            turns: Semaphore::new(UNFINISHED_FRAMES),
        }
    }

    fn sender(&self) -> Sender {
        Sender { role: self.connection.peer().role, version: self.connection.version() }
    }

    /// Reads one stream to its end.
    pub(crate) async fn receive(self: Arc<Self>, stream: RecvStream) -> Result<(), Fault> {
        let mut pieces = Pieces::new(stream);
        if !pieces.read().await? {
            return Err(Fault::new(CloseCode::BadStream, "a stream ended before it began"));
        }
        match pieces.take_byte() {
            SMALL_STREAM if self.small_seen.swap(true, Ordering::Relaxed) => {
                Err(Fault::new(CloseCode::BadStream, "a second stream of small frames"))
            }
            SMALL_STREAM => self.receive_small(pieces).await,
            LARGE_STREAM => self.receive_large(pieces).await,
            kind => {
                Err(Fault::new(CloseCode::BadStream, format!("a stream of unknown kind {kind}")))
            }
        }
    }

    async fn receive_small(&self, mut pieces: Pieces) -> Result<(), Fault> {
        let mut waiting = BytesMut::new();
        let mut frames = Vec::new();
        loop {
            waiting.reserve(pieces.arrived());
            pieces.drain(|piece| waiting.extend_from_slice(piece));
            // What came before a fault is good, and is handed on before the fault ends the connection.
            let split = split(&mut waiting, &self.sender(), &mut frames);
            for frame in &frames {
                if let Frame::Withdraw { id } = frame {
                    self.connection.withdraw(*id);
                }
            }
            if !frames.is_empty() {
                self.connection.note_arrival();
                self.handler.received(&self.connection, &mut frames);
                frames.clear();
            }
            split?;
            if !pieces.read().await? {
                return if waiting.is_empty() { Ok(()) } else { Err(Fault::truncated()) };
            }
        }
    }

    async fn receive_large(&self, mut pieces: Pieces) -> Result<(), Fault> {
        let mut head = Vec::with_capacity(PREFIX_BYTES);
        while !pieces.fill(&mut head, PREFIX_BYTES) {
            if !pieces.read().await? {
                return Err(Fault::truncated());
            }
        }
        let length = prefix(&head).ok_or_else(Fault::truncated)?;
        let limit = self.sender().frame_limit_bytes();
        if length > limit {
            return Err(DecodeError::TooLong { length, limit }.into());
        }
        let _room = self.room_for(length).await;
        let mut body = Vec::new();
        let whole = async {
            while !pieces.fill(&mut body, length) {
                self.connection.note_arrival();
                if !pieces.read().await? {
                    return Err(Fault::truncated());
                }
            }
            Ok(())
        };
        match timeout(patience(self.connection.peer().role, length), whole).await {
            Ok(read) => read?,
            Err(_) => {
                let reason = format!("a frame of {length} bytes did not arrive in time");
                return Err(Fault::new(CloseCode::TooSlow, reason));
            }
        }
        if pieces.arrived() > 0 || pieces.read().await? {
            return Err(Fault::new(CloseCode::BadStream, "a stream goes on after its large frame"));
        }
        let frame = self.sender().decode(&Bytes::from(body))?;
        self.handler.received(&self.connection, &mut vec![frame]);
        Ok(())
    }
}

impl Receiver {
    /// Waits until a client's frame of this length may be received; meanwhile it stays with its sender.
    async fn room_for(&self, length: usize) -> Option<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        if self.connection.peer().role == Role::Node {
            return None;
        }
        // Neither semaphore is ever closed.
        let turn = self.turns.acquire().await.ok()?;
        let room = UNFINISHED.acquire_many((length >> 10) as u32 + 1).await.ok()?;
        Some((turn, room))
    }
}

/// Takes every complete frame from the front of `waiting`.
fn split(waiting: &mut BytesMut, sender: &Sender, frames: &mut Vec<Frame>) -> Result<(), Fault> {
    let mut complete = 0;
    let mut fault = None;
    while let Some(length) = prefix(&waiting[complete..]) {
        if length > SMALL_FRAME_BYTES {
            let limit = SMALL_FRAME_BYTES;
            fault = Some(DecodeError::TooLong { length, limit });
            break;
        }
        if waiting.len() - complete - PREFIX_BYTES < length {
            break;
        }
        complete += PREFIX_BYTES + length;
    }
    let mut block = waiting.split_to(complete).freeze();
    while let Some(length) = prefix(&block) {
        block.advance(PREFIX_BYTES);
        frames.push(sender.decode(&block.split_to(length))?);
    }
    fault.map_or(Ok(()), |fault| Err(fault.into()))
}

/// Returns the length at the front of `bytes`, once all of its bytes are there.
fn prefix(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?);
    usize::try_from(length).ok()
}

/// Bytes that one read has taken from a stream, still in the pieces in which packets carried them.
struct Pieces {
    stream: RecvStream,
    pieces: Vec<Bytes>,
    /// Index of the first piece that is not used up.
    next: usize,
    /// Index of the first piece that is free for the next read.
    end: usize,
}

impl Pieces {
    fn new(stream: RecvStream) -> Self {
        Self { stream, pieces: vec![Bytes::new(); READ_PIECES], next: 0, end: 0 }
    }

    /// Waits for more bytes, which replace those used up; `false` at the end of the stream.
    async fn read(&mut self) -> Result<bool, Fault> {
        match self.stream.read_chunks(&mut self.pieces).await {
            Ok(count) => {
                (self.next, self.end) = (0, count.unwrap_or(0));
                Ok(count.is_some())
            }
            Err(ReadError::Reset(_)) => Err(Fault::new(CloseCode::BadStream, "a stream was reset")),
            // The connection is over, and says why.
            Err(_) => Ok(false),
        }
    }

    /// Returns the number of bytes that are not used up.
    fn arrived(&self) -> usize {
        self.pieces[self.next..self.end].iter().map(Bytes::len).sum()
    }

    /// Uses up all bytes that have arrived.
    fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        for piece in &mut self.pieces[self.next..self.end] {
            take(piece);
            // Lets go of the packet's buffer.
            *piece = Bytes::new();
        }
        self.next = self.end;
    }

    /// Uses up one byte, where a read has brought some.
    fn take_byte(&mut self) -> u8 {
        self.pieces[self.next].get_u8()
    }

    /// Uses up bytes until `into` holds `length` of them, and returns whether it does. Its room is doubled as it
    /// fills, up to exactly `length`.
    fn fill(&mut self, into: &mut Vec<u8>, length: usize) -> bool {
        while self.next < self.end && into.len() < length {
            let piece = &mut self.pieces[self.next];
            let part = piece.split_to(piece.len().min(length - into.len()));
            if into.capacity() - into.len() < part.len() {
                let room = into.len().max(LARGE_ROOM_BYTES).max(part.len());
                into.reserve_exact(room.min(length - into.len()));
            }
            into.extend_from_slice(&part);
            if piece.is_empty() {
                self.next += 1;
            }
        }
        into.len() == length
    }
}

#[cfg(test)]
mod tests;

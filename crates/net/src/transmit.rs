//! Writers of an outbox's frames: small frames in batches on one stream, each large frame on its own.
//!
//! All small frames share one stream: spread over four, the same exchanges cost twice the processor time, since every
//! packet then carries several streams' pieces. The stream has the higher priority, so that a small frame does not
//! wait for large ones.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use quinn::{SendStream, WriteError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Role;
use crate::limits::{STALL_TIMEOUT, WRITE_PIECE_BYTES};
use crate::outbox::{Outbox, PREFIX_BYTES};

/// First byte of a stream that carries small frames for as long as its connection lives.
pub(crate) const SMALL_STREAM: u8 = 1;
/// First byte of a stream that carries one large frame.
pub(crate) const LARGE_STREAM: u8 = 2;

const SMALL_PRIORITY: i32 = 1;

/// Cause that ends a writer early.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection has ended, and says why.
    Over,
    /// The other side has taken nothing for [`STALL_TIMEOUT`], although it is there.
    Stalled,
}

/// Returns how long a writer waits for this role to take anything. A node that is there reads, however busy it is.
pub(crate) fn patience(role: Role) -> Duration {
    if role == Role::Node { Duration::MAX } else { STALL_TIMEOUT }
}

/// Runs a step of a writer, which stalls if it takes longer than `patience`.
async fn in_time<T, E>(
    patience: Duration,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, Broken>
where
    Broken: From<E>,
{
    match timeout(patience, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Broken::Stalled),
    }
}

/// Writes bytes piece by piece, each within `patience`.
async fn write_in_time(
    stream: &mut SendStream,
    mut bytes: Bytes,
    patience: Duration,
) -> Result<(), Broken> {
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(WRITE_PIECE_BYTES));
        in_time(patience, stream.write_chunk(piece)).await?;
    }
    Ok(())
}

impl From<WriteError> for Broken {
    fn from(_: WriteError) -> Self {
        Self::Over
    }
}

impl From<quinn::ConnectionError> for Broken {
    fn from(_: quinn::ConnectionError) -> Self {
        Self::Over
    }
}

impl From<quinn::ClosedStream> for Broken {
    fn from(_: quinn::ClosedStream) -> Self {
        Self::Over
    }
}

/// Writes small frames until the outbox ends and the other side has acknowledged all of them.
pub(crate) async fn transmit_small(
    quic: quinn::Connection,
    outbox: Arc<Outbox>,
    patience: Duration,
) -> Result<(), Broken> {
    let mut stream = quic.open_uni().await?;
    stream.set_priority(SMALL_PRIORITY)?;
    // Written at once, since it also tells a dialing side that it was let in.
    stream.write_all(&[SMALL_STREAM]).await?;
    while let Some(batch) = outbox.next_small().await {
        write_in_time(&mut stream, batch, patience).await?;
    }
    stream.finish()?;
    let _ = stream.stopped().await;
    Ok(())
}

/// Writes large frames, one at a time, until the outbox ends and the other side has acknowledged all of them.
pub(crate) async fn transmit_large(
    quic: quinn::Connection,
    outbox: Arc<Outbox>,
    patience: Duration,
) -> Result<(), Broken> {
    let mut unacknowledged = JoinSet::new();
    while let Some(frame) = outbox.next_large().await {
        let length = frame.len();
        let written = write_frame(&quic, frame, patience).await;
        outbox.large_written(length);
        unacknowledged.spawn(written?.stopped());
        while unacknowledged.try_join_next().is_some() {}
    }
    while unacknowledged.join_next().await.is_some() {}
    Ok(())
}

async fn write_frame(
    quic: &quinn::Connection,
    frame: Bytes,
    patience: Duration,
) -> Result<SendStream, Broken> {
    let mut stream = in_time(patience, quic.open_uni()).await?;
    let mut head = BytesMut::with_capacity(1 + PREFIX_BYTES);
    head.put_u8(LARGE_STREAM);
    head.put_u32_le(u32::try_from(frame.len()).expect("the outbox has checked the length"));
    write_in_time(&mut stream, head.freeze(), patience).await?;
    write_in_time(&mut stream, frame, patience).await?;
    stream.finish()?;
    Ok(stream)
}

//! Writes what an outbox holds: small frames in batches on one stream, each large frame on its own.
//!
//! One stream for all small frames: spread over four, the same exchanges cost twice the processor
//! time, since every packet then carries several streams' pieces. It has the higher priority, so a
//! small frame waits for no large one.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use quinn::{SendStream, WriteError};
use tokio::task::JoinSet;

use crate::outbox::{Outbox, PREFIX_BYTES};

/// The first byte of a stream that carries small frames for as long as its connection lives.
pub(crate) const SMALL_STREAM: u8 = 1;
/// The first byte of a stream that carries one large frame.
pub(crate) const LARGE_STREAM: u8 = 2;

const SMALL_PRIORITY: i32 = 1;

/// What ends a writer before its time. The connection's end says why, so this says nothing.
pub(crate) struct Broken;

impl From<WriteError> for Broken {
    fn from(_: WriteError) -> Self {
        Self
    }
}

impl From<quinn::ConnectionError> for Broken {
    fn from(_: quinn::ConnectionError) -> Self {
        Self
    }
}

impl From<quinn::ClosedStream> for Broken {
    fn from(_: quinn::ClosedStream) -> Self {
        Self
    }
}

/// Writes small frames until the outbox ends and the other side has acknowledged all.
pub(crate) async fn transmit_small(
    quic: quinn::Connection,
    outbox: Arc<Outbox>,
) -> Result<(), Broken> {
    let mut stream = quic.open_uni().await?;
    stream.set_priority(SMALL_PRIORITY)?;
    // Written at once, since it also tells a dialing side that it was let in.
    stream.write_all(&[SMALL_STREAM]).await?;
    while let Some(batch) = outbox.next_small().await {
        stream.write_chunk(batch).await?;
    }
    stream.finish()?;
    let _ = stream.stopped().await;
    Ok(())
}

/// Writes large frames, one at a time, until the outbox ends and the other side has acknowledged all.
pub(crate) async fn transmit_large(
    quic: quinn::Connection,
    outbox: Arc<Outbox>,
) -> Result<(), Broken> {
    let mut unacknowledged = JoinSet::new();
    while let Some(frame) = outbox.next_large().await {
        let length = frame.len();
        let written = write_frame(&quic, frame).await;
        outbox.large_written(length);
        unacknowledged.spawn(written?.stopped());
        while unacknowledged.try_join_next().is_some() {}
    }
    while unacknowledged.join_next().await.is_some() {}
    Ok(())
}

async fn write_frame(quic: &quinn::Connection, frame: Bytes) -> Result<SendStream, Broken> {
    let mut stream = quic.open_uni().await?;
    let mut head = BytesMut::with_capacity(1 + PREFIX_BYTES);
    head.put_u8(LARGE_STREAM);
    head.put_u32_le(u32::try_from(frame.len()).expect("the outbox has checked the length"));
    stream.write_all_chunks(&mut [head.freeze(), frame]).await?;
    stream.finish()?;
    Ok(stream)
}

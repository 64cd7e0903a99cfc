//! Long outputs, written on a thread of their own: one that takes nothing for a while, such as a pager or a busy
//! disk, holds up no request, whose time would be over.
//!
//! Invariant: bytes are written in order; a sink whose writer was not told that it is whole is dropped as it is.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many pieces wait for the sink.
const WAITING_PIECES: usize = 64;
/// Bytes are handed over in pieces of about this size.
const PIECE_BYTES: usize = 64 << 10;

/// Where the bytes go.
pub(crate) trait Sink {
    /// # Errors
    /// It takes no more.
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()>;

    /// All is written.
    ///
    /// # Errors
    /// It takes no more, or can't be put in its place.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

/// The end that is written to. Dropped without [`Self::finish`] it leaves the sink unfinished.
pub(crate) struct Lines {
    pieces: mpsc::Sender<Piece>,
    piece: Vec<u8>,
}

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// The sink takes no more: its own error is with its thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the output takes no more")
    }
}

impl std::error::Error for Stopped {}

/// Opens a sink on a thread of its own, whose result says more than that of who writes.
pub(crate) fn start(
    open: impl FnOnce() -> anyhow::Result<Box<dyn Sink>> + Send + 'static,
) -> (Lines, JoinHandle<anyhow::Result<()>>) {
    let (pieces, mut received) = mpsc::channel(WAITING_PIECES);
    let thread = tokio::task::spawn_blocking(move || {
        let mut sink = open()?;
        while let Some(piece) = received.blocking_recv() {
            match piece {
                Piece::Bytes(bytes) => sink.write(&bytes)?,
                Piece::End => return sink.finish(),
            }
        }
        Ok(())
    });
    (Lines { pieces, piece: Vec::new() }, thread)
}

impl Lines {
    /// # Errors
    /// The sink takes no more.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() < PIECE_BYTES { Ok(()) } else { self.pass().await }
    }

    /// All is written.
    ///
    /// # Errors
    /// The sink takes no more.
    pub(crate) async fn finish(mut self) -> Result<(), Stopped> {
        self.pass().await?;
        self.pieces.send(Piece::End).await.map_err(|_| Stopped)
    }

    async fn pass(&mut self) -> Result<(), Stopped> {
        let piece = std::mem::take(&mut self.piece);
        self.pieces.send(Piece::Bytes(piece)).await.map_err(|_| Stopped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{PIECE_BYTES, Sink, Stopped, WAITING_PIECES, start};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<(Vec<u8>, bool)>>);

    impl Sink for Kept {
        fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
            anyhow::ensure!(!bytes.starts_with(b"no"), "full");
            self.0.lock().unwrap().0.extend_from_slice(bytes);
            Ok(())
        }

        fn finish(self: Box<Self>) -> anyhow::Result<()> {
            self.0.lock().unwrap().1 = true;
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_written_arrives_in_order_and_is_finished_only_when_it_is_whole() {
        for whole in [true, false] {
            let kept = Kept::default();
            let sink = kept.clone();
            let (mut lines, thread) = start(move || Ok(Box::new(sink)));
            let bytes = vec![b'x'; PIECE_BYTES + 1];
            lines.write(&bytes).await.unwrap();
            lines.write(b"y").await.unwrap();
            if whole {
                lines.finish().await.unwrap();
            } else {
                drop(lines);
            }
            thread.await.unwrap().unwrap();
            let (written, finished) = kept.0.lock().unwrap().clone();
            assert!(written.starts_with(&bytes));
            assert_eq!((finished, written.ends_with(b"y")), (whole, whole));
        }
    }

    #[tokio::test]
    async fn a_sink_that_fails_stops_its_writer_and_says_why() {
        let (mut lines, thread) = start(|| Ok(Box::new(Kept::default())));
        let mut stopped = Ok(());
        for _ in 0..WAITING_PIECES + 2 {
            let piece = [b"no".as_slice(), &[b'x'; PIECE_BYTES]].concat();
            stopped = stopped.and(lines.write(&piece).await);
        }
        assert_eq!(stopped, Err(Stopped));
        assert!(thread.await.unwrap().unwrap_err().to_string().contains("full"));
    }
}

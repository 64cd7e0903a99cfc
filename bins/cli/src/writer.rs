//! Long outputs, written on a thread of their own. A sink that takes nothing for a while, such as a pager or a busy
//! disk, then delays no request until it times out.
//!
//! Invariant: bytes are written in order; a sink is finished only if its writer says so, and otherwise dropped
//! unfinished.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Number of pieces that may wait for the sink.
const WAITING_PIECES: usize = 64;
/// Approximate size of the pieces in which bytes are handed over.
const PIECE_BYTES: usize = 64 << 10;

/// Destination of the bytes.
pub(crate) trait Sink {
    /// # Errors
    /// The destination can't be written.
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()>;

    /// Finishes the sink once everything is written.
    ///
    /// # Errors
    /// The destination can't be written, or can't replace the old file.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

/// Sending end of a sink's thread. Dropped without [`Self::finish`], it leaves the sink unfinished.
pub(crate) struct Lines {
    pieces: mpsc::Sender<Piece>,
    piece: Vec<u8>,
}

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// Error that the sink has stopped; its thread has the cause.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the output takes no more")
    }
}

impl std::error::Error for Stopped {}

/// Opens a sink on a thread of its own. The thread's result has the cause of a failure, which the writer does not get.
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
    /// The sink has stopped.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() < PIECE_BYTES { Ok(()) } else { self.pass().await }
    }

    /// Finishes the output and hands over the last bytes.
    ///
    /// # Errors
    /// The sink has stopped.
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

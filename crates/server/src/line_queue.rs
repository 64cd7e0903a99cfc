//! Queue of lines on their way to standard error or standard output, which a thread of its own writes.
//!
//! Invariant: [`LineQueue::push`] never waits and never fails, whatever the reader does: a line for which there
//! is no room, or that can't be written, is lost and counted. The count is told when lines can be written again.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Size of the lines that may wait to be written, in bytes.
const QUEUE_BYTES: usize = 1 << 20;
/// Time between two lines about lost ones, where some are lost again and again.
const LOSSES_INTERVAL: Duration = Duration::from_secs(60);
/// Pause before a reader that would block is tried again.
const BUSY_RETRY: Duration = Duration::from_millis(10);

/// Queue of lines, with the thread that writes them; clones share it.
#[derive(Clone)]
pub(crate) struct LineQueue {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Output of the lines, locked by the thread that writes.
    output: Mutex<Output>,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether a line was taken out, and is being written or lost lines told of.
    writing: bool,
    /// Number of lines lost since the last line about lost ones.
    lost: u64,
    told: Option<Instant>,
    /// Whether there is a thread that writes.
    has_thread: bool,
}

struct Output {
    file: Box<dyn Write + Send>,
    /// Whether the last line was cut short.
    cut: bool,
    tell_lost: fn(u64),
}

impl LineQueue {
    /// Starts the thread that writes to `file`; it calls `tell_lost` when lines were lost and others can be
    /// written again. Where the system gives no thread, [`Self::flush`] writes.
    pub(crate) fn start(name: &str, file: impl Write + Send + 'static, tell_lost: fn(u64)) -> Self {
        let output = Mutex::new(Output { file: Box::new(file), cut: false, tell_lost });
        let shared = Shared { state: Mutex::default(), changed: Condvar::new(), output };
        let queue = Self { shared: Arc::new(shared) };
        let writer = queue.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || writer.write_all());
        queue.shared.state().has_thread = thread.is_ok();
        queue
    }

    /// Queues a line, its end included. It is lost if too much waits already.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut state = self.shared.state();
        if state.bytes + line.len() > QUEUE_BYTES {
            state.lost += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.to_vec());
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Waits until all that was pushed is written or lost, at most for `limit`.
    pub(crate) fn flush(&self, limit: Duration) {
        let state = self.shared.state();
        if !state.has_thread {
            drop(state);
            while self.write_next() {}
            return;
        }
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        // Past the limit the lines stay unwritten: nobody reads them.
        drop(self.shared.changed.wait_timeout_while(state, limit, busy));
    }

    fn write_all(&self) {
        loop {
            let state = self.shared.state();
            let idle = self.shared.changed.wait_while(state, |state| state.lines.is_empty());
            drop(idle);
            while self.write_next() {}
        }
    }

    /// Writes the first line that waits. Returns false if there is none.
    fn write_next(&self) -> bool {
        let Some(line) = self.shared.take() else { return false };
        let mut output = self.shared.output.lock().unwrap_or_else(PoisonError::into_inner);
        let written = output.write(&line);
        let tell_lost = output.tell_lost;
        drop(output);
        if let Some(lost) = self.shared.wrote(line.len(), written.is_ok()) {
            tell_lost(lost);
        }
        self.shared.state().writing = false;
        self.shared.changed.notify_all();
        true
    }
}

impl Write for LineQueue {
    /// Takes one line: a subscriber writes each at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    // A panic while the lock is held can't leave the state half changed, and its message has to get out.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        let line = state.lines.pop_front()?;
        state.writing = true;
        Some(line)
    }

    /// Notes the outcome of a line. Returns how many lost lines are to be told of now.
    fn wrote(&self, length: usize, written: bool) -> Option<u64> {
        let mut state = self.state();
        state.bytes -= length;
        if !written {
            state.lost += 1;
            return None;
        }
        let due = state.told.is_none_or(|told| told.elapsed() >= LOSSES_INTERVAL);
        if state.lost == 0 || !due {
            return None;
        }
        state.told = Some(Instant::now());
        Some(std::mem::take(&mut state.lost))
    }
}

impl Output {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.cut {
            self.write_whole(b"\n")?;
        }
        self.cut = false;
        self.write_whole(line)
    }

    fn write_whole(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.cut = !rest.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::park_timeout(BUSY_RETRY);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::{LineQueue, QUEUE_BYTES};

    const LONG: Duration = Duration::from_secs(60);

    /// Output that asks for each write how many bytes it takes, and passes on what was written.
    struct Asking {
        answers: Receiver<io::Result<usize>>,
        wrote: Sender<Vec<u8>>,
    }

    impl Write for Asking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.answers.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            // The test may have seen enough.
            let _gone = self.wrote.send(bytes[..taken].to_vec());
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue(tell_lost: fn(u64)) -> (LineQueue, Sender<io::Result<usize>>, Receiver<Vec<u8>>) {
        let ((answer, answers), (wrote, written)) = (channel(), channel());
        (LineQueue::start("test", Asking { answers, wrote }, tell_lost), answer, written)
    }

    fn full() -> io::Error {
        io::ErrorKind::StorageFull.into()
    }

    #[test]
    fn lines_are_written_in_order_and_a_flush_waits_for_them() {
        let (queue, answer, written) = queue(|_| {});
        drop(answer);
        queue.push(b"one\n");
        queue.push(b"two\n");
        queue.flush(LONG);
        assert_eq!(written.try_iter().collect::<Vec<_>>().concat(), b"one\ntwo\n");
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_and_what_it_missed_is_told_later() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        let (queue, answer, written) = queue(|lost| LOST.store(lost, Ordering::SeqCst));
        let line = [b'x'; 1024];
        let fitting = (QUEUE_BYTES / line.len()) as u64;
        for _ in 0..fitting + 7 {
            queue.push(&line);
        }
        queue.flush(Duration::ZERO);
        drop(answer);
        queue.flush(LONG);
        assert_eq!(written.try_iter().count() as u64, fitting);
        assert_eq!(LOST.load(Ordering::SeqCst), 7);
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted_and_told_once_others_can() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        let (queue, answer, written) = queue(|lost| LOST.store(lost, Ordering::SeqCst));
        for _ in 0..3 {
            answer.send(Err(full())).unwrap();
            queue.push(b"unseen\n");
        }
        queue.flush(LONG);
        assert_eq!(LOST.load(Ordering::SeqCst), 0, "nobody could read it now");
        answer.send(Ok(100)).unwrap();
        queue.push(b"seen\n");
        queue.flush(LONG);
        assert_eq!(written.try_iter().collect::<Vec<_>>().concat(), b"seen\n");
        assert_eq!(LOST.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_line_that_was_cut_short_does_not_run_into_the_next() {
        let (queue, answer, written) = queue(|_| {});
        answer.send(Ok(4)).unwrap();
        answer.send(Err(full())).unwrap();
        queue.push(b"half a line\n");
        queue.flush(LONG);
        drop(answer);
        queue.push(b"whole\n");
        queue.flush(LONG);
        assert_eq!(written.try_iter().collect::<Vec<_>>().concat(), b"half\nwhole\n");
    }

    #[test]
    fn a_reader_that_would_be_waited_for_and_one_that_was_interrupted_are_asked_again() {
        let (queue, answer, written) = queue(|_| {});
        for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted] {
            answer.send(Err(kind.into())).unwrap();
        }
        drop(answer);
        queue.push(b"patience\n");
        queue.flush(LONG);
        assert_eq!(written.try_iter().collect::<Vec<_>>().concat(), b"patience\n");
    }
}

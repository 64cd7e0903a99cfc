//! Lines of the log, for the tests.

use std::io;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the lines that `act` logs on this thread.
pub(crate) fn lines_of(act: impl FnOnce()) -> Vec<String> {
    let sink = Sink::default();
    let into = sink.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || into.clone());
    tracing::subscriber::with_default(lines.finish(), act);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    text.lines().map(String::from).collect()
}

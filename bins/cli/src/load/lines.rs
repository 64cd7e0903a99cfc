//! A file as a stream of entries, read on a thread of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;
use jedlik_protocol::limits::FRAME_LIMIT_BYTES;
use tokio::sync::mpsc;

use crate::entry::{DumpLine, Entry};
use crate::exit::Usage;

/// Longest line that is read: JSON may escape every byte of the largest value.
const LINE_LIMIT_BYTES: usize = 2 * FRAME_LIMIT_BYTES;

/// Form of the lines of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON if the first line begins with {, else plain lines
    Auto,
    /// Each line is a key and its own value
    Lines,
    /// Each line is a JSON object
    Json,
}

/// One line of the input, parsed, or the reason why it can't be.
pub(crate) struct NumberedLine {
    /// Number of the line in the input, from 1.
    pub(crate) number: u64,
    /// Length of the line in bytes, with its line end.
    pub(crate) length_bytes: u64,
    pub(crate) line: Result<DumpLine, String>,
}

/// Input that lines are read from: a file or standard input.
pub(crate) struct Source {
    reader: Box<dyn BufRead + Send>,
    length_bytes: Option<u64>,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let reader = Box::new(BufReader::new(io::stdin()));
            return Ok(Self { reader, length_bytes: None });
        }
        let unreadable = || Usage(format!("can't read {}", path.display()));
        let file = File::open(path).with_context(unreadable)?;
        let about = file.metadata().with_context(unreadable)?;
        let length_bytes = about.is_file().then_some(about.len());
        Ok(Self { reader: Box::new(BufReader::with_capacity(1 << 16, file)), length_bytes })
    }

    /// Returns the input's length in bytes, if it is a regular file.
    pub(crate) fn length_bytes(&self) -> Option<u64> {
        self.length_bytes
    }

    /// Sends every line to the channel, until the input ends or the receiver is gone.
    pub(crate) fn read(
        mut self,
        format: Format,
        lines: &mpsc::Sender<NumberedLine>,
    ) -> anyhow::Result<()> {
        let mut json = (format != Format::Auto).then_some(format == Format::Json);
        let mut read = Vec::new();
        for number in 1.. {
            read.clear();
            let limit = LINE_LIMIT_BYTES as u64;
            let length = (&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut read)
                .context("the input can't be read any further")?;
            if length == LINE_LIMIT_BYTES {
                let text = format!("line {number} is over the limit of {LINE_LIMIT_BYTES} bytes");
                return Err(Usage(text).into());
            }
            if length == 0 {
                break;
            }
            let text = read.strip_suffix(b"\n").unwrap_or(&read);
            let json = *json.get_or_insert_with(|| text.starts_with(b"{"));
            let plain = || Ok(DumpLine::Entry(Entry::plain(text)));
            let line = if json { DumpLine::from_json(text) } else { plain() };
            let length_bytes = length as u64;
            if lines.blocking_send(NumberedLine { number, length_bytes, line }).is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio::sync::mpsc;

    use super::{Format, Source};
    use crate::entry::DumpLine;

    fn read(text: &'static [u8], format: Format) -> Vec<Result<Vec<u8>, String>> {
        let (sender, mut receiver) = mpsc::channel(16);
        let source = Source { reader: Box::new(Cursor::new(text)), length_bytes: None };
        source.read(format, &sender).unwrap();
        drop(sender);
        let next = || receiver.blocking_recv();
        let key = |line| match line {
            DumpLine::Entry(entry) => entry.key,
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(next).map(|line| line.line.map(key)).collect()
    }

    #[test]
    fn the_first_line_tells_what_the_lines_are() {
        let cases: [(&'static [u8], _, Vec<&str>); 5] = [
            (b"a\nb's\n", Format::Auto, vec!["a", "b's"]),
            (b"a\nb", Format::Auto, vec!["a", "b"]),
            (b"{\"key\":\"k\",\"value\":1}\n", Format::Auto, vec!["k"]),
            (b"{\"key\":\"k\"}\n", Format::Lines, vec!["{\"key\":\"k\"}"]),
            (b"", Format::Auto, vec![]),
        ];
        for (text, format, keys) in cases {
            let found: Vec<_> = read(text, format).into_iter().map(Result::unwrap).collect();
            assert_eq!(found, keys.iter().map(|key| key.as_bytes()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_bad_line_does_not_hide_the_next() {
        let found =
            read(b"{\"key\":\"a\",\"value\":1}\noops\n{\"key\":\"b\",\"value\":1}\n", Format::Auto);
        assert_eq!(found[0].as_deref(), Ok(&b"a"[..]));
        assert!(found[1].is_err());
        assert_eq!(found[2].as_deref(), Ok(&b"b"[..]));
    }
}

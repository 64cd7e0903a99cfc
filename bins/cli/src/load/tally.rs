//! The results of a load: counts, the acknowledged log, and the first failures in words.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use jedlik_console::in_one_line;
use jedlik_protocol::escape::Escaped;

use crate::entry::Entry;
use crate::exit::Exit;
use crate::output;

/// Number of failures that are reported in full; the rest are counted.
const TOLD: u64 = 10;

/// Running counts of a load, and its progress bar.
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    bar: ProgressBar,
}

#[derive(Debug, Default)]
struct Counts {
    loaded: u64,
    failed: u64,
    /// Whether any failure exits with [`Exit::Unavailable`], the gravest code.
    unavailable: bool,
    acked: Option<File>,
    /// Whether the input has the header of a dump.
    header: bool,
    end_keys: Option<u64>,
}

/// Final counts of a load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    loaded: u64,
    failed: u64,
    unavailable: bool,
    took: Duration,
    /// Whether the input has the header of a dump.
    header: bool,
    /// Number of keys that the dump claims to have; `None` if no line says so.
    end_keys: Option<u64>,
}

impl Tally {
    pub(crate) fn new(acked: Option<File>, bar: ProgressBar) -> Self {
        Self { counts: Mutex::new(Counts { acked, ..Counts::default() }), bar }
    }

    /// Notes the outcome of one line.
    ///
    /// # Errors
    /// The acknowledged log can't be written, and would lack a key that was acknowledged.
    pub(crate) fn note(
        &self,
        number: u64,
        length_bytes: u64,
        outcome: anyhow::Result<Entry>,
    ) -> anyhow::Result<()> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(entry) => {
                counts.loaded += 1;
                if let Some(log) = &mut counts.acked {
                    let bucket = entry.bucket.map(|name| format!("{}\t", Escaped(&name)));
                    let bucket = bucket.unwrap_or_default();
                    let line = format!("{bucket}{}\n", Escaped(&entry.key));
                    log.write_all(line.as_bytes())
                        .context("can't write the log of acknowledged keys")?;
                }
            }
            Err(error) => {
                counts.failed += 1;
                counts.unavailable |= Exit::of(&error) == Exit::Unavailable;
                if counts.failed <= TOLD {
                    let remark = format!("jedlik: line {number}: {}", in_one_line(error.as_ref()));
                    self.bar.suspend(|| output::say(&remark));
                } else if counts.failed == TOLD + 1 {
                    let remark = "jedlik: further failures are only counted";
                    self.bar.suspend(|| output::say(&remark));
                }
            }
        }
        self.bar.inc(length_bytes);
        self.bar.set_message(counts.loaded.to_string());
        Ok(())
    }

    /// Notes the header of a dump.
    pub(crate) fn note_header(&self, length_bytes: u64) -> bool {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).header = true;
        self.note_bytes(length_bytes)
    }

    /// Notes the end of a dump, which claims to have this many keys.
    pub(crate) fn note_end(&self, length_bytes: u64, keys: u64) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.end_keys = Some(counts.end_keys.unwrap_or(0) + keys);
        drop(counts);
        self.note_bytes(length_bytes)
    }

    /// Notes the length of a line that stores nothing.
    pub(crate) fn note_bytes(&self, length_bytes: u64) -> bool {
        self.bar.inc(length_bytes);
        true
    }

    pub(crate) fn finish(&self, took: Duration) -> Summary {
        self.bar.finish_and_clear();
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { loaded, failed, unavailable, header, end_keys, .. } = *counts;
        Summary { loaded, failed, unavailable, took, header, end_keys }
    }
}

impl Summary {
    fn per_second(&self) -> f64 {
        self.loaded as f64 / self.took.as_secs_f64().max(1e-9)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "loaded": self.loaded,
            "failed": self.failed,
            "seconds": self.took.as_secs_f64(),
            "per_second": self.per_second(),
        })
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self { unavailable: true, .. } => Exit::Unavailable,
            Self { failed: 0, .. } if self.doubt().is_none() => Exit::Done,
            _ => Exit::Usage,
        }
    }

    /// Says how far a load came that a signal ended.
    pub(crate) fn interrupted(&self) -> String {
        format!(
            "interrupted after {} acknowledged keys; puts that were under way may be stored as well",
            self.loaded
        )
    }

    /// Returns the reason why a dump is not whole, by its own first and last lines; `None` if it is whole or no dump.
    pub(crate) fn doubt(&self) -> Option<String> {
        let lines = self.loaded + self.failed;
        match self.end_keys {
            None if self.header => Some("the dump is cut short: its last line is missing".into()),
            Some(keys) if keys != lines && self.header => {
                Some(format!("the dump says that it has {keys} keys, and has {lines}"))
            }
            Some(keys) if keys != lines => Some(format!(
                "this is a part of a dump: its last line says that it has {keys} keys, there are {lines}, and its \
                 first line is missing; load the whole dump"
            )),
            _ => None,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let rate = self.per_second();
        write!(f, "loaded {} keys in {seconds:.1} s ({rate:.0}/s)", self.loaded)?;
        if self.failed > 0 { write!(f, ", {} failed", self.failed) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use indicatif::ProgressBar;

    use super::Tally;
    use crate::entry::Entry;
    use crate::exit::{Exit, Usage};

    #[test]
    fn a_dump_without_its_end_or_with_other_keys_than_it_says_is_no_whole_one() {
        let cases = [
            (false, None, None),
            (true, Some(1), None),
            (true, None, Some("cut short")),
            (true, Some(2), Some("has 2 keys")),
            (false, Some(1), None),
            (false, Some(2), Some("has 2 keys, there are 1, and its first line is missing")),
        ];
        for (header, end, doubt) in cases {
            let tally = Tally::new(None, ProgressBar::hidden());
            if header {
                tally.note_header(1);
            }
            tally.note(2, 2, Ok(Entry::plain(b"a"))).unwrap();
            if let Some(keys) = end {
                tally.note_end(1, keys);
            }
            let summary = tally.finish(Duration::from_secs(1));
            let said = summary.doubt();
            assert_eq!(said.is_some(), doubt.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(doubt.unwrap_or_default()));
            let exit = if doubt.is_some() { Exit::Usage } else { Exit::Done };
            assert_eq!(summary.exit(), exit);
        }
    }

    #[test]
    fn acknowledged_keys_are_logged_at_once_and_failures_set_the_exit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acked");
        let log = std::fs::File::create(&path).unwrap();
        let tally = Tally::new(Some(log), ProgressBar::hidden());
        tally.note(1, 2, Ok(Entry::plain(b"a"))).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a\n");
        assert_eq!(tally.finish(Duration::from_secs(1)).exit(), Exit::Done);
        tally.note(2, 2, Err(Usage("no".into()).into())).unwrap();
        assert_eq!(tally.finish(Duration::from_secs(1)).exit(), Exit::Usage);
        tally.note(3, 2, Err(anyhow::anyhow!("gone"))).unwrap();
        let summary = tally.finish(Duration::from_secs(2));
        assert_eq!(summary.exit(), Exit::Unavailable);
        assert_eq!(summary.to_string(), "loaded 1 keys in 2.0 s (0/s), 2 failed");
        assert_eq!(std::fs::read(&path).unwrap(), b"a\n");
    }
}

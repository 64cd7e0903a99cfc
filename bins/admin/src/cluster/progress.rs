//! The progress of a move on standard error: a bar on a terminal, otherwise a line now and then.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use jedlik_amounts::{bytes, span};

use crate::output::say;
use crate::transfer_progress::{Meters, TransferProgress};

/// Shortest time between two lines, if standard error is no terminal.
const LINES: Duration = Duration::from_secs(5);

/// Display of a move's progress on standard error.
pub(super) struct Progress {
    /// Bar on a terminal; `None` if standard error is no terminal.
    bar: Option<ProgressBar>,
    /// Bytes that the plan is expected to move; `None` if that is unknown.
    estimate: Option<u64>,
    since: Instant,
    last: Option<(Instant, String)>,
}

impl Progress {
    pub(super) fn new(estimate: Option<u64>) -> Self {
        let bar = stderr().is_terminal().then(bar);
        Self { bar, estimate, since: Instant::now(), last: None }
    }

    pub(super) fn show(&mut self, moving: &TransferProgress, meters: &Meters) {
        let totals = moving.totals();
        let text = self.text(moving, meters);
        if let Some(bar) = &self.bar {
            bar.set_length(totals.owned);
            bar.set_position(totals.ready);
            return bar.set_message(text);
        }
        let now = Instant::now();
        let due = self
            .last
            .as_ref()
            .is_none_or(|(at, last)| now.duration_since(*at) >= LINES && *last != text);
        if due {
            let elapsed = span(now.duration_since(self.since).as_secs());
            let (ready, owned) = (totals.ready, totals.owned);
            say(&format_args!("{ready}/{owned} partitions ready, {text}, {elapsed}"));
            self.last = Some((now, text));
        }
    }

    /// Prints a line that stays, above the bar if there is one.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(&line)),
            None => say(&line),
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn text(&self, moving: &TransferProgress, meters: &Meters) -> String {
        let of = self.estimate.map(|all| format!(" of about {}", bytes(all))).unwrap_or_default();
        format!(
            "{}/{} flipped, {} received{of}, {}/s",
            moving.status.flipped,
            moving.status.partitions,
            bytes(meters.total()),
            bytes(meters.pace())
        )
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} ready  {msg}  {elapsed}")
    {
        bar.set_style(style);
    }
    bar
}

//! `cluster wait`: waits until nothing moves and every member has its votes, and names the obstacles if that takes
//! long.
//!
//! Invariant: it ends with success only when every member has said that it has nothing left to do; a stall is reported,
//! and waited out.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use jedlik_amounts::{bytes, span};
use jedlik_client::{ClientError, ErrorKind};
use jedlik_protocol::LayoutId;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cluster::progress::Progress;
use crate::exit::UNAVAILABLE;
use crate::output::Output;
use crate::transfer_progress::{Mark, Meters, Obstacle, TransferProgress};

/// Time between two rounds, each of which asks every member: short enough for a moving bar and a prompt end.
const POLL: Duration = Duration::from_millis(200);

/// Wait until nothing moves: all members have the newest layout, all partitions have flipped, no member holds what it
/// does not own, and every member can say what is absent
///
/// Shows the progress. If nothing has changed for a while it names the obstacles, and goes on waiting. Interrupting the
/// command does not stop the move.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 3 if the time is up first; then it says what is not done.

Examples:
  jedlik-admin cluster wait
  jedlik-admin cluster wait --timeout 600 --stall 30")]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(super) patience: Patience,
}

/// Limits of the waiting: for the whole, and for a time without a change.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Patience {
    /// How long to wait, such as 90s or 10m; for ever if not given
    #[arg(long, value_name = "TIME", value_parser = jedlik_console::duration_or_zero)]
    pub(super) timeout: Option<Duration>,
    /// Name the obstacles when nothing has changed for this long
    #[arg(long, value_name = "TIME", default_value = "15s")]
    #[arg(value_parser = jedlik_console::duration)]
    stall: Duration,
}

/// Outcome of the waiting.
pub(super) struct Ended {
    moving: TransferProgress,
    received_bytes: u64,
    elapsed: Duration,
}

/// Detector of stalls: reports each stretch of `limit` without a change.
pub(super) struct Stall {
    limit: Duration,
    since: Instant,
    mark: Option<Mark>,
    reported: u32,
}

pub(super) async fn run(
    cluster: &Cluster,
    args: WaitArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let status = cluster.status().await?;
    if status.layout == LayoutId::default() {
        return Err(ClientError::NoLayout.into());
    }
    let ended = settle(cluster, args.patience, None, status.layout).await?;
    output.print(&ended.to_json(), || ended.to_text())?;
    Ok(ended.exit())
}

/// Waits until everything has moved to `layout` or a later one.
pub(super) async fn settle(
    cluster: &Cluster,
    patience: Patience,
    estimate_bytes: Option<u64>,
    layout: LayoutId,
) -> anyhow::Result<Ended> {
    let start = Instant::now();
    let deadline = patience.timeout.map(|timeout| start + timeout);
    let mut progress = Progress::new(estimate_bytes);
    let mut stall = Stall::new(patience.stall, start);
    let mut meters = Meters::default();
    loop {
        let observed = TransferProgress::observe(cluster).await;
        let now = Instant::now();
        let over = deadline.is_some_and(|deadline| now >= deadline);
        match observed {
            Ok(moving) => {
                meters.note(now, &moving);
                progress.show(&moving, &meters);
                let settled = moving.newest() >= layout && moving.is_complete();
                if settled || over {
                    progress.end();
                    let (received_bytes, elapsed) = (meters.total(), now.duration_since(start));
                    return Ok(Ended { moving, received_bytes, elapsed });
                }
                if let Some(still) = stall.note(now, moving.mark()) {
                    progress.say(&stall_text(still, &moving.obstacles_and_votes()));
                }
            }
            Err(error) if error.kind() == ErrorKind::Unavailable && !over => {
                progress.say(&format!("no node answers: {error}"));
            }
            Err(error) => {
                progress.end();
                return Err(error).context("it can't be told whether anything moves");
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(super) fn stall_text(still: Duration, obstacles: &[Obstacle]) -> String {
    let mut text = format!("nothing has changed for {}; it waits for this:", span(still.as_secs()));
    for obstacle in obstacles {
        write!(text, "\n  {obstacle}").expect("writing into memory can't fail");
    }
    text
}

impl Stall {
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, since: now, mark: None, reported: 0 }
    }

    /// Returns the time without a change, if a stall is to be reported now.
    pub(super) fn note(&mut self, now: Instant, mark: Mark) -> Option<Duration> {
        if self.mark.as_ref() != Some(&mark) {
            (self.mark, self.since, self.reported) = (Some(mark), now, 0);
            return None;
        }
        let still = now.duration_since(self.since);
        (still >= self.limit * (self.reported + 1)).then(|| {
            self.reported += 1;
            still
        })
    }
}

impl Ended {
    /// Returns the newest layout at the end of the waiting.
    pub(super) fn newest(&self) -> LayoutId {
        self.moving.newest()
    }

    pub(super) fn exit(&self) -> ExitCode {
        if self.moving.is_complete() { ExitCode::SUCCESS } else { UNAVAILABLE.into() }
    }

    pub(super) fn to_json(&self) -> Value {
        let obstacles: Vec<Value> =
            self.moving.obstacles_and_votes().iter().map(Obstacle::to_json).collect();
        json!({
            "settled": self.moving.is_complete(),
            "layout": self.moving.newest().version,
            "partitions": self.moving.status.partitions,
            "flipped": self.moving.status.flipped,
            "received_bytes": self.received_bytes,
            "elapsed_s": self.elapsed.as_secs_f64(),
            "obstacles": obstacles,
        })
    }

    pub(super) fn to_text(&self) -> String {
        let (layout, elapsed) = (self.moving.newest().version, span(self.elapsed.as_secs()));
        let received = bytes(self.received_bytes);
        if self.moving.is_complete() {
            return format!(
                "Layout {layout} is everywhere, and nothing moves any more: {received} received in \
                 {elapsed}.\n"
            );
        }
        let mut text = format!("After {elapsed} and {received} this is not done:\n");
        for obstacle in self.moving.obstacles_and_votes() {
            writeln!(text, "  {obstacle}").expect("writing into memory can't fail");
        }
        text
    }
}

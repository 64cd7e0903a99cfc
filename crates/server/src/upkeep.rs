//! Upkeep of a node, every second: it tells how much it holds, and leaves once it holds nothing that others lack.
//!
//! Invariant: a node leaves only by [`has_left`], asked of the sum of all its shards' reports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jedlik_membership::View;
use jedlik_replica::has_left;
use jedlik_trouble::{Report, Trouble};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::inbox::Inbox;
use crate::membership_task::Event;
use crate::questions::transfers;
use crate::refusals::Refusals;
use crate::stats;

const INTERVAL: Duration = Duration::from_secs(1);

/// Watch on whether the shards' threads stand still, and what is logged of it.
struct Stalls {
    started: Instant,
    shards: Vec<Stall>,
}

#[derive(Default)]
struct Stall {
    /// Time at which the shard was seen to stand still; `None` if it goes on.
    since: Option<Instant>,
    /// Length of the last stall, in seconds.
    lasted_s: u64,
    trouble: Trouble,
}

impl Stalls {
    fn of(shards: usize) -> Self {
        Self { started: Instant::now(), shards: (0..shards).map(|_| Stall::default()).collect() }
    }

    /// Logs which shards have come to stand still, and which go on.
    fn look(&mut self, shards: &[Inbox]) {
        let now_us = self.started.elapsed().as_micros() as u64;
        for (shard, (inbox, stall)) in shards.iter().zip(&mut self.shards).enumerate() {
            match (inbox.stalled(), stall.since) {
                (Some(stalled), None) => {
                    stall.since = Some(Instant::now());
                    log_stall(shard, stalled, stall.trouble.happened(now_us));
                }
                (None, Some(since)) => {
                    (stall.since, stall.lasted_s) = (None, since.elapsed().as_secs());
                }
                _ => {}
            }
            if stall.since.is_none()
                && let Some(Report::Over { times, .. }) = stall.trouble.works(now_us)
            {
                info!(shard, times, lasted_s = stall.lasted_s, "a shard's thread goes on");
            }
        }
    }
}

fn log_stall(shard: usize, stalled: Duration, report: Option<Report>) {
    let stalled_ms = stalled.as_millis() as u64;
    match report {
        Some(Report::Began) => warn!(
            shard,
            stalled_ms,
            "a shard's thread stands still, its disk may not answer a read: requests for it go elsewhere"
        ),
        Some(Report::Continues { times }) => {
            warn!(shard, stalled_ms, times, "a shard's thread still stands still again and again");
        }
        Some(Report::Over { .. }) | None => {}
    }
}

/// Spawns the task, which works until membership has gone, or it is aborted.
pub(crate) fn spawn(
    shards: Vec<Inbox>,
    view: watch::Receiver<Arc<View>>,
    membership: mpsc::Sender<Event>,
    refusals: Arc<Refusals>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut stalls = Stalls::of(shards.len());
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            refusals.look();
            stalls.look(&shards);
            let reports = stats::collect(&shards).await;
            let whole = transfers(&reports);
            let view = Arc::clone(&view.borrow());
            // A shard that does not serve, or has stopped, does not say what it holds.
            let all_say = reports.iter().filter(|report| report.serves).count() == shards.len();
            let event = if has_left(&view, &whole) && all_say {
                Event::Left
            } else {
                Event::Load(whole.load)
            };
            if membership.send(event).await.is_err() {
                return;
            }
        }
    })
}

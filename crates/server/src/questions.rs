//! Questions of admins that the shards answer together.
//!
//! Invariant: an answer holds every shard's part; a shard that has stopped has none.

use std::collections::BTreeMap;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, BackgroundChange, BackgroundReport, DrainReport, HintReport,
    MergeReport, RepairReport, TransferReport,
};
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::error::{ErrorCode, Failure};

use crate::inbox::Mail;
use crate::reports::Reports;
use crate::stats::{self, NodeCounts, ShardReport};

/// Question of an admin for all shards.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    Stats,
    Hints,
    Repair(Option<Partition>),
    RepairProgress,
    Background,
    SetBackground(BackgroundChange),
    Believe(u32),
    Transfers,
}

impl Question {
    /// Returns the question in a request; `None` for a request that the shards don't answer.
    pub(crate) fn of(request: &AdminRequest) -> Option<Self> {
        Some(match request {
            AdminRequest::Stats => Self::Stats,
            AdminRequest::Hints => Self::Hints,
            AdminRequest::Repair { partition } => Self::Repair(*partition),
            AdminRequest::RepairProgress => Self::RepairProgress,
            AdminRequest::Background => Self::Background,
            AdminRequest::SetBackground(change) => Self::SetBackground(*change),
            AdminRequest::Believe { partitions } => Self::Believe(*partitions),
            AdminRequest::Transfers => Self::Transfers,
            AdminRequest::Status
            | AdminRequest::Layouts
            | AdminRequest::Stage { .. }
            | AdminRequest::Unstage { .. }
            | AdminRequest::Drain { .. }
            | AdminRequest::Keep { .. }
            | AdminRequest::Plan
            | AdminRequest::Commit { .. }
            | AdminRequest::BucketList
            | AdminRequest::BucketShow { .. }
            | AdminRequest::BucketSet { .. }
            | AdminRequest::AccessList
            | AdminRequest::AccessSet(_)
            | AdminRequest::AccessRevoke(_)
            | AdminRequest::Explain { .. } => return None,
        })
    }

    /// Asks every shard, which takes a turn of each, and returns the answer for the whole node.
    pub(crate) async fn answer(self, reports: &Reports, counts: NodeCounts) -> ClientResponse {
        let shards = &reports.shards;
        match self {
            Self::Repair(partition) => {
                shards.iter().for_each(|shard| shard.push(Mail::Repair(partition)));
            }
            Self::SetBackground(change) => {
                if let Err(failure) = check(change) {
                    return ClientResponse::Failed(failure);
                }
                let change = share(change, shards.len());
                shards.iter().for_each(|shard| shard.push(Mail::SetBackground(change)));
            }
            Self::Believe(partitions) => return believe(reports, partitions).await,
            Self::Stats
            | Self::Hints
            | Self::RepairProgress
            | Self::Background
            | Self::Transfers => {}
        }
        let reports = reports.now().await;
        ClientResponse::Admin(match self {
            Self::Stats => AdminResponse::Stats(stats::named(counts, shards, &reports)),
            Self::Hints => AdminResponse::Hints(hints(&reports)),
            Self::Believe(partitions) => AdminResponse::Believed(partitions),
            Self::Repair(_) | Self::RepairProgress => {
                AdminResponse::Repair(Box::new(repairs(&reports)))
            }
            Self::Background | Self::SetBackground(_) => {
                AdminResponse::Background(Box::new(background(&reports)))
            }
            Self::Transfers => AdminResponse::Transfers(Box::new(transfers(&reports))),
        })
    }
}

/// Takes what this node holds for all there is, if the admin has seen how many partitions are being refilled.
async fn believe(reports: &Reports, seen: u32) -> ClientResponse {
    let told = reports.now().await;
    let refilling: u32 = told.iter().map(|report| report.refilling).sum();
    if refilling != seen {
        let message = format!(
            "the node is refilling {refilling} partitions, not {seen}: look at `jedlik-admin doctor` again"
        );
        return ClientResponse::Failed(Failure::new(ErrorCode::InvalidRequest, message));
    }
    reports.shards.iter().for_each(|shard| shard.push(Mail::Believe));
    ClientResponse::Admin(AdminResponse::Believed(refilling))
}

/// Whether a request asks for a change, and not only for what is known.
pub(crate) fn changes_state(request: &AdminRequest) -> bool {
    match request {
        AdminRequest::Commit { .. }
        | AdminRequest::Stage { .. }
        | AdminRequest::Unstage { .. }
        | AdminRequest::Drain { .. }
        | AdminRequest::Keep { .. }
        | AdminRequest::BucketSet { .. }
        | AdminRequest::AccessSet(_)
        | AdminRequest::AccessRevoke(_)
        | AdminRequest::Repair { .. }
        | AdminRequest::Believe { .. }
        | AdminRequest::SetBackground(_) => true,
        AdminRequest::Status
        | AdminRequest::Layouts
        | AdminRequest::Transfers
        | AdminRequest::Plan
        | AdminRequest::BucketList
        | AdminRequest::BucketShow { .. }
        | AdminRequest::AccessList
        | AdminRequest::Stats
        | AdminRequest::Explain { .. }
        | AdminRequest::Hints
        | AdminRequest::RepairProgress
        | AdminRequest::Background => false,
    }
}

/// Whether a request asks for a change of what all nodes share, which any of them can make.
pub(crate) fn any_node_can_change(request: &AdminRequest) -> bool {
    matches!(
        request,
        AdminRequest::Commit { dry_run: false, .. }
            | AdminRequest::Stage { dry_run: false, .. }
            | AdminRequest::Unstage { .. }
            | AdminRequest::BucketSet { .. }
            | AdminRequest::AccessSet(_)
            | AdminRequest::AccessRevoke(_)
    )
}

/// Reports what a node that takes nothing from clients, or does so again, has left to do.
pub(crate) async fn drained(reports: &Reports, view: &View, drained: bool) -> ClientResponse {
    let told = reports.now().await;
    let hints = told.iter().flat_map(|report| &report.hints);
    let due = hints.filter(|hints| view.is_alive(hints.target));
    ClientResponse::Admin(AdminResponse::Drained(DrainReport {
        drained,
        requests: told.iter().map(|report| report.operations).sum(),
        hints: due.map(|hints| hints.count).sum(),
    }))
}

fn check(change: BackgroundChange) -> Result<(), Failure> {
    let invalid = |message: &str| Err(Failure::new(ErrorCode::InvalidRequest, message));
    if change.limit_per_s == Some(0) {
        return invalid("limit_per_s has to be at least 1; use pause to hold background work up");
    }
    if change.slowdown_percent.is_some_and(|percent| percent <= 100) {
        return invalid("slowdown_percent has to be above 100: the quiet latency is 100");
    }
    Ok(())
}

/// Returns a change of a node's bounds divided among its shards.
pub(crate) fn share(change: BackgroundChange, shards: usize) -> BackgroundChange {
    let limit_per_s = change.limit_per_s.map(|limit| limit.div_ceil(shards.max(1) as u32));
    BackgroundChange { limit_per_s, ..change }
}

fn hints(reports: &[ShardReport]) -> Vec<HintReport> {
    let mut all: BTreeMap<NodeId, HintReport> = BTreeMap::new();
    for part in reports.iter().flat_map(|report| &report.hints) {
        match all.get_mut(&part.target) {
            Some(whole) => {
                whole.count += part.count;
                whole.bytes += part.bytes;
                let oldest = whole.oldest_ms.into_iter().chain(part.oldest_ms);
                whole.oldest_ms = oldest.min();
                whole.delivering |= part.delivering;
                whole.delivered += part.delivered;
                // Shards work side by side: the slowest one decides.
                whole.left_s = whole.left_s.max(part.left_s);
                whole.failure = whole.failure.take().or_else(|| part.failure.clone());
            }
            None => {
                all.insert(part.target, part.clone());
            }
        }
    }
    all.into_values().collect()
}

fn repairs(reports: &[ShardReport]) -> RepairReport {
    let mut whole = RepairReport::default();
    for part in reports.iter().map(|report| &report.repair) {
        whole.partitions += part.partitions;
        whole.done += part.done;
        whole.building += part.building;
        whole.exchanges += part.exchanges;
        whole.agreed += part.agreed;
        whole.failed += part.failed;
        whole.to_retry += part.to_retry;
        whole.hash_requests += part.hash_requests;
        whole.digest_requests += part.digest_requests;
        whole.keys_compared += part.keys_compared;
        whole.pulled += part.pulled;
        whole.pushed += part.pushed;
        whole.bytes += part.bytes;
        whole.damaged += part.damaged;
        whole.trees_corrected += part.trees_corrected;
    }
    whole
}

/// Sums up how far the node has come with what moves to it and from it.
pub(crate) fn transfers(reports: &[ShardReport]) -> TransferReport {
    let mut whole = TransferReport::default();
    for part in reports.iter().map(|report| &report.transfers) {
        whole.layout = whole.layout.max(part.layout);
        whole.paused |= part.paused;
        whole.owned += part.owned;
        whole.ready += part.ready;
        whole.flipped += part.flipped;
        whole.leaving += part.leaving;
        whole.unowned += part.unowned;
        whole.dropped += part.dropped;
        whole.received_records += part.received_records;
        whole.received_bytes += part.received_bytes;
        whole.sent_records += part.sent_records;
        whole.sent_bytes += part.sent_bytes;
        whole.load.refilling += part.load.refilling;
        whole.load.set_aside |= part.load.set_aside;
        whole.load.records += part.load.records;
        whole.load.bytes += part.load.bytes;
        whole.hints += part.hints;
        whole.current.extend(part.current.iter().cloned());
        for blocker in &part.blockers {
            if !whole.blockers.contains(blocker) {
                whole.blockers.push(blocker.clone());
            }
        }
    }
    whole
}

fn background(reports: &[ShardReport]) -> BackgroundReport {
    let mut whole = BackgroundReport::default();
    for part in reports.iter().map(|report| &report.background) {
        whole.paused |= part.paused;
        whole.paused_kinds.clone_from(&part.paused_kinds);
        whole.limit_per_s += part.limit_per_s;
        whole.slowdown_percent = part.slowdown_percent;
        whole.pace_per_s += part.pace_per_s;
        // The shard that suffers most speaks for the node.
        whole.foreground_p99_us = whole.foreground_p99_us.max(part.foreground_p99_us);
        whole.quiet_p99_us = whole.quiet_p99_us.max(part.quiet_p99_us);
        for (name, steps) in &part.steps {
            match whole.steps.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += steps,
                None => whole.steps.push((name.clone(), *steps)),
            }
        }
    }
    whole.merges = merges(reports);
    whole
}

/// Sums up the merges of the shards' engines; `None` if none of them merges.
fn merges(reports: &[ShardReport]) -> Option<MergeReport> {
    let merges = reports.iter().filter_map(|report| report.storage.engine.merges);
    merges.fold(None, |whole: Option<MergeReport>, part| {
        let whole = whole.unwrap_or_default();
        Some(MergeReport {
            working: whole.working + u32::from(part.working),
            // Each shard has its own limit, so the one with most is the one to look at.
            waiting_runs: whole.waiting_runs.max(part.waiting_runs),
            merges: whole.merges + part.merges,
            merged_bytes: whole.merged_bytes + part.merged_bytes,
            garbage_bytes: whole.garbage_bytes + part.garbage_bytes,
            last_age_ms: [whole.last_age_ms, part.last_age_ms].into_iter().flatten().min(),
        })
    })
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::NodeId;
    use jedlik_protocol::admin::{BackgroundChange, HintReport, RepairReport};

    use jedlik_storage::{EngineStats, MergeStats, ShardStats};

    use super::{background, check, hints, repairs, share};
    use crate::stats::ShardReport;

    #[test]
    fn merges_are_added_up_over_shards_and_the_fullest_and_the_latest_are_told() {
        let shard = |merges| {
            let engine = EngineStats { merges, ..EngineStats::default() };
            let storage = ShardStats { engine, ..ShardStats::default() };
            ShardReport { storage, ..ShardReport::default() }
        };
        let of = |working, waiting_runs, last_age_ms| {
            let counts = MergeStats { merges: 2, merged_bytes: 100, ..MergeStats::default() };
            MergeStats { working, waiting_runs, garbage_bytes: 10, last_age_ms, ..counts }
        };
        assert_eq!(background(&[shard(None), shard(None)]).merges, None);
        let parts = [of(true, 3, None), of(false, 9, Some(70)), of(true, 1, Some(50))];
        let whole = background(&parts.map(|part| shard(Some(part)))).merges.unwrap();
        assert_eq!((whole.working, whole.waiting_runs, whole.last_age_ms), (2, 9, Some(50)));
        assert_eq!((whole.merges, whole.merged_bytes, whole.garbage_bytes), (6, 300, 30));
    }

    fn held(target: u64, count: u64, oldest_ms: u64) -> HintReport {
        HintReport {
            target: NodeId(target),
            count,
            bytes: 100 * count,
            oldest_ms: Some(oldest_ms),
            delivering: false,
            delivered: 1,
            left_s: None,
            failure: None,
        }
    }

    #[test]
    fn shards_parts_are_added_by_target_and_the_oldest_hint_of_all_is_told() {
        let shard = |hints| ShardReport { hints, ..ShardReport::default() };
        let both = [shard(vec![held(1, 2, 50), held(2, 1, 9)]), shard(vec![held(1, 3, 40)])];
        let summed = hints(&both);
        assert_eq!(summed, [HintReport { delivered: 2, ..held(1, 5, 40) }, held(2, 1, 9)]);
    }

    #[test]
    fn repairs_of_all_shards_are_one_report() {
        let repair = RepairReport { partitions: 4, done: 3, pulled: 7, ..RepairReport::default() };
        let shard = ShardReport { repair, ..ShardReport::default() };
        let whole = repairs(&[shard.clone(), shard]);
        assert_eq!((whole.partitions, whole.done, whole.pulled), (8, 6, 14));
    }

    #[test]
    fn a_bound_is_divided_and_nonsense_is_refused() {
        let limit = |limit| BackgroundChange { limit_per_s: Some(limit), ..Default::default() };
        assert_eq!(share(limit(5), 2).limit_per_s, Some(3));
        assert!(check(limit(0)).is_err() && check(limit(1)).is_ok());
        let slowdown = BackgroundChange { slowdown_percent: Some(100), ..Default::default() };
        assert!(check(slowdown).is_err());
    }
}

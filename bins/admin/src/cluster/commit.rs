//! `cluster commit`: makes a plan the next layout, and waits for its effects as long as is wanted.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use jedlik_client::ClientError;
use jedlik_doctor::is_gone;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, ClusterStatus};
use jedlik_protocol::{Digest, LayoutId};
use serde_json::json;

use crate::cert::hex;
use crate::cluster::Cluster;
use crate::cluster::wait::{Patience, settle};
use crate::exit::{UNAVAILABLE, Usage};
use crate::output::Output;

const POLL: Duration = Duration::from_millis(200);

/// Make a plan the next layout
///
/// The hash is the plan's; a plan that has changed since is refused. Waits until every member that is up has the
/// layout. Data begins to move then; `--wait` waits for the end of that too.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 3 if the time is up first; the layout is committed all the same.

Examples:
  jedlik-admin cluster commit 0123456789abcdef --wait
  jedlik-admin cluster commit 0123456789abcdef --dry-run
  jedlik-admin cluster commit 0123456789abcdef --accept-loss 3")]
pub(crate) struct CommitArgs {
    /// The plan's hash, as `cluster plan` shows it
    hash: String,
    /// How many partitions' data the plan is known to lose, as `cluster plan` shows it
    #[arg(long, value_name = "PARTITIONS", default_value_t = 0)]
    accept_loss: u32,
    /// Only say whether the plan could be committed
    #[arg(long, conflicts_with_all = ["wait", "no_wait", "timeout"])]
    dry_run: bool,
    /// Wait until nothing moves any more, as `cluster wait` does
    #[arg(long)]
    wait: bool,
    /// Don't wait until the members have the layout
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// How long to wait for the members to have the layout
    #[arg(long, value_name = "TIME", default_value = "30s")]
    #[arg(value_parser = jedlik_console::duration_or_zero)]
    wait_seconds: Duration,
    #[command(flatten)]
    patience: Patience,
}

impl CommitArgs {
    /// Parses the hash of the plan to commit.
    pub(super) fn plan(&self) -> Result<Digest, Usage> {
        if self.patience.timeout.is_some() && !self.wait {
            let text = "--timeout goes with --wait; without it, --wait-seconds bounds the wait for \
                        members to have the layout";
            return Err(Usage(text.into()));
        }
        let hash = &self.hash;
        hex(hash).map(Digest).ok_or_else(|| {
            Usage(format!("{hash:?} is not a plan's hash: 16 hex digits, as `cluster plan` shows"))
        })
    }
}

pub(super) async fn run(
    cluster: &Cluster,
    args: CommitArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let plan = args.plan()?;
    let estimate_bytes = if args.wait { estimate(cluster, plan).await } else { None };
    let request = AdminRequest::Commit { plan, lost: args.accept_loss, dry_run: args.dry_run };
    let answer = cluster.ask(&request).await.context("the plan was not committed")?;
    let AdminResponse::Committed { layout } = answer else {
        return Err(ClientError::Mismatch.into());
    };
    if args.dry_run {
        output.print(&layout_json(layout, true), || {
            format!("The plan would be committed as layout {layout}; nothing was changed.\n")
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.wait {
        let ended = settle(cluster, args.patience, estimate_bytes, layout).await?;
        let mut json = layout_json(layout, false);
        let newest = ended.newest();
        json["overruled"] = overruled(layout, newest).into();
        json["move"] = ended.to_json();
        let text = || format!("{}{}", committed_text(layout, newest), ended.to_text());
        output.print(&json, text)?;
        let failed = overruled(layout, newest);
        return Ok(if failed { UNAVAILABLE.into() } else { ended.exit() });
    }
    let limit = (!args.no_wait).then_some(args.wait_seconds);
    spread(cluster, layout, limit, output).await
}

/// Returns the bytes that the plan is expected to move, in bytes; `None` if the plan has changed.
async fn estimate(cluster: &Cluster, plan: Digest) -> Option<u64> {
    // If there is no plan now, the commit is refused with a reason.
    let report = cluster.plan().await.ok()?;
    (report.plan == plan).then_some(report.bytes)
}

/// Waits until every member that is up has the layout, and names those that don't have it in time.
async fn spread(
    cluster: &Cluster,
    layout: LayoutId,
    limit: Option<Duration>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let (mut waiting, mut newest) = (Vec::new(), layout);
    while let Some(deadline) = deadline {
        let status = cluster.status().await?;
        (waiting, newest) = (behind(&status, layout), status.layout);
        if waiting.is_empty() || Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let mut json = layout_json(layout, false);
    json["waiting_for"] = waiting.as_slice().into();
    json["overruled"] = overruled(layout, newest).into();
    output.print(&json, || match limit {
        Some(_) if overruled(layout, newest) => committed_text(layout, newest),
        None => format!("Layout {layout} is committed and spreads to the members.\n"),
        Some(_) if waiting.is_empty() => format!(
            "Layout {layout} is committed, and every member that is up has it. If data moves, \
             `jedlik-admin cluster wait` says when it is done.\n"
        ),
        Some(limit) => format!(
            "Layout {layout} is committed, but after {} s these don't have it yet: {}\n",
            limit.as_secs(),
            waiting.join(", ")
        ),
    })?;
    let done = waiting.is_empty() && !overruled(layout, newest);
    Ok(if done { ExitCode::SUCCESS } else { UNAVAILABLE.into() })
}

/// Whether a rival commit of the same version has won against this one.
pub(super) fn overruled(layout: LayoutId, newest: LayoutId) -> bool {
    newest.version == layout.version && newest > layout
}

fn committed_text(layout: LayoutId, newest: LayoutId) -> String {
    if overruled(layout, newest) {
        return format!(
            "Layout {layout} was committed, but another commit at the same time won: {newest} is in \
             force. Look at `jedlik-admin cluster status`, and stage again what is missing.\n"
        );
    }
    format!("Layout {layout} is committed.\n")
}

fn layout_json(layout: LayoutId, dry_run: bool) -> serde_json::Value {
    json!({
        "layout": layout.version,
        "layout_digest": format!("{:016x}", layout.digest),
        "dry_run": dry_run,
    })
}

/// Returns the names of the members that are up and know only older layouts.
pub(super) fn behind(status: &ClusterStatus, layout: LayoutId) -> Vec<String> {
    let members = status.members.iter().filter(|member| member.alive && !is_gone(member));
    let behind = members.filter(|member| member.record.layout < layout);
    behind.map(|member| member.record.name.clone()).collect()
}

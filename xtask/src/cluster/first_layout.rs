//! The first layout: planned and committed once every node is known, as an admin would do it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{step, wait};

/// Time in which all nodes must know one another; gossip needs a few rounds of a second each.
const KNOWN_LIMIT: Duration = Duration::from_secs(60);

/// Part of the output of `cluster status --json` that matters here.
#[derive(Debug, Deserialize)]
struct Status {
    layout: u64,
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    alive: bool,
}

/// Part of the output of `cluster plan --json` that matters here.
#[derive(Debug, Deserialize)]
struct Plan {
    plan: String,
}

/// Makes the first layout and returns true; a cluster that already has a layout is left alone.
///
/// # Errors
/// The nodes don't find one another in time, or the admin tool fails.
pub(crate) fn ensure(admin: &Path, profile: &Path, nodes: usize) -> anyhow::Result<bool> {
    let ask = |arguments: &[&str]| {
        step::output(Command::new(admin).arg("--profile").arg(profile).args(arguments))
    };
    let status = || -> anyhow::Result<Status> {
        let answer = ask(&["--json", "cluster", "status"])?;
        serde_json::from_str(&answer).with_context(|| format!("not a status: {answer}"))
    };
    let settled = wait::until(KNOWN_LIMIT, || {
        let status = status()?;
        let alive = status.members.iter().filter(|member| member.alive).count();
        Ok((status.layout > 0 || alive >= nodes).then_some(status))
    })?;
    let Some(status) = settled else {
        bail!("the {nodes} nodes haven't found one another within {KNOWN_LIMIT:?}");
    };
    if status.layout > 0 {
        return Ok(false);
    }
    let answer = ask(&["--json", "cluster", "plan"])?;
    let plan: Plan =
        serde_json::from_str(&answer).with_context(|| format!("not a plan: {answer}"))?;
    ask(&["cluster", "commit", &plan.plan])?;
    Ok(true)
}

//! The end of a run: after the last fault the cluster comes to rest, and its contents are checked.
//!
//! Invariant: only the nodes, and the comparisons that the admin started, bring the replicas together; gets come after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jedlik_client::{Client, NodeId, Quorum};
use jedlik_protocol::Key;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, Explanation};
use jedlik_sim::{Breach, Promise};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::load::{key, shown};
use crate::plan::Number;
use crate::record::Shown;

const POLL: Duration = Duration::from_millis(300);
/// Time in seconds in which commands and nodes must come to rest, each.
const LIMIT_S: &str = "180";
const LIMIT: Duration = Duration::from_secs(180);
/// Keys that are checked at the same time.
const AT_ONCE: u16 = 16;

/// Findings at the end of a run.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Answer to a get with R = N, by key.
    pub(crate) last: BTreeMap<u16, Shown>,
    /// Breaches of promises by the cluster, with the key that each is about.
    pub(crate) breaches: Vec<(Option<u16>, Breach)>,
    /// Number of keys of which a node that is no owner still holds a record.
    pub(crate) strays: usize,
}

fn breach(promise: Promise, what: String) -> Breach {
    Breach { promise, key: None, what }
}

/// Waits until the cluster is at rest, and checks everything.
///
/// # Errors
/// A node has ended by itself, or no node answers.
pub(crate) async fn look(
    cluster: &Arc<Cluster>,
    keys: u16,
    changes: bool,
) -> anyhow::Result<Found> {
    let say = |line: &str| cluster.chronicle.say(line);
    let mut found = Found::default();
    let numbers = cluster.well().await?;
    if changes && let Err(error) = cluster.admin(&["cluster", "wait", "--timeout", LIMIT_S]).await {
        found.breaches.push((None, breach(Promise::OneLayout, format!("{error:#}"))));
    }
    let client = cluster.client("admin").await?;
    if let Some(what) = until_none(async || differing(&client, &numbers).await).await? {
        found.breaches.push((None, breach(Promise::OneLayout, what)));
    }
    say("all nodes have the same layout");
    if let Err(error) = cluster.admin(&["hints", "--wait", "--timeout", LIMIT_S]).await {
        found.breaches.push((None, breach(Promise::HintsDrain, format!("{error:#}"))));
    }
    say("hints are drained");
    let repair = async || Ok(cluster.admin(&["repair"]).await.err().map(|e| format!("{e:#}")));
    if let Some(what) = until_none(repair).await? {
        found.breaches.push((None, breach(Promise::OwnersAgree, what)));
    }
    say("every node has compared what it holds");
    let nodes: BTreeSet<NodeId> = nodes_of(&client, &numbers)?.into_values().collect();
    let mut left: Vec<u16> = (0..keys).collect();
    let mut unlike = BTreeMap::new();
    let deadline = Instant::now() + LIMIT;
    while !left.is_empty() && Instant::now() < deadline {
        unlike = explain(&client, &left, &nodes).await?;
        left = unlike.keys().copied().collect();
    }
    for (key, what) in unlike {
        found.breaches.push((Some(key), breach(Promise::OwnersAgree, what)));
    }
    say("owners were asked about every key, by way of every node");
    found.strays = strays(&client, keys).await?;
    found.last = read(&client, keys).await?;
    say("every key was read from all its owners");
    Ok(found)
}

/// Repeats the question until there is no finding any more or the time is up, and returns the last finding.
async fn until_none(
    amiss: impl AsyncFn() -> anyhow::Result<Option<String>>,
) -> anyhow::Result<Option<String>> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let what = amiss().await?;
        if what.is_none() || Instant::now() > deadline {
            return Ok(what);
        }
        sleep(POLL).await;
    }
}

/// Returns the identities of the nodes with these numbers.
fn nodes_of(client: &Client, numbers: &[Number]) -> anyhow::Result<BTreeMap<Number, NodeId>> {
    let members = client.admin().topology().members;
    let node = |number: &Number| {
        let name = format!("n{number}");
        let member = members.iter().find(|member| member.name == name);
        Ok((*number, member.with_context(|| format!("{name} is no member"))?.node))
    };
    numbers.iter().map(node).collect()
}

/// Returns a difference between the nodes' views, if there is one: the layout, the nodes that are up, or the buckets'
/// properties.
async fn differing(client: &Client, numbers: &[Number]) -> anyhow::Result<Option<String>> {
    let Ok(nodes) = nodes_of(client, numbers) else {
        return Ok(Some("not every node is a member yet".into()));
    };
    let mut first = None;
    for (number, node) in &nodes {
        let status = client.admin().ask(AdminRequest::Status, Some(*node)).await;
        let buckets = client.admin().ask(AdminRequest::BucketList, Some(*node)).await;
        let (Ok(AdminResponse::Status(status)), Ok(AdminResponse::Buckets(buckets))) =
            (status, buckets)
        else {
            return Ok(Some(format!("n{number} does not answer")));
        };
        let alive = status.members.iter().filter(|member| member.alive);
        let alive: BTreeSet<NodeId> = alive.map(|member| member.record.node).collect();
        if let Some((other, _)) = nodes.iter().find(|(_, node)| !alive.contains(node)) {
            return Ok(Some(format!("n{number} takes n{other} to be down")));
        }
        let known = (status.layout, buckets);
        if *first.get_or_insert_with(|| known.clone()) != known {
            return Ok(Some(format!(
                "n{number} has another layout or other buckets than the first"
            )));
        }
    }
    Ok(None)
}

/// Returns the keys whose owners hold different records, or on whose owners the nodes disagree, each with the
/// difference.
async fn explain(
    client: &Client,
    keys: &[u16],
    nodes: &BTreeSet<NodeId>,
) -> anyhow::Result<BTreeMap<u16, String>> {
    let mut workers = JoinSet::new();
    let keys: Arc<[u16]> = keys.into();
    for first in 0..usize::from(AT_ONCE) {
        let (client, keys, nodes) = (client.clone(), keys.clone(), nodes.clone());
        workers.spawn(async move {
            let mut unlike = BTreeMap::new();
            for number in keys.iter().skip(first).step_by(AT_ONCE.into()) {
                if let Some(what) = unlike_by(&client, &key(*number)?, &nodes).await {
                    unlike.insert(*number, what);
                }
            }
            anyhow::Ok(unlike)
        });
    }
    let mut unlike = BTreeMap::new();
    while let Some(found) = workers.join_next().await {
        unlike.extend(found??);
    }
    Ok(unlike)
}

async fn unlike_by(client: &Client, key: &Key, nodes: &BTreeSet<NodeId>) -> Option<String> {
    let mut first: Option<Vec<NodeId>> = None;
    for node in nodes {
        let request = AdminRequest::Explain { key: key.clone() };
        let explained = match client.admin().ask(request, Some(*node)).await {
            Ok(AdminResponse::Explained(explained)) => explained,
            Ok(_) => return Some(format!("{node} gives another answer")),
            Err(error) => return Some(format!("{node} can't explain it: {error}")),
        };
        if let Some(what) = unlike(&explained) {
            return Some(what);
        }
        let holders = explained.holders.iter();
        let owners = holders.filter(|holder| holder.rank < u16::from(explained.n));
        let owners: Vec<NodeId> = owners.map(|owner| owner.node).collect();
        let others = first.get_or_insert_with(|| owners.clone());
        if *others != owners {
            return Some(format!("{node} takes {owners:?} for its owners, another {others:?}"));
        }
    }
    None
}

/// Returns how the owners of a key differ, or that a node keeps a hint of it.
fn unlike(explained: &Explanation) -> Option<String> {
    let merged = explained.merged.as_ref().map(|record| record.digest);
    explained.holders.iter().find_map(|holder| {
        let owner = holder.rank < u16::from(explained.n);
        let why = match &holder.holds {
            None if owner => "does not answer",
            None => return None,
            Some(holds) if !holds.hints.is_empty() => "holds a hint of it",
            Some(holds) if holds.damaged => "holds a damaged record",
            Some(holds) if owner && holds.record.as_ref().map(|r| r.digest) != merged => {
                "holds another record than the rest"
            }
            Some(_) => return None,
        };
        Some(format!("{} {why}", holder.node))
    })
}

/// Counts the keys of which a node that is no owner holds a record.
async fn strays(client: &Client, keys: u16) -> anyhow::Result<usize> {
    let mut strays = 0;
    for number in 0..keys {
        let request = AdminRequest::Explain { key: key(number)? };
        if let Ok(AdminResponse::Explained(explained)) = client.admin().ask(request, None).await {
            strays += usize::from(explained.holders.iter().any(|holder| {
                let holds = holder.holds.as_ref().is_some_and(|holds| holds.record.is_some());
                holds && holder.rank >= u16::from(explained.n)
            }));
        }
    }
    Ok(strays)
}

/// Gets every key from all its owners.
async fn read(client: &Client, keys: u16) -> anyhow::Result<BTreeMap<u16, Shown>> {
    let cluster = client.admin().topology().cluster;
    let mut last = BTreeMap::new();
    for number in 0..keys {
        let place = key(number)?;
        let answer = client.bucket(place.bucket()).get(place.key()).r(Quorum::All).await;
        let answer = answer.with_context(|| format!("k{number} can't be read with R = N"))?;
        last.insert(number, shown(&answer, cluster, &place));
    }
    Ok(last)
}

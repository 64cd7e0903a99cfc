//! One run, from the first node to the outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use jedlik_client::Client;
use jedlik_protocol::ClusterId;
use tokio::time::{Instant, sleep_until};

use crate::changes::{Changes, Rests};
use crate::cluster::Cluster;
use crate::engines::Engines;
use crate::judge::{Checked, judge};
use crate::load::{self, Common, Sizes, key};
use crate::plan::{Number, Plan, Setting};
use crate::record::Event;
use crate::report::{Broken, Report, Requests};
use crate::trace::{in_words, trace};
use crate::{Arguments, databases, faults, rest};

/// Number of clients that the sessions share, each with connections of its own.
const CLIENTS: usize = 4;
/// Length of a run below which it has fewer sessions.
const LONG_MS: u64 = 120_000;
/// Number of disks that sabotage destroys: those of all owners of some keys.
const SABOTAGED: Number = 3;
/// Time before and after the sabotage in which there is no other fault.
const SABOTAGE_MS: u64 = 3_000;
/// Number of broken keys that are reported with their traces; more are only counted.
const TOLD_KEYS: usize = 5;

/// Settings and plan of a run, determined before it begins.
#[derive(Debug)]
pub(crate) struct Planned {
    setting: Setting,
    sizes: Sizes,
    sabotage: bool,
    engines: Engines,
    plan: Plan,
}

impl Planned {
    /// Makes the plan from the command line.
    ///
    /// # Errors
    /// The number of minutes is out of range.
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let minutes = arguments.minutes;
        ensure!(minutes.is_finite() && (0.2..=1440.0).contains(&minutes), "minutes: 0.2 to 1440");
        let clock =
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let seed = arguments.seed.unwrap_or_else(|| clock() as u64 % 1_000_000);
        let span_ms = (minutes * 60_000.0) as u64;
        let (nodes, sabotage) = (arguments.nodes, arguments.sabotage);
        let changes = !arguments.no_changes && !sabotage;
        let server = arguments.engine.have_server();
        let setting = Setting { seed, span_ms, nodes, changes, server };
        let usual = if span_ms < LONG_MS { 6 } else { 16 };
        let writers = arguments.writers.unwrap_or(usual);
        let readers = arguments.readers.unwrap_or(writers);
        let sizes = Sizes { writers, readers, keys: arguments.keys };
        let mut plan = Plan::new(&setting);
        if sabotage {
            let (from_ms, to_ms) = (span_ms / 2, span_ms / 2 + SABOTAGE_MS);
            plan.faults.retain(|fault| {
                fault.at_ms > to_ms || fault.at_ms + fault.for_ms + SABOTAGE_MS < from_ms
            });
        }
        Ok(Self { setting, sizes, sabotage, engines: arguments.engine, plan })
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { seed, span_ms, nodes, .. } = self.setting;
        let Sizes { writers, readers, keys } = self.sizes;
        writeln!(
            f,
            "seed {seed}: {nodes} nodes on {}, {writers} writers and {readers} readers of {keys} keys for \
             {} s. In seconds since the load began:",
            self.engines,
            span_ms / 1_000
        )?;
        write!(f, "{}", self.plan)
    }
}

/// Makes the run and returns its report.
///
/// # Errors
/// The run could not be made, or a node ended that was not killed.
pub(crate) async fn run(cluster: &Arc<Cluster>, planned: &Planned) -> anyhow::Result<Report> {
    let Planned { setting, sizes, .. } = planned;
    let network = cluster.network.describe();
    cluster.chronicle.say(format!("network: {network}"));
    cluster.set_up(setting.nodes).await?;
    cluster.chronicle.say(format!("{} nodes have their first layout", setting.nodes));
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(cluster.client("client").await?);
    }
    let disturbed = disturb(cluster, planned, &clients).await?;
    let Disturbed { sessions, end_us, failed_change } = disturbed;
    let found = rest::look(cluster, sizes.keys, setting.changes && failed_change.is_none()).await?;
    let (checked, mut broken) = outcome(cluster, &clients, &sessions, *sizes, &found)?;
    broken.extend(failed_change.map(|what| Broken { key: None, what, trace: Vec::new() }));
    Ok(Report {
        seed: setting.seed,
        minutes: setting.span_ms as f64 / 60_000.0,
        nodes: setting.nodes,
        engine: cluster.engines.to_string(),
        network,
        requests: Requests::of(&sessions, *sizes, end_us),
        injected: cluster.chronicle.told().counts,
        keys: sizes.keys,
        checked,
        strays: found.strays,
        broken,
    })
}

/// Results of the time with load and faults.
struct Disturbed {
    /// Events of each session.
    sessions: Vec<Vec<Event>>,
    /// Time at which the load was over.
    end_us: u64,
    /// Change of the membership that did not come to its end, with the reason; `None` if all did.
    failed_change: Option<String>,
}

/// Runs load, faults and changes at the same time.
async fn disturb(
    cluster: &Arc<Cluster>,
    planned: &Planned,
    clients: &[Client],
) -> anyhow::Result<Disturbed> {
    let Planned { setting, sizes, plan, .. } = planned;
    let rests = Arc::new(Rests::default());
    let common = Arc::new(Common::new(cluster.chronicle.clone(), rests.clone()));
    let mut sessions = load::start(clients, &common, setting.seed, *sizes)?;
    let start = Instant::now();
    let end = start + Duration::from_millis(setting.span_ms);
    let mut changes = Changes::new(cluster.clone(), rests, setting.seed);
    let (changed, ..) = tokio::try_join!(
        // A change that fails is a finding, not the end of the run.
        async { Ok(changes.run(&plan.steps, start, end).await) },
        faults::run(cluster.clone(), plan.faults.clone(), start),
        databases::run(cluster.clone(), plan.server_faults.clone(), start),
        sabotage(cluster, planned, start),
        async {
            sleep_until(end).await;
            Ok(())
        },
    )?;
    common.over.store(true, Ordering::Relaxed);
    let end_us = cluster.chronicle.now_us();
    let mut noted = Vec::new();
    while let Some(events) = sessions.join_next().await {
        noted.push(events?);
    }
    cluster.chronicle.say("faults and load are over");
    let changed = match changed {
        Ok(()) => changes.rest().await,
        failed => failed,
    };
    let failed_change = changed.err().map(|error| format!("a change fails: {error:#}"));
    Ok(Disturbed { sessions: noted, end_us, failed_change })
}

/// Destroys all copies of some keys, if the plan says so.
async fn sabotage(cluster: &Cluster, planned: &Planned, start: Instant) -> anyhow::Result<()> {
    if !planned.sabotage {
        return Ok(());
    }
    sleep_until(start + Duration::from_millis(planned.setting.span_ms / 2)).await;
    cluster.chronicle.say(format!("SABOTAGE: n1 to n{SABOTAGED} lose their disks"));
    for node in 1..=SABOTAGED {
        cluster.kill(node).await?;
        cluster.lose_disk(node).await?;
    }
    for node in 1..=SABOTAGED {
        cluster.start(node).await?;
    }
    Ok(())
}

/// Judges every key; returns the counts of what was checked, and the broken promises.
fn outcome(
    cluster: &Cluster,
    clients: &[Client],
    sessions: &[Vec<Event>],
    sizes: Sizes,
    found: &rest::Found,
) -> anyhow::Result<(Checked, Vec<Broken>)> {
    let id = clients.first().map_or(ClusterId(0), |client| client.admin().topology().cluster);
    let mut by_key: BTreeMap<u16, Vec<Event>> = BTreeMap::new();
    for event in sessions.iter().flatten() {
        by_key.entry(event.key).or_default().push(event.clone());
    }
    let mut checked = Checked::default();
    let mut breaches = found.breaches.clone();
    for (number, last) in &found.last {
        let events = by_key.get(number).map_or(&[][..], Vec::as_slice);
        match judge(id, &key(*number)?, events, last) {
            Ok(of_key) => checked += of_key,
            Err(breach) => breaches.push((Some(*number), breach)),
        }
    }
    let lines = cluster.chronicle.told().lines;
    let mut broken = Vec::new();
    for (count, (number, breach)) in breaches.into_iter().enumerate() {
        let what = format!("{}: {}", breach.promise, breach.what);
        let Some(number) = number else {
            broken.push(Broken { key: None, what, trace: Vec::new() });
            continue;
        };
        let events = by_key.get(&number).map_or(&[][..], Vec::as_slice);
        let mut told = Vec::new();
        if count < TOLD_KEYS {
            told = trace(events, &lines, sizes);
            let numbers = crate::judge::numbers(events);
            told.extend(
                found.last.get(&number).map(|last| {
                    format!("       end  a get with R = N: {}", in_words(last, &numbers))
                }),
            );
        }
        broken.push(Broken { key: Some(format!("k{number}: ")), what, trace: told });
    }
    Ok((checked, broken))
}

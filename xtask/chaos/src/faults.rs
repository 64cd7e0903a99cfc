//! The plan's faults, each ended when its time is up.
//!
//! Invariant: a fault that would leave too few nodes, because earlier ones take longer than planned, is left out.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cluster::Cluster;
use crate::network::Delay;
use crate::node::NodeCondition;
use crate::plan::{Fault, Trouble};

/// Time for which a stuttering process is stopped, and then runs.
const STUTTER: Duration = Duration::from_millis(40);

/// Makes all faults, and returns when every node is well again.
///
/// # Errors
/// A node doesn't come back, or the operating system refuses.
pub(crate) async fn run(
    cluster: Arc<Cluster>,
    faults: Vec<Fault>,
    start: Instant,
) -> anyhow::Result<()> {
    let mut under_way = JoinSet::new();
    for fault in faults {
        sleep_until(start + Duration::from_millis(fault.at_ms)).await;
        while let Some(done) = under_way.try_join_next() {
            done??;
        }
        if cluster.claim(fault.node, NodeCondition::Troubled).await {
            under_way.spawn(one(cluster.clone(), fault));
        } else {
            cluster.chronicle.count("fault left out");
        }
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(())
}

async fn one(cluster: Arc<Cluster>, fault: Fault) -> anyhow::Result<()> {
    let Fault { for_ms, node, trouble, .. } = fault;
    let time = Duration::from_millis(for_ms);
    let network = &cluster.network;
    let trouble = if network.can_cut() { trouble } else { without_network(trouble) };
    cluster.chronicle.say(Fault { trouble, ..fault }.to_string());
    cluster.chronicle.count(trouble.name());
    match trouble {
        Trouble::Kill => {
            cluster.kill(node).await?;
            sleep(time).await;
            cluster.start(node).await?;
        }
        Trouble::Stop => {
            cluster.hold(node, true).await?;
            sleep(time).await;
            cluster.hold(node, false).await?;
        }
        Trouble::Cut => {
            network.cut(node, true).await?;
            sleep(time).await;
            network.cut(node, false).await?;
        }
        Trouble::Mute(to) => {
            network.mute(node, to, true).await?;
            sleep(time).await;
            network.mute(node, to, false).await?;
        }
        Trouble::Clock(ahead_s) => {
            cluster.set_clock(node, ahead_s).await?;
            sleep(time).await;
            cluster.set_clock(node, 0).await?;
        }
        // The node's log is read again from its next start on.
        Trouble::LogCut => {
            cluster.cut_log(node).await?;
            sleep(time).await;
        }
        Trouble::Delay if network.delay() == Delay::Stutter => {
            // The stutter ends with the time.
            if let Ok(failed) = timeout(time, stutter(&cluster, node)).await {
                failed?;
            }
            cluster.hold(node, false).await?;
        }
        Trouble::Delay => {
            network.hold_up(node, true).await?;
            sleep(time).await;
            network.hold_up(node, false).await?;
        }
    }
    cluster.chronicle.say(format!("n{node} is well again"));
    cluster.set(node, NodeCondition::Well).await
}

async fn stutter(cluster: &Cluster, node: u16) -> anyhow::Result<()> {
    loop {
        for on in [true, false] {
            cluster.hold(node, on).await?;
            sleep(STUTTER).await;
        }
    }
}

/// Returns the fault to make on loopback, where packets can't be cut off: the closest one that processes allow.
fn without_network(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Cut => Trouble::Stop,
        Trouble::Mute(_) => Trouble::Delay,
        other => other,
    }
}

//! The plan's joins, departures and replacements, made with the admin tool as an admin would make them.
//!
//! Invariant: a disk is lost only while nothing moves, so that every version has another copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use crate::chance::{Chance, Concern};
use crate::cluster::Cluster;
use crate::node::NodeCondition;
use crate::plan::{MemberChange, Number, Step};

const POLL: Duration = Duration::from_millis(200);
/// Time in which a command must succeed; while nodes are in trouble, it may have to be repeated.
const COMMAND_LIMIT: Duration = Duration::from_secs(90);
/// Time in which a node must be free of trouble.
const CLAIM_LIMIT: Duration = Duration::from_secs(60);
/// Time in which moves must end before a disk is lost, with nodes in trouble all the while.
const SETTLE_LIMIT: Duration = Duration::from_secs(240);
/// Age of a copy of a directory when it is put back.
const COPY_AGE: Duration = Duration::from_secs(5);
/// Time in which the process of a node that has left must end.
const EXIT_LIMIT: Duration = Duration::from_secs(60);

/// Whether the membership rests: requests within one spell of rest must keep stronger promises.
#[derive(Debug, Default)]
pub(crate) struct Rests(AtomicU64);

impl Rests {
    /// Returns the number of the present spell of rest; `None` while the membership changes.
    pub(crate) fn spell(&self) -> Option<u64> {
        let count = self.0.load(Ordering::SeqCst);
        count.is_multiple_of(2).then_some(count)
    }

    fn set(&self, rests: bool) {
        if self.spell().is_some() != rests {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Driver of the changes of the membership.
#[derive(Debug)]
pub(crate) struct Changes {
    cluster: Arc<Cluster>,
    rests: Arc<Rests>,
    seed: u64,
    /// Changes that are committed and have not come to their end.
    open: Vec<MemberChange>,
    /// Reason why the last wait ended before everything was settled.
    held_up: String,
}

impl Changes {
    pub(crate) fn new(cluster: Arc<Cluster>, rests: Arc<Rests>, seed: u64) -> Self {
        Self { cluster, rests, seed, open: Vec::new(), held_up: String::new() }
    }

    /// Makes the changes at their times, then waits until nothing moves or `end`.
    ///
    /// # Errors
    /// A command fails again and again, or a change does not have its effect in time.
    pub(crate) async fn run(
        &mut self,
        steps: &[Step],
        start: Instant,
        end: Instant,
    ) -> anyhow::Result<()> {
        for step in steps {
            let due = start + Duration::from_millis(step.at_ms);
            self.settle_until(due).await?;
            sleep_until(due).await;
            if step.change.destroys() {
                self.settle_until(Instant::now() + SETTLE_LIMIT).await?;
                if !self.open.is_empty() {
                    let (change, why) = (step.change, &self.held_up);
                    bail!("data still moves after {SETTLE_LIMIT:?}, before {change}: {why}");
                }
            }
            self.make(step.change).await.with_context(|| step.change.to_string())?;
        }
        self.settle_until(end).await
    }

    async fn make(&mut self, change: MemberChange) -> anyhow::Result<()> {
        let cluster = self.cluster.clone();
        let members = cluster.members().await;
        if change.goes().is_some_and(|old| !members.contains_key(&old)) {
            cluster.chronicle.count("change left out");
            return Ok(());
        }
        if let Some(node) = change.refills() {
            return self.destroy(change, node).await;
        }
        self.rests.set(false);
        cluster.chronicle.say(change.to_string());
        if let Some(old) = change.goes() {
            let condition =
                if change.destroys() { NodeCondition::Dead } else { NodeCondition::Leaving };
            self.claim(old, condition).await?;
        }
        if let Some(old) = change.goes().filter(|_| change.destroys()) {
            cluster.kill(old).await?;
            cluster.lose_disk(old).await?;
        }
        if let Some(new) = change.comes() {
            cluster.add(new).await?;
        }
        if let Some(old) = change.goes().filter(|_| change.destroys()) {
            self.see_down(old).await?;
        }
        self.carry_out(change).await?;
        cluster.chronicle.count(change.name());
        cluster.chronicle.say(format!("committed: {change}"));
        self.open.push(change);
        Ok(())
    }

    /// Destroys a member's data, and waits until the others have refilled it. The membership rests meanwhile: gets must
    /// keep the stronger promises.
    async fn destroy(&self, change: MemberChange, node: Number) -> anyhow::Result<()> {
        let cluster = &self.cluster;
        self.claim(node, NodeCondition::Dead).await?;
        cluster.chronicle.say(change.to_string());
        match change {
            MemberChange::Rot(_) => {
                let mut chance = Chance::new(self.seed, Concern::Rot(node));
                let mut flipped = cluster.rot(node, &mut chance).await?;
                if flipped == 0 {
                    // Tables are empty as long as the journal has everything, which a start moves into them.
                    cluster.kill(node).await?;
                    cluster.start(node).await?;
                    flipped = cluster.rot(node, &mut chance).await?;
                }
                cluster.chronicle.say(format!("{flipped} bits of n{node} have flipped"));
            }
            MemberChange::PutBack(_) => {
                cluster.kill(node).await?;
                cluster.copy_disk(node).await?;
                cluster.start(node).await?;
                sleep(COPY_AGE).await;
                cluster.kill(node).await?;
                cluster.put_back(node, &mut Chance::new(self.seed, Concern::PutBack(node))).await?;
                cluster.start(node).await?;
            }
            _ => {
                cluster.kill(node).await?;
                cluster.lose_disk(node).await?;
                cluster.start(node).await?;
            }
        }
        self.see_refilled(node).await?;
        cluster.chronicle.count(change.name());
        cluster.chronicle.say(format!("n{node} is refilled"));
        cluster.set(node, NodeCondition::Well).await
    }

    /// Waits until a member reports a vote in every partition that it owns.
    async fn see_refilled(&self, number: Number) -> anyhow::Result<()> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            // Damage that only a reading of all records finds must be found first.
            let compared = self.cluster.admin(&["repair"]).await;
            let stats = self.cluster.admin(&["node", "stats"]).await;
            if compared.is_ok() && stats.as_ref().is_ok_and(|stats| votes(stats, number)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let why =
                    compared.and(stats).err().map_or_else(String::new, |e| format!(": {e:#}"));
                bail!("n{number} is not refilled within {SETTLE_LIMIT:?}{why}");
            }
            sleep(POLL).await;
        }
    }

    async fn claim(&self, number: Number, condition: NodeCondition) -> anyhow::Result<()> {
        let deadline = Instant::now() + CLAIM_LIMIT;
        while !self.cluster.claim(number, condition).await {
            if Instant::now() > deadline {
                bail!("n{number} isn't free of trouble within {CLAIM_LIMIT:?}");
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until every well member takes a killed node to be down; a member that takes it to be up would plan that it
    /// hands its data over.
    async fn see_down(&self, number: Number) -> anyhow::Result<()> {
        let deadline = Instant::now() + COMMAND_LIMIT;
        loop {
            let mut unaware = Vec::new();
            for member in self.cluster.well().await? {
                let via = name(member);
                let status = self.cluster.admin(&["cluster", "--via", &via, "status"]).await;
                if !status.is_ok_and(|status| shows(&status, number, "alive", &[false.into()])) {
                    unaware.push(via);
                }
            }
            if unaware.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let (dead, unaware) = (name(number), unaware.join(", "));
                bail!(
                    "{dead} was killed, and is taken to run {COMMAND_LIMIT:?} later by {unaware}"
                );
            }
            sleep(POLL).await;
        }
    }

    /// Stages a change and commits it, repeatedly until it is done: the node that is asked may be in trouble, or have
    /// an old view of a member. A change that is staged again replaces its earlier self.
    async fn carry_out(&self, change: MemberChange) -> anyhow::Result<()> {
        let deadline = Instant::now() + COMMAND_LIMIT;
        loop {
            match self.try_change(change).await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(POLL).await,
            }
        }
    }

    async fn try_change(&self, change: MemberChange) -> anyhow::Result<()> {
        // If the answer to a commit was lost, the members know whether it was done.
        let status = self.cluster.admin(&["cluster", "status"]).await?;
        if is_done(change, &status) {
            return Ok(());
        }
        let names: Vec<String> = match change {
            MemberChange::Join(new) => vec![name(new)],
            MemberChange::Leave(old) | MemberChange::Remove(old) => vec![name(old)],
            MemberChange::Replace(old, new) => vec![name(old), name(new)],
            MemberChange::LoseDisk(_) | MemberChange::PutBack(_) | MemberChange::Rot(_) => {
                return Ok(());
            }
        };
        let mut words = vec!["cluster", change.name()];
        words.extend(names.iter().map(String::as_str));
        let answer = self.cluster.admin(&words).await?;
        let waits = |staged: &Value| staged["name"] == *names[0] && staged["forced"] == false;
        let staged = answer["staged"].as_array();
        if staged.is_some_and(|staged| change.destroys() && staged.iter().any(waits)) {
            bail!("{} is dead, and was staged to hand on what it held", names[0]);
        }
        let plan = self.cluster.admin(&["cluster", "plan"]).await?;
        let hash = plan["plan"].as_str().context("the plan has no hash")?;
        self.cluster.admin(&["cluster", "commit", hash]).await.map(drop)
    }

    /// Waits until nothing moves or it is `time`; if nothing moves, the open changes are closed.
    async fn settle_until(&mut self, time: Instant) -> anyhow::Result<()> {
        while !self.open.is_empty() {
            let left = time.saturating_duration_since(Instant::now()).as_secs().min(10);
            if left == 0 {
                return Ok(());
            }
            let seconds = left.to_string();
            let wait = ["cluster", "wait", "--timeout", &seconds];
            match self.cluster.admin(&wait).await {
                Ok(_) => return self.close().await,
                Err(error) => self.held_up = format!("{error:#}"),
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits, once the faults are over, until all changes have come to their end.
    ///
    /// # Errors
    /// A change doesn't come to its end, or a node that has left still runs.
    pub(crate) async fn rest(&mut self) -> anyhow::Result<()> {
        self.settle_until(Instant::now() + SETTLE_LIMIT).await?;
        if !self.open.is_empty() {
            let why = &self.held_up;
            bail!("data still moves {SETTLE_LIMIT:?} after the last fault: {why}");
        }
        Ok(())
    }

    /// Closes the open changes once nothing moves: the nodes that were to go must be gone.
    async fn close(&mut self) -> anyhow::Result<()> {
        for change in self.open.drain(..) {
            let Some(old) = change.goes() else { continue };
            let deadline = Instant::now() + EXIT_LIMIT;
            while self.cluster.is_running(old).await? {
                if Instant::now() > deadline {
                    bail!("n{old} has left, and still runs after {EXIT_LIMIT:?}");
                }
                sleep(POLL).await;
            }
            self.cluster.set(old, NodeCondition::Gone).await?;
            self.cluster.chronicle.say(format!("n{old} is gone"));
        }
        self.rests.set(true);
        Ok(())
    }
}

fn name(number: Number) -> String {
    format!("n{number}")
}

/// Whether a node reports a vote in every partition that it owns.
fn votes(stats: &Value, number: Number) -> bool {
    let name = name(number);
    let of_node = |node: &&Value| node["name"] == *name;
    let nodes = stats["nodes"].as_array();
    let counters = nodes.and_then(|nodes| nodes.iter().find(of_node)).map(|node| &node["counters"]);
    counters.is_some_and(|counters| counters["refilling_partitions"] == 0)
}

/// Whether a node reports one of these values in a field of a member.
fn shows(status: &Value, number: Number, field: &str, wanted: &[Value]) -> bool {
    let name = name(number);
    let shows = |member: &Value| member["name"] == *name && wanted.contains(&member[field]);
    status["members"].as_array().is_some_and(|members| members.iter().any(shows))
}

/// Whether a change is committed, as a node sees it.
fn is_done(change: MemberChange, status: &Value) -> bool {
    let gone: &[Value] =
        if change.destroys() { &["removed".into()] } else { &["leaving".into(), "left".into()] };
    change.comes().is_none_or(|new| shows(status, new, "placed", &[true.into()]))
        && change.goes().is_none_or(|old| shows(status, old, "state", gone))
}

#[cfg(test)]
mod tests;

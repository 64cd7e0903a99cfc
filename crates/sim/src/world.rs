//! A cluster in virtual time: the queue of events, and the effects of each.
//!
//! Invariant: events happen in the order of (time, when they were queued), and nothing else makes one.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use jedlik_hashing::PartitionCount;
use jedlik_protocol::{Blob, Key, PlacedKey};

use crate::admins::Admins;
use crate::breach::{Breach, Promise};
use crate::chance::{Chance, Concern};
use crate::convergence::Convergence;
use crate::disk::Step;
use crate::history::History;
use crate::log::{Line, Log};
use crate::network::Network;
use crate::node::{CLUSTER, Mail, Node, PARTITIONS};
use crate::plan::{BucketPlan, Plan, WARM_UP_US};
use crate::scans::AskedPage;
use crate::sessions::Session;

/// Most events of a run, some fifty times what one needs: nodes that answer one another for ever reach it.
const MOST_EVENTS: u64 = 5_000_000;

/// Event at a virtual time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A frame reaches a node, if its connection still stands.
    Frame { from: u8, to: u8, epoch: u32, bytes: Bytes },
    /// A client's request reaches a node.
    Request { to: u8, client: u8, call: u64, bytes: Bytes },
    /// A node's answer reaches a client.
    Answer { client: u8, call: u64, bytes: Bytes },
    /// A node's transport gives up a peer.
    Lost { node: u8, peer: u8, epoch: u32 },
    /// Nothing has come through from one node to the other for long.
    Silence { from: u8, to: u8 },
    /// A node's machines are to be called.
    Wake { node: u8, life: u32 },
    /// A node's disk has completed a step.
    Disk { node: u8, opening: u32, step: Step },
    /// The state of a node's membership reaches its disk, or does not.
    Save { node: u8, life: u32 },
    /// A node's process starts.
    Start { node: u8 },
    /// A stopping node checks whether it is done.
    Drain { node: u8, life: u32, until_us: u64 },
    /// A fault of the plan begins.
    Fault(usize),
    /// A fault of the plan ends.
    FaultEnd(usize),
    /// A client goes on with its plan.
    Session { client: u8 },
    /// A client's patience with a call ends.
    Patience { client: u8, call: u64 },
    /// A node checks how much it holds, and whether it may leave.
    Upkeep { node: u8, life: u32 },
    /// An admin takes this step of the set-up, before anything else.
    Setup(u8),
    /// An admin tries a change of the plan, or tries it again.
    Change(usize),
    /// An admin sets another N of a bucket, or tries it again.
    Recount(u8),
    /// An admin decides between two processes of a node, if there are two.
    Decide { node: u8 },
    /// Faults and clients end.
    Quiet,
    /// The outage takes a step.
    Outage,
    /// The cluster at rest is checked.
    Audit,
}

/// Streams of randomness that several parts share.
#[derive(Debug)]
pub(crate) struct Chances {
    pub(crate) disk: Chance,
    pub(crate) clients: Chance,
    pub(crate) lives: Chance,
    pub(crate) faults: Chance,
    pub(crate) admins: Chance,
    pub(crate) saves: Chance,
}

/// Damage to the victim in a run.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// Whether acknowledged copies were destroyed.
    pub(crate) destroyed: bool,
    /// Number of the write below which its copies may be destroyed without its knowing. Writes acknowledged before they
    /// were durable were lost with a process or machine, and the node goes on as if it held them.
    pub(crate) unnoticed: usize,
    /// Number of the first write that was begun while all knew that a node runs twice; `None` while some do not.
    pub(crate) twice_since: Option<usize>,
    /// Whether a record was changed behind its node's back.
    pub(crate) rotted: bool,
}

/// Size of a run, or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Virtual time in microseconds.
    pub virtual_us: u64,
    /// Number of events that happened.
    pub events: u64,
    /// Puts and deletes that were acknowledged.
    pub acknowledged: u64,
    /// Gets that were answered.
    pub gets: u64,
    /// Time that clusters took to come to rest, in microseconds.
    pub settling_us: u64,
    /// Layouts that were committed after the first.
    pub layouts: u64,
    /// Partitions whose records a node dropped.
    pub dropped: u64,
    /// Clock entries that were truncated: after one, overwritten versions may come back.
    pub truncated: u64,
}

impl Counts {
    /// Returns the sum of two runs' counts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            virtual_us: self.virtual_us + other.virtual_us,
            events: self.events + other.events,
            acknowledged: self.acknowledged + other.acknowledged,
            gets: self.gets + other.gets,
            settling_us: self.settling_us + other.settling_us,
            layouts: self.layouts + other.layouts,
            dropped: self.dropped + other.dropped,
            truncated: self.truncated + other.truncated,
        }
    }
}

/// Result of a run that has ended.
#[derive(Debug)]
pub struct Run {
    /// Breach that ended the run; `None` if every promise was kept.
    pub breach: Option<Breach>,
    /// Trace of the run; empty unless it was asked for.
    pub lines: Vec<Line>,
    /// Size of the run.
    pub counts: Counts,
}

/// Cluster with everything around it: network, clients, admins, plan and checks.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) now_us: u64,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) sessions: Vec<Session>,
    pub(crate) calls: u64,
    /// Pages of scans that nodes have asked one another for.
    pub(crate) pages: BTreeMap<(u8, u64), AskedPage>,
    pub(crate) history: History,
    pub(crate) log: Log,
    pub(crate) chances: Chances,
    pub(crate) convergence: Convergence,
    pub(crate) breach: Option<Breach>,
    pub(crate) damage: Damage,
    pub(crate) admins: Admins,
    pub(crate) counts: Counts,
}

/// Runs a plan to its end or to the first breach; keeps a trace if `told`.
#[must_use]
pub fn run(plan: &Plan, told: bool) -> Run {
    let mut world = World::new(plan.clone(), told);
    world.begin();
    while world.breach.is_none() && !world.convergence.is_over() {
        let Some(((at_us, _), event)) = world.queue.pop_first() else { break };
        world.now_us = at_us;
        world.counts.events += 1;
        world.happen(event);
        if world.counts.events > MOST_EVENTS && world.breach.is_none() {
            let what = format!("{MOST_EVENTS} events, and no end");
            world.breach = Some(Breach { promise: Promise::Quiet, key: None, what });
        }
    }
    let counts = Counts { virtual_us: world.now_us, ..world.counts };
    if let Some(breach) = &world.breach {
        let text = format!("BREACH: {breach}");
        world.log.say(world.now_us, None, breach.key, || text);
    }
    Run { breach: world.breach, lines: world.log.into_lines(), counts }
}

impl World {
    pub(crate) fn new(plan: Plan, told: bool) -> Self {
        let setting = &plan.setting;
        let mut clocks = Chance::new(plan.seed, Concern::Clocks);
        let node = |index| Node::new(index, setting, &mut clocks);
        let nodes = (0..setting.slots()).map(node).collect();
        let key = |index| {
            let bucket = BucketPlan::name(setting.bucket(index));
            Key::new(&bucket[..], Blob::from(&[b'0' + index][..])).expect("a short key")
        };
        let chance = |concern| Chance::new(plan.seed, concern);
        let mut history = History::new(CLUSTER, (0..setting.keys).map(key).collect());
        let latest = |key: &u8| setting.of_key(*key).last_write_wins;
        (0..setting.keys).filter(latest).for_each(|key| history.show_latest(key));
        Self {
            now_us: 0,
            queue: BTreeMap::new(),
            queued: 0,
            nodes,
            network: Network::new(plan.seed, setting),
            sessions: (0..setting.clients).map(|client| Session::new(client, &plan)).collect(),
            calls: 0,
            pages: BTreeMap::new(),
            history,
            log: Log::new(told),
            chances: Chances {
                disk: chance(Concern::Disk),
                clients: chance(Concern::Clients),
                lives: chance(Concern::Lives),
                faults: chance(Concern::Faults),
                admins: chance(Concern::Admins),
                saves: chance(Concern::Saves),
            },
            convergence: Convergence::default(),
            breach: None,
            damage: Damage::default(),
            admins: Admins::new(&plan),
            counts: Counts::default(),
            plan,
        }
    }

    fn begin(&mut self) {
        for node in 0..self.plan.setting.nodes {
            let after_us = self.chances.lives.below(200_000);
            self.after(after_us, Event::Start { node });
        }
        for (step, at_us) in [(0, 3_000_000), (1, 4_000_000), (2, WARM_UP_US - 1)] {
            self.after(at_us, Event::Setup(step));
        }
        for client in 0..self.plan.setting.clients {
            self.after(WARM_UP_US, Event::Session { client });
        }
        for fault in 0..self.plan.faults.len() {
            self.after(self.plan.faults[fault].at_us, Event::Fault(fault));
        }
        for change in 0..self.plan.changes.len() {
            self.begin_change(change);
        }
        self.begin_recounts();
        self.after(self.plan.end_us, Event::Quiet);
    }

    /// Queues an event to happen after a time.
    pub(crate) fn after(&mut self, us: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now_us + us, self.queued), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Frame { from, to, epoch, bytes } => {
                let stands = self.network.epoch(from, to) == epoch;
                if stands && !self.network.is_blocked(from, to) {
                    self.deliver(to, Mail::Frame { from, epoch, bytes });
                }
            }
            Event::Request { to, client, call, bytes } => {
                self.deliver(to, Mail::Client { client, call, bytes });
            }
            Event::Answer { client, call, bytes } => self.hear(client, call, &bytes),
            Event::Lost { node, peer, epoch } => {
                if self.network.epoch(node, peer) == epoch {
                    self.deliver(node, Mail::Lost { peer });
                }
            }
            Event::Silence { from, to } => {
                if self.network.is_given_up(self.now_us, from, to) {
                    self.disconnect(from, to, 1_000);
                }
            }
            Event::Wake { node, life } if self.nodes[usize::from(node)].life == life => {
                self.wake(node);
            }
            Event::Disk { node, opening, step }
                if self.nodes[usize::from(node)].disk.opening == opening =>
            {
                self.deliver(node, Mail::Disk(step));
            }
            Event::Save { node, life } if self.nodes[usize::from(node)].life == life => {
                self.save(node);
            }
            // The event was for a process that has ended.
            Event::Wake { .. } | Event::Disk { .. } | Event::Save { .. } => {}
            Event::Start { node } => self.start(node),
            Event::Drain { node, life, until_us } => self.drain(node, life, until_us),
            Event::Fault(index) => self.begin_fault(index),
            Event::FaultEnd(index) => self.end_fault(index),
            Event::Session { client } => self.go_on(client),
            Event::Patience { client, call } => self.lose_patience(client, call),
            Event::Upkeep { node, life } if self.nodes[usize::from(node)].life == life => {
                self.keep_up(node);
            }
            Event::Upkeep { .. } => {}
            Event::Setup(step) => self.set_up(step),
            Event::Change(index) => self.try_change(index),
            Event::Recount(bucket) => self.try_recount(bucket),
            Event::Decide { node } => self.decide(node),
            Event::Quiet => self.quiet(),
            Event::Outage => self.step_outage(),
            Event::Audit => self.audit(),
        }
    }

    /// Adds a line about a node to the trace.
    pub(crate) fn say(&mut self, node: u8, text: impl FnOnce() -> String) {
        self.log.say(self.now_us, Some(node), None, text);
    }

    /// Notes a breach, if there is one and it is the first.
    pub(crate) fn note<T>(&mut self, result: Result<T, Breach>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(breach) => {
                self.breach.get_or_insert(breach);
                None
            }
        }
    }

    /// Returns a key of the run with its place in the ring.
    pub(crate) fn placed(&self, key: u8) -> PlacedKey {
        self.placed_key(self.history.key(key).clone())
    }

    /// Returns any key with its place in the ring.
    pub(crate) fn placed_key(&self, key: Key) -> PlacedKey {
        let partitions = PartitionCount::new(PARTITIONS).expect("a power of two");
        PlacedKey::new(CLUSTER, partitions, key)
    }
}

/// Returns the number of the run's key with this name.
pub(crate) fn key_index(key: &Key) -> Option<u8> {
    key.key().first().map(|byte| byte - b'0')
}

//! A cluster in memory: machines, a network that delays and loses, and a disk for each.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};

use jedlik_hashing::NodeId;
use jedlik_protocol::Incarnation;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::{Delta, Gossip, Life, MemberRecord, Rival};

use super::{address, at, config};
use crate::chance::Chance;
use crate::{Config, Destination, Event, Lineage, Membership, Output};

/// Number from which on places are those of second processes with one identity.
pub(crate) const TWINS: u64 = 10_000;

/// Message between two processes, each of which has a place of its own.
struct Message {
    from: u64,
    to: u64,
    gossip: Gossip,
}

pub(crate) struct Cluster {
    machines: BTreeMap<u64, Membership>,
    /// Times at which machines want to be called, with their nodes.
    timers: BTreeSet<(u64, u64)>,
    due: BTreeMap<u64, u64>,
    pub(crate) disks: BTreeMap<u64, Delta>,
    /// Nodes whose disks take nothing.
    pub(crate) full: BTreeSet<u64>,
    /// State that each node has yet to store.
    unsaved: BTreeMap<u64, (u64, Delta)>,
    starts: BTreeMap<u64, u64>,
    /// Lives that each node's disk remembers.
    lineages: BTreeMap<u64, Lineage>,
    lives: u64,
    /// Nodes that are in the cluster's configuration as seeds.
    pub(crate) seeds: Vec<u64>,
    in_flight: BTreeMap<(u64, u64), Message>,
    /// Place from which the message came that is being handled.
    caller: Option<u64>,
    sent: u64,
    pub(crate) now_us: u64,
    chance: Chance,
    pub(crate) loss_percent: u64,
    /// Links that lose everything, in both directions; the lower node first.
    pub(crate) cut: BTreeSet<(u64, u64)>,
    pub(crate) delay_us: u64,
    pub(crate) events: Vec<(u64, u64, Event)>,
    /// Everything that has happened; `None` if no trace is kept.
    pub(crate) trace: Option<Vec<String>>,
}

impl Cluster {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            machines: BTreeMap::new(),
            timers: BTreeSet::new(),
            due: BTreeMap::new(),
            disks: BTreeMap::new(),
            full: BTreeSet::new(),
            unsaved: BTreeMap::new(),
            starts: BTreeMap::new(),
            lineages: BTreeMap::new(),
            lives: 0,
            seeds: vec![1],
            in_flight: BTreeMap::new(),
            caller: None,
            sent: 0,
            now_us: 1_000_000,
            chance: Chance::new([seed; 32]),
            loss_percent: 0,
            cut: BTreeSet::new(),
            delay_us: 2_000,
            events: Vec::new(),
            trace: None,
        }
    }

    /// Makes a cluster of nodes 1 to `nodes`, started at once.
    pub(crate) fn of(nodes: u64, seed: u8) -> Self {
        let mut cluster = Self::new(seed);
        (1..=nodes).for_each(|node| cluster.start(node));
        cluster
    }

    pub(crate) fn start(&mut self, node: u64) {
        let starts = self.starts.entry(node).or_default();
        *starts += 1;
        let mut config: Config = config(node % TWINS);
        config.me.address = address(node);
        config.me.generation = *starts;
        self.lives += 1;
        config.me.life = Life::new(Incarnation(1_000_000 + self.lives));
        let lineage = self
            .lineages
            .entry(node)
            .or_insert_with(|| Lineage { lives: Vec::new(), ..Lineage::first(Incarnation(0)) });
        lineage.lives.push(config.me.life.incarnation);
        config.lineage = lineage.clone();
        config.seeds = self.seeds.iter().map(|seed| address(*seed)).collect();
        config.random_seed = [self.chance.below(256) as u8; 32];
        let stored = self.disks.get(&node).cloned();
        self.start_with(node, config, stored);
    }

    pub(crate) fn start_with(&mut self, node: u64, config: Config, stored: Option<Delta>) {
        self.machines.insert(node, Membership::new(at(self.now_us), config, stored));
        self.carry_out(node);
    }

    /// Starts a node again that lacks a life which the cluster remembers: without its data, and knowing that life.
    fn start_anew(&mut self, node: u64, forgotten: &MemberRecord) {
        let lineage = self.lineages.get_mut(&node).expect("it was started");
        lineage.lives.push(forgotten.life.incarnation);
        lineage.accounted_generation = forgotten.generation;
        lineage.lost = true;
        let starts = self.starts.entry(node).or_default();
        *starts = (*starts).max(forgotten.generation);
        self.start(node);
    }

    /// Returns a copy of a node's directory: state, number of starts, and lives.
    pub(crate) fn copy(&self, node: u64) -> (Option<Delta>, u64, Lineage) {
        let disk = self.disks.get(&node).cloned();
        (disk, self.starts[&node], self.lineages[&node].clone())
    }

    /// Puts a copy of a node's directory in place of what is there.
    pub(crate) fn put_back(&mut self, node: u64, copy: (Option<Delta>, u64, Lineage)) {
        self.wipe(node);
        self.disks.extend(copy.0.map(|disk| (node, disk)));
        self.starts.insert(node, copy.1);
        self.lineages.insert(node, copy.2);
    }

    /// Runs another process with a node's identity, under a number of its own. Messages to the node come to either,
    /// by chance.
    pub(crate) fn twin(&mut self, of: u64, config: Config) {
        let twin = of + TWINS;
        let stored = self.disks.get(&of).cloned();
        self.machines.insert(twin, Membership::new(at(self.now_us), config, stored));
        self.carry_out(twin);
    }

    /// Goes on with a running process twice, as with a machine that is resumed twice from one snapshot: the second
    /// process has all that the first one has, disk included, and a place of its own. It says that it listens there
    /// unless it `shares` the address.
    pub(crate) fn resume_twice(&mut self, node: u64, shares: bool) -> u64 {
        let twin = node + TWINS;
        let copy = self.copy(node);
        self.put_back(twin, copy);
        let mut machine = self.machines[&node].clone();
        if !shares {
            machine.config.me.address = address(twin);
        }
        self.machines.insert(twin, machine);
        self.carry_out(twin);
        twin
    }

    /// Notes in the directory which rival this process has found.
    pub(crate) fn note_rival(&mut self, place: u64) {
        let rival = self.machines[&place].config.me.life.rival;
        self.lineages.get_mut(&place).expect("it was started").rival = rival;
    }

    /// Decides for the process at this place as an admin does, and starts it again as its directory then says.
    pub(crate) fn keep(&mut self, place: u64) -> Result<Rival, Failure> {
        let at = self.machines[&place].config.me.address;
        let AdminResponse::Kept(rival) = self.admin(place, &AdminRequest::Keep { address: at })?
        else {
            panic!("a decision is answered with what it ends");
        };
        let lineage = self.lineages.get_mut(&place).expect("it was started");
        lineage.rival = None;
        if !lineage.lives.contains(&rival.incarnation) {
            lineage.lives.push(rival.incarnation);
        }
        lineage.ousts.push(rival.incarnation);
        lineage.lost = true;
        self.kill(place);
        self.start(place);
        self.with(place, |_| ());
        Ok(rival)
    }

    /// Ends a node as a crash does.
    pub(crate) fn kill(&mut self, node: u64) {
        self.machines.remove(&node);
        self.unsaved.remove(&node);
        self.set_timer(node);
    }

    fn set_timer(&mut self, node: u64) {
        if let Some(due_us) = self.due.remove(&node) {
            self.timers.remove(&(due_us, node));
        }
        if let Some(due_us) = self.machines.get(&node).and_then(Membership::poll_timeout) {
            self.due.insert(node, due_us);
            self.timers.insert((due_us, node));
        }
    }

    /// Loses a node's disk, and with it the count of its starts.
    pub(crate) fn wipe(&mut self, node: u64) {
        self.disks.remove(&node);
        self.lineages.remove(&node);
        self.forget_starts(node);
    }

    pub(crate) fn forget_starts(&mut self, node: u64) {
        self.starts.remove(&node);
    }

    /// Has a node write down how far its life has come, and then say so.
    pub(crate) fn tick(&mut self, node: u64, tick: u32) {
        let lineage = self.lineages.get_mut(&node).expect("it was started");
        let life = *lineage.lives.last().expect("the present one");
        lineage.ticks.insert(life, tick);
        let now = at(self.now_us);
        self.with(node, |machine| machine.handle_tick(now, tick));
    }

    /// Has a node's directory believed from the next start on.
    pub(crate) fn believe(&mut self, node: u64) {
        self.lineages.get_mut(&node).expect("it was started").believed = true;
    }

    pub(crate) fn leave(&mut self, node: u64) {
        let now = at(self.now_us);
        self.with(node, |machine| machine.handle_leaving(now));
    }

    pub(crate) fn outcome(&mut self, of: u64, by: u64, answered: bool) {
        let now = at(self.now_us);
        self.with(by, |machine| machine.handle_outcome(now, NodeId(of), answered));
    }

    pub(crate) fn admin(
        &mut self,
        node: u64,
        request: &AdminRequest,
    ) -> Result<AdminResponse, Failure> {
        let now = at(self.now_us);
        self.with(node, |machine| machine.handle_admin(now, request))
    }

    pub(crate) fn plan_and_commit(&mut self, node: u64) -> Result<AdminResponse, Failure> {
        let AdminResponse::Plan(report) = self.admin(node, &AdminRequest::Plan)? else {
            panic!("a plan is answered with a plan");
        };
        let (plan, lost, dry_run) = (report.plan, 0, false);
        self.admin(node, &AdminRequest::Commit { plan, lost, dry_run })
    }

    pub(crate) fn with<T>(&mut self, node: u64, call: impl FnOnce(&mut Membership) -> T) -> T {
        let result = call(self.machines.get_mut(&node).expect("the test names a running node"));
        self.carry_out(node);
        result
    }

    /// Gives a node a message of a process that does not listen at the address in its record, and returns the answers
    /// on the connection that the message came by.
    pub(crate) fn answers(&mut self, node: u64, from: u64, gossip: Gossip) -> Vec<Gossip> {
        let now = at(self.now_us);
        let machine = self.machines.get_mut(&node).expect("the test names a running node");
        machine.handle_gossip(now, NodeId(from), gossip);
        let outputs: Vec<Output> = core::iter::from_fn(|| machine.poll_output()).collect();
        let mut answers = Vec::new();
        for output in outputs {
            match output {
                Output::Send { to: Destination::Caller(_), gossip } => answers.push(gossip),
                Output::Send { to, gossip } => self.send(node, to, gossip),
                Output::Persist { state, whole } => drop(self.unsaved.insert(node, (state, whole))),
                Output::Event(event) => self.events.push((self.now_us, node, event)),
                Output::View(_) => {}
            }
        }
        self.carry_out(node);
        answers
    }

    fn carry_out(&mut self, node: u64) {
        let mut forgotten = None;
        while let Some(output) = self.machines.get_mut(&node).and_then(Membership::poll_output) {
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{} {node} {output:?}", self.now_us));
            }
            match output {
                Output::Persist { state, whole } => {
                    self.unsaved.insert(node, (state, whole));
                }
                Output::View(view) => {
                    assert!(Arc::ptr_eq(&view, &self.machines[&node].view()));
                }
                Output::Event(event) => {
                    if let Event::Forgotten(record) = &event {
                        forgotten = Some(record.clone());
                    }
                    self.events.push((self.now_us, node, event));
                }
                Output::Send { to, gossip } => self.send(node, to, gossip),
            }
        }
        if !self.full.contains(&node) && self.unsaved.contains_key(&node) {
            self.save(node);
        }
        self.set_timer(node);
        if let Some(forgotten) = forgotten {
            self.start_anew(node, &forgotten);
        }
    }

    /// Stores the state that a node has yet to store.
    pub(crate) fn save(&mut self, node: u64) {
        if let Some((state, whole)) = self.unsaved.remove(&node) {
            self.disks.insert(node, whole);
            let now = at(self.now_us);
            self.with(node, |machine| machine.handle_saved(now, state));
        }
    }

    fn send(&mut self, from: u64, to: Destination, gossip: Gossip) {
        let to = match to {
            Destination::Node(node, at) => {
                assert_eq!(u64::from(at.port()) % TWINS, node.0);
                self.listens(u64::from(at.port()))
            }
            Destination::Seed(at) => self.listens(u64::from(at.port())),
            Destination::Caller(node) => {
                let caller =
                    self.caller.expect("a caller is answered while its message is handled");
                assert_eq!(caller % TWINS, node.0);
                caller
            }
        };
        let lost = self.chance.below(100) < self.loss_percent;
        let arrives_us = self.now_us + 100 + self.chance.below(self.delay_us);
        if !lost && !self.cut.contains(&(from.min(to), from.max(to))) {
            self.sent += 1;
            self.in_flight.insert((arrives_us, self.sent), Message { from, to, gossip });
        }
    }

    /// Returns the place of the process that gets what is sent to a port: either of two that share it, by chance.
    fn listens(&mut self, port: u64) -> u64 {
        let twin = self.machines.get(&(port + TWINS));
        let shares = twin.is_some_and(|twin| twin.config.me.address == address(port));
        if shares && self.chance.below(2) == 0 { port + TWINS } else { port }
    }

    /// Lets the next event happen.
    pub(crate) fn step(&mut self) {
        let arrival = self.in_flight.first_key_value().map(|((at_us, _), _)| *at_us);
        match self.timers.first().copied() {
            Some((due_us, node)) if arrival.is_none_or(|arrival| due_us <= arrival) => {
                self.now_us = self.now_us.max(due_us);
                let now = at(self.now_us);
                self.with(node, |machine| machine.handle_timeout(now));
            }
            _ => {
                let Some(((at_us, _), message)) = self.in_flight.pop_first() else {
                    panic!("nothing is left to happen");
                };
                self.now_us = self.now_us.max(at_us);
                let now = at(self.now_us);
                if self.machines.contains_key(&message.to) {
                    let from = NodeId(message.from % TWINS);
                    self.caller = Some(message.from);
                    self.with(message.to, |machine| {
                        machine.handle_gossip(now, from, message.gossip);
                    });
                    self.caller = None;
                }
            }
        }
    }

    pub(crate) fn run_for(&mut self, us: u64) {
        let end_us = self.now_us + us;
        while self.now_us < end_us {
            self.step();
        }
    }

    /// Runs until the condition holds and returns how long that took; fails after `limit_us`.
    pub(crate) fn run_until(
        &mut self,
        what: &str,
        limit_us: u64,
        holds: impl Fn(&Self) -> bool,
    ) -> u64 {
        let start_us = self.now_us;
        while !holds(self) {
            assert!(self.now_us < start_us + limit_us, "not within {limit_us} us: {what}");
            self.step();
        }
        self.now_us - start_us
    }

    pub(crate) fn machine(&self, node: u64) -> &Membership {
        &self.machines[&node]
    }

    pub(crate) fn running(&self) -> Vec<u64> {
        self.machines.keys().copied().collect()
    }

    /// Whether all running nodes know the same, and know all running nodes.
    pub(crate) fn agrees(&self) -> bool {
        let mut known = self.machines.values().map(|machine| &machine.known);
        let first = known.next().expect("a node is running");
        let all = self.machines.keys().all(|node| first.members().contains_key(&NodeId(*node)));
        all && known.all(|other| other == first)
    }

    /// Whether all other running nodes take `node` to be up (or down).
    pub(crate) fn all_see(&self, node: u64, up: bool) -> bool {
        let mut others = self.machines.iter().filter(|(other, _)| **other != node);
        others.all(|(_, machine)| machine.view().is_alive(NodeId(node)) == up)
    }

    pub(crate) fn all_up(&self) -> bool {
        self.machines.keys().all(|node| self.all_see(*node, true))
    }

    /// Counts how often any node declared `node` down without its word.
    pub(crate) fn downs(&self, node: u64) -> usize {
        let down = Event::Down { node: NodeId(node), clean: false };
        self.events.iter().filter(|(_, _, event)| *event == down).count()
    }
}

//! One node: the real machines while it runs, and the directory that it finds when it starts.
//!
//! Invariant: as under the server, every start is a life of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_membership::{Config as MembershipConfig, Membership};
use jedlik_protocol::codec;
use jedlik_protocol::gossip::{Delta, Life, Load, MemberRecord, Ready, Speaks, Status};
use jedlik_protocol::{ClusterId, Incarnation, LayoutId, ProtocolVersion};
use jedlik_replica::{BudgetSettings, Config as ReplicaConfig, Input, Replica, ShardPast, Tuning};

use crate::chance::Chance;
use crate::clock::Clock;
use crate::directory::{Copy, Papers};
use crate::disk::{Disk, Step};
use crate::plan::Setting;

/// Identity of every run's cluster.
pub(crate) const CLUSTER: ClusterId = ClusterId(42);
pub(crate) const PARTITIONS: u32 = 16;
/// Protocol version of all nodes and clients: the oldest one, which every build knows.
pub(crate) const SPOKEN: ProtocolVersion = ProtocolVersion::OLDEST;
/// Longest life of a message: short, so that tombstones are collected within a run.
const MESSAGE_LIFE_US: u64 = 500_000;
const EXCHANGE_INTERVAL_US: u64 = 5_000_000;
const SCRUB_INTERVAL_US: u64 = 15_000_000;
/// Background steps per second that are always allowed.
const FLOOR_PER_S: u32 = 50;

/// Something that a node has to handle.
#[derive(Debug)]
pub(crate) enum Mail {
    /// `epoch`: the connection on which it came, and on which its answer goes.
    Frame {
        from: u8,
        epoch: u32,
        bytes: Bytes,
    },
    Client {
        client: u8,
        call: u64,
        bytes: Bytes,
    },
    Lost {
        peer: u8,
    },
    Disk(Step),
    Wake,
}

/// Caller that waits for an answer of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    Client {
        client: u8,
        call: u64,
    },
    /// `stale`: whether it was asked under a layout older than the node's own; `forwarded`: whether for a client.
    Peer {
        node: u8,
        id: u64,
        epoch: u32,
        stale: bool,
        forwarded: bool,
    },
}

/// Report of a replica to its node's membership.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News {
    Outcome { peer: NodeId, answered: bool },
    Ready { layout: LayoutId, partition: Partition },
    Behind { peer: NodeId },
}

/// State of a node that is lost with its process.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) replica: Replica,
    pub(crate) membership: Membership,
    pub(crate) replies: BTreeMap<u64, Origin>,
    pub(crate) next_reply: u64,
    /// Reports for the membership, which it gets at the end of a turn.
    pub(crate) news: Vec<News>,
    pub(crate) stopping: bool,
    /// Whether it has heard what others remember of it, or has waited long enough.
    pub(crate) serves: bool,
    /// Whether its storage has ended, and is being opened anew.
    pub(crate) reopening: bool,
    /// Whether the replica was told that a row without votes is not on disk yet.
    pub(crate) told_unkept: bool,
    /// Whether it stops for good.
    pub(crate) leaves: bool,
    /// Mail that came while the process stood still.
    pub(crate) backlog: Vec<Mail>,
    /// Node whose gossip is being handled, and the connection on which it came.
    pub(crate) caller: (u8, u32),
    /// Time of the wake that is set.
    pub(crate) wake_us: u64,
}

/// Node of a run, whether it runs or not; a clone has a node of its own.
#[derive(Debug)]
pub(crate) struct Node {
    /// Place among all processes.
    pub(crate) index: u8,
    /// Identity of the process, which a clone shares with its original.
    pub(crate) identity: u8,
    pub(crate) running: Option<Running>,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    /// Number of faults that hold the process up.
    pub(crate) pauses: u32,
    /// Number of faults that keep it stopped once it has stopped cleanly.
    pub(crate) stops: u32,
    /// Number of its processes so far; a message to an earlier one reaches nobody.
    pub(crate) life: u32,
    /// Time from which peers know that it is down.
    pub(crate) missed_us: u64,
    /// Whether its process was ever started.
    pub(crate) begun: bool,
    /// Whether its process has ended for good: it has left, or found itself fenced.
    pub(crate) over: bool,
    /// Whether a layout that removes it by force has come into force somewhere, whatever became of that layout; or an
    /// admin has decided for the identity's other process.
    pub(crate) removed: bool,
    /// Seeds of its present or last process.
    pub(crate) seeds: Vec<u8>,
    /// Contents of its directory about the node itself.
    pub(crate) papers: Papers,
    /// Earlier copy of its directory, if one was kept.
    copy: Option<Box<Copy>>,
    /// State that its membership wants stored and that is not yet.
    unsaved: Option<(u64, Delta)>,
    zone: u8,
    tuning: Tuning,
}

impl Node {
    pub(crate) fn new(index: u8, setting: &Setting, clocks: &mut Chance) -> Self {
        let sync_us = setting.sync_us;
        let budget = BudgetSettings {
            limit_per_s: setting.steps_per_s,
            slowdown_percent: 150,
            floor_per_s: FLOOR_PER_S.min(setting.steps_per_s),
        };
        let tuning = Tuning {
            message_life_us: MESSAGE_LIFE_US,
            exchange_interval_us: EXCHANGE_INTERVAL_US,
            scrub_interval_us: SCRUB_INTERVAL_US,
            budget,
        };
        Self {
            index,
            identity: setting.identity(index),
            running: None,
            clock: Clock::new(clocks),
            disk: Disk::new(sync_us),
            pauses: 0,
            stops: 0,
            life: 0,
            missed_us: 0,
            begun: false,
            over: false,
            removed: false,
            seeds: Vec::new(),
            papers: Papers::default(),
            copy: None,
            unsaved: None,
            zone: setting.zone(index),
            tuning,
        }
    }

    /// Whether a start may bring its disk's contents back: not if it was removed, or has ended for good. A node that
    /// still tells the others that it leaves may end before enough of them know, and be a member again.
    pub(crate) fn can_return(&self) -> bool {
        !self.removed && !self.over
    }

    /// Starts the process with these seeds.
    pub(crate) fn start(&mut self, now_us: u64, seeds: &[u8], lives: &mut Chance) {
        let (drawn, replica_seed, membership_seed) =
            (Incarnation(lives.number()), lives.bytes(), lives.bytes());
        let (incarnation, lineage) = self.papers.live_on(drawn);
        self.disk.lost_past |= lineage.lost;
        self.begun = true;
        self.seeds = seeds.to_vec();
        self.clock.started_us = now_us;
        self.disk.open();
        // It was in memory alone.
        self.disk.take_unkept();
        let now = self.clock.now(now_us);
        let clock_start = lives.number().max(1);
        let votes = self.disk.votes.clone();
        let mut replica =
            Replica::new(self.replica_config(incarnation, replica_seed, clock_start, votes));
        if let Some(trees) = self.papers.trees.take() {
            replica.restore_trees(&trees);
        }
        if self.disk.aside.is_some() && (self.disk.lost_past || replica.refilling() > 0) {
            replica.handle(now, Input::CopyAtHand);
        }
        let stored = self.papers.state.as_ref().map(|state| {
            codec::decode_knowledge(state).expect("the membership's state is what was stored")
        });
        let config = MembershipConfig {
            me: self.member(incarnation),
            cluster: CLUSTER,
            seeds: seeds.iter().copied().map(address).collect(),
            partitions: PartitionCount::new(PARTITIONS).expect("a power of two"),
            n: 3,
            random_seed: membership_seed,
            lineage,
        };
        self.running = Some(Running {
            replica,
            membership: Membership::new(now, config, stored),
            replies: BTreeMap::new(),
            next_reply: 0,
            news: Vec::new(),
            stopping: false,
            serves: false,
            reopening: false,
            told_unkept: false,
            leaves: false,
            backlog: Vec::new(),
            caller: (self.index, 0),
            wake_us: u64::MAX,
        });
    }

    pub(crate) fn replica_config(
        &self,
        incarnation: Incarnation,
        random_seed: [u8; 32],
        clock_start: u64,
        votes: Option<Vec<u8>>,
    ) -> ReplicaConfig {
        ReplicaConfig {
            me: id(self.identity),
            cluster: CLUSTER,
            incarnation,
            random_seed,
            shard: 0,
            shards: 1,
            clock_start,
            tuning: self.tuning,
            past: if self.disk.lost_past { ShardPast::Lost } else { ShardPast::Continuous },
            votes,
        }
    }

    /// Sets the contents of the directory aside, since the cluster remembers a life that it does not name.
    pub(crate) fn forget(&mut self, forgotten: &MemberRecord) {
        self.ended();
        self.disk.set_aside();
        self.papers.forget(forgotten);
    }

    /// Returns the directory as it would be found if the machine ended now.
    pub(crate) fn copied(&self) -> Copy {
        Copy { papers: self.papers.clone(), disk: self.disk.copied() }
    }

    /// Keeps a copy of the directory, in place of an earlier one.
    pub(crate) fn copy(&mut self) {
        self.copy = Some(Box::new(self.copied()));
    }

    /// Whether the node has a copy of its directory that a start recognises as old if the other node answers.
    pub(crate) fn has_copy_that_is_old_to(&self, other: &Self) -> bool {
        let node = id(self.identity);
        self.copy.as_ref().is_some_and(|copy| copy.papers.is_outdone_by(node, &other.papers))
    }

    /// Replaces the directory with the copy, if there is one. The node must not run.
    pub(crate) fn put_back(&mut self) {
        if let Some(copy) = self.copy.take() {
            self.become_copy(*copy);
        }
    }

    /// Replaces the directory with this copy.
    pub(crate) fn become_copy(&mut self, copy: Copy) {
        self.disk.replace(copy.disk);
        self.papers = copy.papers;
    }

    fn member(&self, incarnation: Incarnation) -> MemberRecord {
        MemberRecord {
            node: id(self.identity),
            name: format!("n{}", self.identity + 1),
            address: address(self.index),
            zone: zone_name(self.zone),
            weight: 1,
            life: Life::new(incarnation),
            generation: self.papers.generation,
            version: 1,
            status: Status::Up,
            layout: LayoutId::default(),
            ready: Ready::default(),
            load: Load::default(),
            speaks: Speaks {
                protocol_min: SPOKEN.number(),
                protocol_max: SPOKEN.number(),
                storage: 1,
            },
            message_life_ms: (MESSAGE_LIFE_US / 1_000) as u32,
        }
    }

    /// Has a state of the membership stored, in place of one that waits; returns whether none waited.
    pub(crate) fn persist(&mut self, state: u64, whole: Delta) -> bool {
        self.unsaved.replace((state, whole)).is_none()
    }

    /// Stores the state that waits, unless the disk has no room; returns its number.
    pub(crate) fn save(&mut self) -> Option<u64> {
        if self.disk.condition.full > 0 {
            return None;
        }
        let (state, whole) = self.unsaved.take()?;
        self.papers.state = Some(codec::encode_knowledge(&whole).into());
        let newest = whole.layouts.iter().map(|placed| placed.layout.id()).max();
        self.papers.layout = newest.unwrap_or_default();
        Some(state)
    }

    /// Handles the end of a process that stopped of its own accord.
    pub(crate) fn stopped(&mut self) {
        self.save();
        self.unsaved = None;
        let running = self.running.take();
        // Without storage nothing is closed: it is as after a crash.
        let closed = running.filter(|running| !running.reopening);
        self.life += 1;
        if closed.is_some() {
            self.disk.close();
        }
        self.papers.trees = closed.map(|running| running.replica.trees());
    }

    /// Handles the end of a process in any other way.
    pub(crate) fn ended(&mut self) {
        self.unsaved = None;
        self.running = None;
        self.papers.trees = None;
        self.life += 1;
    }

    /// Loses the disk with the directory.
    pub(crate) fn wipe(&mut self) {
        self.disk.wipe();
        self.papers = Papers::default();
    }
}

/// Returns the name of a failure domain.
pub(crate) fn zone_name(zone: u8) -> String {
    format!("z{zone}")
}

pub(crate) fn id(index: u8) -> NodeId {
    NodeId(u64::from(index) + 1)
}

pub(crate) fn index(id: NodeId) -> u8 {
    id.0 as u8 - 1
}

/// Returns the address of a node, whose port tells its place.
pub(crate) fn address(index: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7_000 + u16::from(index)))
}

pub(crate) fn at_address(address: SocketAddr) -> u8 {
    (address.port() - 7_000) as u8
}

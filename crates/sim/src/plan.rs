//! What will happen to a cluster from outside, as data: who asks what when, and what breaks when.
//!
//! Invariant: a plan is whole before it runs, so that a failing one can be made smaller by leaving out
//! operations and faults.

use std::fmt;

use jedlik_protocol::Durability;

use crate::chance::{Chance, Concern};
use crate::siege::Siege;

/// Before this, nodes meet, a layout is committed and the bucket is set; no fault, no client.
pub const WARM_UP_US: u64 = 6_000_000;
/// How long clients and faults go on in a plan made from a seed.
pub const SPAN_US: u64 = 60_000_000;

/// The surroundings of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// From 3 on; N is 3, R and W are 2.
    pub nodes: u8,
    /// How many keys clients use.
    pub keys: u8,
    /// How many clients there are.
    pub clients: u8,
    /// The weakest thing that an acknowledgement means.
    pub durability: Durability,
    /// Replicas that must sync although `durability` asks for less; 0 or W.
    pub dw: u8,
    /// The one node whose acknowledged copies may be destroyed.
    pub victim: u8,
    /// The usual time of a message under way.
    pub delay_us: u64,
    /// Messages lost, of a thousand.
    pub loss_permille: u64,
    /// Messages that arrive twice, of a thousand.
    pub duplicate_permille: u64,
    /// The usual time of one sync.
    pub sync_us: u64,
    /// The most background steps a second of each node.
    pub steps_per_s: u32,
    /// Some puts expire; then no calendar clock is set.
    pub expires: bool,
}

impl Setting {
    /// What acknowledged writes survive: all that a machine's end leaves, or a process's end.
    #[must_use]
    pub fn level(&self) -> Durability {
        if self.dw > 1 { Durability::Synced } else { self.durability }
    }
}

/// What a client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads, and keeps the context.
    Get,
    /// Writes without a context.
    Put,
    /// Reads, then writes with the context.
    GetThenPut,
    /// Writes with the context kept from its last read or write of the key.
    PutKept,
    /// Writes a tombstone without a context.
    Delete,
    /// Reads, then deletes with the context.
    GetThenDelete,
    /// Deletes with the kept context.
    DeleteKept,
}

/// One step of one client; its steps follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Not before.
    pub at_us: u64,
    /// Whose.
    pub client: u8,
    /// Which node is asked first.
    pub via: u8,
    /// Of which key.
    pub key: u8,
    /// What.
    pub kind: Kind,
    /// R of the read.
    pub r: u8,
    /// W of the write.
    pub w: u8,
    /// How long the version lives, if it is a put; `None` for ever.
    pub ttl_ms: Option<u32>,
    /// How long the node may take; the client waits a little longer.
    pub timeout_ms: u32,
}

/// Something that breaks, and is whole again after a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// From when on.
    pub at_us: u64,
    /// How long.
    pub for_us: u64,
    /// What.
    pub what: What,
}

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The node stops cleanly, and starts again.
    Stop(u8),
    /// The process ends; what it handed to the operating system stays.
    Kill(u8),
    /// The machine ends; what was not synced is gone, or part of it.
    PowerCut(u8),
    /// All machines end at once.
    Blackout,
    /// The process stands still while time passes.
    Pause(u8),
    /// The process ends and comes back with an empty directory.
    LoseDisk(u8),
    /// The stored record of a key fails its checksum.
    Rot(u8, u8),
    /// Writes to the journal fail.
    FullDisk(u8),
    /// The store refuses writes before it takes them.
    Overload(u8),
    /// Writes and syncs take a thousand times as long.
    SlowDisk(u8),
    /// Nothing gets from the first node to the second.
    Cut(u8, u8),
    /// Nothing gets to or from the node.
    Isolate(u8),
    /// The nodes of this set of bits, and the others, hear nothing of one another.
    Split(u8),
    /// Messages between the two take long.
    SlowLink(u8, u8),
    /// The connection between the two ends, with all that is under way on it.
    Disconnect(u8, u8),
    /// The node's calendar clock is set, by so many milliseconds.
    ClockJump(u8, i64),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |node: &u8| node + 1;
        match self {
            Self::Stop(node) => write!(f, "n{} stops cleanly", n(node)),
            Self::Kill(node) => write!(f, "the process of n{} ends", n(node)),
            Self::PowerCut(node) => write!(f, "the machine of n{} ends", n(node)),
            Self::Blackout => f.write_str("all machines end"),
            Self::Pause(node) => write!(f, "n{} stands still", n(node)),
            Self::LoseDisk(node) => write!(f, "n{} loses its disk", n(node)),
            Self::Rot(node, key) => write!(f, "the record of k{key} rots on n{}", n(node)),
            Self::FullDisk(node) => write!(f, "the disk of n{} is full", n(node)),
            Self::Overload(node) => write!(f, "the store of n{} refuses writes", n(node)),
            Self::SlowDisk(node) => write!(f, "the disk of n{} is slow", n(node)),
            Self::Cut(from, to) => write!(f, "nothing gets from n{} to n{}", n(from), n(to)),
            Self::Isolate(node) => write!(f, "n{} is cut off", n(node)),
            Self::Split(set) => {
                let side = (0..8).filter(|node| set >> node & 1 == 1);
                let side: Vec<String> = side.map(|node| format!("n{}", n(&node))).collect();
                write!(f, "{} and the others are apart", side.join(" "))
            }
            Self::SlowLink(a, b) => write!(f, "n{} and n{} are far apart", n(a), n(b)),
            Self::Disconnect(a, b) => write!(f, "n{} and n{} lose their connection", n(a), n(b)),
            Self::ClockJump(node, ms) => write!(f, "the clock of n{} is set by {ms} ms", n(node)),
        }
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where everything else that is left to chance comes from.
    pub seed: u64,
    /// Until when clients and faults go on.
    pub end_us: u64,
    /// The surroundings.
    pub setting: Setting,
    /// In the order of time.
    pub operations: Vec<Operation>,
    /// In the order of time.
    pub faults: Vec<Fault>,
    /// What happens once both have ended.
    pub siege: Option<Siege>,
}

impl Plan {
    /// The plan of a seed, for a cluster of so many nodes, from 3 to 8.
    #[must_use]
    pub fn of(seed: u64, nodes: u8) -> Self {
        let end_us = WARM_UP_US + SPAN_US;
        let setting = setting(nodes, &mut Chance::new(seed, Concern::Setting));
        let operations = operations(&setting, &mut Chance::new(seed, Concern::Operations));
        let faults = faults(&setting, &mut Chance::new(seed, Concern::Faults));
        let siege = Siege::of(&setting, &mut Chance::new(seed, Concern::Siege));
        Self { seed, end_us, setting, operations, faults, siege }
    }
}

fn setting(nodes: u8, chance: &mut Chance) -> Setting {
    let (durability, dw) = chance.pick(&[
        (Durability::Synced, 0),
        (Durability::Synced, 0),
        (Durability::Synced, 0),
        (Durability::Written, 0),
        (Durability::Written, 2),
        (Durability::Buffered, 0),
        (Durability::Buffered, 2),
    ]);
    let noisy = chance.permille(500);
    Setting {
        nodes,
        keys: chance.between(1, 6) as u8,
        clients: chance.between(2, 6) as u8,
        durability,
        dw,
        victim: chance.below(nodes.into()) as u8,
        delay_us: chance.magnitude(50, 3_000),
        loss_permille: if noisy { chance.magnitude(1, 60) } else { 0 },
        duplicate_permille: if noisy { chance.magnitude(1, 60) } else { 0 },
        sync_us: chance.magnitude(100, 20_000),
        steps_per_s: chance.magnitude(200, 5_000) as u32,
        expires: chance.permille(300),
    }
}

fn operations(setting: &Setting, chance: &mut Chance) -> Vec<Operation> {
    let mut operations = Vec::new();
    let kinds = some_of(&KINDS, chance);
    for client in 0..setting.clients {
        let pace_us = chance.magnitude(20_000, 3_000_000);
        let mut at_us = WARM_UP_US + chance.below(pace_us);
        while at_us < WARM_UP_US + SPAN_US {
            let kind = chance.pick(&kinds);
            // An answer of one replica promises less; see the checks.
            let r = if chance.permille(100) { chance.pick(&[1, 3]) } else { 2 };
            let w = if chance.permille(150) { chance.pick(&[1, 1, 3]) } else { 2 };
            let lives = setting.expires && chance.permille(300);
            operations.push(Operation {
                at_us,
                client,
                via: chance.below(setting.nodes.into()) as u8,
                key: chance.below(setting.keys.into()) as u8,
                kind,
                r,
                w,
                ttl_ms: lives.then(|| chance.magnitude(500, 30_000) as u32),
                timeout_ms: chance.magnitude(100, 5_000) as u32,
            });
            at_us += chance.between(1, 2 * pace_us);
        }
    }
    operations.sort_by_key(|operation| operation.at_us);
    operations
}

/// All of a list in one run, a few in another: what hides behind frequent things shows where these are
/// left out.
fn some_of<T: Copy>(all: &[T], chance: &mut Chance) -> Vec<T> {
    if chance.permille(400) {
        return all.to_vec();
    }
    (0..chance.between(2, 6)).map(|_| chance.pick(all)).collect()
}

/// The kinds of faults that [`what`] tells apart.
const FAULT_KINDS: u64 = 20;

const KINDS: [Kind; 12] = [
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::Put,
    Kind::Put,
    Kind::GetThenPut,
    Kind::GetThenPut,
    Kind::GetThenPut,
    Kind::PutKept,
    Kind::Delete,
    Kind::GetThenDelete,
    Kind::DeleteKept,
];

/// Faults at any time; some follow one another closely, often on the same node.
fn faults(setting: &Setting, chance: &mut Chance) -> Vec<Fault> {
    let count = chance.between(3, 40);
    let mut faults: Vec<Fault> = Vec::new();
    let kinds = some_of(&(0..FAULT_KINDS).collect::<Vec<_>>(), chance);
    let (mut at_us, mut node) = (WARM_UP_US, 0);
    for _ in 0..count {
        let follows = chance.permille(400);
        at_us = if follows {
            at_us + chance.magnitude(1_000, 1_000_000)
        } else {
            WARM_UP_US + chance.below(SPAN_US)
        };
        if !(follows && chance.permille(600)) {
            node = chance.below(setting.nodes.into()) as u8;
        }
        let what = what(setting, node, chance.pick(&kinds), chance);
        // Each refused write costs a fresh actor; past 64 in one clock, less is promised.
        let refuses = matches!(what, What::FullDisk(_) | What::Overload(_));
        let most_us = if refuses { 300_000 } else { 15_000_000 };
        faults.push(Fault { at_us, for_us: chance.magnitude(5_000, most_us), what });
    }
    if chance.permille(400) {
        for _ in 0..chance.between(1, 3) {
            faults.extend(relay(setting, chance));
        }
    }
    if chance.permille(300) {
        for _ in 0..chance.between(1, 10) {
            faults.extend(restart(setting, chance));
        }
    }
    faults.sort_by_key(|fault| fault.at_us);
    faults
}

/// A node is out, and when it is back another one is, for longer: so hints for the first wait with the
/// second while the cluster goes on without them.
fn relay(setting: &Setting, chance: &mut Chance) -> [Fault; 2] {
    let first = chance.below(setting.nodes.into()) as u8;
    let second = (first + chance.between(1, u64::from(setting.nodes) - 1) as u8) % setting.nodes;
    let at_us = WARM_UP_US + chance.below(SPAN_US - 25_000_000);
    let for_us = chance.between(2_000_000, 8_000_000);
    let next_us = at_us + chance.between(for_us / 2, for_us);
    let next_for_us = chance.between(10_000_000, 30_000_000);
    let mut out = |node| what(setting, node, chance.pick(&OUTAGES), chance);
    let (first, second) = (out(first), out(second));
    [
        Fault { at_us, for_us, what: first },
        Fault { at_us: next_us, for_us: next_for_us, what: second },
    ]
}

/// A node's disk is in trouble, and soon or later the node is restarted or ends.
fn restart(setting: &Setting, chance: &mut Chance) -> [Fault; 2] {
    let node = chance.below(setting.nodes.into()) as u8;
    let at_us = WARM_UP_US + chance.below(SPAN_US - 20_000_000);
    let for_us = chance.magnitude(20_000, 300_000);
    // At once it may meet what has not got through; later, what nobody thinks of any more.
    let soon = chance.permille(700);
    let then_us = chance.magnitude(for_us / 4, if soon { for_us } else { 20_000_000 });
    let then_for_us = chance.magnitude(10_000, if soon { 200_000 } else { 5_000_000 });
    let trouble = what(setting, node, chance.pick(&TROUBLES), chance);
    let end = what(setting, node, chance.pick(&ENDS), chance);
    [
        Fault { at_us, for_us, what: trouble },
        Fault { at_us: at_us + then_us, for_us: then_for_us, what: end },
    ]
}

/// The kinds of faults of disks.
const TROUBLES: [u64; 4] = [10, 11, 11, 12];
/// The kinds of ends of a process.
const ENDS: [u64; 4] = [0, 0, 2, 4];

/// The kinds of faults in which a node is out for a time.
const OUTAGES: [u64; 4] = [0, 2, 7, 14];

/// One fault within the bound: copies that were acknowledged are destroyed on the victim alone.
fn what(setting: &Setting, node: u8, kind: u64, chance: &mut Chance) -> What {
    let other = (node + chance.between(1, u64::from(setting.nodes) - 1) as u8) % setting.nodes;
    let victim = setting.victim;
    let kills = if setting.level() == Durability::Buffered { victim } else { node };
    let cuts = if setting.level() == Durability::Synced { node } else { victim };
    match kind {
        0 | 1 => What::Stop(node),
        2 | 3 => What::Kill(kills),
        4 | 5 => What::PowerCut(cuts),
        6 if setting.level() == Durability::Synced => What::Blackout,
        6 | 7 => What::Pause(node),
        8 => What::LoseDisk(victim),
        9 => What::Rot(victim, chance.below(setting.keys.into()) as u8),
        10 => What::FullDisk(node),
        11 => What::Overload(node),
        12 => What::SlowDisk(node),
        13 => What::Cut(node, other),
        14 => What::Isolate(node),
        15 => What::Split(chance.between(1, (1 << setting.nodes) - 2) as u8),
        16 => What::SlowLink(node, other),
        17 => What::Disconnect(node, other),
        18 | 19 if setting.expires => What::Isolate(node),
        18 => What::ClockJump(node, chance.magnitude(1, 3_600_000) as i64),
        _ => What::ClockJump(node, -(chance.magnitude(1, 3_600_000) as i64)),
    }
}

//! The plan of a run: everything that happens to a cluster from outside, as data: requests and faults with their times.
//!
//! Invariant: a plan is complete before it runs, so that a failing one can be made smaller by leaving out operations
//! and faults.

mod buckets;
mod change;
mod changes;
mod doubts;
mod fault;
mod faults;
mod heat;
mod hints;
mod lives;

use jedlik_protocol::Durability;

use crate::chance::{Chance, Concern};
use crate::outage::Outage;
use buckets::{buckets, reconcile, recounts};
use changes::{changes, slow_disks};
use doubts::doubts;
use faults::{ends_of_storage, faults, shortages};
use heat::heat;
use hints::rotten_hints;
use lives::{beliefs, lives, standstills};

pub use buckets::{BucketPlan, Quorums};
pub use change::{Alteration, PlannedChange, Side};
pub use fault::{Fault, What};

/// Time until which nodes meet, a layout is committed and the buckets are set, without faults or clients.
pub const WARM_UP_US: u64 = 6_000_000;
/// Time for which clients and faults go on in a plan made from a seed.
pub const SPAN_US: u64 = 60_000_000;

/// Setting of one run: its cluster, network and disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Nodes that the first layout has, at least 3.
    pub nodes: u8,
    /// Nodes that may be started later.
    pub spares: u8,
    /// Buckets of the run, at least one; keys take turns.
    pub buckets: Vec<BucketPlan>,
    /// Number of zones that the nodes are in.
    pub zones: u8,
    /// Number of keys that clients use.
    pub keys: u8,
    /// Number of clients of the run.
    pub clients: u8,
    /// Weakest durability that an acknowledgement means.
    pub durability: Durability,
    /// Whether W replicas must sync although `durability` asks for less.
    pub all_sync: bool,
    /// Node whose acknowledged copies may be destroyed; the only one.
    pub victim: u8,
    /// Usual delay of a message.
    pub delay_us: u64,
    /// Lost messages per thousand.
    pub loss_permille: u64,
    /// Messages per thousand that arrive twice.
    pub duplicate_permille: u64,
    /// Usual time that one sync takes.
    pub sync_us: u64,
    /// Most background steps per second of each node.
    pub steps_per_s: u32,
    /// Whether the victim runs twice at some time; the second process has the place after all others.
    pub cloned: bool,
    /// Whether some puts expire; then no calendar clock is set.
    pub expires: bool,
}

impl Setting {
    /// Returns the number of nodes that ever run.
    #[must_use]
    pub fn places(&self) -> u8 {
        self.nodes + self.spares
    }

    /// Returns the number of a key's bucket.
    #[must_use]
    pub fn bucket(&self, key: u8) -> u8 {
        key % self.buckets.len() as u8
    }

    /// Returns the bucket of a key.
    #[must_use]
    pub fn of_key(&self, key: u8) -> BucketPlan {
        self.buckets[usize::from(self.bucket(key))]
    }

    /// Returns the number of processes that may run at the same time: a clone has a place of its own.
    #[must_use]
    pub fn slots(&self) -> u8 {
        self.places() + u8::from(self.cloned)
    }

    /// Returns the identity of the process at this place.
    #[must_use]
    pub fn identity(&self, slot: u8) -> u8 {
        if slot == self.places() { self.victim } else { slot }
    }

    /// Returns the zone of the process at this place.
    #[must_use]
    pub fn zone(&self, slot: u8) -> u8 {
        self.identity(slot) % self.zones
    }

    /// Returns the durability that acknowledged writes have: they survive a machine's end, or a process's end.
    #[must_use]
    pub fn level(&self) -> Durability {
        if self.all_sync { Durability::Synced } else { self.durability }
    }
}

/// Kind of a client's operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Get that keeps the context.
    Get,
    /// Put without a context.
    Put,
    /// Get, then a put with its context.
    GetThenPut,
    /// Put with the context kept from the client's last get or put of the key.
    PutKept,
    /// Delete without a context.
    Delete,
    /// Get, then a delete with its context.
    GetThenDelete,
    /// Delete with the kept context.
    DeleteKept,
    /// Scan of the key's partition, page by page.
    Scan,
}

/// Operation of one client; a client's operations follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Earliest time of the operation.
    pub at_us: u64,
    /// Number of the client.
    pub client: u8,
    /// Node that is asked first.
    pub via: u8,
    /// Number of the key.
    pub key: u8,
    /// Kind of the operation.
    pub kind: Kind,
    /// R of the read; `None` for the bucket's own.
    pub r: Option<u8>,
    /// W of the write; `None` for the bucket's own.
    pub w: Option<u8>,
    /// Whether only primaries count, in each active owner set.
    pub strict: bool,
    /// Lifetime of the version that a put makes; `None` for ever.
    pub ttl_ms: Option<u32>,
    /// Time that the node may take; the client waits a little longer.
    pub timeout_ms: u32,
}

/// Plan of a whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Seed of everything else that is left to chance.
    pub seed: u64,
    /// Time at which clients and faults end.
    pub end_us: u64,
    /// Setting of the run.
    pub setting: Setting,
    /// Operations of all clients, in the order of time.
    pub operations: Vec<Operation>,
    /// Faults in the order of time.
    pub faults: Vec<Fault>,
    /// Changes of the layout, in the order of time.
    pub changes: Vec<PlannedChange>,
    /// Outage after the end of clients and faults, if there is one.
    pub outage: Option<Outage>,
}

impl Plan {
    /// Makes the plan of a seed, for a cluster of this many nodes, from 3 to 8.
    #[must_use]
    pub fn of(seed: u64, nodes: u8) -> Self {
        let end_us = WARM_UP_US + SPAN_US;
        let mut setting = setting(nodes, &mut Chance::new(seed, Concern::Setting));
        recounts(&mut setting.buckets, nodes, &mut Chance::new(seed, Concern::Recounts));
        reconcile(&mut setting.buckets, &mut Chance::new(seed, Concern::Reconciling));
        let mut chance = Chance::new(seed, Concern::Changes);
        let (mut changes, with_them) = changes(&mut setting, &mut chance);
        let mut operations = operations(&setting, &mut Chance::new(seed, Concern::Operations));
        heat(&setting, &mut operations, &mut Chance::new(seed, Concern::Heat));
        if !changes.is_empty() {
            operations.iter_mut().for_each(|asked| asked.strict = chance.permille(600));
            if chance.permille(300) {
                // One copy suffices for a write that a node took alone while it was cut off.
                operations.iter_mut().for_each(|asked| {
                    let least = setting.of_key(asked.key).min_w;
                    asked.w = if chance.permille(400) { Some(least) } else { asked.w };
                    asked.strict &= asked.w != Some(1);
                });
            }
        }
        let mut faults = faults(&setting, &mut Chance::new(seed, Concern::Faults));
        faults.extend(with_them);
        faults.extend(lives(&mut setting, &mut Chance::new(seed, Concern::Lineages)));
        faults.extend(slow_disks(&setting, &changes, &mut Chance::new(seed, Concern::SlowDisks)));
        faults.extend(shortages(&setting, &mut Chance::new(seed, Concern::Shortages)));
        faults.extend(ends_of_storage(&setting, &mut Chance::new(seed, Concern::Storage)));
        let mut chance = Chance::new(seed, Concern::Hints);
        rotten_hints(&setting, &mut faults, &mut operations, &mut chance);
        let mut chance = Chance::new(seed, Concern::Standstills);
        standstills(&setting, &mut faults, &mut operations, &mut chance);
        let mut chance = Chance::new(seed, Concern::Doubts);
        doubts(&mut setting, &mut changes, &mut faults, &mut operations, &mut chance);
        faults.extend(beliefs(&setting, &faults, &mut Chance::new(seed, Concern::Beliefs)));
        faults.sort_by_key(|fault| fault.at_us);
        let outage = Outage::of(&setting, &mut Chance::new(seed, Concern::Outage));
        Self { seed, end_us, setting, operations, faults, changes, outage }
    }
}

fn setting(nodes: u8, chance: &mut Chance) -> Setting {
    let (durability, all_sync) = chance.pick(&[
        (Durability::Synced, false),
        (Durability::Synced, false),
        (Durability::Synced, false),
        (Durability::Written, false),
        (Durability::Written, true),
        (Durability::Buffered, false),
        (Durability::Buffered, true),
    ]);
    let noisy = chance.permille(500);
    Setting {
        nodes,
        spares: 0,
        zones: 4,
        keys: chance.between(1, 6) as u8,
        buckets: buckets(nodes, chance),
        clients: chance.between(2, 6) as u8,
        durability,
        all_sync,
        victim: chance.below(nodes.into()) as u8,
        delay_us: chance.magnitude(50, 3_000),
        loss_permille: if noisy { chance.magnitude(1, 60) } else { 0 },
        duplicate_permille: if noisy { chance.magnitude(1, 60) } else { 0 },
        sync_us: chance.magnitude(100, 20_000),
        steps_per_s: chance.magnitude(200, 5_000) as u32,
        cloned: false,
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
            let key = chance.below(setting.keys.into()) as u8;
            let BucketPlan { quorums: Quorums { n, .. }, min_w, .. } = setting.of_key(key);
            // An answer of one replica promises less; see the checks.
            let r = if chance.permille(100) { Some(chance.pick(&[1, n])) } else { None };
            let w = if chance.permille(150) { Some(chance.pick(&[min_w, min_w, n])) } else { None };
            let lives = setting.expires && chance.permille(300);
            operations.push(Operation {
                at_us,
                client,
                via: chance.below(setting.nodes.into()) as u8,
                key,
                kind,
                r,
                w,
                strict: false,
                ttl_ms: lives.then(|| chance.magnitude(500, 30_000) as u32),
                timeout_ms: chance.magnitude(100, 5_000) as u32,
            });
            at_us += chance.between(1, 2 * pace_us);
        }
    }
    operations.sort_by_key(|operation| operation.at_us);
    operations
}

/// Returns the whole list in one run, and a few of its elements in another: bugs that frequent things hide show where
/// these are left out.
fn some_of<T: Copy>(all: &[T], chance: &mut Chance) -> Vec<T> {
    if chance.permille(400) {
        return all.to_vec();
    }
    (0..chance.between(2, 6)).map(|_| chance.pick(all)).collect()
}

const KINDS: [Kind; 13] = [
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
    Kind::Scan,
];

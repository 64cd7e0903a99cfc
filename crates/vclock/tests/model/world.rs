//! The model's world: nodes with memory and disk, clients with contexts, messages under way.

use jedlik_vclock::{
    ActorId, Content, Incarnation, LocalActor, Record, VectorClock, Write, WriteId, actor_for,
};

pub(crate) const NODES: usize = 4;
pub(crate) const CLIENTS: usize = 3;

/// Set of writes, by number; no history has more than 128.
type Writes = u128;

/// Rule that is broken in a history, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Kept,
    OneActorPerNode,
    KeptAcrossUncleanStart,
    KeptAfterPruning,
    KeptAfterTruncation,
    PrunedAtAnyTime,
}

/// Step that may happen next. A bit set names several nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Put {
        at: usize,
        client: usize,
    },
    PutBlind {
        at: usize,
    },
    Get {
        client: usize,
        of: u8,
    },
    Send {
        from: usize,
        to: usize,
    },
    Deliver {
        which: usize,
        again: bool,
    },
    LoseMessage {
        which: usize,
    },
    Sync {
        node: usize,
    },
    StopCleanly {
        node: usize,
    },
    Crash {
        node: usize,
    },
    LoseDisk {
        node: usize,
    },
    /// Gives a record away, as a hint is, and forgets it.
    HandOff {
        from: usize,
        to: usize,
    },
    /// All nodes hear everything and sync, and then some prune.
    Settle {
        pruning: u8,
    },
    /// These nodes forget what can be forgotten, if all the collector's conditions hold.
    Prune {
        at: u8,
    },
    Truncate {
        node: usize,
        limit: usize,
    },
}

/// Record, and the writes that it ever learnt of.
#[derive(Debug, Clone, Default)]
struct Known {
    record: Record<usize>,
    writes: Writes,
}

impl Known {
    fn merge(&mut self, other: &Self) {
        self.record.merge(&other.record);
        self.writes |= other.writes;
    }

    fn siblings(&self) -> Writes {
        let number = |content: &Content<usize>| match content {
            Content::Value(number) => *number,
            Content::Tombstone => unreachable!("the model writes values only"),
        };
        self.record.siblings().iter().fold(0, |set, s| set | 1 << number(&s.content))
    }
}

#[derive(Debug, Clone, Default)]
struct Replica {
    known: Known,
    local: Option<LocalActor>,
}

#[derive(Debug, Clone, Default)]
struct Client {
    context: VectorClock,
    seen: Writes,
}

#[derive(Debug)]
struct Node {
    memory: Replica,
    disk: Replica,
    incarnation: Incarnation,
}

pub(crate) struct World {
    rule: Rule,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    messages: Vec<(usize, Known)>,
    /// Writes that each write's client had seen.
    pasts: Vec<Writes>,
    drawn: u64,
    truncated: bool,
}

impl World {
    pub(crate) fn new(rule: Rule) -> Self {
        let node = |index| Node {
            memory: Replica::default(),
            disk: Replica::default(),
            incarnation: Incarnation(index),
        };
        Self {
            rule,
            nodes: (0..NODES as u64).map(node).collect(),
            clients: vec![Client::default(); CLIENTS],
            messages: Vec::new(),
            pasts: Vec::new(),
            drawn: NODES as u64,
            truncated: false,
        }
    }

    pub(crate) fn apply(&mut self, step: Step) {
        match step {
            Step::Put { at, client } => {
                self.clients[client] = self.put(at, &self.clients[client].clone());
            }
            Step::PutBlind { at } => {
                self.put(at, &Client::default());
            }
            Step::Get { client, of } => self.get(client, of),
            Step::Send { from, to } => {
                self.messages.push((to, self.nodes[from].memory.known.clone()));
            }
            Step::Deliver { which, again } => self.deliver(which, again),
            Step::LoseMessage { which } if !self.messages.is_empty() => {
                self.messages.swap_remove(which % self.messages.len());
            }
            Step::LoseMessage { .. } => {}
            Step::Sync { node } | Step::StopCleanly { node } => {
                self.nodes[node].disk = self.nodes[node].memory.clone();
            }
            Step::Crash { node } => self.start_uncleanly(node),
            Step::LoseDisk { node } => {
                self.nodes[node].disk = Replica::default();
                self.start_uncleanly(node);
            }
            Step::HandOff { from, to } if from != to => {
                let given = std::mem::take(&mut self.nodes[from].memory);
                self.nodes[to].memory.known.merge(&given.known);
            }
            Step::HandOff { .. } => {}
            Step::Settle { pruning } => {
                self.settle();
                self.prune(pruning);
            }
            Step::Prune { at } => self.prune(at),
            Step::Truncate { node, limit } => self.truncate(node, limit),
        }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn actor(&mut self, at: usize, context: &VectorClock) -> ActorId {
        let fresh = ActorId(self.draw());
        let node = &self.nodes[at];
        let local = node.memory.local;
        let clock = node.memory.known.record.clock();
        match self.rule {
            Rule::OneActorPerNode => ActorId(at as u64),
            Rule::KeptAfterPruning => local
                .filter(|local| local.incarnation == node.incarnation)
                .map_or(fresh, |local| local.actor),
            Rule::KeptAcrossUncleanStart => {
                let life = local.map_or(node.incarnation, |local| local.incarnation);
                actor_for(local, life, clock, context, fresh)
            }
            Rule::Kept | Rule::KeptAfterTruncation | Rule::PrunedAtAnyTime => {
                actor_for(local, node.incarnation, clock, context, fresh)
            }
        }
    }

    fn put(&mut self, at: usize, client: &Client) -> Client {
        let number = self.pasts.len();
        let actor = self.actor(at, &client.context);
        let node = &mut self.nodes[at];
        let replica = &mut node.memory;
        let write = Write {
            write_id: WriteId(number as u128),
            written_at_ms: number as u64,
            expires_at_ms: None,
            content: Content::Value(number),
        };
        replica.known.record.put(&client.context, actor, write);
        replica.known.writes |= client.seen | 1 << number;
        replica.local = Some(LocalActor { actor, incarnation: node.incarnation });
        self.pasts.push(client.seen);
        Client { context: replica.known.record.clock().clone(), seen: replica.known.writes }
    }

    fn get(&mut self, client: usize, of: u8) {
        let mut merged = Known::default();
        for node in self.named(of) {
            merged.merge(&self.nodes[node].memory.known);
        }
        self.clients[client] =
            Client { context: merged.record.clock().clone(), seen: merged.writes };
    }

    fn deliver(&mut self, which: usize, again: bool) {
        if self.messages.is_empty() {
            return;
        }
        let index = which % self.messages.len();
        let (to, known) = self.messages[index].clone();
        if !again {
            self.messages.swap_remove(index);
        }
        self.nodes[to].memory.known.merge(&known);
    }

    fn start_uncleanly(&mut self, node: usize) {
        let incarnation = Incarnation(self.draw());
        let node = &mut self.nodes[node];
        node.memory = node.disk.clone();
        node.incarnation = incarnation;
    }

    fn settle(&mut self) {
        let mut all = Known::default();
        for (_, known) in self.messages.drain(..) {
            all.merge(&known);
        }
        for node in &self.nodes {
            all.merge(&node.memory.known);
        }
        for node in &mut self.nodes {
            node.memory.known.merge(&all);
            node.disk = node.memory.clone();
        }
    }

    fn prune(&mut self, at: u8) {
        let clock = self.nodes[0].memory.known.record.clock();
        let settled = self.messages.is_empty()
            && self.nodes.iter().all(|node| {
                node.memory.known.record.clock() == clock && node.disk.known.record.clock() == clock
            });
        if !settled && self.rule != Rule::PrunedAtAnyTime {
            return;
        }
        for node in self.named(at) {
            let replica = &mut self.nodes[node].memory;
            let record = &mut replica.known.record;
            let actors: Vec<ActorId> = record.prunable().map(|entry| entry.actor).collect();
            record.prune(&actors);
            if self.rule != Rule::KeptAfterPruning {
                replica.local = replica.local.and_then(|local| local.kept_by(record.clock()));
            }
        }
    }

    fn truncate(&mut self, node: usize, limit: usize) {
        let replica = &mut self.nodes[node].memory;
        self.truncated |= replica.known.record.truncate(limit) > 0;
        if self.rule != Rule::KeptAfterTruncation {
            let clock = replica.known.record.clock();
            replica.local = replica.local.and_then(|local| local.kept_by(clock));
        }
    }

    fn named(&self, nodes: u8) -> impl Iterator<Item = usize> + use<> {
        (0..NODES).filter(move |node| nodes & 1 << node != 0)
    }

    /// Returns the writes of a set that no other write of it has seen.
    fn newest_of(&self, writes: Writes) -> Writes {
        let in_set = |number: &usize| writes & 1 << number != 0;
        let seen =
            (0..self.pasts.len()).filter(in_set).fold(0, |seen, number| seen | self.pasts[number]);
        writes & !seen
    }

    fn check_known(&self, known: &Known) -> Result<(), String> {
        let siblings = known.siblings();
        let expected = self.newest_of(known.writes);
        if !known.record.is_well_formed() {
            Err(format!("{:?} is not well formed", known.record))
        } else if expected & !siblings != 0 {
            Err(format!("writes {:#b} are lost, held are {siblings:#b}", expected & !siblings))
        } else if !self.truncated && siblings & !expected != 0 {
            Err(format!("replaced writes {:#b} are back", siblings & !expected))
        } else {
            Ok(())
        }
    }

    /// Checks that every replica and every message holds just what its history says.
    pub(crate) fn check(&self) -> Result<(), String> {
        let replicas = self.nodes.iter().map(|node| &node.memory.known);
        let messages = self.messages.iter().map(|(_, known)| known);
        replicas.chain(messages).try_for_each(|known| self.check_known(known))
    }

    /// Checks that the surviving replicas merge to one outcome in any order, and that it holds every write
    /// that one of them has learnt of, or a write that has seen it.
    pub(crate) fn check_merged_survivors(&self) -> Result<(), String> {
        let mut merged = Known::default();
        let mut backwards = Known::default();
        for (node, other) in self.nodes.iter().zip(self.nodes.iter().rev()) {
            merged.merge(&node.memory.known);
            backwards.merge(&other.memory.known);
        }
        if merged.record != backwards.record {
            return Err(format!("{:?} is not {:?}", merged.record, backwards.record));
        }
        self.check_known(&merged)
    }
}

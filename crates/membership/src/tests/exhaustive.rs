//! Every order in which a few real machines can hear of rival layouts, of removals and of one another, up to a depth:
//! conversations broken off after any message, a last message that comes late, starts in between.
//!
//! Invariant: states that know the same are looked at once, whatever order led to them. From each of them all that
//! can be heard is heard in the end, and the promises about that end are checked.

extern crate std;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use jedlik_hashing::{NodeId, Partition, PartitionCount, RingNode, plan_first};
use jedlik_protocol::gossip::{Delta, Gossip, MemberRecord, Ready, StagedChange, Staging};
use jedlik_protocol::{Incarnation, Layout, LayoutId, PartitionSet, WireLayout};
use xxhash_rust::xxh3::Xxh3;

use super::{at, config, record};
use crate::machine::NodePhase;
use crate::placement::{Required, successor};
use crate::summary;
use crate::{Destination, Event, Membership, Output};

/// Number of partitions (Q), which is small so that layouts are soon compared.
const PARTITIONS: u32 = 8;
/// Most rounds, in which every node tells every other one all, until nothing changes.
const ROUNDS_MAX: usize = 30;
/// More messages than any conversation takes.
const MESSAGES_MAX: usize = 100;
/// Numbers of messages after which a conversation may be broken off; the last stands for the whole.
const BROKEN_AFTER: [usize; 4] = [1, 2, 3, usize::MAX];

/// A commit of a layout by one node, made once while the layout that it changes is in force there.
struct Commit {
    by: u64,
    layout: Layout,
}

struct Scenario {
    name: &'static str,
    nodes: u64,
    first: Layout,
    commits: Vec<Commit>,
    /// Number of times that a node may be started anew.
    restarts: u8,
    depth: usize,
    /// Node that a side removes by force which may lose: the node ends if it hears that side alone.
    sacrificed: Option<u64>,
}

struct Late {
    from: u64,
    to: u64,
    gossip: Gossip,
}

/// One state of the whole. Machines that a step doesn't touch are shared with the state before.
#[derive(Clone)]
struct State {
    machines: BTreeMap<u64, Rc<Membership>>,
    late: Option<Rc<Late>>,
    /// Commits that were made, a bit for each.
    made: u32,
    restarts: u8,
    steps: u64,
    /// Partitions that each node has ever said to be ready for, by layout.
    ready: Rc<BTreeSet<(LayoutId, Partition, u64)>>,
    /// Nodes that have ended because they were removed.
    removed: BTreeSet<u64>,
    /// Nodes that have ended because they have left.
    left: BTreeSet<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Commit(usize),
    /// A conversation that breaks off after `messages` messages; the next one comes late, or never.
    Tell {
        from: u64,
        to: u64,
        messages: usize,
        late: bool,
    },
    Late,
    Ready(u64),
    Leave(u64),
    Restart(u64),
}

impl State {
    fn begin(scenario: &Scenario) -> Self {
        let placed = WireLayout {
            layout: scenario.first.clone(),
            flipped: (0..PARTITIONS).map(Partition).collect(),
        };
        let id = placed.layout.id();
        let member = |node| {
            let placed = scenario.first.ring.node(NodeId(node)).is_some();
            let partitions = (0..PARTITIONS).map(Partition).filter(|_| placed).collect();
            MemberRecord { layout: id, ready: Ready { layout: id, partitions }, ..record(node) }
        };
        let stored = Delta {
            members: (1..=scenario.nodes).map(member).collect(),
            layouts: vec![placed],
            ..Delta::default()
        };
        let mut state = Self {
            machines: BTreeMap::new(),
            late: None,
            made: 0,
            restarts: 0,
            steps: 1,
            ready: Rc::default(),
            removed: BTreeSet::new(),
            left: BTreeSet::new(),
        };
        (1..=scenario.nodes).for_each(|node| state.start(node, 1, stored.clone()));
        // The first to commit has heard nothing of the others' commits, which may thus come before anything else.
        for index in 0..scenario.commits.len() {
            state = state.take(scenario, Step::Commit(index)).unwrap_or(state);
        }
        state
    }

    fn start(&mut self, node: u64, generation: u64, stored: Delta) {
        let mut config = config(node);
        config.partitions = PartitionCount::new(PARTITIONS).unwrap();
        config.me.generation = generation;
        let now = at(self.steps * 1_000_000);
        let others: Vec<NodeId> = stored.members.iter().map(|record| record.node).collect();
        let mut machine = Membership::new(now, config, Some(stored));
        for other in others.into_iter().filter(|other| other.0 != node) {
            // Which nodes remember what is tested elsewhere, in `lives`.
            let (asked, layout) = (Incarnation(node), machine.view().layout_id());
            let answer = Gossip::Recalled {
                asked,
                record: None,
                layout,
                wall_ms: now.wall_ms,
                superseded_ms: None,
            };
            machine.handle_gossip(now, other, answer);
        }
        // A seed that the node does not know as a member may have been asked as well; it is no longer waited for.
        machine.look_back(at((self.steps + 1) * 1_000_000));
        self.machines.insert(node, Rc::new(machine));
        self.carry_out(node, node);
    }

    /// Has a machine do something, and returns what it sends.
    fn with(
        &mut self,
        node: u64,
        asker: u64,
        call: impl FnOnce(&mut Membership),
    ) -> Vec<(u64, u64, Gossip)> {
        let mut machine = (*self.machines[&node]).clone();
        call(&mut machine);
        self.machines.insert(node, Rc::new(machine));
        self.carry_out(node, asker)
    }

    fn carry_out(&mut self, node: u64, asker: u64) -> Vec<(u64, u64, Gossip)> {
        let (mut sent, now) = (Vec::new(), at(self.steps * 1_000_000));
        let machine = Rc::get_mut(self.machines.get_mut(&node).unwrap()).unwrap();
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Send { to, gossip } => {
                    let to = match to {
                        Destination::Node(to, _) => to.0,
                        Destination::Seed(at) => u64::from(at.port()),
                        Destination::Caller(_) => asker,
                    };
                    sent.push((node, to, gossip));
                }
                Output::Event(Event::Fenced { forced: true, .. }) => _ = self.removed.insert(node),
                Output::Event(Event::Fenced { .. } | Event::Left) => _ = self.left.insert(node),
                Output::Persist { state, .. } => machine.handle_saved(now, state),
                Output::Event(_) | Output::View(_) => {}
            }
        }
        if self.removed.contains(&node) || self.left.contains(&node) {
            // Its process ends; what it has just said may still arrive.
            self.machines.remove(&node);
        }
        sent
    }

    fn newest(&self, node: u64) -> LayoutId {
        self.machines[&node].known.history().newest_id()
    }

    fn deliver(&mut self, (from, to, gossip): (u64, u64, Gossip)) -> Vec<(u64, u64, Gossip)> {
        if !self.machines.contains_key(&to) {
            return Vec::new();
        }
        let now = at(self.steps * 1_000_000);
        self.with(to, from, |machine| machine.handle_gossip(now, NodeId(from), gossip))
    }

    fn tell(&mut self, from: u64, to: u64, messages: usize, late: bool) {
        let (mut offer, now) = (None, at(self.steps * 1_000_000));
        self.with(from, from, |machine| offer = Some(machine.offer(now)));
        let mut waiting = VecDeque::from([(from, to, offer.unwrap())]);
        let mut delivered = 0;
        while let Some(message) = waiting.pop_front() {
            if delivered == messages {
                let (from, to, gossip) = message;
                self.late = late.then(|| Rc::new(Late { from, to, gossip })).or(self.late.take());
                return;
            }
            waiting.extend(self.deliver(message));
            delivered += 1;
            assert!(delivered < MESSAGES_MAX, "{from} and {to} go on talking for ever");
        }
    }

    /// Makes a node hold all that it is to hold, for which a real one needs others.
    fn become_ready(&mut self, node: u64) {
        let now = at(self.steps * 1_000_000);
        let view = self.machines[&node].view();
        let owns = |partition: &Partition| {
            view.preference_list(*partition).iter().take(3).any(|owner| owner.0 == node)
        };
        let owned: Vec<Partition> = view.partitions().partitions().filter(owns).collect();
        let said = owned.iter().map(|partition| (view.layout_id(), *partition, node));
        Rc::make_mut(&mut self.ready).extend(said);
        self.with(node, node, |machine| {
            machine.handle_ready(now, view.layout_id(), &owned);
            machine.tell_of_itself(now);
            machine.settle();
        });
    }

    fn may_leave(&self, node: u64) -> bool {
        let view = self.machines[&node].view();
        let leaves = view.departed(NodeId(node)).is_some_and(|departed| !departed.forced);
        leaves
            && self.machines[&node].phase == NodePhase::In
            && view.flipped() == PARTITIONS
            && view.is_known_by_all()
    }

    fn take(&self, scenario: &Scenario, step: Step) -> Option<Self> {
        let mut state = self.clone();
        state.steps += 1;
        let now = at(state.steps * 1_000_000);
        match step {
            Step::Commit(index) => {
                let Commit { by, layout } = &scenario.commits[index];
                let may = self.made & 1 << index == 0 && self.machines.contains_key(by);
                if !may || self.newest(*by) != layout.parent {
                    return None;
                }
                state.made |= 1 << index;
                let placed =
                    WireLayout { layout: layout.clone(), flipped: PartitionSet::default() };
                state.with(*by, *by, |machine| {
                    for change in machine.known.merge_layout(placed) {
                        machine.changed(now, NodeId(*by), change);
                    }
                    machine.settle();
                });
            }
            Step::Tell { from, to, messages, late } => {
                if !self.machines.contains_key(&from) || late && self.late.is_some() {
                    return None;
                }
                state.tell(from, to, messages, late);
            }
            Step::Late => {
                let late = state.late.take()?;
                state.deliver((late.from, late.to, late.gossip.clone()));
            }
            Step::Ready(node) => {
                self.machines.get(&node)?;
                state.become_ready(node);
            }
            Step::Leave(node) => {
                self.machines.get(&node).filter(|_| self.may_leave(node))?;
                state.with(node, node, |machine| machine.handle_left(now));
            }
            Step::Restart(node) => {
                let machine = self.machines.get(&node)?;
                if self.restarts == scenario.restarts {
                    return None;
                }
                state.restarts += 1;
                state.start(node, machine.config.me.generation + 1, machine.to_be_stored());
            }
        }
        Some(state)
    }

    /// Hashes all that the machines know, and what is under way.
    fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        let mut number = |value: u64| hasher.update(&value.to_le_bytes());
        for (node, machine) in &self.machines {
            number(*node);
            number(machine.phase as u64);
            for record in machine.known.members().values() {
                number(record.node.0);
                number(record.generation);
                number(record.version);
                number(record.status as u64);
                number(record.layout.version);
                number(record.layout.digest);
                number(record.ready.layout.digest);
                number(summary::of_partitions(&record.ready.partitions).0);
            }
            for known in machine.known.history().layouts().iter() {
                number(known.id().version);
                number(known.id().digest);
                number(summary::of_partitions(known.flipped()).0);
            }
        }
        number(u64::from(self.made));
        number(u64::from(self.restarts));
        if let Some(late) = &self.late {
            number(late.from);
            number(late.to);
            let text = format!("{:?}", late.gossip);
            hasher.update(text.as_bytes());
        }
        hasher.digest()
    }

    /// Checks what must hold in every state.
    fn check(&self, scenario: &Scenario) -> Result<(), String> {
        let removes = |node: u64| {
            let departed =
                scenario.commits.iter().filter_map(|commit| commit.layout.departed(NodeId(node)));
            departed.into_iter().any(|departed| departed.forced)
        };
        if let Some(node) = self.removed.iter().find(|node| !removes(**node)) {
            return Err(format!("node {node} ended as removed, and no layout removes it"));
        }
        for (node, machine) in &self.machines {
            for known in machine.known.history().layouts().iter() {
                if known.id() == scenario.first.id() {
                    continue;
                }
                for partition in known.flipped().iter() {
                    let owners = known.preference_list(partition).iter().take(3);
                    let unready =
                        |owner: &&NodeId| !self.ready.contains(&(known.id(), partition, owner.0));
                    if let Some(owner) = owners.into_iter().find(unready) {
                        let id = known.id();
                        return Err(format!(
                            "node {node} has {partition} flipped under {id}, for which {owner} was never ready"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Has every node tell every other one all, and be ready for what it owns, until nothing changes.
    fn converge(&mut self) -> Result<(), String> {
        if let Some(late) = self.late.take() {
            self.deliver((late.from, late.to, late.gossip.clone()));
        }
        for _ in 0..ROUNDS_MAX {
            let before = self.hash();
            self.steps += 1;
            for node in self.machines.keys().copied().collect::<Vec<_>>() {
                if self.machines.contains_key(&node) {
                    self.become_ready(node);
                }
                if self.machines.contains_key(&node) && self.may_leave(node) {
                    let now = at(self.steps * 1_000_000);
                    self.with(node, node, |machine| machine.handle_left(now));
                }
                for other in self.machines.keys().copied().collect::<Vec<_>>() {
                    if other != node && self.machines.contains_key(&node) {
                        self.tell(node, other, usize::MAX, false);
                    }
                }
            }
            if self.hash() == before {
                return Ok(());
            }
        }
        Err("there is always something new".to_string())
    }

    /// Checks what must hold once all that can be heard was heard.
    fn check_end(&self, scenario: &Scenario) -> Result<(), String> {
        self.check(scenario)?;
        let Some(first) = self.machines.values().next() else {
            return Err("nobody is left".to_string());
        };
        let newest = first.known.newest().ok_or("no layout is left")?;
        for (node, machine) in &self.machines {
            if machine.known != first.known {
                return Err(format!("node {node} knows something else"));
            }
            if newest.layout().departed(NodeId(*node)).is_some() {
                return Err(format!("node {node} is gone by {} and runs on", newest.id()));
            }
        }
        let sacrificed = scenario.sacrificed.filter(|node| self.removed.contains(node));
        let unjust = |node: &&u64| {
            newest.layout().departed(NodeId(**node)).is_none() && Some(**node) != sacrificed
        };
        if let Some(departed) = self.removed.iter().find(unjust) {
            return Err(format!(
                "node {departed} ended as removed, and {} has a place for it",
                newest.id()
            ));
        }
        if sacrificed.is_some_and(|node| newest.layout().ring.node(NodeId(node)).is_some()) {
            // Admins remove it on this side too.
            return Ok(());
        }
        let owners = newest.layout().ring.nodes().iter();
        if let Some(dead) =
            owners.into_iter().find(|placed| !self.machines.contains_key(&placed.node.0))
        {
            return Err(format!("{} waits for node {}, which has ended", newest.id(), dead.node));
        }
        if !newest.is_settled() || first.known.history().layouts().len() > 1 {
            return Err(format!("data still moves to {}", newest.id()));
        }
        Ok(())
    }
}

fn steps(scenario: &Scenario) -> Vec<Step> {
    let nodes = 1..=scenario.nodes;
    let mut steps: Vec<Step> = (0..scenario.commits.len()).map(Step::Commit).collect();
    for from in nodes.clone() {
        for to in nodes.clone().filter(|to| *to != from) {
            for messages in BROKEN_AFTER {
                steps.push(Step::Tell { from, to, messages, late: false });
                if messages > 1 && messages < usize::MAX {
                    steps.push(Step::Tell { from, to, messages, late: true });
                }
            }
        }
        steps.extend([Step::Ready(from), Step::Leave(from), Step::Restart(from)]);
    }
    steps.push(Step::Late);
    steps
}

/// Visits all states up to the scenario's depth, the nearest first, or `states_max` of them; returns how many there
/// were.
fn explore(scenario: &Scenario, states_max: usize) -> Result<usize, String> {
    let steps = steps(scenario);
    let begin = State::begin(scenario);
    let mut known = BTreeSet::from([begin.hash()]);
    let mut frontier = vec![(begin, Vec::<Step>::new())];
    for _ in 0..scenario.depth {
        let mut next = Vec::new();
        for (state, path) in &frontier {
            for step in &steps {
                let Some(after) = state.take(scenario, *step) else { continue };
                if !known.insert(after.hash()) {
                    continue;
                }
                let mut path = path.clone();
                path.push(*step);
                let mut end = after.clone();
                let checked = after.check(scenario).and_then(|()| end.converge());
                checked
                    .and_then(|()| end.check_end(scenario))
                    .map_err(|fault| format!("{}: {fault}, after {path:?}", scenario.name))?;
                if known.len() >= states_max {
                    return Ok(known.len());
                }
                next.push((after, path));
            }
        }
        frontier = next;
    }
    Ok(known.len())
}

fn first_layout(nodes: u64) -> Layout {
    let node = |node| RingNode { node: NodeId(node), zone: "z".to_string(), weight: 1 };
    let count = PartitionCount::new(PARTITIONS).unwrap();
    let ring = plan_first((1..=nodes).map(node).collect(), count, 3).unwrap();
    Layout { version: 1, parent: LayoutId::default(), ring, departed: vec![] }
}

fn after(layout: &Layout, node: u64, change: StagedChange) -> Layout {
    let flipped = (0..PARTITIONS).map(Partition).collect();
    let mut known = crate::knowledge::Knowledge::default();
    known.merge_layout(WireLayout { layout: layout.clone(), flipped });
    let staging = Staging { base: layout.id(), revision: 1, changes: vec![(NodeId(node), change)] };
    let count = PartitionCount::new(PARTITIONS).unwrap();
    let required = Required { partitions: count, least_nodes: 2, n: 3 };
    successor(known.newest(), &staging, required).unwrap()
}

/// A layout with another weight of one node that wins, or loses, against the rival.
fn weigh(layout: &Layout, node: u64, rival: &Layout, wins: bool) -> Layout {
    let weigh =
        |weight| after(layout, node, StagedChange::Set { zone: None, weight: Some(weight) });
    let wanted = |found: &Layout| (found.id() > rival.id()) == wins;
    (2..100).map(weigh).find(wanted).expect("one weight of many has such a digest")
}

/// A scenario with four nodes, of which `first` have places, and these commits.
fn scenario(
    name: &'static str,
    first: &Layout,
    commits: Vec<(u64, Layout)>,
    restarts: u8,
) -> Scenario {
    let commits = commits.into_iter().map(|(by, layout)| Commit { by, layout }).collect();
    Scenario { name, nodes: 4, first: first.clone(), commits, restarts, depth: 6, sacrificed: None }
}

fn scenarios() -> Vec<Scenario> {
    let (three, four) = (first_layout(3), first_layout(4));
    let zone = || "z".to_string();
    let removal = after(&four, 4, StagedChange::Remove);
    let leave = after(&four, 4, StagedChange::Leave);
    let by = StagedChange::Replace { by: NodeId(4), zone: zone(), forced: true };
    let replacement = after(&three, 3, by);
    let joined = after(&three, 4, StagedChange::Join { zone: zone(), weight: 1 });
    let mut scenarios = Vec::new();
    for wins in [true, false] {
        let rival = weigh(&four, 2, &removal, wins);
        let commits = vec![(1, removal.clone()), (4, rival.clone())];
        scenarios.push(scenario("a removal, and a rival of the removed node", &four, commits, 0));
        let commits = vec![(1, removal.clone()), (3, rival)];
        scenarios.push(scenario("a removal, and a rival of one that stays", &four, commits, 1));
        let commits = vec![(1, leave.clone()), (3, weigh(&four, 2, &leave, wins))];
        scenarios.push(scenario("a leave, and a rival", &four, commits, 1));
        let commits = vec![(1, replacement.clone()), (2, weigh(&three, 2, &replacement, wins))];
        scenarios.push(scenario("a replacement by force, and a rival", &three, commits, 1));
        let commits = vec![(1, joined.clone()), (3, weigh(&three, 2, &joined, wins))];
        scenarios.push(scenario("a join, and a rival", &three, commits, 1));
    }
    let weight = || StagedChange::Set { zone: None, weight: Some(2) };
    let rival = weigh(&four, 2, &removal, true);
    let (next, last) = (after(&removal, 2, weight()), after(&rival, 1, weight()));
    let commits = vec![(1, removal), (1, next), (4, rival), (4, last)];
    scenarios.push(scenario("two commits on each side, one a removal", &four, commits, 0));
    for removed in [1, 2] {
        let removals = [(1, 4), (4, removed)];
        let commits = removals.map(|(by, node)| (by, after(&four, node, StagedChange::Remove)));
        let name = "each side removes a node of the other";
        let sacrificed = Some(removed);
        scenarios.push(Scenario { sacrificed, ..scenario(name, &four, commits.into(), 1) });
    }
    scenarios
}

#[test]
fn in_every_order_of_news_rivals_end_in_one_layout_and_only_the_removed_end() {
    // The nightly run asks for many more.
    let states_max = std::env::var("JEDLIK_STATES").ok().and_then(|states| states.parse().ok());
    let states_max = states_max.unwrap_or(800);
    for scenario in scenarios() {
        let seen = explore(&scenario, states_max).unwrap_or_else(|fault| panic!("{fault}"));
        std::println!("{}: {seen} states", scenario.name);
        assert!(seen > 100, "{}: {seen} states", scenario.name);
    }
}

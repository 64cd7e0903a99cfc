//! Laws of puts and gets, whichever nodes are up, believed up, slow or silent, and in any order of events.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;
use jedlik_protocol::peer::Doubt;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::{ME, encoded};
use crate::get::{Get, GetOutput};
use crate::put::{Put, PutOutput};
use crate::{Cause, CoordinatorCopy, ListedNode, Needs, PutSuccess, ReadPlan, WritePlan};

pub(super) const NODES: usize = 6;
pub(super) const HEDGE_US: u64 = 20_000;
pub(super) const DEADLINE_US: u64 = 5_000_000;
pub(super) const SEND_UNTIL_US: u64 = 8_000_000;

#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Answer(usize, u64),
    /// The node holds that version, or nothing, and can't say more.
    Unknown(usize, u64, Doubt),
    Lose(usize),
    Refuse(usize),
    Tick(u64),
}

pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..NODES, 0..3u64).prop_map(|(index, version)| Event::Answer(index, version)),
        1 => (0..NODES, 0..3u64, doubts()).prop_map(|(index, version, why)| {
            Event::Unknown(index, version, why)
        }),
        1 => (0..NODES).prop_map(Event::Lose),
        1 => (0..NODES).prop_map(Event::Refuse),
        1 => (1..400_000u64).prop_map(Event::Tick),
    ];
    proptest::collection::vec(event, 0..60)
}

pub(super) fn doubts() -> impl Strategy<Value = Doubt> {
    prop_oneof![Just(Doubt::Damaged), Just(Doubt::Refilling)]
}

/// Preference list of five or six nodes; this node is the first of the primaries, the first of the fallbacks,
/// or not in it.
#[derive(Debug, Clone)]
pub(super) struct Lists {
    pub(super) primaries: Vec<ListedNode>,
    pub(super) fallbacks: Vec<ListedNode>,
    /// Whether a get over it compares all.
    compares_all: bool,
}

pub(super) fn lists() -> impl Strategy<Value = Lists> {
    let alive = proptest::collection::vec(any::<bool>(), NODES);
    (1..=4usize, 0..3usize, alive, any::<bool>()).prop_map(|(n, place, alive, compares_all)| {
        let target = |index: usize| ListedNode {
            node: NodeId(index as u64 + 1),
            alive: index == 0 || alive[index],
        };
        let others: Vec<ListedNode> = (1..NODES).map(target).collect();
        Lists::placed(target(0), place, others.split_at(n), compares_all)
    })
}

impl Lists {
    /// Puts this node first among the primaries (place 0) or the fallbacks (1), or leaves it out.
    pub(super) fn placed(
        me: ListedNode,
        place: usize,
        (primaries, fallbacks): (&[ListedNode], &[ListedNode]),
        compares_all: bool,
    ) -> Self {
        let (mut primaries, mut fallbacks) = (primaries.to_vec(), fallbacks.to_vec());
        match place {
            0 => {
                primaries.insert(0, me);
                fallbacks.extend(primaries.pop());
            }
            1 => fallbacks.insert(0, me),
            _ => {}
        }
        Self { primaries, fallbacks, compares_all }
    }

    pub(super) fn write_plan(&self, needs: Needs, durability: Durability) -> WritePlan {
        WritePlan {
            me: ME,
            primaries: self.primaries.clone(),
            fallbacks: self.fallbacks.clone(),
            needs,
            durability,
            hedge_after_us: HEDGE_US,
            send_until_us: SEND_UNTIL_US,
            deadline_us: DEADLINE_US,
        }
    }

    pub(super) fn read_plan(&self, needs: Needs) -> ReadPlan {
        ReadPlan {
            me: ME,
            primaries: self.primaries.clone(),
            fallbacks: self.fallbacks.clone(),
            needs,
            filling: Vec::new(),
            compares_all: self.compares_all,
            hedge_after_us: HEDGE_US,
            silent_after_us: 2 * HEDGE_US,
            repair_until_us: SEND_UNTIL_US,
            deadline_us: DEADLINE_US,
        }
    }

    pub(super) fn is_primary(&self, node: NodeId) -> bool {
        self.primaries.iter().any(|target| target.node == node)
    }
}

pub(super) fn levels() -> impl Strategy<Value = Durability> {
    prop_oneof![Just(Durability::Buffered), Just(Durability::Written), Just(Durability::Synced)]
}

/// Request that a node has not answered yet.
#[derive(Debug, Clone)]
struct Asked {
    targets: Vec<NodeId>,
    durability: Durability,
}

/// Put with all that was asked and acknowledged.
struct Putting {
    put: Put,
    lists: Lists,
    needs: Needs,
    now_us: u64,
    under_way: BTreeMap<NodeId, Asked>,
    /// Whether an acknowledgement was synced, by the node and the primary that it is for.
    acknowledged: BTreeMap<(NodeId, NodeId), bool>,
    answers: Vec<Result<PutSuccess, bool>>,
}

impl Putting {
    fn new(lists: &Lists, needs: Needs, durability: Durability) -> Self {
        let mut putting = Self {
            put: Put::new(0, &lists.write_plan(needs, durability)),
            lists: lists.clone(),
            needs,
            now_us: 0,
            under_way: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            answers: Vec::new(),
        };
        putting.drain();
        putting
    }

    fn drain(&mut self) {
        while let Some(output) = self.put.poll_output() {
            match output {
                PutOutput::Write { node, durability } => {
                    assert!(self.lists.is_primary(node));
                    self.ask(node, alloc::vec![node], durability);
                }
                PutOutput::Hint { node, targets, durability } => {
                    assert!(targets.iter().all(|target| self.lists.is_primary(*target)));
                    assert!(!targets.contains(&node), "a hint for itself");
                    assert!(node == ME || targets.len() == 1);
                    let alive = |target: &ListedNode| target.node == node && target.alive;
                    assert!(node == ME || self.lists.fallbacks.iter().any(alive));
                    self.ask(node, targets, durability);
                }
                PutOutput::Answer(result) => self.answer(result.map_err(|short| short.timed_out)),
                PutOutput::Hedged => assert!(self.answers.is_empty()),
            }
        }
    }

    fn ask(&mut self, node: NodeId, targets: Vec<NodeId>, durability: Durability) {
        assert!(self.now_us < SEND_UNTIL_US, "sent too late");
        let before = self.under_way.insert(node, Asked { targets, durability });
        assert!(before.is_none(), "two requests under way to {node}");
    }

    fn answer(&mut self, answer: Result<PutSuccess, bool>) {
        if let Ok(ok) = &answer {
            let own = self.acknowledged.keys().filter(|(node, target)| node == target).count();
            assert!(own >= usize::from(self.needs.primaries));
            assert!(ok.acknowledged >= self.needs.answers && ok.synced >= self.needs.synced);
            assert!(self.distinct(false) >= usize::from(ok.acknowledged));
            assert!(self.distinct(true) >= usize::from(ok.synced));
            for one in &ok.by {
                let target = one.stands_in_for.unwrap_or(one.node);
                assert_eq!(self.acknowledged.get(&(one.node, target)), Some(&one.synced));
            }
        }
        self.answers.push(answer);
    }

    /// Returns how many primaries can be paired with distinct nodes that acknowledged for them.
    fn distinct(&self, synced: bool) -> usize {
        let pairs = self.acknowledged.iter().filter(|(_, is_synced)| **is_synced || !synced);
        let pairs: Vec<(NodeId, NodeId)> = pairs.map(|(pair, _)| *pair).collect();
        let targets: Vec<NodeId> = self.lists.primaries.iter().map(|target| target.node).collect();
        pairing(&pairs, &targets, &mut BTreeSet::new())
    }

    fn acknowledge(&mut self, node: NodeId) {
        let Some(asked) = self.under_way.remove(&node) else {
            return self.put.handle_acknowledgement(self.now_us, node, Durability::Synced);
        };
        for target in asked.targets {
            let synced = asked.durability == Durability::Synced;
            *self.acknowledged.entry((node, target)).or_default() |= synced;
        }
        self.put.handle_acknowledgement(self.now_us, node, asked.durability);
    }

    fn fail(&mut self, node: NodeId, cause: Cause) {
        self.under_way.remove(&node);
        self.put.handle_failure(self.now_us, node, cause);
    }

    fn is_settled(&self) -> bool {
        let settled =
            |target: &ListedNode| self.acknowledged.keys().any(|(_, t)| *t == target.node);
        self.lists.primaries.iter().all(settled)
    }
}

pub(super) fn pairing(
    pairs: &[(NodeId, NodeId)],
    targets: &[NodeId],
    used: &mut BTreeSet<NodeId>,
) -> usize {
    let Some((target, rest)) = targets.split_first() else { return 0 };
    let mut most = pairing(pairs, rest, used);
    for (node, _) in pairs.iter().filter(|(_, t)| t == target) {
        if used.insert(*node) {
            most = most.max(1 + pairing(pairs, rest, used));
            used.remove(node);
        }
    }
    most
}

/// Behaviour of a node throughout a test.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    Up { after_us: u64 },
    Lost { after_us: u64 },
    Refusing { after_us: u64 },
}

/// Generates nodes that are up, and nodes that are lost or, with `refusing`, refuse; this one is up.
pub(super) fn manners(refusing: bool) -> impl Strategy<Value = Vec<Manner>> {
    let manner = (0..3u8, 0..400_000u64).prop_map(move |(kind, after_us)| match kind {
        0 => Manner::Up { after_us },
        1 if refusing => Manner::Refusing { after_us },
        _ => Manner::Lost { after_us },
    });
    let here = (0..100_000u64).prop_map(|after_us| Manner::Up { after_us });
    (here, proptest::collection::vec(manner, NODES - 1)).prop_map(|(here, mut others)| {
        others.insert(0, here);
        others
    })
}

/// Lets a put run to its end among nodes that behave as given.
fn run(lists: &Lists, needs: Needs, durability: Durability, manners: &[Manner]) -> Putting {
    let mut putting = Putting::new(lists, needs, durability);
    let mut due: BTreeSet<(u64, NodeId)> = BTreeSet::new();
    let manner = |node: NodeId| manners[node.0 as usize - 1];
    for _ in 0..10_000 {
        for node in putting.under_way.keys() {
            if !due.iter().any(|(_, waiting)| waiting == node) {
                let (Manner::Up { after_us }
                | Manner::Lost { after_us }
                | Manner::Refusing { after_us }) = manner(*node);
                due.insert((putting.now_us + after_us, *node));
            }
        }
        if putting.put.is_done() {
            return putting;
        }
        let wake_us = putting.put.poll_timeout().expect("not done");
        match due.first().copied().filter(|(at_us, _)| *at_us < wake_us) {
            Some((at_us, node)) => {
                due.pop_first();
                putting.now_us = at_us;
                match manner(node) {
                    Manner::Up { .. } => putting.acknowledge(node),
                    Manner::Lost { .. } => putting.fail(node, Cause::Lost),
                    Manner::Refusing { .. } => putting.fail(node, Cause::Refused),
                }
            }
            None => {
                assert!(wake_us >= putting.now_us);
                putting.now_us = wake_us;
                putting.put.handle_timeout(wake_us);
            }
        }
        putting.drain();
    }
    panic!("the put does not end");
}

/// Answer that was heard of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) held: bool,
    pub(super) doubt: Option<Doubt>,
}

/// Returns whether R and PR are met by what was heard; with `relaxed` nodes count too that hold a record
/// without having a vote.
pub(super) fn is_met(
    heard: &BTreeMap<NodeId, Heard>,
    lists: &Lists,
    (r, pr): (usize, usize),
    relaxed: bool,
) -> bool {
    let without_vote =
        |heard: &Heard| relaxed && heard.held && heard.doubt == Some(Doubt::Refilling);
    let says = |heard: &Heard| heard.doubt.is_none() || without_vote(heard);
    let found = heard.values().any(|heard| heard.held && says(heard));
    let counts = |node: &NodeId, heard: &Heard| {
        says(heard) && (heard.held || found || lists.is_primary(*node))
    };
    let answers = heard.iter().filter(|(node, heard)| counts(node, heard)).count();
    let voted =
        |(node, heard): &(&NodeId, &Heard)| heard.doubt.is_none() && lists.is_primary(**node);
    answers >= r && heard.iter().filter(voted).count() >= pr
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_put_answers_once_and_success_only_when_distinct_nodes_meet_its_needs(
        events in events(), lists in lists(), w in 1..=4u8, pw in 0..=4u8, dw in 0..=4u8,
        durability in levels(),
    ) {
        let needs = Needs { answers: w, primaries: pw, synced: dw };
        let mut putting = Putting::new(&lists, needs, durability);
        for event in events.into_iter().chain([Event::Tick(DEADLINE_US), Event::Tick(SEND_UNTIL_US)]) {
            let name = |index| NodeId(index as u64 + 1);
            let was_done = putting.put.is_done();
            match event {
                Event::Answer(index, _) | Event::Unknown(index, ..) => putting.acknowledge(name(index)),
                Event::Lose(index) => putting.fail(name(index), Cause::Lost),
                Event::Refuse(index) => putting.fail(name(index), Cause::Refused),
                Event::Tick(us) => {
                    putting.now_us += us;
                    putting.put.handle_timeout(putting.now_us);
                }
            }
            assert!(!was_done || putting.put.is_done(), "nothing comes after the end");
            putting.drain();
        }
        assert_eq!(putting.answers.len(), 1);
        assert!(putting.put.is_done());
        assert_eq!(putting.put.poll_timeout(), None);
    }

    #[test]
    fn a_finished_put_is_held_by_each_primary_or_a_stand_in(
        lists in lists(), w in 1..=4u8, pw in 0..=2u8, dw in 0..=2u8, durability in levels(),
        manners in manners(true),
    ) {
        let needs = Needs { answers: w, primaries: pw, synced: dw };
        let putting = run(&lists, needs, durability, &manners);
        assert_eq!(putting.answers.len(), 1);
        assert!(putting.is_settled(), "{:?}", putting.acknowledged);
    }

    #[test]
    fn a_put_is_taken_as_long_as_enough_nodes_can_take_it(
        lists in lists(), w in 1..=4u8, durability in levels(), manners in manners(false),
    ) {
        let is_up = |node: NodeId| matches!(manners[node.0 as usize - 1], Manner::Up { .. });
        let primaries = lists.primaries.iter().filter(|target| is_up(target.node)).count();
        let fallbacks = lists.fallbacks.iter().filter(|target| target.alive && is_up(target.node));
        let listed = lists.primaries.iter().chain(&lists.fallbacks).any(|target| target.node == ME);
        let up = primaries + fallbacks.count() + usize::from(!listed);
        let enough = usize::from(w) <= up.min(lists.primaries.len());
        let putting = run(&lists, Needs { answers: w, ..Needs::default() }, durability, &manners);
        assert_eq!(putting.answers[0].is_ok(), enough, "{:?}", putting.answers);
    }

    #[test]
    fn a_coordinator_keeps_the_version_where_it_said(lists in lists(), durability in levels()) {
        let needs = Needs { answers: 1, ..Needs::default() };
        let putting = Putting::new(&lists, needs, durability);
        let here = putting.under_way.get(&ME).and_then(|asked| asked.targets.first().copied());
        let expected = match lists.write_plan(needs, durability).coordinator_copy() {
            CoordinatorCopy::Record => Some(ME),
            CoordinatorCopy::Hint(primary) => Some(primary),
            CoordinatorCopy::Nowhere => None,
        };
        assert_eq!(here, expected);
    }

    #[test]
    fn a_get_answers_once_and_success_only_when_distinct_nodes_meet_its_needs(
        events in events(), lists in lists(), r in 1..=4u8, pr in 0..=4u8,
    ) {
        let plan = lists.read_plan(Needs { answers: r, primaries: pr, synced: 0 });
        let mut get = Get::new(0, plan);
        let (mut now_us, mut answers) = (0, 0);
        let mut asked = BTreeSet::new();
        let mut failed = BTreeSet::new();
        // Who has answered, whether it had a record, and what keeps it from voting.
        let mut answered: BTreeMap<NodeId, Heard> = BTreeMap::new();
        let ticks = [Event::Tick(DEADLINE_US), Event::Tick(SEND_UNTIL_US)];
        for event in events.into_iter().chain(ticks) {
            while let Some(output) = get.poll_output() {
                match output {
                    GetOutput::ReadLocal => assert!(asked.insert(ME)),
                    GetOutput::Read { node, .. } => assert!(node != ME && asked.insert(node)),
                    GetOutput::Answer(result) => {
                        answers += 1;
                        let settled = |node: &NodeId| answered.contains_key(node) || failed.contains(node);
                        let over = asked.iter().all(settled)
                            && lists.primaries.iter().all(|target| settled(&target.node));
                        let needs = (usize::from(r), usize::from(pr));
                        let met = is_met(&answered, &lists, needs, false);
                        assert_eq!(result.is_ok(), met || over && is_met(&answered, &lists, needs, true));
                        if let Ok(record) = result {
                            let held = answered.values().any(|heard| heard.held);
                            assert_eq!(record.is_some(), held);
                        }
                    }
                    GetOutput::Repair { node, stands_in_for, .. } => {
                        assert!(answered.contains_key(&node) && now_us < SEND_UNTIL_US);
                        assert_eq!(stands_in_for.is_none(), lists.is_primary(node));
                        let known = answered.iter().any(|(n, heard)| {
                            heard.held && heard.doubt.is_none() && lists.is_primary(*n)
                        });
                        assert!(known || stands_in_for.is_none());
                    }
                    GetOutput::Hedged => assert_eq!(answers, 0),
                }
            }
            match event {
                Event::Answer(index, version) | Event::Unknown(index, version, _) => {
                    let from = NodeId(index as u64 + 1);
                    let record = (version > 0).then(|| encoded(version, "x"));
                    let doubt = match event {
                        Event::Unknown(_, _, why) => Some(why),
                        _ => None,
                    };
                    if asked.contains(&from) && !failed.contains(&from) && !answered.contains_key(&from) {
                        let held = record.is_some();
                        answered.insert(from, Heard { held, doubt });
                        match doubt {
                            Some(why) => get.handle_unknown(now_us, from, record, why),
                            None => get.handle_record(now_us, from, record),
                        }
                    }
                }
                Event::Lose(index) | Event::Refuse(index) => {
                    let from = NodeId(index as u64 + 1);
                    if asked.contains(&from) && !answered.contains_key(&from) {
                        failed.insert(from);
                    }
                    get.handle_failure(now_us, from);
                }
                Event::Tick(us) => {
                    now_us += us;
                    get.handle_timeout(now_us);
                }
            }
        }
        while let Some(output) = get.poll_output() {
            answers += u32::from(matches!(output, GetOutput::Answer(_)));
        }
        assert_eq!(answers, 1);
        assert!(get.is_done());
    }
}

//! Laws of requests over several owner sets, in any order of events; over a single set they are what the
//! plain machines are.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::peer::Doubt;
use jedlik_protocol::{Digest, Durability, EncodedRecord};
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::laws::{
    DEADLINE_US, Event, Heard, Lists, Manner, NODES, SEND_UNTIL_US, doubts, events, is_met, levels,
    lists, manners, pairing,
};
use super::{ME, encoded};
use crate::get::{Get, GetOutput};
use crate::put::{Put, PutOutput};
use crate::{
    Cause, JointGet, JointGetOutput, JointPut, JointPutOutput, ListedNode, Merged, Needs,
    PutSuccess, ReadPlan, RequestId, WritePlan,
};

fn named(index: usize) -> NodeId {
    NodeId(index as u64 + 1)
}

/// Owner sets of one to three layouts; a node is alive in all of them or in none.
fn sets() -> impl Strategy<Value = Vec<Lists>> {
    let set = (1..=4usize, 0..3usize, 0..NODES - 1);
    let alive = proptest::collection::vec(any::<bool>(), NODES);
    let sets = proptest::collection::vec(set, 1..=3);
    (sets, alive, any::<bool>()).prop_map(|(sets, alive, compares_all)| {
        let set = |(n, place, turn): (usize, usize, usize)| {
            let target =
                |index: usize| ListedNode { node: named(index), alive: index == 0 || alive[index] };
            let mut others: Vec<ListedNode> = (1..NODES).map(target).collect();
            others.rotate_left(turn);
            Lists::placed(target(0), place, others.split_at(n), compares_all)
        };
        sets.into_iter().map(set).collect()
    })
}

/// Request to a node, and its durability.
#[derive(Debug, Clone)]
struct Sent {
    node: NodeId,
    /// Primaries that the node keeps hints for; the node itself if it is to merge the record.
    targets: Vec<NodeId>,
    durability: Durability,
}

/// Put over several owner sets, with all that was asked and acknowledged.
struct Putting {
    put: JointPut,
    sets: Vec<Lists>,
    needs: Needs,
    now_us: u64,
    under_way: BTreeMap<RequestId, Sent>,
    done: Vec<Sent>,
    answers: Vec<Result<PutSuccess, bool>>,
}

impl Putting {
    fn new(sets: &[Lists], needs: Needs, durability: Durability) -> Self {
        let plans: Vec<WritePlan> =
            sets.iter().map(|set| set.write_plan(needs, durability)).collect();
        let mut putting = Self {
            put: JointPut::new(0, &plans),
            sets: sets.to_vec(),
            needs,
            now_us: 0,
            under_way: BTreeMap::new(),
            done: Vec::new(),
            answers: Vec::new(),
        };
        putting.drain();
        putting
    }

    fn drain(&mut self) {
        while let Some(output) = self.put.poll_output() {
            match output {
                JointPutOutput::Write { request, node, durability } => {
                    assert!(self.sets.iter().any(|set| set.is_primary(node)));
                    self.send(request, Sent { node, targets: alloc::vec![node], durability });
                }
                JointPutOutput::Hint { request, node, targets, durability } => {
                    let owned = |set: &Lists| targets.iter().all(|target| set.is_primary(*target));
                    assert!(self.sets.iter().any(owned) && !targets.contains(&node));
                    self.send(request, Sent { node, targets, durability });
                }
                JointPutOutput::Answer(result) => {
                    if let Ok(success) = &result {
                        self.check(success);
                    }
                    self.answers.push(result.map_err(|short| short.timed_out));
                }
                JointPutOutput::Hedged => {}
            }
        }
    }

    fn send(&mut self, request: RequestId, sent: Sent) {
        assert!(self.now_us < SEND_UNTIL_US, "sent too late");
        for other in self.under_way.values().chain(&self.done) {
            let served = other.node == sent.node
                && other.targets == sent.targets
                && other.durability >= sent.durability;
            assert!(!served, "{sent:?} was sent twice");
        }
        assert!(self.under_way.insert(request, sent).is_none(), "an id names one request");
    }

    fn check(&self, success: &PutSuccess) {
        assert!(success.acknowledged >= self.needs.answers && success.synced >= self.needs.synced);
        for set in &self.sets {
            let own = set.primaries.iter().filter(|target| self.holds(target.node, target.node));
            assert!(own.count() >= usize::from(self.needs.primaries));
            assert!(self.distinct(set, Durability::Buffered) >= usize::from(success.acknowledged));
            assert!(self.distinct(set, Durability::Synced) >= usize::from(success.synced));
        }
        let mut named = BTreeSet::new();
        for one in &success.by {
            assert!(named.insert((one.node, one.stands_in_for)), "{one:?} is named twice");
            assert!(self.holds(one.node, one.stands_in_for.unwrap_or(one.node)));
        }
    }

    fn holds(&self, node: NodeId, target: NodeId) -> bool {
        self.done.iter().any(|sent| sent.node == node && sent.targets.contains(&target))
    }

    /// Returns how many primaries of `set` can be paired with distinct nodes that hold the version for them.
    fn distinct(&self, set: &Lists, level: Durability) -> usize {
        let held = self.done.iter().filter(|sent| sent.durability >= level);
        let pair = |sent: &Sent| -> Vec<(NodeId, NodeId)> {
            sent.targets.iter().map(|target| (sent.node, *target)).collect()
        };
        let pairs: Vec<(NodeId, NodeId)> = held.flat_map(pair).collect();
        let targets: Vec<NodeId> = set.primaries.iter().map(|target| target.node).collect();
        pairing(&pairs, &targets, &mut BTreeSet::new())
    }

    fn acknowledge(&mut self, request: RequestId) {
        let Some(sent) = self.under_way.remove(&request) else {
            return self.put.handle_acknowledgement(self.now_us, request, Durability::Synced);
        };
        self.done.push(sent.clone());
        self.put.handle_acknowledgement(self.now_us, request, sent.durability);
    }

    fn fail(&mut self, request: RequestId, cause: Cause) {
        self.under_way.remove(&request);
        self.put.handle_failure(self.now_us, request, cause);
    }

    fn tick(&mut self, us: u64) {
        self.now_us += us;
        self.put.handle_timeout(self.now_us);
    }
}

/// Lets a put run to its end among nodes that behave as given.
fn run(mut putting: Putting, manners: &[Manner]) -> Putting {
    let mut due: BTreeSet<(u64, RequestId)> = BTreeSet::new();
    for _ in 0..10_000 {
        for (request, sent) in &putting.under_way {
            if !due.iter().any(|(_, waiting)| waiting == request) {
                let (Manner::Up { after_us }
                | Manner::Lost { after_us }
                | Manner::Refusing { after_us }) = manners[sent.node.0 as usize - 1];
                due.insert((putting.now_us + after_us, *request));
            }
        }
        if putting.put.is_done() {
            return putting;
        }
        let wake_us = putting.put.poll_timeout().expect("not done");
        match due.first().copied().filter(|(at_us, _)| *at_us < wake_us) {
            Some((at_us, request)) => {
                due.pop_first();
                putting.now_us = at_us;
                match manners[putting.under_way[&request].node.0 as usize - 1] {
                    Manner::Up { .. } => putting.acknowledge(request),
                    Manner::Lost { .. } => putting.fail(request, Cause::Lost),
                    Manner::Refusing { .. } => putting.fail(request, Cause::Refused),
                }
            }
            None => putting.tick(wake_us - putting.now_us),
        }
        putting.drain();
    }
    panic!("the put does not end");
}

/// Returns the output that a plain put would give in place of a joint one's, and notes the request to each node.
fn without_ids(
    output: JointPutOutput,
    ids: &mut BTreeMap<NodeId, (RequestId, Durability)>,
) -> PutOutput {
    match output {
        JointPutOutput::Write { request, node, durability } => {
            ids.insert(node, (request, durability));
            PutOutput::Write { node, durability }
        }
        JointPutOutput::Hint { request, node, targets, durability } => {
            ids.insert(node, (request, durability));
            PutOutput::Hint { node, targets, durability }
        }
        JointPutOutput::Answer(result) => PutOutput::Answer(result),
        JointPutOutput::Hedged => PutOutput::Hedged,
    }
}

/// Get over several owner sets, with all that was asked and answered.
struct Getting {
    get: JointGet,
    sets: Vec<Lists>,
    now_us: u64,
    under_way: BTreeMap<RequestId, (NodeId, Option<Digest>)>,
    asked: BTreeSet<(NodeId, Option<Digest>)>,
    answered: BTreeMap<NodeId, Heard>,
    merged: Merged,
    answers: Vec<bool>,
    repaired: Vec<(NodeId, Option<NodeId>, EncodedRecord)>,
}

impl Getting {
    fn new(sets: &[Lists], needs: Needs) -> Self {
        let plans: Vec<ReadPlan> = sets.iter().map(|set| set.read_plan(needs)).collect();
        Self {
            get: JointGet::new(0, &plans),
            sets: sets.to_vec(),
            now_us: 0,
            under_way: BTreeMap::new(),
            asked: BTreeSet::new(),
            answered: BTreeMap::new(),
            merged: Merged::default(),
            answers: Vec::new(),
            repaired: Vec::new(),
        }
    }

    fn drain(&mut self, needs: Needs) {
        while let Some(output) = self.get.poll_output() {
            match output {
                JointGetOutput::ReadLocal { request } => self.ask(request, ME, None),
                JointGetOutput::Read { request, node, known } => {
                    assert_ne!(node, ME);
                    self.ask(request, node, known);
                }
                JointGetOutput::Answer(result) => {
                    if let Ok(record) = &result {
                        assert_eq!(record.as_ref(), self.merged.record());
                        self.check(needs);
                    }
                    self.answers.push(result.is_ok());
                }
                JointGetOutput::Repair { node, stands_in_for, record, .. } => {
                    assert!(self.answered.contains_key(&node) && self.now_us < SEND_UNTIL_US);
                    let target = stands_in_for.unwrap_or(node);
                    assert!(self.sets.iter().any(|set| set.is_primary(target)));
                    let repaired = (node, stands_in_for, record);
                    assert!(!self.repaired.contains(&repaired), "{repaired:?} is repaired twice");
                    self.repaired.push(repaired);
                }
                JointGetOutput::Hedged => {}
            }
        }
    }

    fn ask(&mut self, request: RequestId, node: NodeId, known: Option<Digest>) {
        assert!(self.asked.insert((node, known)), "{node} is asked the same twice");
        assert!(self.under_way.insert(request, (node, known)).is_none());
    }

    /// Returns whether R and PR are met in each set: by primaries that vote, and where something was found by fallbacks
    /// as well; where nobody is left to ask, also by nodes that hold a record without having a vote.
    fn check(&self, needs: Needs) {
        let needs = (usize::from(needs.answers), usize::from(needs.primaries));
        let found = self.answered.values().any(|heard| heard.held);
        for set in &self.sets {
            let listed = |node: &NodeId| {
                set.primaries.iter().chain(&set.fallbacks).any(|target| target.node == *node)
            };
            let heard = self.answered.iter().filter(|(node, _)| listed(node));
            let mut heard: BTreeMap<NodeId, Heard> = heard.map(|(n, h)| (*n, *h)).collect();
            if found {
                // A node of another set found it.
                heard.insert(NodeId(u64::MAX), Heard { held: true, doubt: None });
                assert!(is_met(&heard, set, (needs.0 + 1, needs.1), true));
            } else {
                assert!(is_met(&heard, set, needs, false));
            }
        }
    }

    fn reply(&mut self, request: RequestId, version: u64, doubt: Option<Doubt>) {
        let record = (version > 0).then(|| encoded(version, "x"));
        let Some((node, known)) = self.under_way.remove(&request) else {
            return self.get.handle_record(self.now_us, request, record);
        };
        let heard = Heard { held: record.is_some(), doubt };
        let before = self.answered.insert(node, heard);
        // Who is asked twice, by two sets, may have lost its vote between.
        if before.is_some_and(|before| before.doubt.is_none()) {
            self.answered.insert(node, Heard { doubt: None, ..heard });
        }
        if doubt.is_none() && known.is_some() && known == record.as_ref().map(EncodedRecord::digest)
        {
            return self.get.handle_same(self.now_us, request);
        }
        if let Some(record) = record.clone() {
            self.merged.add(record).expect("a record");
        }
        match doubt {
            Some(why) => self.get.handle_unknown(self.now_us, request, record, why),
            None => self.get.handle_record(self.now_us, request, record),
        }
    }

    fn fail(&mut self, request: RequestId) {
        if let Some(asked) = self.under_way.remove(&request) {
            // Whoever asks later asks anew.
            self.asked.remove(&asked);
        }
        self.get.handle_failure(self.now_us, request);
    }
}

/// Generates events, each of which names a request by its place among those under way.
fn requests() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        5 => (0..12usize, 0..4u64).prop_map(|(index, version)| Event::Answer(index, version)),
        1 => (0..12usize, 0..4u64, doubts()).prop_map(|(index, version, why)| {
            Event::Unknown(index, version, why)
        }),
        1 => (0..12usize).prop_map(Event::Lose),
        1 => (0..12usize).prop_map(Event::Refuse),
        1 => (1..400_000u64).prop_map(Event::Tick),
    ];
    proptest::collection::vec(event, 0..60)
}

/// Returns the request under way at `index`, or one that never was.
fn pick<V>(under_way: &BTreeMap<RequestId, V>, index: usize) -> RequestId {
    under_way.keys().nth(index % under_way.len().max(1)).copied().unwrap_or(RequestId(1_000))
}

const LAST_TICKS: [Event; 2] = [Event::Tick(DEADLINE_US), Event::Tick(SEND_UNTIL_US)];

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_put_over_one_owner_set_is_that_sets_put(
        events in events(), lists in lists(), w in 1..=4u8, pw in 0..=4u8, dw in 0..=4u8,
        durability in levels(),
    ) {
        let plan = lists.write_plan(Needs { answers: w, primaries: pw, synced: dw }, durability);
        let mut plain = Put::new(0, &plan);
        let mut joint = JointPut::new(0, core::slice::from_ref(&plan));
        assert_eq!(JointPut::coordinator_copy(core::slice::from_ref(&plan)), plan.coordinator_copy());
        let (mut now_us, mut ids) = (0, BTreeMap::new());
        for event in events.into_iter().chain(LAST_TICKS) {
            while let Some(said) = joint.poll_output() {
                assert_eq!(plain.poll_output(), Some(without_ids(said, &mut ids)));
            }
            assert_eq!(plain.poll_output(), None);
            assert_eq!((plain.is_done(), plain.poll_timeout()), (joint.is_done(), joint.poll_timeout()));
            match event {
                Event::Answer(index, _) | Event::Unknown(index, ..) => if let Some((id, level)) = ids.remove(&named(index)) {
                    plain.handle_acknowledgement(now_us, named(index), level);
                    joint.handle_acknowledgement(now_us, id, level);
                },
                Event::Lose(index) => if let Some((id, _)) = ids.remove(&named(index)) {
                    plain.handle_failure(now_us, named(index), Cause::Lost);
                    joint.handle_failure(now_us, id, Cause::Lost);
                },
                Event::Refuse(index) => if let Some((id, _)) = ids.remove(&named(index)) {
                    plain.handle_failure(now_us, named(index), Cause::Refused);
                    joint.handle_failure(now_us, id, Cause::Refused);
                },
                Event::Tick(us) => {
                    now_us += us;
                    plain.handle_timeout(now_us);
                    joint.handle_timeout(now_us);
                }
            }
        }
    }

    #[test]
    fn a_get_over_one_owner_set_is_that_sets_get(
        events in events(), lists in lists(), r in 1..=4u8, pr in 0..=4u8,
    ) {
        let plan = lists.read_plan(Needs { answers: r, primaries: pr, synced: 0 });
        let mut joint = JointGet::new(0, core::slice::from_ref(&plan));
        let mut plain = Get::new(0, plan);
        let (mut now_us, mut ids) = (0, BTreeMap::new());
        for event in events.into_iter().chain(LAST_TICKS) {
            while let Some(said) = joint.poll_output() {
                let said = match said {
                    JointGetOutput::ReadLocal { request } => {
                        ids.insert(ME, (request, None));
                        GetOutput::ReadLocal
                    }
                    JointGetOutput::Read { request, node, known } => {
                        ids.insert(node, (request, known));
                        GetOutput::Read { node, known }
                    }
                    JointGetOutput::Answer(result) => GetOutput::Answer(result),
                    JointGetOutput::Repair { node, stands_in_for, record, cause } => {
                        GetOutput::Repair { node, stands_in_for, record, cause }
                    }
                    JointGetOutput::Hedged => GetOutput::Hedged,
                };
                assert_eq!(plain.poll_output(), Some(said));
            }
            assert_eq!(plain.poll_output(), None);
            assert_eq!((plain.is_done(), plain.poll_timeout()), (joint.is_done(), joint.poll_timeout()));
            assert_eq!((plain.answered(), plain.primaries()), (joint.answered(), joint.primaries()));
            match event {
                Event::Answer(index, version) => if let Some((id, known)) = ids.remove(&named(index)) {
                    let record = (version > 0).then(|| encoded(version, "x"));
                    if known.is_some() && known == record.as_ref().map(EncodedRecord::digest) {
                        plain.handle_same(now_us, named(index));
                        joint.handle_same(now_us, id);
                    } else {
                        plain.handle_record(now_us, named(index), record.clone());
                        joint.handle_record(now_us, id, record);
                    }
                },
                Event::Unknown(index, version, why) => if let Some((id, _)) = ids.remove(&named(index)) {
                    let record = (version > 0).then(|| encoded(version, "x"));
                    plain.handle_unknown(now_us, named(index), record.clone(), why);
                    joint.handle_unknown(now_us, id, record, why);
                },
                Event::Lose(index) | Event::Refuse(index) => {
                    if let Some((id, _)) = ids.remove(&named(index)) {
                        plain.handle_failure(now_us, named(index));
                        joint.handle_failure(now_us, id);
                    }
                }
                Event::Tick(us) => {
                    now_us += us;
                    plain.handle_timeout(now_us);
                    joint.handle_timeout(now_us);
                }
            }
        }
    }

    #[test]
    fn a_put_succeeds_only_when_its_needs_are_met_in_each_owner_set(
        events in requests(), sets in sets(), w in 1..=3u8, pw in 0..=2u8, dw in 0..=2u8,
        durability in levels(),
    ) {
        let needs = Needs { answers: w, primaries: pw, synced: dw };
        let mut putting = Putting::new(&sets, needs, durability);
        for event in events.into_iter().chain(LAST_TICKS) {
            match event {
                Event::Answer(index, _) | Event::Unknown(index, ..) => {
                    putting.acknowledge(pick(&putting.under_way, index));
                }
                Event::Lose(index) => putting.fail(pick(&putting.under_way, index), Cause::Lost),
                Event::Refuse(index) => putting.fail(pick(&putting.under_way, index), Cause::Refused),
                Event::Tick(us) => putting.tick(us),
            }
            putting.drain();
        }
        assert_eq!(putting.answers.len(), 1);
        assert!(putting.put.is_done() && putting.put.poll_timeout().is_none());
    }

    #[test]
    fn a_finished_put_is_held_by_each_primary_of_each_owner_set_or_a_stand_in(
        sets in sets(), w in 1..=4u8, pw in 0..=2u8, dw in 0..=2u8, durability in levels(),
        manners in manners(true),
    ) {
        let needs = Needs { answers: w, primaries: pw, synced: dw };
        let putting = run(Putting::new(&sets, needs, durability), &manners);
        assert_eq!(putting.answers.len(), 1);
        for target in sets.iter().flat_map(|set| &set.primaries) {
            let held = putting.done.iter().any(|sent| sent.targets.contains(&target.node));
            assert!(held, "nobody holds it for {}", target.node);
        }
    }

    #[test]
    fn a_put_is_taken_as_long_as_each_owner_set_can_take_it(
        sets in sets(), w in 1..=4u8, durability in levels(), manners in manners(false),
    ) {
        let needs = Needs { answers: w, ..Needs::default() };
        let putting = run(Putting::new(&sets, needs, durability), &manners);
        let is_up = |node: NodeId| matches!(manners[node.0 as usize - 1], Manner::Up { .. });
        let enough = sets.iter().all(|set| {
            let primaries = set.primaries.iter().filter(|target| is_up(target.node)).count();
            let fallbacks = set.fallbacks.iter().filter(|target| target.alive && is_up(target.node));
            let listed = set.primaries.iter().chain(&set.fallbacks).any(|target| target.node == ME);
            let up = primaries + fallbacks.count() + usize::from(!listed);
            usize::from(w) <= up.min(set.primaries.len())
        });
        assert_eq!(putting.answers[0].is_ok(), enough, "{:?}", putting.answers);
    }

    #[test]
    fn a_get_succeeds_only_when_its_needs_are_met_in_each_owner_set(
        events in requests(), sets in sets(), r in 1..=3u8, pr in 0..=2u8,
    ) {
        let needs = Needs { answers: r, primaries: pr, synced: 0 };
        let mut getting = Getting::new(&sets, needs);
        getting.drain(needs);
        for event in events.into_iter().chain(LAST_TICKS) {
            match event {
                Event::Answer(index, version) => {
                    getting.reply(pick(&getting.under_way, index), version, None);
                }
                Event::Unknown(index, version, why) => {
                    getting.reply(pick(&getting.under_way, index), version, Some(why));
                }
                Event::Lose(index) | Event::Refuse(index) => {
                    getting.fail(pick(&getting.under_way, index));
                }
                Event::Tick(us) => {
                    getting.now_us += us;
                    getting.get.handle_timeout(getting.now_us);
                }
            }
            getting.drain(needs);
        }
        assert_eq!(getting.answers.len(), 1);
        assert!(getting.get.is_done() && getting.get.poll_timeout().is_none());
    }
}

//! A worker's job step by step: what it asks for, when it waits, and what counts at its end.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use jedlik_hashing::PartitionCount;
use jedlik_merkle::LEAF_BITS;
use jedlik_protocol::peer::{DigestEntry, DigestPage};
use jedlik_protocol::{Digest, Key};
use jedlik_storage_port::RecordMeta;
use proptest::collection::vec as vec_of;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::trees::TreeChange;

const PARTITION: Partition = Partition(1);
const ELSEWHERE: Partition = Partition(2);
const N: u8 = 3;
const PEER: NodeId = NodeId(2);
const OTHER: NodeId = NodeId(3);
const COMPARE: JobKind = JobKind::Compare { with: With::All, scrub: false };
const SCRUB: JobKind = JobKind::Compare { with: With::All, scrub: true };
/// All kinds of jobs, and whether the peer's vote counts in them.
const KINDS: [(JobKind, bool); 6] = [
    (COMPARE, false),
    (SCRUB, false),
    (JobKind::Inbound, true),
    (JobKind::Outbound, false),
    (JobKind::Refill, true),
    (JobKind::Thin, false),
];
const LIFE: Incarnation = Incarnation(1);
const VOTES: Option<(Incarnation, Vouching)> = Some((LIFE, Vouching::Votes));

fn partitions() -> PartitionCount {
    PartitionCount::new(8).unwrap()
}

/// Returns a key whose record is in this leaf.
fn key_in(leaf: u16) -> PlacedKey {
    let (position, _) = partitions().leaf_range(PARTITION, leaf.into(), LEAF_BITS);
    PlacedKey { partition: PARTITION, position, key: Key::new("b", "k").unwrap() }
}

fn record_in(leaf: u16) -> TreeChange {
    let meta = RecordMeta { digest: Digest(leaf.into()), bytes: 10 };
    TreeChange::new(partitions(), &key_in(leaf), N, None, Some(meta))
}

/// Worker at its job, and the trees that it works with.
#[derive(Debug)]
struct Work {
    worker: ExchangeWorker,
    trees: Trees,
    exchanges: u64,
}

impl Work {
    /// Begins a job on a partition whose records have yet to be read.
    fn unread(kind: JobKind) -> Self {
        let mut trees = Trees::default();
        trees.keep(PARTITION);
        Self::begun(kind, trees)
    }

    /// Begins a job on a partition whose tree is whole, with a record in each of these leaves.
    fn whole(kind: JobKind, leaves: &[u16]) -> Self {
        let mut trees = Trees::default();
        trees.keep(PARTITION);
        trees.begin_reading(PARTITION);
        trees.read(1, PARTITION, leaves.iter().map(|leaf| record_in(*leaf)), None);
        Self::begun(kind, trees)
    }

    /// Begins a job on a partition whose tree is whole and whose peers were chosen; the last comes first.
    fn comparing(kind: JobKind, leaves: &[u16], left: &[(u8, NodeId)]) -> Self {
        let mut work = Self::whole(kind, leaves);
        if kind == SCRUB {
            work.page(leaves, None);
            work.expect(&["choose"]);
        }
        work.compare(left);
        work
    }

    fn begun(kind: JobKind, mut trees: Trees) -> Self {
        let mut worker = ExchangeWorker::default();
        worker.begin(PartitionJob { partition: PARTITION, kind }, &mut trees);
        Self { worker, trees, exchanges: 0 }
    }

    fn step(&mut self) -> Option<WorkerStep> {
        self.worker.step(&self.trees, &mut self.exchanges)
    }

    /// Returns the next step in words.
    fn next(&mut self) -> String {
        let Some(step) = self.step() else { return "waits".into() };
        match step {
            WorkerStep::ReadPage { reading, after, .. } => {
                let after = after.map(|key| partitions().leaf(key.position, LEAF_BITS));
                format!("page of reading {reading} after {after:?}")
            }
            WorkerStep::Choose(_) => "choose".into(),
            WorkerStep::AskVote { id, peer, n, .. } => format!("{id}: vote of {} for {n}", peer.0),
            WorkerStep::Exchange { id, output, .. } => match output {
                ExchangeOutput::AskHashes { branch, .. } => format!("{id}: hashes {branch:?}"),
                ExchangeOutput::LoadDigests { first_leaf, last_leaf, clocks } => {
                    format!("{id}: own {first_leaf} to {last_leaf}, clocks {clocks}")
                }
                ExchangeOutput::AskDigests { .. } => format!("{id}: digests"),
                ExchangeOutput::Fetch { first_leaf, last_leaf, .. } => {
                    format!("{id}: fetch {first_leaf} to {last_leaf}")
                }
                ExchangeOutput::Pull { .. } => format!("{id}: pull"),
                ExchangeOutput::Push { .. } => format!("{id}: push"),
            },
            WorkerStep::Ended(Ended { n, peer, finished, put_off, vouching, .. }) => {
                let how = if finished { "finished" } else { "failed" };
                let put_off = if put_off { ", put off" } else { "" };
                format!("with {} for {n} {how}{put_off}: {vouching:?}", peer.0)
            }
            WorkerStep::Done(Done { whole, changes, .. }) => {
                format!("done, {whole}, {changes} changes")
            }
        }
    }

    fn expect(&mut self, steps: &[&str]) {
        for step in steps {
            assert_eq!(self.next(), *step, "of {steps:?} in {:?}", self.worker.job());
        }
    }

    /// Takes in the page that was asked for, with records in these leaves; `until` is `None` for the last one.
    fn page(&mut self, leaves: &[u16], until: Option<u16>) {
        if !self.worker.reads(PARTITION) {
            self.step().expect("a page is asked for");
        }
        assert!(self.worker.reads(PARTITION), "the worker waits for the page");
        let page = leaves.iter().map(|leaf| record_in(*leaf));
        self.trees.read(1, PARTITION, page, until.map(key_in));
        self.worker.page_read();
    }

    fn compare(&mut self, left: &[(u8, NodeId)]) {
        self.worker.compare(left.to_vec(), &self.trees);
    }

    fn exchange(&mut self, id: u64) -> &mut Exchange {
        self.worker.exchange(id).expect("it is under way")
    }
}

#[test]
fn a_worker_without_a_job_is_idle_and_takes_no_step() {
    let mut work = Work::whole(COMPARE, &[]);
    work.worker.clear();
    assert!(work.worker.is_idle() && work.worker.job().is_none());
    assert!(!work.worker.is_at(PARTITION) && work.worker.progress().is_none());
    work.compare(&[(N, PEER)]);
    work.worker.page_read();
    work.worker.vote(1, VOTES);
    work.worker.put_off(1);
    assert!(work.worker.is_idle());
    work.expect(&["waits"]);
}

#[test]
fn a_partition_that_is_not_whole_is_read_page_after_page_before_peers_are_chosen() {
    for (kind, _) in KINDS {
        let mut work = Work::unread(kind);
        let job = PartitionJob { partition: PARTITION, kind };
        assert!(!work.worker.reads(PARTITION), "no page was asked for yet");
        work.expect(&["page of reading 1 after None", "waits", "waits"]);
        assert!(work.worker.reads(PARTITION) && !work.worker.reads(ELSEWHERE));
        work.trees.read(1, PARTITION, [record_in(3)].into_iter(), Some(key_in(5)));
        work.expect(&["waits"]);
        work.worker.page_read();
        assert!(!work.worker.reads(PARTITION));
        work.compare(&[(N, PEER)]);
        work.expect(&["page of reading 1 after Some(5)", "waits"]);
        work.page(&[], Some(8));
        work.expect(&["page of reading 1 after Some(8)"]);
        work.page(&[9], None);
        assert_eq!(work.worker.job(), Some(job));
        work.expect(&["choose", "choose"]);
        work.worker.page_read();
        work.compare(&[]);
        work.expect(&["done, true, 0 changes", "waits"]);
    }
}

#[test]
fn a_whole_partition_is_read_for_a_scrub_alone() {
    for (kind, _) in KINDS {
        let mut work = Work::whole(kind, &[7]);
        let is_scrub = kind == SCRUB;
        work.expect(&[if is_scrub { "page of reading 2 after None" } else { "choose" }]);
        assert!(work.trees.is_whole(PARTITION), "the tree counts while it is read");
    }
}

#[test]
fn peers_are_chosen_if_the_reading_is_gone() {
    let mut work = Work::unread(JobKind::Outbound);
    work.expect(&["page of reading 1 after None"]);
    work.trees.drop(PARTITION);
    work.expect(&["waits"]);
    work.worker.page_read();
    work.expect(&["choose"]);
    work.compare(&[(N, PEER)]);
    work.expect(&["done, false, 0 changes"]);
}

#[test]
fn a_worker_is_at_its_partition_until_its_job_is_done() {
    let mut work = Work::unread(COMPARE);
    let job = Some(PartitionJob { partition: PARTITION, kind: COMPARE });
    let at_work = |work: &Work| {
        let worker = &work.worker;
        assert!(worker.is_at(PARTITION) && !worker.is_at(ELSEWHERE) && !worker.is_idle());
        assert_eq!(worker.job(), job);
    };
    at_work(&work);
    work.page(&[], None);
    at_work(&work);
    work.expect(&["choose"]);
    work.compare(&[(N, PEER)]);
    at_work(&work);
    work.expect(&["1: hashes None"]);
    at_work(&work);
    work.exchange(1).handle_same(None);
    work.expect(&["with 2 for 3 finished: Nothing"]);
    at_work(&work);
    work.expect(&["done, true, 0 changes"]);
    assert!(work.worker.is_idle() && !work.worker.is_at(PARTITION));
}

#[test]
fn a_worker_that_is_cleared_forgets_its_job_at_any_stage() {
    let stages: [fn() -> Work; 5] = [
        || Work::unread(COMPARE),
        || Work::whole(COMPARE, &[1]),
        || Work::comparing(COMPARE, &[1], &[(N, PEER)]),
        || {
            let mut work = Work::comparing(JobKind::Refill, &[1], &[(N, PEER)]);
            work.expect(&["1: vote of 2 for 3"]);
            work
        },
        || {
            let mut work = Work::comparing(COMPARE, &[1], &[(N, PEER)]);
            work.expect(&["1: hashes None"]);
            work.exchange(1).handle_same(None);
            work
        },
    ];
    for stage in stages {
        let mut work = stage();
        work.worker.clear();
        assert!(work.worker.is_idle() && !work.worker.runs(1));
        work.worker.vote(1, VOTES);
        work.worker.page_read();
        work.expect(&["waits"]);
        // Numbers of exchanges go on, so that a late answer meets no exchange of a later job.
        work.trees.begin_reading(PARTITION);
        work.trees.read(1, PARTITION, [].into_iter(), None);
        let before = work.exchanges;
        work.worker.begin(PartitionJob { partition: PARTITION, kind: COMPARE }, &mut work.trees);
        work.compare(&[(N, OTHER)]);
        work.expect(&[format!("{}: hashes None", before + 1).as_str()]);
    }
}

#[test]
fn peers_are_compared_with_one_after_the_other_the_last_first() {
    let mut work = Work::comparing(COMPARE, &[1], &[(N, PEER), (2, PEER), (N, OTHER)]);
    for (id, end) in [
        (1, "with 3 for 3 finished: Nothing"),
        (2, "with 2 for 2 finished: Nothing"),
        (3, "with 2 for 3 finished: Nothing"),
    ] {
        work.expect(&[format!("{id}: hashes None").as_str(), "waits"]);
        work.exchange(id).handle_same(None);
        assert!(work.worker.runs(id), "the end was not heard yet");
        work.expect(&[end]);
        assert!(!work.worker.runs(id));
    }
    work.expect(&["done, true, 0 changes"]);
}

#[test]
fn the_peers_vote_is_asked_before_and_after_an_exchange_that_depends_on_it_and_in_no_other() {
    for (kind, votes_count) in KINDS {
        let mut work = Work::comparing(kind, &[1], &[(N, PEER)]);
        if !votes_count {
            work.expect(&["1: hashes None", "waits"]);
            work.exchange(1).handle_same(None);
            work.expect(&["with 2 for 3 finished: Nothing", "done, true, 0 changes"]);
            continue;
        }
        work.expect(&["1: vote of 2 for 3", "waits", "waits"]);
        work.worker.vote(1, VOTES);
        work.expect(&["1: hashes None", "waits"]);
        work.exchange(1).handle_same(None);
        work.expect(&["1: vote of 2 for 3", "waits"]);
        work.worker.vote(1, VOTES);
        work.expect(&["with 2 for 3 finished: Votes", "done, true, 0 changes"]);
    }
}

#[test]
fn the_lesser_of_two_votes_in_one_life_counts() {
    let (nothing, lost_nothing, votes) =
        (Vouching::Nothing, Vouching::LostNothing, Vouching::Votes);
    let told = |vouching| Some((LIFE, vouching));
    let reborn = |vouching| Some((Incarnation(2), vouching));
    for (before, after, expected) in [
        (told(votes), told(votes), votes),
        (told(votes), told(lost_nothing), lost_nothing),
        (told(lost_nothing), told(votes), lost_nothing),
        (told(lost_nothing), told(lost_nothing), lost_nothing),
        (told(nothing), told(votes), nothing),
        (told(votes), told(nothing), nothing),
        // In between the peer may have lost what it vouched for.
        (told(votes), reborn(votes), nothing),
        (reborn(lost_nothing), told(votes), nothing),
        (told(votes), None, nothing),
        (None, told(votes), nothing),
        (None, None, nothing),
    ] {
        for kind in [JobKind::Inbound, JobKind::Refill] {
            let mut work = Work::comparing(kind, &[1], &[(N, PEER)]);
            work.expect(&["1: vote of 2 for 3"]);
            work.worker.vote(1, before);
            work.expect(&["1: hashes None"]);
            work.exchange(1).handle_same(None);
            work.expect(&["1: vote of 2 for 3"]);
            work.worker.vote(1, after);
            let end = format!("with 2 for 3 finished: {expected:?}");
            work.expect(&[end.as_str(), "done, true, 0 changes"]);
        }
    }
}

#[test]
fn a_vote_that_was_not_asked_for_or_is_told_twice_changes_nothing() {
    let reborn = Some((Incarnation(2), Vouching::Votes));
    let mut work = Work::comparing(JobKind::Refill, &[1], &[(N, PEER)]);
    work.worker.vote(1, reborn);
    work.expect(&["1: vote of 2 for 3"]);
    work.worker.vote(2, reborn);
    work.expect(&["waits"]);
    work.worker.vote(1, VOTES);
    work.worker.vote(1, reborn);
    work.expect(&["1: hashes None"]);
    work.worker.vote(1, reborn);
    work.exchange(1).handle_same(None);
    work.worker.vote(1, reborn);
    work.expect(&["1: vote of 2 for 3"]);
    work.worker.vote(1, VOTES);
    work.worker.vote(1, reborn);
    work.expect(&["with 2 for 3 finished: Votes"]);
}

#[test]
fn an_exchange_that_fails_has_no_vote_and_the_next_peer_is_compared_with() {
    for (kind, votes_count) in KINDS {
        let mut work = Work::comparing(kind, &[1], &[(N, PEER), (N, OTHER)]);
        if votes_count {
            work.expect(&["1: vote of 3 for 3"]);
            work.worker.vote(1, VOTES);
        }
        work.expect(&["1: hashes None"]);
        work.exchange(1).handle_failure();
        work.expect(&["with 3 for 3 failed: Nothing"]);
        if votes_count {
            work.expect(&["2: vote of 2 for 3"]);
            work.worker.vote(2, VOTES);
        }
        work.expect(&["2: hashes None"]);
        work.exchange(2).handle_same(None);
        if votes_count {
            work.expect(&["2: vote of 2 for 3"]);
            work.worker.vote(2, VOTES);
            work.expect(&["with 2 for 3 finished: Votes"]);
        } else {
            work.expect(&["with 2 for 3 finished: Nothing"]);
        }
        work.expect(&["done, false, 0 changes"]);
    }
}

#[test]
fn an_exchange_is_put_off_while_its_peer_has_to_read_its_records() {
    for (kind, votes_count) in KINDS {
        let mut work = Work::comparing(kind, &[1], &[(N, PEER)]);
        if votes_count {
            work.expect(&["1: vote of 2 for 3"]);
            work.worker.vote(1, VOTES);
        }
        work.expect(&["1: hashes None"]);
        work.worker.put_off(2);
        work.expect(&["waits"]);
        work.worker.put_off(1);
        work.expect(&["with 2 for 3 failed, put off: Nothing", "done, false, 0 changes"]);
    }
}

#[test]
fn an_exchange_that_left_a_record_out_is_at_its_end_and_not_whole_and_has_no_vote() {
    for (kind, votes_count) in KINDS {
        let mut work = Work::comparing(kind, &[0], &[(N, PEER)]);
        if votes_count {
            work.expect(&["1: vote of 2 for 3"]);
            work.worker.vote(1, VOTES);
        }
        let is_push = matches!(kind, JobKind::Outbound | JobKind::Thin);
        work.expect(&["1: hashes None"]);
        work.exchange(1).handle_hashes(None, vec![0; 32]);
        if !is_push {
            work.expect(&["1: hashes Some(0)"]);
            work.exchange(1).handle_hashes(Some(0), vec![0; 32]);
        }
        work.expect(&[format!("1: own 0 to 0, clocks {is_push}").as_str()]);
        let (key, entry) = (key_in(0).key, DigestEntry { digest: Digest(0), clock: None });
        work.exchange(1).handle_own_digests(0, vec![(key.clone(), entry)]);
        work.expect(&["1: digests"]);
        work.exchange(1).handle_digests(0, DigestPage::default());
        work.expect(&["1: push", "waits"]);
        let (job, peer, report) = work.worker.progress().expect("it is under way");
        assert_eq!((job.kind, peer, report.keys_compared), (kind, PEER, 1));
        work.exchange(1).handle_record_failure(&key);
        work.expect(&["with 2 for 3 finished: Nothing", "done, false, 0 changes"]);
        assert!(work.worker.progress().is_none());
    }
}

#[test]
fn numbers_of_other_exchanges_are_ignored() {
    let mut work = Work::comparing(COMPARE, &[1], &[(N, PEER), (N, OTHER)]);
    for wrong in [0, 1, 2, u64::MAX] {
        assert!(!work.worker.runs(wrong), "none was begun yet");
    }
    work.expect(&["1: hashes None"]);
    work.exchange(1).handle_same(None);
    work.expect(&["with 3 for 3 finished: Nothing", "2: hashes None"]);
    for wrong in [0, 1, 3, u64::MAX] {
        assert!(!work.worker.runs(wrong) && work.worker.exchange(wrong).is_none());
        work.worker.put_off(wrong);
        work.worker.vote(wrong, VOTES);
        work.expect(&["waits"]);
    }
    assert!(work.worker.runs(2));
    work.exchange(2).handle_same(None);
    work.expect(&["with 2 for 3 finished: Nothing", "done, true, 0 changes"]);
}

#[test]
fn each_kind_of_job_compares_in_its_own_direction() {
    // One record in each of four branches, the peer differs in all of them: the next step tells the direction.
    for (kind, direction, next) in [
        (COMPARE, Direction::Both, "1: hashes Some(0)"),
        (SCRUB, Direction::Both, "1: hashes Some(0)"),
        (JobKind::Refill, Direction::Both, "1: hashes Some(0)"),
        (JobKind::Inbound, Direction::Inbound, "1: fetch 0 to 127"),
        (JobKind::Outbound, Direction::Push, "1: own 0 to 127, clocks true"),
        (JobKind::Thin, Direction::Push, "1: own 0 to 127, clocks true"),
    ] {
        let mut work = Work::comparing(kind, &[0, 40, 70, 127], &[(N, PEER)]);
        if work.next() != "1: hashes None" {
            work.worker.vote(1, VOTES);
            work.expect(&["1: hashes None"]);
        }
        assert_eq!(work.exchange(1).direction(), direction, "{kind:?}");
        work.exchange(1).handle_hashes(None, vec![0; 32]);
        work.expect(&[next]);
    }
}

#[test]
fn a_job_that_only_hands_on_is_done_at_once_if_nothing_is_held() {
    for kind in [JobKind::Outbound, JobKind::Thin] {
        let mut work = Work::comparing(kind, &[], &[(N, PEER)]);
        work.expect(&["with 2 for 3 finished: Nothing", "done, true, 0 changes"]);
    }
}

#[test]
fn peers_are_left_out_and_the_job_is_not_whole_if_the_tree_is_distrusted_meanwhile() {
    let mut work = Work::comparing(COMPARE, &[1], &[(N, PEER), (N, OTHER)]);
    work.expect(&["1: hashes None"]);
    work.trees.read_anew(PARTITION);
    work.exchange(1).handle_same(None);
    work.expect(&["with 3 for 3 finished: Nothing", "done, false, 0 changes"]);
}

#[test]
fn the_changes_of_a_job_are_those_from_before_its_first_exchange() {
    let mut work = Work::whole(COMPARE, &[1]);
    work.expect(&["choose"]);
    work.trees.changed(&key_in(2), record_in(2));
    work.trees.changed(&key_in(3), record_in(3));
    work.compare(&[(N, PEER)]);
    work.trees.changed(&key_in(4), record_in(4));
    work.expect(&["1: hashes None"]);
    work.exchange(1).handle_same(None);
    work.expect(&["with 2 for 3 finished: Nothing", "done, true, 2 changes"]);
    assert_eq!(work.trees.changes(PARTITION), 3);
}

#[test]
fn peers_are_chosen_once() {
    let mut work = Work::comparing(COMPARE, &[1], &[(N, PEER)]);
    work.compare(&[(N, OTHER)]);
    work.expect(&["1: hashes None"]);
    work.compare(&[(N, OTHER)]);
    work.exchange(1).handle_same(None);
    work.expect(&["with 2 for 3 finished: Nothing", "done, true, 0 changes"]);
}

/// Behaviour of a peer in one exchange, and its answers about its vote.
#[derive(Debug, Clone, Copy)]
struct Behaviour {
    end: End,
    before: Option<(Incarnation, Vouching)>,
    after: Option<(Incarnation, Vouching)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Same,
    Failure,
    PutOff,
    Nonsense,
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let end =
        prop_oneof![Just(End::Same), Just(End::Failure), Just(End::PutOff), Just(End::Nonsense)];
    let vouching =
        prop_oneof![Just(Vouching::Nothing), Just(Vouching::LostNothing), Just(Vouching::Votes)];
    let told = (any::<bool>(), 1..3_u64, vouching);
    let told =
        told.prop_map(|(told, life, vouching)| told.then_some((Incarnation(life), vouching)));
    (end, told.clone(), told).prop_map(|(end, before, after)| Behaviour { end, before, after })
}

proptest! {
    #[test]
    fn a_job_that_was_begun_ends_with_done_after_one_end_for_each_peer(
        kind in 0..KINDS.len(), starts_whole in any::<bool>(), pages in 0..4_u16, holds in any::<bool>(),
        peers in vec_of(behaviour(), 0..5),
    ) {
        let (kind, votes_count) = KINDS[kind];
        let leaves: &[u16] = if holds { &[1] } else { &[] };
        let mut work = if starts_whole { Work::whole(kind, leaves) } else { Work::unread(kind) };
        let left: Vec<(u8, NodeId)> = (0..peers.len() as u64).map(|at| (N, NodeId(at))).collect();
        let nothing_to_push = !holds && matches!(kind, JobKind::Outbound | JobKind::Thin);
        let (mut page, mut votes, mut ends) = (0, 0, Vec::new());
        let (mut whole_expected, mut steps) = (true, 0);
        let (job, whole) = loop {
            steps += 1;
            prop_assert!(steps < 100, "a job does not go on for ever");
            // Whatever is asked is answered at once, so there is always a next step.
            match work.step().expect("a worker waits for answers alone") {
                WorkerStep::ReadPage { .. } => {
                    page += 1;
                    let (leaves, until) =
                        if page <= pages { (&[][..], Some(page)) } else { (leaves, None) };
                    work.page(leaves, until);
                }
                WorkerStep::Choose(_) => work.compare(&left),
                WorkerStep::AskVote { id, peer, .. } => {
                    let Behaviour { before, after, .. } = peers[peer.0 as usize];
                    votes += 1;
                    work.worker.vote(id, if votes == 1 { before } else { after });
                }
                WorkerStep::Exchange { id, peer, output, .. } => {
                    let is_first = matches!(output, ExchangeOutput::AskHashes { branch: None, .. });
                    prop_assert_eq!(is_first, true);
                    match peers[peer.0 as usize].end {
                        End::Same => work.exchange(id).handle_same(None),
                        End::Failure => work.exchange(id).handle_failure(),
                        End::PutOff => work.worker.put_off(id),
                        End::Nonsense => work.exchange(id).handle_hashes(None, vec![0]),
                    }
                }
                WorkerStep::Ended(ended) => {
                    let Behaviour { end, before, after } = peers[ended.peer.0 as usize];
                    let finished = nothing_to_push || end == End::Same;
                    whole_expected &= finished;
                    prop_assert_eq!(ended.finished, finished);
                    prop_assert_eq!(ended.put_off, !nothing_to_push && end == End::PutOff);
                    let expected = match (before, after) {
                        (Some((life, then)), Some((same, now))) if life == same => then.min(now),
                        _ => Vouching::Nothing,
                    };
                    let counts = votes_count && finished;
                    let vouching = if counts { expected } else { Vouching::Nothing };
                    prop_assert_eq!(ended.vouching, vouching);
                    prop_assert_eq!(votes, u64::from(votes_count) + u64::from(counts));
                    votes = 0;
                    ends.push((ended.n, ended.peer));
                }
                WorkerStep::Done(Done { job, whole, .. }) => break (job, whole),
            }
        };
        prop_assert_eq!(job, PartitionJob { partition: PARTITION, kind });
        prop_assert_eq!(whole, whole_expected);
        ends.reverse();
        prop_assert_eq!(ends, left);
        prop_assert_eq!(work.exchanges, peers.len() as u64);
        prop_assert_eq!(work.worker.is_idle(), true);
    }
}

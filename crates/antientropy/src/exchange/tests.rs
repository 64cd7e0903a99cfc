//! Each step of an exchange, and answers that no well-behaved peer gives.

use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::Position;
use jedlik_merkle::BRANCHES;
use jedlik_protocol::limits::DIGEST_PAGE_RECORDS;
use proptest::collection::vec as vec_of;
use proptest::option::of;
use proptest::prelude::{Just, Strategy, prop_assert, prop_oneof, proptest};

use super::*;
use crate::PIPELINE;

const MINE: Digest = Digest(1);
const THEIRS: Digest = Digest(2);
const MERGED: Digest = Digest(3);

fn key(name: u8) -> Key {
    Key::new("bucket", &[name][..]).unwrap()
}

fn mark(position: u128) -> ScanMark {
    ScanMark { position: Position(position), key: key(0) }
}

fn page(digests: &[(u8, Digest)], until: Option<ScanMark>) -> DigestPage {
    DigestPage {
        digests: digests.iter().map(|(name, digest)| (key(*name), *digest)).collect(),
        until,
    }
}

fn started() -> Exchange {
    Exchange::new(NodeId(2), Partition(0), Tree::new())
}

fn outputs(exchange: &mut Exchange) -> Vec<ExchangeOutput> {
    core::iter::from_fn(|| exchange.poll_output()).collect()
}

/// Hashes of which these differ from those of an empty node.
fn differing(indexes: &[usize]) -> Vec<u64> {
    (0..BRANCHES).map(|index| u64::from(indexes.contains(&index))).collect()
}

fn load(first_leaf: u16, last_leaf: u16) -> ExchangeOutput {
    ExchangeOutput::LoadDigests { first_leaf, last_leaf }
}

fn ask_digests(after: Option<ScanMark>) -> ExchangeOutput {
    ExchangeOutput::AskDigests { first_leaf: 0, last_leaf: 0, after }
}

/// One that has found leaf 0 to differ, and listed these of its own in it.
fn at_leaf(own: &[(u8, Digest)]) -> Exchange {
    let mut exchange = started();
    outputs(&mut exchange);
    exchange.handle_hashes(None, differing(&[0]));
    outputs(&mut exchange);
    exchange.handle_hashes(Some(0), differing(&[0]));
    assert_eq!(outputs(&mut exchange), [load(0, 0)]);
    exchange.handle_own_digests(0, page(own, None).digests);
    assert_eq!(outputs(&mut exchange), [ask_digests(None)]);
    exchange
}

/// One that is pulling the peer's record of key 7, of which it has its own.
fn pulling() -> Exchange {
    let mut exchange = at_leaf(&[(7, MINE)]);
    exchange.handle_digests(0, page(&[(7, THEIRS)], None));
    let pull = ExchangeOutput::Pull { key: key(7), known: Some(MINE) };
    assert_eq!(outputs(&mut exchange), [pull]);
    exchange
}

/// One that is pushing its record of key 7.
fn pushing() -> Exchange {
    let mut exchange = at_leaf(&[(7, MINE)]);
    exchange.handle_digests(0, page(&[], None));
    assert_eq!(outputs(&mut exchange), [ExchangeOutput::Push { key: key(7) }]);
    exchange
}

#[test]
fn equal_roots_end_it_at_once() {
    let mut exchange = started();
    let ask = ExchangeOutput::AskHashes { branch: None, known: 0 };
    assert_eq!(outputs(&mut exchange), [ask]);
    exchange.handle_same(None);
    assert_eq!(exchange.outcome(), Outcome::Finished);
    let report = exchange.report();
    assert!(report.agreed && report.complete);
    assert_eq!(report.hash_requests, 1);
}

#[test]
fn it_goes_down_where_hashes_differ_and_nowhere_else() {
    let mut exchange = started();
    outputs(&mut exchange);
    exchange.handle_hashes(None, differing(&[3, 31]));
    let ask = |branch| ExchangeOutput::AskHashes { branch: Some(branch), known: 0 };
    assert_eq!(outputs(&mut exchange), [ask(3), ask(31)]);
    exchange.handle_same(Some(3));
    exchange.handle_hashes(Some(31), differing(&[0, 31]));
    assert_eq!(outputs(&mut exchange), [load(992, 992), load(1023, 1023)]);
    assert!(!exchange.report().agreed);
}

#[test]
fn a_leaf_of_several_pages_is_merged_with_the_own_listing() {
    let (same, other) = ((1, MINE), (2, MINE));
    let mut exchange = at_leaf(&[same, other, (3, MINE), (5, MINE)]);
    exchange.handle_digests(0, page(&[same, (2, THEIRS)], Some(mark(5))));
    let pull = |name, known| ExchangeOutput::Pull { key: key(name), known };
    assert_eq!(outputs(&mut exchange), [pull(2, Some(MINE)), ask_digests(Some(mark(5)))]);
    exchange.handle_digests(0, page(&[(4, THEIRS), (5, MINE)], None));
    let push = ExchangeOutput::Push { key: key(3) };
    assert_eq!(outputs(&mut exchange), [pull(4, None), push]);
    assert_eq!(exchange.report().keys_compared, 5);
    assert_eq!(exchange.report().digest_requests, 2);
}

#[test]
fn what_becomes_of_a_pull_depends_on_its_answer() {
    type Answer<'a> = &'a dyn Fn(&mut Exchange, Digest);
    let pulled = |own| {
        move |exchange: &mut Exchange, theirs| {
            exchange.handle_pulled(&key(7), own, theirs);
        }
    };
    let gone = |exchange: &mut Exchange, _| exchange.handle_gone(&key(7));
    let failed = |exchange: &mut Exchange, _| exchange.handle_record_failure(&key(7));
    let push = Some(ExchangeOutput::Push { key: key(7) });
    let cases: [(&str, Answer<'_>, _, _, _, _); 6] = [
        ("it replaced the own", &pulled(Some(THEIRS)), THEIRS, None, 1, 0),
        ("it was merged with the own", &pulled(Some(MERGED)), THEIRS, push.clone(), 1, 0),
        ("it is the own by now", &pulled(Some(MINE)), MINE, None, 0, 0),
        ("it could not be kept", &pulled(None), THEIRS, None, 1, 1),
        ("it is gone", &gone, THEIRS, push, 0, 0),
        ("it failed", &failed, THEIRS, None, 0, 1),
    ];
    for (why, answer, theirs, next, pulled, failed) in cases {
        let mut exchange = pulling();
        answer(&mut exchange, theirs);
        assert_eq!(exchange.poll_output(), next, "{why}");
        assert_eq!(exchange.is_done(), next.is_none(), "{why}");
        let report = exchange.report();
        assert_eq!((report.pulled, report.failed_records), (pulled, failed), "{why}");
        assert_eq!(report.complete, next.is_none() && failed == 0, "{why}");
    }
}

#[test]
fn a_record_that_only_the_peer_had_and_has_no_more_is_left_alone() {
    let mut exchange = at_leaf(&[]);
    exchange.handle_digests(0, page(&[(7, THEIRS)], None));
    outputs(&mut exchange);
    exchange.handle_gone(&key(7));
    assert!(exchange.report().complete);
}

#[test]
fn what_becomes_of_a_push_depends_on_its_answer() {
    for (why, answer, pushed, failed) in [
        ("it was taken", Exchange::handle_pushed as fn(&mut Exchange, &Key), 1, 0),
        ("it is gone here", Exchange::handle_gone, 0, 0),
        ("it failed", Exchange::handle_record_failure, 0, 1),
    ] {
        let mut exchange = pushing();
        answer(&mut exchange, &key(7));
        assert_eq!(exchange.outcome(), Outcome::Finished, "{why}");
        let report = exchange.report();
        assert_eq!((report.pushed, report.failed_records), (pushed, failed), "{why}");
        assert_eq!(report.complete, failed == 0, "{why}");
    }
}

#[test]
fn an_answer_of_the_wrong_kind_is_none() {
    let mut exchange = pulling();
    exchange.handle_pushed(&key(7));
    exchange.handle_pulled(&key(8), None, THEIRS);
    exchange.handle_record_failure(&key(8));
    exchange.handle_same(None);
    exchange.handle_hashes(Some(0), vec![]);
    exchange.handle_own_digests(0, vec![(key(1), MINE)]);
    exchange.handle_digests(0, page(&[(1, MINE)], None));
    assert_eq!(exchange.report(), pulling().report());
    assert_eq!(exchange.outcome(), Outcome::Running);
    let mut exchange = pushing();
    exchange.handle_pulled(&key(7), None, THEIRS);
    assert_eq!(exchange.report(), pushing().report());
}

#[test]
fn an_answer_that_no_replica_gives_fails_the_exchange() {
    let too_long = vec![(1, MINE); DIGEST_PAGE_RECORDS as usize + 1];
    let mut exchange = at_leaf(&[]);
    exchange.handle_digests(0, page(&too_long, None));
    assert_eq!(exchange.outcome(), Outcome::Failed);
    for until in [4, 5] {
        let mut exchange = at_leaf(&[]);
        exchange.handle_digests(0, page(&[], Some(mark(5))));
        outputs(&mut exchange);
        exchange.handle_digests(0, page(&[], Some(mark(until))));
        assert_eq!(exchange.outcome(), Outcome::Failed, "from 5 to {until}");
    }
    for count in [0, 31, 33] {
        let mut exchange = started();
        outputs(&mut exchange);
        exchange.handle_hashes(None, vec![1; count]);
        assert_eq!(exchange.outcome(), Outcome::Failed, "{count} hashes");
    }
}

#[test]
fn after_a_failure_nothing_more_is_asked_for_and_it_stays_failed() {
    let mut exchange = pulling();
    exchange.handle_failure();
    exchange.handle_pulled(&key(7), Some(MERGED), THEIRS);
    assert_eq!(exchange.poll_output(), None);
    assert_eq!(exchange.outcome(), Outcome::Failed);
    assert_eq!(exchange.report().pulled, 1);
    assert!(!exchange.report().complete);
}

#[test]
fn a_failure_after_the_end_changes_nothing() {
    let mut exchange = started();
    outputs(&mut exchange);
    exchange.handle_same(None);
    exchange.handle_failure();
    assert_eq!(exchange.outcome(), Outcome::Finished);
}

#[test]
fn records_and_requests_under_way_are_bounded() {
    let mut exchange = started();
    outputs(&mut exchange);
    exchange.handle_hashes(None, vec![1; BRANCHES]);
    assert_eq!(outputs(&mut exchange).len(), REQUESTS_AT_ONCE);

    let names: Vec<(u8, Digest)> = (0..40).map(|name| (name, THEIRS)).collect();
    let mut exchange = at_leaf(&[]);
    exchange.handle_digests(0, page(&names, Some(mark(1))));
    assert_eq!(outputs(&mut exchange).len(), PIPELINE);
    exchange.handle_pulled(&key(0), Some(THEIRS), THEIRS);
    assert_eq!(outputs(&mut exchange).len(), 1);
}

#[test]
fn the_next_page_waits_until_the_last_ones_records_have_begun() {
    let names: Vec<(u8, Digest)> = (0..=PIPELINE as u8).map(|name| (name, THEIRS)).collect();
    let mut exchange = at_leaf(&[]);
    exchange.handle_digests(0, page(&names, Some(mark(1))));
    let is_pull = |output: &ExchangeOutput| matches!(output, ExchangeOutput::Pull { .. });
    assert!(outputs(&mut exchange).iter().all(is_pull));
    exchange.handle_record_failure(&key(0));
    let pull = ExchangeOutput::Pull { key: key(PIPELINE as u8), known: None };
    assert_eq!(outputs(&mut exchange), [pull, ask_digests(Some(mark(1)))]);
}

/// One with all leaves of a branch to compare, of which the first four held so many keys each.
fn with_leaves_of(keys: u8) -> Exchange {
    let mut exchange = started();
    outputs(&mut exchange);
    exchange.handle_hashes(None, differing(&[0]));
    outputs(&mut exchange);
    exchange.handle_hashes(Some(0), vec![1; LEAVES_PER_BRANCH]);
    assert_eq!(outputs(&mut exchange), [load(0, 0), load(1, 1), load(2, 2), load(3, 3)]);
    let held: Vec<(u8, Digest)> = (0..keys).map(|name| (name, MINE)).collect();
    for leaf in 0..4 {
        exchange.handle_own_digests(leaf, page(&held, None).digests);
    }
    outputs(&mut exchange);
    for leaf in 0..4 {
        exchange.handle_digests(leaf, page(&held, None));
    }
    exchange
}

#[test]
fn neighbouring_leaves_are_read_together_as_far_as_a_page_is_likely_to_hold_them() {
    for (keys, leaves) in [(0, 28), (1, 28), (50, 10), (255, 2)] {
        let first = with_leaves_of(keys).poll_output();
        assert_eq!(first, Some(load(4, 3 + leaves)), "{keys} keys a leaf");
    }
}

#[test]
fn leaves_are_neighbours_if_all_between_are_empty_on_both_sides() {
    for (held, differing, spans) in [
        (None, [4, 6, 9].as_slice(), [load(4, 9)].as_slice()),
        (Some(5), &[4, 6, 9], &[load(4, 4), load(6, 9)]),
        (Some(8), &[4, 6, 9], &[load(4, 6), load(9, 9)]),
    ] {
        let mut tree = Tree::new();
        if let Some(leaf) = held {
            tree.change(leaf, None, Some(1));
        }
        let mut exchange = Exchange::new(NodeId(2), Partition(0), tree);
        exchange.branches.clear();
        exchange.leaves.extend(differing);
        exchange.leaves_compared = 1;
        assert_eq!(outputs(&mut exchange), spans, "{held:?}");
    }
    let mut exchange = started();
    exchange.branches.clear();
    exchange.leaves.extend([31, 33, 96, 0]);
    exchange.leaves_compared = 1;
    assert_eq!(outputs(&mut exchange), [load(31, 33), load(96, 96), load(0, 0)]);
}

#[derive(Debug, Clone)]
enum Input {
    Poll,
    Same(Option<u8>),
    Hashes(Option<u8>, Vec<u64>),
    Own(u16, Vec<(Key, Digest)>),
    Digests(u16, DigestPage),
    Pulled(Key, Option<Digest>, Digest),
    Gone(Key),
    Pushed(Key),
    RecordFailure(Key),
}

/// Anything, in terms of few enough nodes and keys that some of it was asked for.
fn input() -> impl Strategy<Value = Input> {
    let branch = || of(0..3_u8);
    let digest = || (0..3_u64).prop_map(Digest);
    let key = || (0..24_u8).prop_map(key);
    let digests = move || vec_of((key(), digest()), 0..24);
    let until = of((0..4_u128).prop_map(mark));
    let hashes = prop_oneof![8 => vec_of(0..2_u64, BRANCHES), 1 => vec_of(0..2_u64, 0..40)];
    prop_oneof![
        12 => Just(Input::Poll),
        1 => branch().prop_map(Input::Same),
        6 => (branch(), hashes).prop_map(|(branch, hashes)| Input::Hashes(branch, hashes)),
        6 => (0..3_u16, digests()).prop_map(|(leaf, own)| Input::Own(leaf, own)),
        6 => (0..3_u16, digests(), until)
            .prop_map(|(leaf, digests, until)| Input::Digests(leaf, DigestPage { digests, until })),
        4 => (key(), of(digest()), digest()).prop_map(|(key, own, theirs)| Input::Pulled(key, own, theirs)),
        1 => key().prop_map(Input::Gone),
        2 => key().prop_map(Input::Pushed),
        1 => key().prop_map(Input::RecordFailure),
    ]
}

fn handle(exchange: &mut Exchange, input: Input) {
    match input {
        Input::Poll => {
            exchange.poll_output();
        }
        Input::Same(branch) => exchange.handle_same(branch),
        Input::Hashes(branch, hashes) => exchange.handle_hashes(branch, hashes),
        Input::Own(leaf, own) => exchange.handle_own_digests(leaf, own),
        Input::Digests(leaf, page) => exchange.handle_digests(leaf, page),
        Input::Pulled(key, own, theirs) => exchange.handle_pulled(&key, own, theirs),
        Input::Gone(key) => exchange.handle_gone(&key),
        Input::Pushed(key) => exchange.handle_pushed(&key),
        Input::RecordFailure(key) => exchange.handle_record_failure(&key),
    }
}

proptest! {
    #[test]
    fn no_answers_in_whatever_order_break_its_bounds_or_keep_it_waiting_for_nothing(
        inputs in vec_of(input(), 0..200),
    ) {
        let mut exchange = started();
        for input in inputs {
            handle(&mut exchange, input);
            let requests = exchange.asked.len() + exchange.open.len();
            let records = exchange.records.under_way();
            prop_assert!(requests <= REQUESTS_AT_ONCE && records <= PIPELINE);
            if requests + records == 0 && !exchange.is_done() {
                prop_assert!(exchange.poll_output().is_some(), "{exchange:?}");
            }
        }
    }
}

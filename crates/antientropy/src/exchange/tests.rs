//! Each step of an exchange, and answers that no well-behaved peer gives.

use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::Position;
use jedlik_merkle::{BRANCHES, LEAVES, LEAVES_PER_BRANCH};
use jedlik_protocol::limits::DIGEST_PAGE_RECORDS;
use jedlik_vclock::{ActorId, Dot, VectorClock};
use proptest::collection::vec as vec_of;
use proptest::option::of;
use proptest::prelude::{Just, Strategy, prop_assert, prop_oneof, proptest};

use super::*;
use crate::{PAGES_AT_ONCE, PIPELINE};

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
    let told = |(name, digest): &(u8, Digest)| (key(*name), entry(*digest));
    DigestPage { digests: digests.iter().map(told).collect(), until }
}

/// Returns the entry of a record whose clock was not asked for.
fn entry(digest: Digest) -> DigestEntry {
    DigestEntry { digest, clock: None }
}

/// Returns a tree that holds something in these leaves.
fn holding(leaves: impl IntoIterator<Item = u16>) -> Tree {
    let mut tree = Tree::new();
    for leaf in leaves {
        tree.change(leaf, Some(tree.leaf(leaf)), Some(1));
    }
    tree
}

/// Returns a tree that holds something everywhere.
fn whole() -> Tree {
    holding(0..LEAVES as u16)
}

fn begun(tree: Tree, direction: Direction) -> Exchange {
    Exchange::new(NodeId(2), Partition(0), tree, direction)
}

fn started() -> Exchange {
    begun(whole(), Direction::Both)
}

fn outputs(exchange: &mut Exchange) -> Vec<ExchangeOutput> {
    core::iter::from_fn(|| exchange.poll_output()).collect()
}

/// Returns the hashes below a node of a tree, with these changed.
fn differing_from(tree: &Tree, branch: Option<u8>, indexes: &[usize]) -> Vec<u64> {
    let mut hashes = tree.children(branch);
    for index in indexes {
        hashes[*index] = hashes[*index].wrapping_add(1);
    }
    hashes
}

/// Returns the hashes below a node of a tree that holds something everywhere, with these changed.
fn differing(branch: Option<u8>, indexes: &[usize]) -> Vec<u64> {
    differing_from(&whole(), branch, indexes)
}

fn load(first_leaf: u16, last_leaf: u16) -> ExchangeOutput {
    ExchangeOutput::LoadDigests { first_leaf, last_leaf, clocks: false }
}

fn fetch(first_leaf: u16, last_leaf: u16, after: Option<ScanMark>) -> ExchangeOutput {
    ExchangeOutput::Fetch { first_leaf, last_leaf, after }
}

fn ask_digests(after: Option<ScanMark>) -> ExchangeOutput {
    ExchangeOutput::AskDigests { first_leaf: 0, last_leaf: 0, after, clocks: false }
}

/// Returns an exchange that has found leaf 0 to differ, and listed these digests of its own in it.
fn at_leaf(own: &[(u8, Digest)]) -> Exchange {
    let mut exchange = listing_leaf(started());
    exchange.handle_own_digests(0, page(own, None).digests);
    assert_eq!(outputs(&mut exchange), [ask_digests(None)]);
    exchange
}

/// Returns an exchange that has found leaf 0 to differ, and is to list its own digests in it.
fn listing_leaf(mut exchange: Exchange) -> Exchange {
    outputs(&mut exchange);
    exchange.handle_hashes(None, differing(None, &[0]));
    outputs(&mut exchange);
    exchange.handle_hashes(Some(0), differing(Some(0), &[0]));
    let clocks = exchange.direction() == Direction::Push;
    let load = ExchangeOutput::LoadDigests { first_leaf: 0, last_leaf: 0, clocks };
    assert_eq!(outputs(&mut exchange), [load]);
    exchange
}

/// Returns an exchange that is pulling the peer's record of key 7, of which it has its own.
fn pulling() -> Exchange {
    let mut exchange = at_leaf(&[(7, MINE)]);
    exchange.handle_digests(0, page(&[(7, THEIRS)], None));
    let pull = ExchangeOutput::Pull { key: key(7), known: Some(MINE), theirs: THEIRS };
    assert_eq!(outputs(&mut exchange), [pull]);
    exchange
}

/// Returns an exchange that is pushing its record of key 7.
fn pushing() -> Exchange {
    let mut exchange = at_leaf(&[(7, MINE)]);
    exchange.handle_digests(0, page(&[], None));
    assert_eq!(outputs(&mut exchange), [ExchangeOutput::Push { key: key(7), theirs: None }]);
    exchange
}

#[test]
fn equal_roots_end_it_at_once() {
    let mut exchange = started();
    let ask = ExchangeOutput::AskHashes { branch: None, known: whole().root() };
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
    exchange.handle_hashes(None, differing(None, &[3, 31]));
    let ask = |branch| {
        let known = whole().branch(branch);
        ExchangeOutput::AskHashes { branch: Some(branch), known }
    };
    assert_eq!(outputs(&mut exchange), [ask(3), ask(31)]);
    exchange.handle_same(Some(3));
    exchange.handle_hashes(Some(31), differing(Some(31), &[0, 31]));
    assert_eq!(outputs(&mut exchange), [load(992, 992), load(1023, 1023)]);
    assert!(!exchange.report().agreed);
}

#[test]
fn a_leaf_of_several_pages_is_merged_with_the_own_listing() {
    let (same, other) = ((1, MINE), (2, MINE));
    let mut exchange = at_leaf(&[same, other, (3, MINE), (5, MINE)]);
    exchange.handle_digests(0, page(&[same, (2, THEIRS)], Some(mark(5))));
    let pull = |name, known| ExchangeOutput::Pull { key: key(name), known, theirs: THEIRS };
    assert_eq!(outputs(&mut exchange), [pull(2, Some(MINE)), ask_digests(Some(mark(5)))]);
    exchange.handle_digests(0, page(&[(4, THEIRS), (5, MINE)], None));
    let push = ExchangeOutput::Push { key: key(3), theirs: None };
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
    let push = |theirs| Some(ExchangeOutput::Push { key: key(7), theirs });
    let clash = |exchange: &mut Exchange, _| exchange.handle_clash(&key(7));
    let cases: [(&str, Answer<'_>, _, _, _, _); 7] = [
        ("it replaced the own", &pulled(Some(THEIRS)), THEIRS, None, 1, 0),
        ("it was merged with the own", &pulled(Some(MERGED)), THEIRS, push(Some(THEIRS)), 1, 0),
        ("it is the own by now", &pulled(Some(MINE)), MINE, None, 0, 0),
        ("it could not be kept", &pulled(None), THEIRS, None, 1, 1),
        ("it is gone", &gone, THEIRS, push(None), 0, 0),
        ("both are too large together", &clash, THEIRS, None, 0, 1),
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
        assert_eq!(report.clashes, u64::from(why == "both are too large together"), "{why}");
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
        ("the peer can not merge it", Exchange::handle_clash, 0, 1),
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
    exchange.handle_own_digests(0, vec![(key(1), entry(MINE))]);
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
    let pull = ExchangeOutput::Pull { key: key(PIPELINE as u8), known: None, theirs: THEIRS };
    assert_eq!(outputs(&mut exchange), [pull, ask_digests(Some(mark(1)))]);
}

/// Returns an exchange with all leaves of a branch to compare, of which the first four held so many keys each.
fn with_leaves_of(keys: u8) -> Exchange {
    let mut exchange = started();
    outputs(&mut exchange);
    exchange.handle_hashes(None, differing(None, &[0]));
    outputs(&mut exchange);
    exchange.handle_hashes(Some(0), vec![2; LEAVES_PER_BRANCH]);
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
fn an_empty_replica_streams_all_of_it_and_asks_for_no_hash_below_the_root() {
    let mut exchange = begun(Tree::new(), Direction::Both);
    assert_eq!(outputs(&mut exchange), [ExchangeOutput::AskHashes { branch: None, known: 0 }]);
    exchange.handle_hashes(None, whole().children(None));
    assert_eq!(outputs(&mut exchange), [fetch(0, 1023, None)]);
    exchange.handle_page(0, 7, Some(mark(4)));
    assert_eq!(outputs(&mut exchange), [fetch(0, 1023, Some(mark(4)))]);
    exchange.handle_page(0, 5, None);
    assert_eq!(outputs(&mut exchange), []);
    exchange.handle_page_merged(0);
    assert!(!exchange.is_done(), "one of two pages is merged");
    exchange.handle_page_merged(0);
    let report = exchange.report();
    assert!(report.complete && !report.agreed);
    assert_eq!((report.fetched, report.page_requests, report.hash_requests), (12, 2, 1));
}

#[test]
fn the_next_page_is_asked_for_while_one_is_merged_and_not_while_two_are() {
    let mut exchange = begun(Tree::new(), Direction::Both);
    outputs(&mut exchange);
    exchange.handle_hashes(None, whole().children(None));
    outputs(&mut exchange);
    exchange.handle_page(0, 1, Some(mark(1)));
    outputs(&mut exchange);
    exchange.handle_page(0, 1, Some(mark(2)));
    assert_eq!(outputs(&mut exchange), []);
    exchange.handle_page_merged(0);
    assert_eq!(outputs(&mut exchange), [fetch(0, 1023, Some(mark(2)))]);
}

#[test]
fn what_is_partly_there_is_compared_beside_what_is_streamed() {
    // Of the first branch two leaves are held, of the second none, of the last one.
    let tree = holding([0, 2, 992]);
    let mut exchange = begun(tree.clone(), Direction::Both);
    outputs(&mut exchange);
    exchange.handle_hashes(None, differing_from(&tree, None, &[0, 1]));
    let ask = ExchangeOutput::AskHashes { branch: Some(0), known: tree.branch(0) };
    assert_eq!(outputs(&mut exchange), [fetch(32, 63, None), ask]);
    exchange.handle_hashes(Some(0), differing_from(&tree, Some(0), &[2, 3, 5]));
    assert_eq!(outputs(&mut exchange), [load(2, 2), fetch(3, 5, None)]);
}

#[test]
fn pages_that_lead_nowhere_fail_the_exchange() {
    for until in [4, 5] {
        let mut exchange = begun(Tree::new(), Direction::Both);
        outputs(&mut exchange);
        exchange.handle_hashes(None, whole().children(None));
        outputs(&mut exchange);
        exchange.handle_page(0, 1, Some(mark(5)));
        outputs(&mut exchange);
        exchange.handle_page(0, 1, Some(mark(until)));
        assert_eq!(exchange.outcome(), Outcome::Failed, "from 5 to {until}");
        exchange.handle_page_merged(0);
        assert!(!exchange.report().complete);
    }
}

#[test]
fn a_page_that_was_not_asked_for_is_none() {
    let mut exchange = begun(Tree::new(), Direction::Both);
    outputs(&mut exchange);
    exchange.handle_hashes(None, whole().children(None));
    exchange.handle_page(0, 1, None);
    exchange.handle_page_merged(0);
    outputs(&mut exchange);
    exchange.handle_page(1, 1, None);
    exchange.handle_page_merged(0);
    exchange.handle_page(0, 1, Some(mark(1)));
    exchange.handle_page(0, 1, None);
    exchange.handle_page_merged(0);
    exchange.handle_page_merged(0);
    assert_eq!(exchange.report().fetched, 1);
    assert_eq!(outputs(&mut exchange), [fetch(0, 1023, Some(mark(1)))]);
}

#[test]
fn with_nothing_to_push_it_is_over_at_once() {
    let mut exchange = begun(Tree::new(), Direction::Push);
    assert_eq!(exchange.poll_output(), None);
    let complete = ExchangeReport { complete: true, ..ExchangeReport::default() };
    assert_eq!(exchange.report(), complete);
}

#[test]
fn a_push_is_of_what_the_peer_lacks_or_holds_otherwise() {
    let mut exchange = listing_leaf(begun(whole(), Direction::Push));
    exchange.handle_own_digests(0, page(&[(1, MINE), (2, MINE), (3, MINE)], None).digests);
    outputs(&mut exchange);
    let theirs = page(&[(1, MINE), (2, THEIRS), (4, THEIRS)], None);
    exchange.handle_digests(0, theirs);
    let push = |name, theirs| ExchangeOutput::Push { key: key(name), theirs };
    assert_eq!(outputs(&mut exchange), [push(2, Some(THEIRS)), push(3, None)]);
    exchange.handle_pushed(&key(2));
    exchange.handle_pushed(&key(3));
    let report = exchange.report();
    assert!(report.complete);
    assert_eq!((report.pushed, report.pulled), (2, 0));
}

#[test]
fn a_push_is_of_what_the_peers_clock_does_not_cover() {
    type Clock<'a> = Option<&'a [(u64, u64)]>;
    let told = |digest: Digest, clock: Clock<'_>| {
        let clock = clock.map(|dots| {
            let mut clock = VectorClock::new();
            for (actor, counter) in dots {
                clock.extend(Dot { actor: ActorId(*actor), counter: *counter }, 1);
            }
            clock
        });
        vec![(key(7), DigestEntry { digest, clock })]
    };
    let cases: [(&str, Clock<'_>, Clock<'_>, bool); 8] = [
        ("it is a newer one", Some(&[(1, 1)]), Some(&[(1, 2)]), false),
        ("it has seen another write too", Some(&[(1, 1)]), Some(&[(1, 1), (2, 1)]), false),
        ("it has seen as much", Some(&[(1, 1)]), Some(&[(1, 1)]), false),
        ("it is an older one", Some(&[(1, 2)]), Some(&[(1, 1)]), true),
        ("it is concurrent", Some(&[(1, 1)]), Some(&[(2, 1)]), true),
        ("each has seen more of one", Some(&[(1, 2), (2, 1)]), Some(&[(1, 1), (2, 2)]), true),
        ("it tells no clock", Some(&[(1, 1)]), None, true),
        ("the own clock is not known", None, Some(&[(1, 1)]), true),
    ];
    for (why, mine, theirs, pushes) in cases {
        let mut exchange = listing_leaf(begun(whole(), Direction::Push));
        exchange.handle_own_digests(0, told(MINE, mine));
        let ask = outputs(&mut exchange);
        assert!(matches!(&ask[..], [ExchangeOutput::AskDigests { clocks: true, .. }]), "{ask:?}");
        exchange.handle_digests(0, DigestPage { digests: told(THEIRS, theirs), until: None });
        let push = ExchangeOutput::Push { key: key(7), theirs: Some(THEIRS) };
        assert_eq!(exchange.poll_output(), pushes.then_some(push), "{why}");
        assert_eq!(exchange.report().complete, !pushes, "{why}");
    }
}

#[test]
fn a_push_lists_a_branch_in_which_little_is_held_and_asks_for_no_hashes_of_it() {
    let dense = 32..64;
    let tree = holding([2, 20].into_iter().chain(dense).chain([70]));
    let mut exchange = begun(tree.clone(), Direction::Push);
    outputs(&mut exchange);
    exchange.handle_hashes(None, differing_from(&tree, None, &[0, 1, 2]));
    let load =
        |first_leaf, last_leaf| ExchangeOutput::LoadDigests { first_leaf, last_leaf, clocks: true };
    let ask = ExchangeOutput::AskHashes { branch: Some(1), known: tree.branch(1) };
    assert_eq!(outputs(&mut exchange), [load(2, 20), load(70, 70), ask]);
}

#[test]
fn a_push_of_strays_reads_their_leaves_alone() {
    let tree = holding([2, 20, 40]);
    let mut exchange = begun(tree.clone(), Direction::Push);
    outputs(&mut exchange);
    exchange.handle_hashes(None, vec![9; BRANCHES]);
    let ask = |branch| {
        let known = tree.branch(branch);
        ExchangeOutput::AskHashes { branch: Some(branch), known }
    };
    assert_eq!(outputs(&mut exchange), [ask(0), ask(1)]);
    exchange.handle_hashes(Some(0), vec![9; LEAVES_PER_BRANCH]);
    exchange.handle_hashes(Some(1), vec![9; LEAVES_PER_BRANCH]);
    let load =
        |leaf| ExchangeOutput::LoadDigests { first_leaf: leaf, last_leaf: leaf, clocks: true };
    assert_eq!(outputs(&mut exchange), [load(2), load(20), load(40)]);
}

#[test]
fn a_push_skips_what_only_the_peer_holds() {
    // So many leaves of the first branch that its hashes are asked for, of the others next to none.
    let tree = holding((2..32).filter(|leaf| *leaf != 3));
    let mut exchange = begun(tree.clone(), Direction::Push);
    outputs(&mut exchange);
    exchange.handle_hashes(None, differing_from(&tree, None, &[0, 1, 31]));
    let ask = ExchangeOutput::AskHashes { branch: Some(0), known: tree.branch(0) };
    assert_eq!(outputs(&mut exchange), [ask]);
    exchange.handle_hashes(Some(0), differing_from(&tree, Some(0), &[0, 2, 3, 4, 31]));
    let load =
        |leaf| ExchangeOutput::LoadDigests { first_leaf: leaf, last_leaf: leaf, clocks: true };
    assert_eq!(outputs(&mut exchange), [load(2), load(4), load(31)]);
    for leaf in [2, 4, 31] {
        exchange.handle_own_digests(leaf, vec![]);
    }
    outputs(&mut exchange);
    for leaf in [4, 31, 2] {
        exchange.handle_digests(leaf, page(&[], None));
    }
    assert!(exchange.report().complete);
}

#[test]
fn a_push_is_over_when_all_that_differs_is_the_peers_alone() {
    let tree = holding((2..32).filter(|leaf| *leaf != 3));
    let mut exchange = begun(tree.clone(), Direction::Push);
    outputs(&mut exchange);
    exchange.handle_hashes(None, differing_from(&tree, None, &[0, 9]));
    outputs(&mut exchange);
    exchange.handle_hashes(Some(0), differing_from(&tree, Some(0), &[1, 3]));
    assert!(exchange.report().complete);
}

#[derive(Debug, Clone)]
enum Input {
    Poll,
    Same(Option<u8>),
    Hashes(Option<u8>, Vec<u64>),
    Own(u16, Vec<(Key, DigestEntry)>),
    Digests(u16, DigestPage),
    Page(u16, Option<ScanMark>),
    PageMerged(u16),
    Pulled(Key, Option<Digest>, Digest),
    Gone(Key),
    Pushed(Key),
    RecordFailure(Key),
}

/// Generates any input, with few enough nodes and keys that some of it was asked for.
fn input() -> impl Strategy<Value = Input> {
    let branch = || of(0..3_u8);
    let digest = || (0..3_u64).prop_map(Digest);
    let key = || (0..24_u8).prop_map(key);
    let digests = move || vec_of((key(), digest().prop_map(entry)), 0..24);
    let until = || of((0..4_u128).prop_map(mark));
    let leaf = || 0..3_u16;
    let hashes = prop_oneof![8 => vec_of(0..2_u64, BRANCHES), 1 => vec_of(0..2_u64, 0..40)];
    prop_oneof![
        12 => Just(Input::Poll),
        1 => branch().prop_map(Input::Same),
        6 => (branch(), hashes).prop_map(|(branch, hashes)| Input::Hashes(branch, hashes)),
        6 => (leaf(), digests()).prop_map(|(leaf, own)| Input::Own(leaf, own)),
        6 => (leaf(), digests(), until())
            .prop_map(|(leaf, digests, until)| Input::Digests(leaf, DigestPage { digests, until })),
        3 => (leaf(), until()).prop_map(|(leaf, until)| Input::Page(leaf, until)),
        3 => leaf().prop_map(Input::PageMerged),
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
        Input::Page(leaf, until) => exchange.handle_page(leaf, 1, until),
        Input::PageMerged(leaf) => exchange.handle_page_merged(leaf),
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
        held in vec_of(0..96_u16, 0..12),
        pushes: bool,
    ) {
        let direction = if pushes { Direction::Push } else { Direction::Both };
        let mut exchange = begun(holding(held), direction);
        for input in inputs {
            handle(&mut exchange, input);
            let requests = exchange.walk.under_way() + exchange.open.len();
            let records = exchange.records.under_way();
            let pages = exchange.fetches.under_way();
            prop_assert!(requests <= REQUESTS_AT_ONCE && records <= PIPELINE);
            prop_assert!(pages <= PAGES_AT_ONCE && (pages == 0 || !pushes));
            if requests + records + pages == 0 && !exchange.is_done() {
                prop_assert!(exchange.poll_output().is_some(), "{exchange:?}");
            }
        }
    }
}

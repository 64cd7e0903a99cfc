//! Scans: pages of several replicas become one, and nothing is skipped.

use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::PartitionCount;
use jedlik_protocol::peer::Doubt;
use jedlik_protocol::{ClusterId, Key, PlacedKey};

use super::{ME, encoded, name, node, targets};
use crate::{Needs, OWNER_SETS_MAX, ReadPlan, Scan, ScanOutput, ScanPage, Shortfall, Tally};

fn placed(name: &str) -> PlacedKey {
    let key = Key::new("words", name).expect("a short name");
    PlacedKey::new(ClusterId(7), PartitionCount::new(1).expect("a power of two"), key)
}

/// Returns the names in the order in which a partition holds them.
fn in_order(names: &[&str]) -> Vec<PlacedKey> {
    let mut keys: Vec<PlacedKey> = names.iter().map(|name| placed(name)).collect();
    keys.sort();
    keys
}

fn page(keys: &[PlacedKey], until: Option<&PlacedKey>) -> ScanPage {
    let records = keys.iter().map(|key| (key.clone(), encoded(1, "x")));
    ScanPage { records: records.collect(), until: until.cloned(), ..ScanPage::default() }
}

fn plan(primaries: &str, r: u8) -> ReadPlan {
    ReadPlan {
        me: ME,
        primaries: targets(primaries),
        fallbacks: Vec::new(),
        needs: Needs { answers: r, ..Needs::default() },
        filling: Vec::new(),
        compares_all: false,
        hedge_after_us: 10_000,
        silent_after_us: 20_000,
        repair_until_us: 1_000_000,
        deadline_us: 1_000_000,
    }
}

fn start(r: u8) -> Scan {
    Scan::new(0, plan("abc", r))
}

fn over(sets: &[(&str, u8)]) -> Scan {
    let plans: Vec<ReadPlan> = sets.iter().map(|(primaries, r)| plan(primaries, *r)).collect();
    Scan::over(0, &plans)
}

/// Returns the names of the nodes that the scan asks now.
fn asked(scan: &mut Scan) -> String {
    let outputs = core::iter::from_fn(|| scan.poll_output());
    let name = |output| match output {
        ScanOutput::Read { node } => name(node),
        ScanOutput::Answer(result) => panic!("{result:?}"),
    };
    outputs.map(name).collect()
}

fn shortfall(scan: &mut Scan) -> Option<Shortfall> {
    core::iter::from_fn(|| scan.poll_output()).find_map(|output| match output {
        ScanOutput::Answer(result) => Some(result.expect_err("too few pages").quorum),
        ScanOutput::Read { .. } => None,
    })
}

fn answer(scan: &mut Scan) -> Option<ScanPage> {
    core::iter::from_fn(|| scan.poll_output()).find_map(|output| match output {
        ScanOutput::Answer(result) => Some(result.expect("a page")),
        ScanOutput::Read { .. } => None,
    })
}

#[test]
fn a_scan_holds_what_any_of_r_replicas_holds() {
    let keys = in_order(&["one", "two", "three", "four"]);
    let mut scan = start(2);
    scan.handle_page(ME, page(&keys[..3], None));
    scan.handle_page(node('b'), page(&keys[1..], None));
    let merged = answer(&mut scan).expect("two pages are enough");
    let found: Vec<PlacedKey> = merged.records.into_iter().map(|(key, _)| key).collect();
    assert_eq!((found, merged.until), (keys, None));
}

#[test]
fn a_scan_ends_where_the_shortest_page_ends() {
    let keys = in_order(&["one", "two", "three", "four"]);
    let mut scan = start(2);
    // The first replica's page was cut after its second record; what lies past it comes next time.
    scan.handle_page(ME, page(&keys[..2], Some(&keys[1])));
    scan.handle_page(node('b'), page(&keys, None));
    let merged = answer(&mut scan).expect("two pages are enough");
    let found: Vec<PlacedKey> = merged.records.into_iter().map(|(key, _)| key).collect();
    assert_eq!((found.as_slice(), merged.until.as_ref()), (&keys[..2], Some(&keys[1])));
}

#[test]
fn a_failed_replica_is_replaced_and_too_many_failures_are_told() {
    let mut scan = start(2);
    scan.handle_failure(ME);
    scan.handle_page(node('b'), page(&[], None));
    assert_eq!(answer(&mut scan), None);
    scan.handle_page(node('c'), page(&[], None));
    assert!(answer(&mut scan).is_some());

    let mut scan = start(2);
    scan.handle_failure(ME);
    scan.handle_failure(node('b'));
    let said: Vec<String> =
        core::iter::from_fn(|| scan.poll_output()).map(|o| alloc::format!("{o:?}")).collect();
    assert!(said.iter().any(|word| word.contains("Err")), "{said:?}");
    assert!(scan.is_done());
}

#[test]
fn a_scan_over_several_owner_sets_asks_each_node_once() {
    let cases: [(&[(&str, u8)], &str); 6] = [
        (&[("bcd", 2), ("abc", 2)], "bc"),
        (&[("bcd", 2), ("acb", 2)], "bc"),
        (&[("def", 2), ("abc", 2)], "deab"),
        (&[("bcd", 3), ("abc", 2)], "bcd"),
        (&[("bCd", 2), ("abC", 2)], "bda"),
        (&[("def", 1), ("cde", 2), ("abf", 1)], "dca"),
    ];
    for (sets, expected) in cases {
        let mut scan = over(sets);
        assert_eq!(asked(&mut scan), expected, "{sets:?}");
    }
    let mut scan = over(&[("bcd", 2), ("abc", 2)]);
    assert_eq!(asked(&mut scan), "bc");
    scan.handle_timeout(10_000);
    assert_eq!(asked(&mut scan), "da");
}

#[test]
fn a_scan_has_the_pages_of_r_replicas_of_each_owner_set() {
    let keys = in_order(&["one", "two", "three", "four"]);
    let mut scan = over(&[("bcd", 2), ("abe", 2)]);
    assert_eq!(asked(&mut scan), "bca");
    scan.handle_page(node('b'), page(&keys[..1], None));
    scan.handle_page(node('c'), page(&keys[..1], None));
    assert_eq!(answer(&mut scan), None);
    scan.handle_failure(ME);
    assert_eq!(asked(&mut scan), "e");
    scan.handle_page(node('e'), page(&keys[..3], Some(&keys[2])));
    let merged = answer(&mut scan).expect("two pages of each set");
    let found: Vec<PlacedKey> = merged.records.into_iter().map(|(key, _)| key).collect();
    assert_eq!((found.as_slice(), merged.until.as_ref()), (&keys[..3], Some(&keys[2])));
    assert!(scan.is_done());
}

#[test]
fn a_scan_falls_short_with_the_owner_set_that_does() {
    let mut scan = over(&[("bcd", 1), ("aef", 3)]);
    scan.handle_page(node('b'), page(&[], None));
    scan.handle_page(ME, page(&[], None));
    scan.handle_failure(node('e'));
    let short = shortfall(&mut scan).expect("two of three are left");
    let had = Tally { answers: 1, primaries: 1, synced: 0 };
    assert_eq!((short.needs.answers, short.had, short.timed_out), (3, had, false));

    let mut scan = over(&[("bcd", 1), ("aef", 3)]);
    scan.handle_page(node('b'), page(&[], None));
    scan.handle_timeout(1_000_000);
    let short = shortfall(&mut scan).expect("time is over");
    assert_eq!((short.needs.answers, short.timed_out), (3, true));

    let needs = Needs { answers: 2, ..Needs::default() };
    let too_many = [("abc", 2); OWNER_SETS_MAX + 1];
    for (sets, needs) in [(&too_many[..], needs), (&[("a", 2)], needs), (&[], Needs::default())] {
        let mut scan = over(sets);
        assert_eq!(shortfall(&mut scan), Some(Shortfall { needs, ..Shortfall::default() }));
        assert!(scan.is_done());
    }
}

/// Returns a plan with fallbacks, of which those in capitals are away.
fn sloppy(primaries: &str, fallbacks: &str, r: u8) -> ReadPlan {
    ReadPlan { fallbacks: targets(fallbacks), ..plan(primaries, r) }
}

fn names(page: &ScanPage) -> Vec<PlacedKey> {
    page.records.iter().map(|(key, _)| key.clone()).collect()
}

#[test]
fn what_a_fallback_keeps_for_an_owner_that_is_away_is_in_the_page() {
    let keys = in_order(&["one", "two", "three"]);
    let mut scan = Scan::new(0, sloppy("aBc", "Def", 2));
    assert_eq!(asked(&mut scan), "efac");
    scan.handle_page(node('f'), page(&[], None));
    scan.handle_page(ME, page(&keys[..1], None));
    scan.handle_page(node('c'), page(&keys[..1], None));
    assert_eq!(answer(&mut scan), None, "all fallbacks are to be heard as well");
    scan.handle_page(node('e'), page(&keys[1..2], None));
    assert_eq!(names(&answer(&mut scan).expect("all were heard")), keys[..2]);
}

#[test]
fn fallbacks_are_heard_once_an_owner_fails_and_those_that_fail_are_not_waited_for() {
    let mut scan = Scan::new(0, sloppy("aBc", "defghijklm", 2));
    assert_eq!(asked(&mut scan), "defghijkac", "eight of them");
    scan.handle_failure(node('d'));
    assert_eq!(asked(&mut scan), "l", "another one in place of one that fails");
    scan.handle_page(ME, page(&[], None));
    scan.handle_page(node('c'), page(&[], None));
    for one in "efghijk".chars() {
        scan.handle_page(node(one), page(&[], None));
    }
    assert_eq!(answer(&mut scan), None);
    scan.handle_failure(node('l'));
    assert_eq!(asked(&mut scan), "m");
    scan.handle_failure(node('m'));
    assert!(answer(&mut scan).is_some(), "nobody is left who might keep a hint");

    let mut scan = Scan::new(0, sloppy("abc", "de", 2));
    assert_eq!(asked(&mut scan), "ab");
    scan.handle_failure(node('b'));
    assert_eq!(asked(&mut scan), "dec");
}

#[test]
fn a_fallback_counts_for_nothing_since_it_does_not_know_what_is_absent() {
    let mut scan = Scan::new(0, sloppy("aBC", "de", 2));
    assert_eq!(asked(&mut scan), "deab");
    for one in ['a', 'd', 'e'] {
        scan.handle_page(node(one), page(&[], None));
    }
    assert_eq!(asked(&mut scan), "");
    scan.handle_failure(node('b'));
    assert_eq!(asked(&mut scan), "c");
    scan.handle_failure(node('c'));
    let short = shortfall(&mut scan).expect("one owner of two");
    assert_eq!((short.needs.answers, short.had.answers), (2, 1));
}

#[test]
fn fallbacks_are_waited_for_as_long_as_an_owner_is_silent() {
    let mut scan = Scan::new(0, sloppy("abc", "de", 2));
    assert_eq!(asked(&mut scan), "ab");
    scan.handle_page(ME, page(&[], None));
    scan.handle_timeout(10_000);
    assert_eq!(asked(&mut scan), "cde");
    scan.handle_page(node('d'), page(&[], None));
    scan.handle_page(node('c'), page(&[], None));
    assert_eq!(answer(&mut scan), None);
    scan.handle_page(node('b'), page(&[], None));
    assert!(answer(&mut scan).is_some());
}

#[test]
fn a_damaged_key_is_covered_by_the_others_or_the_page_fails_with_its_name() {
    let keys = in_order(&["one", "two"]);
    let damaged = ScanPage { damaged: keys[1..].to_vec(), ..page(&keys[..1], None) };
    let mut scan = start(2);
    assert_eq!(asked(&mut scan), "ab");
    scan.handle_page(ME, damaged.clone());
    scan.handle_page(node('b'), page(&keys, None));
    assert_eq!(asked(&mut scan), "c", "of the damaged key one has said nothing");
    scan.handle_page(node('c'), page(&keys, None));
    assert_eq!(names(&answer(&mut scan).expect("two can read each key")), keys);

    let mut scan = start(2);
    asked(&mut scan);
    for one in "abc".chars().map(node) {
        scan.handle_page(one, if one == node('c') { page(&keys, None) } else { damaged.clone() });
        asked_or_answered(&mut scan);
    }
    assert!(scan.is_done());
}

/// Takes all outputs; a failure has to name the damaged key and the node that holds it.
fn asked_or_answered(scan: &mut Scan) {
    while let Some(output) = scan.poll_output() {
        let ScanOutput::Answer(result) = output else { continue };
        let short = result.expect_err("one of three can read the key");
        assert_eq!(short.damaged, Some(in_order(&["one", "two"])[1].clone()));
        assert_eq!(short.quorum.had.answers, 0);
        let doubted: Vec<char> =
            short.quorum.in_doubt.iter().map(|(node, _)| name(*node)).collect();
        assert_eq!(doubted, ['a', 'b']);
    }
}

#[test]
fn damage_past_the_end_of_the_page_is_the_next_pages_matter() {
    let keys = in_order(&["one", "two", "three"]);
    let damaged = ScanPage { damaged: keys[2..].to_vec(), ..page(&keys[..2], None) };
    let mut scan = start(2);
    scan.handle_page(ME, damaged);
    scan.handle_page(node('b'), page(&keys[..2], Some(&keys[1])));
    let merged = answer(&mut scan).expect("both can read up to there");
    assert_eq!((names(&merged).as_slice(), merged.until.as_ref()), (&keys[..2], Some(&keys[1])));
}

#[test]
fn an_owner_without_a_vote_adds_what_it_holds_and_does_not_count() {
    let keys = in_order(&["one", "two"]);
    let doubt = Some(Doubt::Refilling);
    let mut scan = start(2);
    scan.handle_page(ME, ScanPage { doubt, ..page(&keys[1..], None) });
    scan.handle_page(node('b'), page(&keys[..1], None));
    assert_eq!(asked(&mut scan), "abc");
    scan.handle_page(node('c'), page(&keys[..1], None));
    assert_eq!(names(&answer(&mut scan).expect("two have a vote")), keys);

    let mut scan = start(2);
    scan.handle_page(ME, ScanPage { doubt, ..page(&keys, None) });
    scan.handle_page(node('b'), ScanPage { doubt, ..page(&keys, None) });
    let short = shortfall(&mut scan).expect("one has a vote");
    assert_eq!(short.in_doubt, [(ME, Doubt::Refilling), (node('b'), Doubt::Refilling)]);
}

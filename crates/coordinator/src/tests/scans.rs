//! Scans: pages of several replicas become one, and nothing is skipped.

use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::PartitionCount;
use jedlik_protocol::{ClusterId, Key, PlacedKey};

use super::{ME, encoded, node, targets};
use crate::{Needs, ReadPlan, Scan, ScanOutput, ScanPage};

fn placed(name: &str) -> PlacedKey {
    let key = Key::new("words", name).expect("a short name");
    PlacedKey::new(ClusterId(7), PartitionCount::new(1).expect("a power of two"), key)
}

/// The names in the order in which a partition holds them.
fn in_order(names: &[&str]) -> Vec<PlacedKey> {
    let mut keys: Vec<PlacedKey> = names.iter().map(|name| placed(name)).collect();
    keys.sort();
    keys
}

fn page(keys: &[PlacedKey], until: Option<&PlacedKey>) -> ScanPage {
    let records = keys.iter().map(|key| (key.clone(), encoded(1, "x")));
    ScanPage { records: records.collect(), until: until.cloned() }
}

fn start(r: u8) -> Scan {
    let plan = ReadPlan {
        me: ME,
        primaries: targets("abc"),
        fallbacks: Vec::new(),
        needs: Needs { answers: r, ..Needs::default() },
        hedge_after_us: 10_000,
        silent_after_us: 20_000,
        repair_until_us: 1_000_000,
        deadline_us: 1_000_000,
    };
    Scan::new(0, plan)
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

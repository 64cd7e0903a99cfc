//! Scans see what gets see: hints at stand-ins, damage as damage, and keys without their values.

use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::client::{ClientRequest, ClientResponse, ScanAnswer, ScanOf, ScanRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::Delta;
use jedlik_protocol::{Blob, Quorum};
use jedlik_vclock::Content;

use super::cluster::{Cluster, blind};

/// Scans the partition of a key of the bucket `carts` at `node`.
fn scan(
    cluster: &mut Cluster,
    node: NodeId,
    name: &str,
    values: bool,
) -> Result<ScanAnswer, Failure> {
    scan_of(cluster, node, ScanOf::Bucket(Blob::from("carts")), name, values)
}

fn scan_of(
    cluster: &mut Cluster,
    node: NodeId,
    of: ScanOf,
    name: &str,
    values: bool,
) -> Result<ScanAnswer, Failure> {
    let scan = ScanRequest {
        of,
        partition: cluster.placed(name).partition,
        after: None,
        limit: 10,
        values,
        r: Quorum::Default,
        timeout_ms: 1_000,
    };
    match cluster.request(node, ClientRequest::Scan(scan)) {
        ClientResponse::Scanned(answer) => Ok(answer),
        ClientResponse::Failed(failure) => Err(failure),
        other => panic!("{other:?}"),
    }
}

fn found(answer: &ScanAnswer) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let item = |item: &jedlik_protocol::client::ScanItem| match &item.versions[0].content {
        Content::Value(value) => (text(&item.key), text(value.bytes())),
        Content::Tombstone => panic!("a scan lists what is live"),
    };
    answer.items.iter().map(item).collect()
}

fn damage(cluster: &mut Cluster, node: NodeId, name: &str) {
    let key = cluster.placed(name);
    assert!(cluster.node(node).disk.contains_key(&key), "there is nothing to damage");
    cluster.node(node).damaged.insert(key);
}

#[test]
fn what_waits_as_a_hint_for_an_owner_that_is_away_is_in_the_scan() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    cluster.notice_down(owners[1]);
    cluster.put(owners[0], blind("alice", "tea")).expect("a put");
    assert_eq!(cluster.hinted(owners[3], "alice"), [owners[1]]);
    // The hint is all that is left of it.
    let key = cluster.placed("alice");
    for owner in [owners[0], owners[2]] {
        cluster.node(owner).disk.remove(&key);
    }
    for via in [owners[0], owners[2], owners[3], owners[4]] {
        let answer = scan(&mut cluster, via, "alice", true).expect("a scan");
        assert_eq!(found(&answer), [("alice".into(), "tea".into())], "via {via}");
    }
}

#[test]
fn with_too_few_owners_a_scan_fails_for_stand_ins_do_not_know_what_is_absent() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    cluster.put(owners[0], blind("alice", "tea")).expect("a put");
    owners[..2].iter().for_each(|node| cluster.notice_down(*node));
    let failure = scan(&mut cluster, owners[3], "alice", true).expect_err("one owner of two");
    assert_eq!(failure.code, ErrorCode::Unavailable, "{failure}");
    assert!(failure.message.starts_with("scan: 1 of 2 replicas answered"), "{failure}");
}

#[test]
fn a_damaged_record_is_covered_by_the_others_and_never_a_gap() {
    for values in [true, false] {
        let mut cluster = Cluster::new(3, &[]);
        cluster.put(NodeId(1), blind("alice", "tea")).expect("a put");
        cluster.advance(100);
        damage(&mut cluster, NodeId(1), "alice");
        for via in 1..=3 {
            let answer = scan(&mut cluster, NodeId(via), "alice", values).expect("two can read it");
            assert_eq!(found(&answer).len(), 1, "via n{via}");
        }
        damage(&mut cluster, NodeId(2), "alice");
        let failure = scan(&mut cluster, NodeId(3), "alice", values).expect_err("one can read it");
        assert_eq!(failure.code, ErrorCode::Unavailable);
        for words in ["damaged", "n1", "n2", "too few can read the key alice of carts"] {
            assert!(failure.message.contains(words), "no {words:?} in {failure}");
        }
    }
}

#[test]
fn keys_are_listed_without_their_values() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.put(NodeId(1), blind("alice", "tea")).expect("a put");
    for via in 1..=3 {
        let answer = scan(&mut cluster, NodeId(via), "alice", false).expect("a scan");
        assert_eq!(found(&answer), [("alice".into(), String::new())]);
    }
}

#[test]
fn every_bucket_with_one_n_is_read_at_once_with_what_its_values_take() {
    let few = BucketProps { n: 1, r: 1, w: 1, ..BucketProps::default() };
    let mut cluster = Cluster::new(4, &[("few", few)]);
    let names = ["carts/alice", "few/alice", "logs/alice", "few/bob", "logs/bob"];
    for name in names {
        cluster.put(NodeId(1), blind(name, name)).expect("a put");
    }
    for (n, expected) in [(1, &[1, 3][..]), (3, &[0, 2, 4])] {
        for values in [true, false] {
            let mut seen: Vec<String> = Vec::new();
            let partitions: alloc::collections::BTreeSet<_> =
                names.iter().map(|name| cluster.placed(name).partition).collect();
            for partition in partitions {
                let in_it = names.iter().find(|name| cluster.placed(name).partition == partition);
                let of = ScanOf::EveryBucket(n);
                let answer = scan_of(&mut cluster, NodeId(2), of, in_it.expect("one"), values);
                for item in answer.expect("a scan").items {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let name = alloc::format!("{}/{}", text(&item.bucket), text(&item.key));
                    assert_eq!(item.value_bytes, name.len() as u64, "the value is the name");
                    seen.push(name);
                }
            }
            seen.sort();
            let expected: Vec<&str> = expected.iter().map(|index| names[*index]).collect();
            assert_eq!(seen, expected, "n={n}, values: {values}");
        }
    }
    let of = ScanOf::EveryBucket(2);
    let failure = scan_of(&mut cluster, NodeId(2), of, "carts/alice", false).expect_err("none");
    assert_eq!(failure.code, ErrorCode::InvalidRequest);
}

#[test]
fn an_owner_that_has_not_heard_of_its_raised_n_says_nothing_of_what_it_was_never_given() {
    let (one, three) = (
        BucketProps { n: 1, r: 1, w: 1, ..BucketProps::default() },
        BucketProps { n: 3, r: 1, w: 1, ..BucketProps::default() },
    );
    for every in [false, true] {
        let mut cluster = Cluster::new(3, &[("few", one.clone())]);
        let owners = cluster.owners("few/alice");
        cluster.put(owners[0], blind("few/alice", "tea")).expect("a put");
        // The second owner knows of the change, the third does not, and the first is away.
        let entry = BucketEntry { name: Blob::from("few"), version: 2, props: three.clone() };
        let news = Delta { buckets: [entry].into(), ..Delta::default() };
        cluster.tell(owners[1], owners[0], news);
        cluster.deliver();
        cluster.notice_down(owners[0]);
        let of = if every { ScanOf::EveryBucket(3) } else { ScanOf::Bucket(Blob::from("few")) };
        let failure = scan_of(&mut cluster, owners[1], of, "few/alice", true)
            .expect_err("who never held the key does not say that there is none");
        assert_eq!(failure.code, ErrorCode::Unavailable, "{failure}");
    }
}

//! Reads of large records: what they hold, and those that nobody waits for any more.

use jedlik_hashing::NodeId;
use jedlik_protocol::Quorum;
use jedlik_protocol::client::{ClientRequest, ScanOf, ScanRequest};
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::limits::LARGE_AT_ONCE_BYTES;

use super::cluster::{Cluster, blind, get_request};
use crate::Input;
use crate::reading::ReadBytes;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);
const LARGE_BYTES: usize = 100_000;

/// Returns three nodes with a large value, of which only N1 answers.
fn mute() -> Cluster {
    let mut cluster = Cluster::new(3, &[]);
    cluster.put(N1, blind("large", &"x".repeat(LARGE_BYTES))).expect("a put");
    cluster.put(N1, blind("small", "tea")).expect("a put");
    cluster.advance(1_000);
    cluster.mute.extend([N2, N3]);
    assert_eq!(cluster.node(N1).replica.operations(), 0);
    cluster
}

#[test]
fn what_gets_hold_of_large_records_counts_until_they_are_over() {
    let mut cluster = mute();
    for (name, held) in [("small", 0), ("large", LARGE_BYTES), ("large", 2 * LARGE_BYTES)] {
        cluster.ask(N1, ClientRequest::Get(get_request(name)));
        cluster.deliver();
        let bytes = cluster.node(N1).replica.cx.pending.read_bytes.get();
        assert!((held..held + 1_000).contains(&bytes), "{bytes} of {held}");
    }
    cluster.advance(10_000);
    assert_eq!(cluster.node(N1).replica.cx.pending.read_bytes.get(), 0, "their time is up");
}

#[test]
fn large_gets_past_the_limit_are_refused_and_small_ones_go_on() {
    let all = ReadBytes::default();
    let first = all.hold(LARGE_AT_ONCE_BYTES + 1).expect("one is always read");
    let failure = all.hold(LARGE_BYTES).expect_err("one too many");
    assert_eq!((failure.code, failure.maybe_applied), (ErrorCode::Overloaded, false));
    assert!(all.hold(1_000).expect("a small one").is_none());
    drop(first);

    let mut cluster = mute();
    let held = cluster.node(N1).replica.cx.pending.read_bytes.hold(LARGE_AT_ONCE_BYTES);
    let failure = cluster.get(N1, "large", 1).expect_err("one too many");
    assert!(failure.code.retryable() && failure.message.contains("nothing was done"), "{failure}");
    assert_eq!(cluster.node(N1).replica.operations(), 0);
    assert_eq!(cluster.values(N1, "small", 1), ["tea"]);
    drop(held);
    assert_eq!(cluster.values(N1, "large", 1).len(), 1);
}

#[test]
fn a_read_that_is_withdrawn_ends_and_a_put_goes_on() {
    let mut cluster = mute();
    let scan = ScanRequest {
        of: ScanOf::Bucket("carts".into()),
        partition: cluster.placed("large").partition,
        after: None,
        limit: 10,
        values: true,
        r: Quorum::Default,
        timeout_ms: 5_000,
    };
    let requests = [
        (ClientRequest::Get(get_request("large")), 0),
        (ClientRequest::Scan(scan), 0),
        (ClientRequest::Put(blind("other", "salt")), 1),
    ];
    for (request, left) in requests {
        let reply = cluster.ask(N1, request.clone());
        cluster.deliver();
        assert_eq!(cluster.node(N1).replica.operations(), 1, "{request:?}");
        cluster.step(N1, Input::Withdrawn { reply: reply + 1 });
        assert_eq!(cluster.node(N1).replica.operations(), 1, "another's");
        cluster.step(N1, Input::Withdrawn { reply });
        let replica = &cluster.node(N1).replica;
        assert_eq!(
            (replica.operations(), replica.cx.pending.read_bytes.get()),
            (left, 0),
            "{request:?}"
        );
    }
}

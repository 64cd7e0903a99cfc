//! Messages that are too old.

use jedlik_hashing::NodeId;
use jedlik_protocol::peer::PeerRequest;

use super::cluster::{Cluster, LIFE_US, blind};
use crate::{Counter, Input};

const N1: NodeId = NodeId(1);
const N3: NodeId = NodeId(3);

const LIFE_MS: u64 = LIFE_US / 1_000;

fn is_write(request: &PeerRequest) -> bool {
    matches!(request, PeerRequest::Write { .. })
}

#[test]
fn a_request_that_names_an_old_reading_is_refused_and_sent_again_once() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.put(N1, blind("alice", "tea")).expect("a put");
    for (idle_ms, refused) in [(LIFE_MS + 1, 2), (LIFE_MS - 1, 0), (20 * LIFE_MS, 2)] {
        cluster.counts.clear();
        cluster.sent.clear();
        cluster.now.mono_us += idle_ms * 1_000;
        let value = alloc::format!("after {idle_ms}");
        cluster.put(N1, blind("alice", &value)).expect("a put");
        assert_eq!(cluster.count(Counter::TooOldMessages), refused, "after {idle_ms} ms");
        assert_eq!(cluster.sent_such(is_write), 2 + refused as usize);
        assert!(cluster.values(N3, "alice", 1).contains(&value));
    }
}

#[test]
fn a_write_that_outlived_its_time_in_the_inbox_of_a_node_that_stood_still_is_dropped() {
    let mut cluster = Cluster::new(3, &[]);
    for (still_ms, arrives) in [(LIFE_MS / 2, true), (2 * LIFE_MS, false)] {
        cluster.put(N1, blind("alice", "before")).expect("a put");
        cluster.freeze(N3);
        let value = alloc::format!("still {still_ms}");
        cluster.put(N1, blind("alice", &value)).expect("two of three are enough");
        cluster.now.mono_us += still_ms * 1_000;
        let inbox = cluster.frozen.remove(&N3).expect("it stood still");
        for input in inbox {
            let write = matches!(&input, Input::Peer { request, .. } if is_write(request));
            if write {
                cluster.step(N3, input);
            }
        }
        let held = cluster.held(N3, "alice").expect("a record").decode().expect("a record");
        let found = held
            .siblings()
            .iter()
            .any(|sibling| sibling.content == jedlik_vclock::Content::Value(value.as_str().into()));
        assert_eq!(found, arrives, "{value}");
        cluster.deliver();
    }
}

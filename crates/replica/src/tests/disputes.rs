//! Requests that a node refuses while another process runs under its identity.

use alloc::collections::BTreeSet;
use alloc::vec;

use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_membership::View;
use jedlik_protocol::client::{ClientRequest, ScanOf, ScanRequest};
use jedlik_protocol::gossip::{Delta, Life, Rival};
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{ClusterId, Digest, Incarnation, Quorum};

use super::cluster::{blind, get_request, key, member};
use crate::{dispute_over, dispute_with_peer};

fn view(rival: Option<Rival>) -> View {
    let mut me = member(1);
    me.life = Life { rival, ..me.life };
    let known = Delta { members: vec![me, member(2)], ..Delta::default() };
    let partitions = PartitionCount::new(16).expect("a power of two");
    View::new(NodeId(1), ClusterId(1), partitions, known, BTreeSet::new())
}

#[test]
fn one_of_two_processes_coordinates_nothing_and_vouches_for_no_record() {
    let rival = Rival { incarnation: Incarnation(9), address: member(1).address };
    let (alone, disputed) = (view(None), view(Some(rival)));
    let put = || ClientRequest::Put(blind("k", "v"));
    let get = ClientRequest::Get(get_request("k"));
    let scan = ClientRequest::Scan(ScanRequest {
        of: ScanOf::EveryBucket(3),
        partition: Partition(0),
        after: None,
        limit: 10,
        values: false,
        r: Quorum::Default,
        timeout_ms: 1_000,
    });
    let (digest, lives) = (Digest(0), alone.lives());
    let compare = PeerRequest::Compare { key: key("k"), digest, n: 3, lives, durably: true };
    assert_eq!(dispute_over(&disputed, &put()), Some(rival));
    assert_eq!(dispute_with_peer(&disputed, &PeerRequest::Forward(put())), Some(rival));
    assert_eq!(dispute_with_peer(&disputed, &compare), Some(rival));
    assert_eq!(dispute_over(&disputed, &get), Some(rival), "what it holds may have been deleted");
    assert_eq!(dispute_over(&disputed, &scan), Some(rival));
    assert_eq!(dispute_over(&alone, &scan), None);
    assert_eq!(dispute_over(&disputed, &ClientRequest::Topology), None);
    assert_eq!(dispute_over(&alone, &get), None);
    assert_eq!(dispute_with_peer(&disputed, &PeerRequest::Forward(get)), Some(rival));
    assert_eq!(dispute_over(&alone, &put()), None);
    assert_eq!(dispute_with_peer(&alone, &compare), None);
}

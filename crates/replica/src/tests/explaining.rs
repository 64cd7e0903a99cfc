//! The explanation of a key.

use alloc::boxed::Box;

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, Explanation};
use jedlik_protocol::client::{ClientRequest, ClientResponse};

use super::cluster::{Cluster, after, blind, key};

pub(super) fn explain(cluster: &mut Cluster, node: NodeId, name: &str) -> Box<Explanation> {
    let request = ClientRequest::Admin(AdminRequest::Explain { key: key(name) });
    match cluster.request(node, request) {
        ClientResponse::Admin(AdminResponse::Explained(explanation)) => explanation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_explanation_tells_what_everyone_holds_and_who_is_behind() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    let context = cluster.put(owners[0], blind("alice", "tea")).expect("a put");
    let place = cluster.placed("alice");
    let old = cluster.node(owners[1]).disk[&place].clone();
    cluster.notice_down(owners[2]);
    cluster.put(owners[0], after("alice", "salt", &context)).expect("a put");
    cluster.node(owners[1]).disk.insert(place.clone(), old);

    for node in [owners[0], owners[3], owners[4]] {
        let found = explain(&mut cluster, node, "alice");
        assert_eq!((found.partition, found.position), (place.partition, place.position));
        assert_eq!((found.n, found.holders.len()), (3, 5));
        let merged = found.merged.expect("there is a record");
        assert_eq!(merged.siblings.len(), 1);
        assert_eq!(merged.siblings[0].value_bytes, Some(4));
        let newest = cluster.held(owners[0], "alice").expect("a record").digest();
        assert_eq!(merged.digest, newest);
        for (place, holder) in found.holders.iter().enumerate() {
            assert_eq!((holder.node, usize::from(holder.rank)), (owners[place], place));
            assert_eq!(holder.alive, place != 2);
        }
        let holds = |place: usize| found.holders[place].holds.as_ref();
        let digest = |place: usize| Some(holds(place)?.record.as_ref()?.digest);
        assert_eq!(digest(0), Some(newest));
        assert!(digest(1).is_some_and(|digest| digest != newest), "it is behind");
        assert_eq!(holds(2), None, "it can't be asked");
        let hints = &holds(3).expect("it answered").hints;
        assert_eq!((hints.len(), hints[0].target), (1, owners[2]));
        assert_eq!(hints[0].record.digest, newest);
        assert_eq!(digest(4), None, "it answered that it holds nothing");
        assert!(holds(4).is_some_and(|holds| holds.hints.is_empty() && !holds.damaged));
    }
}

#[test]
fn an_explanation_names_damage_and_does_not_wait_for_the_silent() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    cluster.put(owners[0], blind("alice", "tea")).expect("a put");
    let place = cluster.placed("alice");
    cluster.node(owners[1]).damaged.insert(place);
    cluster.mute.insert(owners[2]);
    let found = explain(&mut cluster, owners[4], "alice");
    assert!(found.merged.is_some());
    let damaged = found.holders[1].holds.as_ref().expect("it answered");
    assert!(damaged.damaged && damaged.record.is_none());
    assert_eq!(found.holders[2].holds, None);
    assert_eq!(cluster.node(owners[4]).replica.operations(), 0);
}

#[test]
fn a_key_that_nobody_holds_is_explained_too() {
    let mut cluster = Cluster::new(3, &[]);
    let found = explain(&mut cluster, NodeId(1), "nobody");
    assert_eq!(found.merged, None);
    assert!(found.holders.iter().all(|holder| holder.holds.is_some()));
}

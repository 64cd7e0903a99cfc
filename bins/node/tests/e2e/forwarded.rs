//! Puts that a node which is no owner forwards to a coordinator whose own record is damaged.

use std::collections::BTreeSet;

use jedlik_client::Bytes;
use jedlik_protocol::client::{ClientRequest, ClientResponse, PutRequest};
use jedlik_protocol::{Blob, Key, Quorum};
use jedlik_vclock::{Content, WriteId};

use crate::cluster::{Cluster, wait_until};
use crate::engines::damage_all;
use crate::flood::Hose;
use crate::node::LIMIT;
use crate::observer::{OWNERS, Observer};
use crate::requests::{ByKey, fill, patient_r, patient_w, shown};

/// Lengths of the values before and after the damage.
const FIRST: usize = 100;
const SECOND: usize = 200;
/// Index of the node that is asked, which owns none of the keys.
const ASKED: usize = 0;
/// Index of the node that coordinates, first in the keys' preference lists.
const DAMAGED: usize = 2;

#[test]
fn a_put_forwarded_to_a_coordinator_with_a_damaged_record_succeeds_and_covers_nothing_unseen() {
    let mut cluster = Cluster::start_many(5, |_| {});
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(ASKED));
    let keys = observer
        .keys_where("kept", 150, |nodes| nodes[0] == DAMAGED && !nodes[..OWNERS].contains(&ASKED));
    observer.runtime.block_on(fill(&client, &keys, FIRST, &patient_w(3).pw(3)));
    let contexts: Vec<Option<Blob>> = observer.runtime.block_on(async {
        let mut contexts = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            let found = client.get(key).options(&patient_r(3)).await.unwrap();
            // Every other put has seen the first one.
            let context = found.context().filter(|_| number % 2 == 0);
            contexts.push(context.map(|context| Blob::from(context.as_bytes().clone())));
        }
        contexts
    });
    assert!(cluster.nodes[DAMAGED].stop().success(), "a clean stop");
    assert_eq!(damage_all(&cluster.nodes[DAMAGED]), keys.len());
    cluster.restart(DAMAGED);
    cluster.wait_until_all_are_up(ASKED);
    // Until then some are mended by comparisons with the others.
    cluster.ask(ASKED, "background pause").ok();
    let is_damaged = |key: &Key| {
        let explained = observer.explain(std::slice::from_ref(key));
        explained
            .values()
            .flat_map(|explained| &explained.holders)
            .any(|holder| holder.holds.as_ref().is_some_and(|holds| holds.damaged))
    };
    let (keys, contexts): (Vec<Key>, Vec<Option<Blob>>) =
        keys.into_iter().zip(contexts).filter(|(key, _)| is_damaged(key)).unzip();
    assert!(keys.len() > 10, "{} are damaged still", keys.len());
    let expected: Vec<BTreeSet<usize>> = contexts.iter().map(lengths).collect();

    let answers = observer.runtime.block_on(async {
        let address = cluster.nodes[ASKED].address.unwrap();
        let mut hose = Hose::connect(address, &cluster.path("client/tls")).await;
        let puts = keys.iter().zip(contexts).enumerate();
        let answers =
            hose.ask(puts.map(|(n, (key, context))| put(n, key, context)).collect()).await;
        hose.close().await;
        answers
    });
    assert!(observer.counter("forwards")[&ASKED] >= keys.len() as u64, "it passed them on");
    let coordinator = observer.counter("puts")[&DAMAGED];
    assert!(coordinator >= keys.len() as u64, "{coordinator}");
    for (key, (answer, _)) in keys.iter().zip(answers) {
        assert!(matches!(answer, ClientResponse::Put(_)), "{}: {answer:?}", shown(key));
    }
    assert_found(&cluster, &observer, ASKED, &keys, &expected);
    assert_found(&cluster, &observer, DAMAGED, &keys, &expected);
    cluster.ask(ASKED, "background resume").ok();
    wait_until("every record is mended", || !keys.iter().any(is_damaged));
    observer.wait_until_settled(&keys);
    assert_found(&cluster, &observer, ASKED, &keys, &expected);
}

/// Gets every key through the node at `index`, which must find versions of exactly these lengths.
fn assert_found(
    cluster: &Cluster,
    observer: &Observer,
    index: usize,
    keys: &[Key],
    expected: &[BTreeSet<usize>],
) {
    observer.runtime.block_on(async {
        let client = cluster.client(index).await;
        for (key, expected) in keys.iter().zip(expected) {
            let found = client.get(key).options(&patient_r(3)).await;
            let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
            let found: BTreeSet<usize> = found.values().map(Bytes::len).collect();
            assert_eq!(&found, expected, "{}", shown(key));
        }
    });
}

/// Returns the lengths of the versions that a get finds after a put with this context.
fn lengths(context: &Option<Blob>) -> BTreeSet<usize> {
    let unseen = context.is_none().then_some(FIRST);
    unseen.into_iter().chain([SECOND]).collect()
}

/// Makes a put of the second value, which follows what its context has seen.
fn put(number: usize, key: &Key, context: Option<Blob>) -> ClientRequest {
    ClientRequest::Put(PutRequest {
        key: key.clone(),
        content: Content::Value(vec![b'y'; SECOND].into()),
        context,
        write_id: WriteId(number as u128 + 1),
        ttl_ms: None,
        n: None,
        w: Quorum::Default,
        pw: Quorum::Default,
        dw: Quorum::Default,
        timeout_ms: LIMIT.as_millis() as u32,
    })
}

//! The client against nodes that fail on purpose, over real connections.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod many;
#[cfg(test)]
mod scans;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod updates;

use std::collections::{BTreeSet, HashSet};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jedlik_client::{Client, ClientBuilder, ClientError, ErrorKind, NodeId};
use jedlik_hashing::Partition;
use jedlik_net::authority::Authority;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, NodeStats};
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, PutRequest, ScanAnswer, ScanItem, ScanMark,
};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{ClusterId, Digest, Key};
use jedlik_vclock::WriteId;

use crate::fake::{Cluster, Reaction, carts, found, identity, key, key_of, until, usual, written};

fn refusal(code: ErrorCode) -> Reaction {
    Reaction::Answer(ClientResponse::Failed(Failure::new(code, "as the test wants it")))
}

fn write_ids(requests: &[ClientRequest]) -> Vec<WriteId> {
    let write_id = |request: &ClientRequest| match request {
        ClientRequest::Put(PutRequest { write_id, .. }) => Some(*write_id),
        _ => None,
    };
    requests.iter().filter_map(write_id).collect()
}

async fn get(client: &Client, key: &Key) -> Result<(), ClientError> {
    carts(client).get(key.key()).await.map(|_| ())
}

async fn put(client: &Client, key: &Key) -> Result<(), ClientError> {
    carts(client).put(key.key(), "tea").await.map(|_| ())
}

/// Gives a client so much time that no attempt's share ends while a test runs.
fn patient(builder: ClientBuilder) -> ClientBuilder {
    builder.timeout(4 * fake::LIMIT).attempt_timeout(4 * fake::LIMIT)
}

#[tokio::test]
async fn a_request_goes_straight_to_the_keys_first_owner() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let mut expected = [0; 3];
    for index in 0..60 {
        expected[cluster.owners(&key(index), 1)[0]] += 1;
        get(&client, &key(index)).await.unwrap();
    }
    let seen: Vec<usize> = cluster.nodes.iter().map(|node| node.seen().len()).collect();
    assert_eq!(seen, expected);
    assert!(expected.iter().all(|count| *count > 0));
}

#[tokio::test]
async fn a_put_whose_node_hangs_up_is_sent_to_the_next_owner_with_the_same_write_id() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let key = key_of(&cluster, 1);
    cluster.nodes[1].react(|_| Reaction::HangUp);
    put(&client, &key).await.unwrap();
    let second = cluster.owners(&key, 1)[1];
    let (first, then) =
        (write_ids(&cluster.nodes[1].seen()), write_ids(&cluster.nodes[second].seen()));
    assert_eq!((first.len(), &first), (1, &then));
    put(&client, &key).await.unwrap();
    let later = write_ids(&cluster.nodes[second].seen());
    assert_ne!(later.last(), first.last(), "another put has another write id");
}

#[tokio::test]
async fn a_node_is_told_of_the_reads_that_are_given_up_and_of_no_puts() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let key = key_of(&cluster, 0);
    cluster.nodes.iter().for_each(|node| node.react(|_| Reaction::Keep));
    let timeout = Duration::from_millis(500);
    carts(&client).put(key.key(), "tea").timeout(timeout).await.unwrap_err();
    carts(&client).get(key.key()).timeout(timeout).await.unwrap_err();
    for node in &cluster.nodes {
        until("each of its gets is withdrawn", || {
            let asked = node.seen().into_iter().zip(node.kept());
            let gets = asked.filter(|(request, _)| matches!(request, ClientRequest::Get(_)));
            let gets: BTreeSet<u64> = gets.map(|(_, (_, id))| id).collect();
            gets == BTreeSet::from_iter(node.withdrawn())
        })
        .await;
    }
    assert!(cluster.nodes.iter().any(|node| !node.withdrawn().is_empty()));
}

#[tokio::test]
async fn a_node_that_falls_silent_fails_no_request_and_is_avoided_until_it_answers() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let key = key_of(&cluster, 0);
    get(&client, &key).await.unwrap();
    cluster.nodes[0].react(|_| Reaction::Silence);
    cluster.nodes[0].tell(None);
    put(&client, &key).await.unwrap();
    let before = cluster.nodes[0].seen().len();
    for _ in 0..20 {
        put(&client, &key).await.unwrap();
    }
    assert_eq!(cluster.nodes[0].seen().len(), before);

    cluster.nodes[0].react(usual);
    cluster.nodes[0].tell(Some(cluster.topology(1)));
    put_until_asked(&client, &key, &cluster.nodes[0]).await.unwrap();
}

/// Puts the key until `node` has been asked again.
async fn put_until_asked(client: &Client, key: &Key, node: &fake::Fake) -> Result<(), ClientError> {
    let (before, limit) = (node.seen().len(), tokio::time::Instant::now() + fake::LIMIT);
    while node.seen().len() == before {
        assert!(tokio::time::Instant::now() < limit, "the node is never asked again");
        put(client, key).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_put_is_at_a_second_owner_while_the_first_still_has_time_and_the_silent_one_is_avoided() {
    let cluster = Cluster::start();
    // No attempt's share ends while the test runs: only a hedge can bring an answer.
    let client = patient(cluster.builder()).connect().await.unwrap();
    let key = key_of(&cluster, 0);
    let second = cluster.owners(&key, 1)[1];
    put(&client, &key).await.unwrap();
    cluster.nodes[0].react(|_| Reaction::Silence);
    cluster.nodes[0].tell(None);
    tokio::time::timeout(fake::LIMIT, put(&client, &key)).await.unwrap().unwrap();
    let (first, then) =
        (write_ids(&cluster.nodes[0].seen()), write_ids(&cluster.nodes[second].seen()));
    assert_eq!((first.len(), then.len()), (2, 1));
    assert_eq!(first[1], then[0], "both have the same put");
    for _ in 0..20 {
        put(&client, &key).await.unwrap();
    }
    assert_eq!(cluster.nodes[0].seen().len(), 2, "the silent node is not asked again");

    cluster.nodes[0].react(usual);
    cluster.nodes[0].tell(Some(cluster.topology(1)));
    put_until_asked(&client, &key, &cluster.nodes[0]).await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_gone_without_a_word_fails_no_request_and_holds_none_up_for_its_share() {
    let cluster = Cluster::start();
    // This socket takes packets and is silent, like the address of a node that was killed.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut topology = cluster.topology(1);
    topology.members[0].address = nobody.local_addr().unwrap();
    cluster.nodes.iter().for_each(|node| node.tell(Some(topology.clone())));
    let client = patient(cluster.builder()).connect().await.unwrap();
    let key = key_of(&cluster, 0);
    let puts = async {
        for _ in 0..20 {
            put(&client, &key).await.unwrap();
        }
    };
    tokio::time::timeout(fake::LIMIT, puts).await.unwrap();
    let second = cluster.owners(&key, 1)[1];
    assert_eq!(cluster.nodes[second].seen().len(), 20);
}

#[tokio::test]
async fn a_seed_that_says_nothing_does_not_keep_a_client_from_the_next() {
    let cluster = Cluster::start();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let seeds = [nobody.local_addr().unwrap(), cluster.addresses[1]];
    let connecting = patient(cluster.builder_with(seeds)).connect();
    tokio::time::timeout(fake::LIMIT, connecting).await.unwrap().unwrap();
}

#[tokio::test]
async fn every_member_is_asked_and_the_silent_are_named() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let empty = || ClientResponse::Admin(AdminResponse::Hints(Vec::new()));
    cluster.nodes[0].react(move |_| Reaction::Answer(empty()));
    cluster.nodes[1].react(|_| Reaction::Silence);
    cluster.nodes[2].react(|_| refusal(ErrorCode::Forbidden));
    // On a busy machine those that answer take a while, too.
    let (nodes, limit) = ([1, 2, 3].map(NodeId), Duration::from_secs(4));
    let told = client.admin().ask_members(&nodes, &AdminRequest::Hints, limit).await;
    let outcomes: Vec<_> = told
        .iter()
        .map(|(member, answer)| {
            (member.name.as_str(), answer.as_ref().map(|_| ()).map_err(ClientError::kind))
        })
        .collect();
    let expected = [Ok(()), Err(ErrorKind::Unavailable), Err(ErrorKind::Forbidden)];
    assert_eq!(outcomes, ["n1", "n2", "n3"].into_iter().zip(expected).collect::<Vec<_>>());
    let one = client.admin().ask_members(&[NodeId(1)], &AdminRequest::Hints, limit).await;
    assert_eq!(one.len(), 1);
}

#[tokio::test]
async fn a_node_that_stops_under_load_fails_no_request() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let done = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (client, done) = (client.clone(), done.clone());
            tokio::spawn(async move {
                for index in 0..100 {
                    put(&client, &key(worker * 100 + index)).await.unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    until("the load is under way", || done.load(Ordering::Relaxed) > 100).await;
    cluster.stop(2).await;
    for worker in workers {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn answers_in_any_order_find_their_requests() {
    let cluster = Cluster::start();
    let client = cluster.builder().attempt_timeout(fake::LIMIT).connect().await.unwrap();
    let node = &cluster.nodes[0];
    node.react(|_| Reaction::Keep);
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            // Only one node is asked, since no other is asked beside it then.
            tokio::spawn(
                async move { client.admin().ask(AdminRequest::Stats, Some(NodeId(1))).await },
            )
        })
        .collect();
    until("all requests are there at once", || node.kept().len() == 50).await;
    for (connection, id) in node.kept().into_iter().rev() {
        let stats = NodeStats { counters: vec![("id".into(), id)], troubles: Vec::new() };
        let response = ClientResponse::Admin(AdminResponse::Stats(stats));
        connection.send(Frame::ClientResponse { id, layout: 1, response }).unwrap();
    }
    let mut ids = HashSet::new();
    for request in requests {
        let AdminResponse::Stats(stats) = request.await.unwrap().unwrap() else { panic!() };
        ids.insert(stats.counters[0].1);
    }
    assert_eq!(ids.len(), 50, "each has an answer of its own");
}

#[tokio::test]
async fn an_answer_under_a_newer_layout_makes_the_client_learn_it() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let moved = (0..).map(key).find(|key| cluster.owners(key, 1)[0] != cluster.owners(key, 2)[0]);
    let moved = moved.unwrap();
    for node in &cluster.nodes {
        node.tell(Some(cluster.topology(2)));
        node.react(|_| Reaction::AnswerUnder(2, found()));
    }
    get(&client, &moved).await.unwrap();
    let learnt = || client.admin().topology().layout.is_some_and(|layout| layout.version == 2);
    until("the new layout is learnt", learnt).await;
    let owner = cluster.owners(&moved, 2)[0];
    let before = cluster.nodes[owner].seen().len();
    get(&client, &moved).await.unwrap();
    assert_eq!(cluster.nodes[owner].seen().len(), before + 1);
}

#[tokio::test]
async fn a_refusal_for_a_stale_layout_makes_the_client_learn_and_try_again() {
    for code in [ErrorCode::StaleLayout, ErrorCode::NotOwner] {
        let cluster = Cluster::start();
        let client = cluster.client().await;
        let key = key_of(&cluster, 0);
        for node in &cluster.nodes {
            node.tell(Some(cluster.topology(2)));
        }
        cluster.nodes[0].react(move |_| refusal(code));
        put(&client, &key).await.unwrap();
        let learnt = || client.admin().topology().layout.is_some_and(|layout| layout.version == 2);
        until("the new layout is learnt", learnt).await;
    }
}

#[tokio::test]
async fn what_no_node_would_take_is_refused_at_once() {
    let cases = [
        (ErrorCode::ValueTooLarge, ErrorKind::Invalid),
        (ErrorCode::InvalidContext, ErrorKind::Invalid),
        (ErrorCode::TooManySiblings, ErrorKind::Invalid),
        (ErrorCode::Forbidden, ErrorKind::Forbidden),
        (ErrorCode::Internal, ErrorKind::Fault),
    ];
    for (code, kind) in cases {
        let cluster = Cluster::start();
        let client = cluster.client().await;
        cluster.nodes.iter().for_each(|node| node.react(move |_| refusal(code)));
        let error = put(&client, &key(1)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let asked: usize = cluster.nodes.iter().map(|node| node.seen().len()).sum();
        assert_eq!(asked, 1);
    }
}

#[tokio::test]
async fn an_overloaded_cluster_is_tried_until_the_time_is_up() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    cluster.nodes.iter().for_each(|node| node.react(|_| refusal(ErrorCode::Overloaded)));
    let put = carts(&client).put("k1", "tea").timeout(Duration::from_secs(4));
    let error = put.await.unwrap_err();
    assert_eq!((error.kind(), error.name()), (ErrorKind::Unavailable, "overloaded"));
    assert!(!error.maybe_applied());
    let counts: Vec<usize> = cluster.nodes.iter().map(|node| node.seen().len()).collect();
    assert!(counts.iter().all(|count| *count > 0), "every node was asked: {counts:?}");
    let requests: Vec<_> = cluster.nodes.iter().flat_map(|node| node.seen()).collect();
    let mut ids = write_ids(&requests);
    ids.dedup();
    assert_eq!(ids.len(), 1, "every attempt had the same write id");
}

#[tokio::test]
async fn a_put_that_nobody_answered_may_have_been_applied_and_says_so() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    cluster.nodes.iter().for_each(|node| node.react(|_| Reaction::Silence));
    let put = carts(&client).put("k1", "tea").timeout(Duration::from_millis(300));
    let error = put.await.unwrap_err();
    assert_eq!((error.kind(), error.name()), (ErrorKind::Unavailable, "timeout"));
    assert!(error.maybe_applied());
}

#[tokio::test]
async fn a_commit_that_may_have_been_done_is_not_sent_again() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    cluster.nodes.iter().for_each(|node| node.react(|_| Reaction::HangUp));
    let commit = AdminRequest::Commit { plan: Digest(1), lost: 0, dry_run: false };
    let error = client.admin().ask(commit, None).await.unwrap_err();
    assert!(error.maybe_applied(), "{error}");
    let asked: usize = cluster.nodes.iter().map(|node| node.seen().len()).sum();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn an_admins_request_can_be_for_one_node() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let stats = || ClientResponse::Admin(AdminResponse::Buckets(Vec::new()));
    cluster.nodes[1].react(move |_| Reaction::Answer(stats()));
    client.admin().ask(AdminRequest::BucketList, Some(NodeId(2))).await.unwrap();
    assert_eq!(cluster.nodes[1].seen(), [ClientRequest::Admin(AdminRequest::BucketList)]);
    let error = client.admin().ask(AdminRequest::BucketList, Some(NodeId(9))).await.unwrap_err();
    assert!(matches!(error, ClientError::UnknownNode(NodeId(9))));
}

#[tokio::test]
async fn a_scan_reads_every_page_of_every_partition() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let hung_up = Arc::new(AtomicUsize::new(0));
    for node in &cluster.nodes {
        let hung_up = hung_up.clone();
        node.react(move |request| {
            let ClientRequest::Scan(scan) = request else { return Reaction::Silence };
            if hung_up.fetch_add(1, Ordering::Relaxed) == 5 {
                return Reaction::HangUp;
            }
            let page = usize::from(scan.after.is_some());
            let name = format!("{}-{page}", scan.partition);
            let item = ScanItem {
                bucket: "carts".into(),
                key: name.as_str().into(),
                value_bytes: 0,
                versions: Vec::new(),
            };
            let key = Key::new("carts", name.as_str()).unwrap();
            let next = ScanMark { position: key.position(ClusterId(7)), key };
            let next = (page == 0).then_some(next);
            Reaction::Answer(ClientResponse::Scanned(ScanAnswer { items: vec![item], next }))
        });
    }
    let mut keys = carts(&client).keys().await.unwrap();
    let mut found = Vec::new();
    while let Some(key) = keys.next().await {
        found.push(key.unwrap());
    }
    assert_eq!((keys.progress().done, keys.progress().total), (16, 16));
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 32);
}

#[tokio::test]
async fn a_scan_that_fails_says_so_and_ends() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    cluster.nodes.iter().for_each(|node| node.react(|_| refusal(ErrorCode::InvalidRequest)));
    let mut scan = carts(&client).scan().await.unwrap();
    assert!(scan.next().await.unwrap().is_err());
    assert!(scan.next().await.is_none());
    assert!(matches!(client.bucket("").scan().await, Err(ClientError::InvalidKey(_))));
}

#[tokio::test]
async fn a_scan_goes_on_while_pages_come_though_one_takes_longer_than_a_page_may() {
    /// More refusals than fit into one page's time.
    const LATE: usize = 24;
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let asked = Arc::new(AtomicUsize::new(0));
    for node in &cluster.nodes {
        let asked = asked.clone();
        node.react(move |request| {
            let ClientRequest::Scan(scan) = request else { return Reaction::Silence };
            let is_late = scan.partition == Partition(0);
            if is_late && asked.fetch_add(1, Ordering::Relaxed) < LATE {
                return refusal(ErrorCode::Overloaded);
            }
            // Another partition does not end before that one does.
            let goes_on = scan.partition == Partition(1) && asked.load(Ordering::Relaxed) < LATE;
            let key = Key::new("carts", "k").unwrap();
            let next = goes_on.then(|| ScanMark { position: key.position(ClusterId(7)), key });
            Reaction::Answer(ClientResponse::Scanned(ScanAnswer { items: Vec::new(), next }))
        });
    }
    let scan = carts(&client).scan().values(false).timeout(Duration::from_secs(3));
    let mut scan = scan.await.unwrap();
    while let Some(entry) = scan.next().await {
        entry.unwrap();
    }
    assert_eq!((scan.progress().done, scan.progress().total), (16, 16));
    assert!(asked.load(Ordering::Relaxed) > LATE);
}

#[tokio::test]
async fn any_seed_that_answers_will_do() {
    let cluster = Cluster::start();
    cluster.stop(0).await;
    cluster.nodes[1].tell(None);
    let client = cluster.client().await;
    cluster.nodes[2].react(|_| Reaction::Answer(written()));
    put(&client, &key_of(&cluster, 2)).await.unwrap();
}

#[tokio::test]
async fn without_a_layout_there_is_nothing_to_scan_and_any_node_is_asked() {
    let cluster = Cluster::start();
    let topology =
        || Some(jedlik_protocol::client::Topology { layout: None, ..cluster.topology(1) });
    cluster.nodes.iter().for_each(|node| node.tell(topology()));
    let client = cluster.client().await;
    get(&client, &key(1)).await.unwrap();
    let error = carts(&client).scan().await.err().unwrap();
    assert!(matches!(error, ClientError::NoLayout));
}

#[tokio::test]
async fn a_foreign_certificate_is_refused_in_words_without_further_tries() {
    let cluster = Cluster::start();
    let foreign = Authority::create(ClusterId(8)).unwrap();
    let builder = cluster.builder().identity(identity(&foreign)).timeout(fake::LIMIT);
    let error = builder.connect().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("cluster"), "{error}");
}

#[tokio::test]
async fn a_value_that_no_bucket_may_allow_is_refused_before_it_is_sent() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let value = vec![b'x'; (16 << 20) + 1];
    let refused = carts(&client).put("k1", value).await.unwrap_err();
    assert_eq!(refused.name(), "value-too-large", "{refused}");
    assert!(refused.to_string().contains("16777216") && !refused.maybe_applied(), "{refused}");
    assert!(cluster.nodes.iter().all(|node| node.seen().is_empty()), "nobody is asked");
}

//! Traces of requests across real nodes, as a collector sees them.

mod collector;

use std::collections::BTreeSet;
use std::net::TcpListener;

use jedlik_client::NodeId;
use jedlik_ports::free_address;

use crate::cluster::{Cluster, wait_for, wait_until};
use crate::http::{Http, open};
use crate::node::LIMIT;
use crate::observer::Observer;
use crate::tools::run;
use collector::{Collector, Span};

/// Number of replicas of the bucket, one fewer than there are nodes: each key has a node that holds none.
const N: usize = 2;
/// Span under which clients say that their requests are.
const ROOT: &str = "00f067aa0ba902b7";
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// Returns the header that says: this trace, under this span, and whether its spans are wanted.
fn header(trace: &str, wanted: bool) -> String {
    format!("00-{trace}-00f067aa0ba902b7-{:02x}", u8::from(wanted))
}

fn put(door: &Http, key: &str, header: &str) {
    let put = door.put(&format!("/v1/buckets/carts/keys/{key}"), &[("traceparent", header)], b"v");
    assert_eq!(put.status.as_u16(), 200);
}

fn get(door: &Http, key: &str, header: &str) {
    let got = door.get(&format!("/v1/buckets/carts/keys/{key}"), &[("traceparent", header)]);
    assert_eq!(got.status.as_u16(), 200);
}

/// Returns the spans of a trace once so many of them are there.
fn trace_of(collector: &Collector, trace: &str, spans: usize) -> Vec<Span> {
    wait_for("the trace is whole", || {
        let mut found = collector.spans();
        found.retain(|span| span.trace == trace);
        if found.len() >= spans { Ok(found) } else { Err(format!(": {found:#?}")) }
    })
}

/// Returns the one span with that name and kind at a node, which goes under `parent`.
fn one<'a>(spans: &'a [Span], node: NodeId, (name, kind): (&str, u64), parent: &str) -> &'a Span {
    let is_it = |span: &&Span| {
        span.node == node.to_string()
            && span.name == name
            && span.kind == kind
            && span.parent == parent
    };
    let found: Vec<&Span> = spans.iter().filter(is_it).collect();
    let [span] = found[..] else { panic!("{} of {name} at {node}: {spans:#?}", found.len()) };
    assert!(!span.failed && span.began_ns <= span.ended_ns, "{span:?}");
    span
}

/// Asserts the spans of a put at the outsider, which the first owner coordinates.
fn assert_put(spans: &[Span], [first, second, outsider]: [NodeId; 3]) {
    let came_in = one(spans, outsider, ("put carts", SERVER), ROOT);
    assert_eq!(came_in.attributes["jedlik.door"], "http");
    assert_eq!(came_in.attributes["db.collection.name"], "carts");
    let forward = one(spans, outsider, ("forward", CLIENT), &came_in.id);
    let coordinated = one(spans, first, ("put carts", SERVER), &forward.id);
    let replicas: BTreeSet<&str> = coordinated.attributes["jedlik.replicas"].split(' ').collect();
    assert_eq!(replicas, BTreeSet::from([&*first.to_string(), &*second.to_string()]));
    one(spans, first, ("journal", 1), &coordinated.id);
    let write = one(spans, first, ("write", CLIENT), &coordinated.id);
    assert_eq!(write.attributes["jedlik.peer"], second.to_string());
    let written = one(spans, second, ("write", SERVER), &write.id);
    assert_eq!(written.attributes["jedlik.peer"], first.to_string());
    one(spans, second, ("journal", 1), &written.id);
    assert_eq!(spans.len(), 7, "{spans:#?}");
}

/// Asserts the spans of a get at the outsider, which asks both owners.
fn assert_get(spans: &[Span], [first, second, outsider]: [NodeId; 3]) {
    let came_in = one(spans, outsider, ("get carts", SERVER), ROOT);
    assert_eq!(came_in.attributes["jedlik.versions"], "1");
    for owner in [first, second] {
        let is_read = |span: &&Span| {
            span.name == "read"
                && span.kind == CLIENT
                && span.attributes["jedlik.peer"] == owner.to_string()
        };
        let read = spans.iter().find(is_read).unwrap();
        assert_eq!((&read.parent, &read.node), (&came_in.id, &outsider.to_string()));
        let served = one(spans, owner, ("read", SERVER), &read.id);
        one(spans, owner, ("load", 1), &served.id);
    }
    assert_eq!(spans.len(), 7, "{spans:#?}");
}

#[test]
fn a_put_and_a_get_are_followed_across_all_nodes_if_their_client_wants_it() {
    let (put_trace, get_trace) = ("a".repeat(32), "b".repeat(32));
    let collector = Collector::start();
    let mut cluster = Cluster::start_with(|node| {
        open(node);
        node.options.extend([collector.option(), "--otlp-sample=0".into()]);
    });
    cluster.ask(0, &format!("bucket set carts n={N} r={N} w={N}")).ok();
    let doors: Vec<Http> = cluster.nodes.iter().map(Http::to).collect();
    for door in &doors {
        let knows = || door.get("/v1/buckets/carts", &[]).json()["properties"]["n"] == N;
        wait_until("every node knows the bucket", knows);
    }
    let observer = Observer::of(&cluster, 0);
    let key = observer.keys_where("kept", 1, |_| true).remove(0);
    let list = observer.preference_list(&key);
    let [first, second, outsider] = [list[0], list[1], list[2]].map(|index| observer.node(index));
    let (name, door) = (std::str::from_utf8(key.key()).unwrap(), &doors[list[2]]);

    // Nobody wants these.
    let plain = door.put(&format!("/v1/buckets/carts/keys/{name}"), &[], b"v");
    let context = plain.header("jedlik-context").to_owned();
    put(door, "other", &header(&"c".repeat(32), false));
    put(door, "another", "00-nonsense");
    let headers = [("traceparent", &*header(&put_trace, true)), ("jedlik-context", &context)];
    let path = format!("/v1/buckets/carts/keys/{name}");
    assert_eq!(door.put(&path, &headers, b"w").status.as_u16(), 200);
    get(door, name, &header(&get_trace, true));

    assert_put(&trace_of(&collector, &put_trace, 7), [first, second, outsider]);
    assert_get(&trace_of(&collector, &get_trace, 7), [first, second, outsider]);

    // What ends just before its node stops is sent as well, and all that came before has come by then.
    let last = "d".repeat(32);
    put(door, "last", &header(&last, true));
    assert!(cluster.nodes[list[2]].stop().success());
    trace_of(&collector, &last, 1);
    let wanted = [put_trace, get_trace, last];
    let others: Vec<Span> =
        collector.spans().into_iter().filter(|span| !wanted.contains(&span.trace)).collect();
    assert!(others.is_empty(), "{others:#?}");
    let all = format!("{:?}", collector.spans());
    assert!(!all.contains(name), "no span names a key");
}

#[test]
fn a_collector_that_is_away_or_hangs_holds_no_request_up_and_its_spans_are_counted() {
    let nobody = free_address().unwrap();
    // It accepts connections, and reads nothing.
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let collector = Collector::start();
    let endpoints = [
        format!("--otlp-endpoint=http://{nobody}"),
        format!("--otlp-endpoint=http://{}/", hangs.local_addr().unwrap()),
        collector.option(),
    ];
    let mut cluster = Cluster::start_with(|node| {
        open(node);
        let index = usize::from(node.name.as_bytes()[1] - b'1');
        node.options.extend([endpoints[index].clone(), "--otlp-sample=1".into()]);
    });
    let doors: Vec<Http> = cluster.nodes.iter().map(Http::to).collect();
    for number in 0..30 {
        let path = format!("/v1/buckets/carts/keys/k{number}");
        for door in &doors {
            assert_eq!(door.put(&path, &[], b"v").status.as_u16(), 200);
            assert!(matches!(door.get(&path, &[]).status.as_u16(), 200 | 300));
        }
    }
    let count = |index: usize, outcome: &str| {
        let metrics = String::from_utf8(doors[index].get("/metrics", &[]).body).unwrap();
        let name = format!("jedlik_trace_spans_total{{outcome=\"{outcome}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse::<u64>().unwrap()
    };
    for index in [0, 1] {
        wait_until("lost spans are counted", || count(index, "unsent") > 0);
        assert_eq!(count(index, "sent"), 0);
    }
    wait_until("spans are sent", || count(2, "sent") > 0);
    // A client of the node's own protocol begins a trace, too: at a node of its choice, by the key.
    let mut keys = 0..;
    wait_until("it is traced", || {
        let key = format!("k{}", keys.next().unwrap());
        run(cluster.jedlik(2).args(["put", "native", &key, "v"])).ok();
        let is_root = |span: &Span| span.name == "put native" && span.parent.is_empty();
        collector
            .spans()
            .iter()
            .any(|span| is_root(span) && span.attributes.contains_key("network.peer.address"))
    });
    for node in &mut cluster.nodes {
        assert!(node.stop().success(), "within {LIMIT:?}");
    }
}

//! The HTTP door of real nodes: what goes in at one comes out at all, and at the node's own protocol, too.

use std::net::SocketAddr;
use std::thread;

use jedlik_ports::free_address;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Response, StatusCode};

use crate::cluster::{Cluster, wait_until};
use crate::node::{LIMIT, Node};
use crate::tools::run;

/// Media type of the document that has a key's versions.
const VERSIONS: &str = "application/vnd.jedlik.versions+json";

/// Lets a node listen for HTTP where it listens for its own protocol: one is TCP, the other UDP.
pub(crate) fn open(node: &mut Node) {
    let address = free_address().unwrap();
    node.address = Some(address);
    node.options.push(format!("--http-listen={address}"));
}

/// Client of one node's door.
pub(crate) struct Http {
    agent: Agent,
    address: SocketAddr,
}

impl Http {
    pub(crate) fn to(node: &Node) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(LIMIT));
        Self { agent: config.build().new_agent(), address: node.address.expect("it was started") }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.agent.get(self.url(path));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.call().unwrap())
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        Answer::of(self.agent.delete(self.url(path)).call().unwrap())
    }

    pub(crate) fn put(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = self.agent.put(self.url(path));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send(body).unwrap())
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.agent.post(self.url(path)).send(body.to_string().as_bytes()).unwrap())
    }

    fn patch(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.agent.patch(self.url(path)).send(body.to_string().as_bytes()).unwrap())
    }
}

/// Answer of a door.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn of(mut response: Response<ureq::Body>) -> Self {
        let body = response.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap();
        Self { status: response.status(), headers: response.headers().clone(), body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {}", self.text()));
        value.to_str().unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}

#[test]
fn a_value_that_came_by_http_is_read_everywhere_with_what_it_carries() {
    let cluster = Cluster::start_with(open);
    let doors: Vec<Http> = cluster.nodes.iter().map(Http::to).collect();
    let path = "/v1/buckets/carts/keys/a%2Fb";
    let kept = [("Content-Type", "text/plain; charset=utf-8"), ("Jedlik-Meta-Colour", "red")];
    let stored = doors[0].put(path, &kept, b"tea").expect(200);
    assert_eq!(stored.json()["siblings"], 1);
    for door in &doors {
        let found = door.get(path, &[]).expect(200);
        assert_eq!((found.text().as_str(), found.header("content-type")), ("tea", kept[0].1));
        assert_eq!(found.header("jedlik-meta-colour"), "red");
    }
    let shown = run(cluster.jedlik(0).args(["get", "carts", "a/b", "--json"])).ok();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let attributes = &shown["siblings"][0]["attributes"];
    assert_eq!(attributes["content_type"], "text/plain");
    assert_eq!(attributes["metadata"][0], json!({"name": "colour", "value": "red"}));
    let dump = run(cluster.jedlik(0).args(["dump", "carts"])).ok().stdout;
    let file = cluster.path("dump");
    std::fs::write(&file, dump.as_bytes()).unwrap();
    let context = doors[0].get(path, &[]).header("jedlik-context").to_owned();
    doors[0].put(path, &[("Jedlik-Context", &context)], b"plain").expect(200);
    run(cluster.jedlik(0).args(["load", "carts", "--replace"]).arg(&file)).ok();
    let found = doors[1].get(path, &[]).expect(200);
    assert_eq!((found.text().as_str(), found.header("jedlik-meta-colour")), ("tea", "red"));
}

#[test]
fn siblings_are_shown_reconciled_and_deleted() {
    let cluster = Cluster::start_with(open);
    let door = Http::to(&cluster.nodes[0]);
    let path = "/v1/buckets/carts/keys/alice";
    door.get(path, &[]).expect(404);
    door.put(path, &[], b"tea").expect(200);
    door.put(path, &[], &[0, 255]).expect(200);
    let both = door.get(path, &[]).expect(300);
    assert_eq!(both.header("content-type"), VERSIONS);
    let versions = both.json();
    assert_eq!(versions["siblings"].as_array().unwrap().len(), 2, "{versions}");
    let values: Vec<&Value> = versions["siblings"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|one| [&one["value"], &one["value_base64"]])
        .collect();
    assert!(values.contains(&&json!("tea")) && values.contains(&&json!("AP8=")), "{versions}");
    let context = both.header("jedlik-context").to_owned();
    let merged = door.put(path, &[("Jedlik-Context", &context)], b"both").expect(200);
    assert_eq!(merged.json()["siblings"], 1);
    let one = door.get(path, &[("Accept", VERSIONS)]).expect(200);
    assert_eq!(one.json()["siblings"][0]["value"], "both");
    let tag = door.get(path, &[]).header("etag").to_owned();
    door.put(path, &[("If-Match", "\"0000000000000000\"")], b"no").expect(412);
    door.put(path, &[("If-None-Match", "*")], b"no").expect(412);
    let latest = format!("{path}?if_latest=true");
    door.put(&latest, &[("Jedlik-Context", &context)], b"no").expect(412);
    let context = door.get(path, &[]).header("jedlik-context").to_owned();
    door.put(&latest, &[("Jedlik-Context", &context), ("If-Match", &tag)], b"yes").expect(200);
    door.delete(path).expect(200);
    door.get(path, &[]).expect(404);
    door.delete("/v1/buckets/carts/keys/nobody").expect(404);
}

#[test]
fn a_change_ends_the_wait_for_it() {
    let cluster = Cluster::start_with(open);
    let door = Http::to(&cluster.nodes[0]);
    let path = "/v1/buckets/carts/keys/watched";
    door.put(path, &[], b"old").expect(200);
    let context = door.get(path, &[]).header("jedlik-context").to_owned();
    door.get(&format!("{path}?poll_ms=100"), &[("Jedlik-Context", &context)]).expect(304);
    let other = Http::to(&cluster.nodes[1]);
    let seen = context.clone();
    let waiting = thread::spawn(move || {
        door.get(&format!("{path}?poll_ms=600000"), &[("Jedlik-Context", &seen)]).expect(200).text()
    });
    other.put(path, &[("Jedlik-Context", &context)], b"new").expect(200);
    assert_eq!(waiting.join().unwrap(), "new");
}

#[test]
fn keys_are_listed_as_lines_that_another_request_can_go_on_from() {
    let cluster = Cluster::start_with(open);
    let door = Http::to(&cluster.nodes[0]);
    let entry = |number: u32| json!({"bucket": "many", "key": format!("k{number}"), "value": "v"});
    let entries: Vec<Value> = (0..300).map(entry).collect();
    let stored = door.post("/v1/batch/put", &json!({ "entries": entries })).expect(200).json();
    let results = stored["results"].as_array().unwrap();
    assert!(results.len() == 300 && results.iter().all(|one| one["status"] == 200), "{stored}");
    let lines = |answer: &Answer| -> Vec<Value> {
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let keys = |lines: &[Value]| -> Vec<String> {
        lines.iter().filter_map(|line| line["key"].as_str().map(str::to_owned)).collect()
    };
    let all = lines(&door.get("/v1/buckets/many/keys?values=true", &[]).expect(200));
    let mut found = keys(&all);
    assert_eq!(all.last().unwrap()["end"]["keys"], 300);
    assert_eq!(all[0]["versions"][0]["value"], "v");
    let half = all.iter().rposition(|line| line["mark"].is_string()).unwrap() / 2;
    let place = all[..=half].iter().rposition(|line| line["mark"].is_string()).unwrap();
    let mark = all[place]["mark"].as_str().unwrap();
    let rest = lines(&door.get(&format!("/v1/buckets/many/keys?after={mark}"), &[]).expect(200));
    let mut resumed = [keys(&all[..place]), keys(&rest)].concat();
    found.sort();
    resumed.sort();
    assert_eq!(found, resumed, "nothing is missing and nothing is twice");
    let wanted = json!({"keys": [{"bucket": "many", "key": "k7"}, {"bucket": "many", "key": "x"}]});
    let read = door.post("/v1/batch/get", &wanted).expect(200).json();
    assert_eq!(read["results"][0]["siblings"][0]["value"], "v");
    assert_eq!(
        (&read["results"][0]["status"], &read["results"][1]["status"]),
        (&json!(200), &json!(404))
    );
}

#[test]
fn the_cluster_is_described_by_any_node_and_a_dead_one_is_seen() {
    let mut cluster = Cluster::start_with(open);
    let door = Http::to(&cluster.nodes[0]);
    let bucket = door.patch("/v1/buckets/carts", &json!({"w": 3, "ttl_ms": null})).expect(200);
    assert_eq!(bucket.json()["properties"]["w"], 3);
    door.patch("/v1/buckets/carts", &json!({"colour": "red"})).expect(400);
    let layouts = door.get("/v1/cluster/layouts", &[]).expect(200).json();
    assert_eq!(layouts["layouts"][0]["owners"][0].as_array().unwrap().len(), 3);
    let status = door.get("/v1/cluster", &[]).expect(200).json();
    let members = status["members"].as_array().unwrap().clone();
    assert_eq!(members.len(), 3, "{status}");
    for member in &members {
        let id = member["node"].as_str().unwrap();
        let stats = door.get(&format!("/v1/members/{id}/stats"), &[]).expect(200).json();
        assert!(stats["counters"]["uptime_s"].is_number(), "{stats}");
    }
    for stranger in ["n1", "0123456789abcdef"] {
        door.get(&format!("/v1/members/{stranger}/stats"), &[]).expect(404);
    }
    door.get("/v1/members/self/hints", &[]).expect(200);
    door.put("/v1/buckets/b/keys/k", &[], b"v").expect(200);
    let explained = door.get("/v1/buckets/b/keys/k/explain", &[]).expect(200).json();
    assert_eq!(explained["holders"].as_array().unwrap().len(), 3, "{explained}");
    let page = door.get("/ui", &[]).expect(200);
    assert!(
        page.text().contains("<jedlik-ring>")
            && page.header("content-security-policy").contains("'self'")
    );
    let dead = members.iter().find(|member| member["name"] == "n3").unwrap();
    let dead = dead["node"].as_str().unwrap().to_owned();
    cluster.kill(2);
    wait_until("the dead member is seen", || {
        let status = door.get("/v1/cluster", &[]).expect(200).json();
        let members = status["members"].as_array().unwrap();
        members.iter().any(|member| member["node"] == dead && member["alive"] == false)
    });
    let silent = door.get(&format!("/v1/members/{dead}/stats"), &[]).expect(503);
    assert_eq!(silent.header("retry-after"), "1");
}

#[test]
fn mistakes_are_problems_that_name_them() {
    let cluster = Cluster::start_with(open);
    let door = Http::to(&cluster.nodes[0]);
    for (path, status, named) in [
        ("/v1/buckets/carts/keys/k?r=9", 400, "9"),
        ("/v1/buckets/carts/keys/k?colour=red", 400, "colour"),
        ("/v1/buckets/carts/keys/k?timeout_ms=0", 400, "timeout_ms"),
        ("/v1/buckets/carts/keys/", 404, "/v1"),
        ("/v2", 404, "/v1"),
        ("/v1/batch/get", 405, "GET"),
    ] {
        let answer = door.get(path, &[]).expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let problem = answer.json();
        assert!(problem["detail"].as_str().unwrap().contains(named), "{path}: {problem}");
        assert_eq!((&problem["status"], &problem["retry"]), (&json!(status), &json!(false)));
    }
    let large = vec![b'x'; 2 << 20];
    let problem = door.put("/v1/buckets/carts/keys/k", &[], &large).expect(413).json();
    assert_eq!(problem["code"], "ValueTooLarge");
}

#[test]
fn a_node_that_stops_answers_what_it_has_taken_and_ends() {
    let mut cluster = Cluster::start_with(open);
    let door = Http::to(&cluster.nodes[0]);
    door.get("/readyz", &[]).expect(200);
    let path = "/v1/buckets/carts/keys/waited-for?poll_ms=600000";
    let waiting =
        thread::spawn(move || door.agent.get(door.url(path)).call().map(|answer| answer.status()));
    let other = Http::to(&cluster.nodes[0]);
    other.put("/v1/buckets/carts/keys/k", &[], b"v").expect(200);
    assert!(cluster.nodes[0].stop().success());
    // The long wait ends with the node, whichever way.
    let _ended = waiting.join().unwrap();
}

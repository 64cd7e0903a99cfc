//! Tokens at the HTTP doors of real nodes, and limits on clients' certificates.

use serde_json::Value;

use crate::cluster::{Cluster, wait_until};
use crate::http::{Http, open};
use crate::node::Node;
use crate::tools::run;

fn guarded(node: &mut Node) {
    open(node);
    node.options.push("--http-access=tokens".into());
}

/// Makes a token, and returns it as the header that shows it.
fn make(cluster: &Cluster, words: &str) -> String {
    // An empty prefix is written "''", as in a shell.
    let words = words.split(' ').map(|word| if word == "''" { "" } else { word });
    let made = run(cluster.admin(0).args(["token", "make", "--json"]).args(words)).ok().json();
    format!("Bearer {}", made["token"].as_str().unwrap())
}

fn status(door: &Http, path: &str, token: &str) -> u16 {
    door.get(path, &[("Authorization", token)]).status.as_u16()
}

/// Waits until every node answers a get with this status: rights spread by gossip.
fn until_all_answer(doors: &[Http], path: &str, token: &str, wanted: u16) {
    for door in doors {
        let what = format!("{path} answers {wanted}");
        wait_until(&what, || status(door, path, token) == wanted);
    }
}

#[test]
fn a_token_opens_what_it_is_for_until_it_is_revoked_or_its_time_is_over() {
    let cluster = Cluster::start_with(guarded);
    let doors: Vec<Http> = cluster.nodes.iter().map(Http::to).collect();
    // Gets are of a key that is never put: three puts without a context make siblings.
    let (carts, other) = ("/v1/buckets/carts-2/keys/none", "/v1/buckets/other/keys/k");
    assert_eq!(doors[0].get("/healthz", &[]).status.as_u16(), 200);
    for (path, header) in
        [(carts, None), ("/ui", None), ("/v1/cluster", None), (carts, Some("Bearer shop.guess"))]
    {
        let headers: Vec<(&str, &str)> =
            header.map(|value| ("Authorization", value)).into_iter().collect();
        let refused = doors[0].get(path, &headers);
        assert_eq!(refused.status.as_u16(), 401, "{path}");
        assert!(refused.header("www-authenticate").contains("Basic"), "{path}");
    }
    let shop = make(&cluster, "shop --write carts --read prices");
    until_all_answer(&doors, carts, &shop, 404);
    for door in &doors {
        let own = "/v1/buckets/carts-2/keys/k";
        let put = |path: &str| door.put(path, &[("Authorization", &shop)], b"v").status.as_u16();
        assert_eq!((put(own), put(other), put("/v1/buckets/prices/keys/k")), (200, 403, 403));
        assert_eq!(status(door, "/v1/buckets/prices/keys/k", &shop), 404);
        assert_eq!(status(door, "/v1/cluster", &shop), 403);
        assert_eq!(status(door, "/v1/members/self/stats", &shop), 403);
    }
    let all = make(&cluster, "watch --read ''");
    until_all_answer(&doors, "/v1/cluster", &all, 200);
    let short = make(&cluster, "short --read carts --expires 3s");
    until_all_answer(&doors, carts, &short, 401);
    cluster.ask(1, "token revoke shop").ok();
    until_all_answer(&doors, carts, &shop, 401);
    let again = make(&cluster, "shop --read carts");
    until_all_answer(&doors, carts, &again, 404);
    assert_eq!(status(&doors[0], carts, &shop), 401, "the former secret is no good any more");
    let list = cluster.ask(2, "token list --json").ok().json();
    let names: Vec<&Value> = list.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["shop", "short", "watch"]);
    assert!(
        !list.to_string().contains("secret") && !list.to_string().contains("token\":\""),
        "{list}"
    );
}

#[test]
fn a_clients_certificate_is_limited_by_its_name() {
    let cluster = Cluster::start();
    let put = |bucket: &str| run(cluster.jedlik(0).args(["put", bucket, "k", "v"])).code;
    let get = |bucket: &str| run(cluster.jedlik(0).args(["get", bucket, "k"])).code;
    assert_eq!((put("carts"), put("prices")), (0, 0));
    cluster.ask(0, "token limit --certificate client --read prices").ok();
    wait_until("the limits are known", || put("prices") == 2);
    wait_until("everywhere", || get("carts") == 2);
    assert_eq!(get("prices"), 0);
    cluster.ask(0, "cluster status").ok();
    cluster.ask(0, "token revoke --certificate client").ok();
    wait_until("nothing is left", || get("prices") == 2);
}

#[test]
fn a_stolen_certificate_that_was_never_limited_loses_its_rights() {
    let cluster = Cluster::start();
    let put = |node: usize| run(cluster.jedlik(node).args(["put", "carts", "k", "v"])).code;
    assert_eq!(put(0), 0);
    cluster.ask(0, "token revoke --certificate client").ok();
    (0..3).for_each(|node| wait_until("nothing is left", || put(node) == 2));
}

//! Properties, preference lists, what clients look at when they connect, and what there is not.

use serde_json::{Value, json};

use super::Door;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn props(door: &Door, path: &str) -> Value {
    let reply = door.get(path).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    reply.json()["props"].clone()
}

#[tokio::test]
async fn properties_are_shown_set_and_taken_back() {
    let door = Door::new();
    for (path, name) in
        [("/buckets/carts/props", "carts"), ("/types/maps/buckets/plans/props", "plans")]
    {
        let before = props(&door, path).await;
        assert_eq!((&before["n_val"], &before["allow_mult"]), (&json!(3), &json!(true)));
        assert_eq!((&before["name"], &before["precommit"]), (&json!(name), &json!([])));
        let body = json!({ "props": { "n_val": 5, "r": "all", "allow_mult": false } }).to_string();
        assert_eq!(door.ask(&format!("PUT {path}"), &[JSON], body).await.status, 204);
        let after = props(&door, path).await;
        let named = ["n_val", "r", "w", "last_write_wins"].map(|name| after[name].clone());
        assert_eq!(named, [json!(5), json!(5), json!(3), json!(true)]);
        let all = json!({ "props": after }).to_string();
        assert_eq!(door.ask(&format!("PUT {path}"), &[JSON], all).await.status, 204);
        assert_eq!(props(&door, path).await, after, "what is shown can be set");
        assert_eq!(door.ask(&format!("DELETE {path}"), &[], "").await.status, 204);
        assert_eq!(props(&door, path).await, before);
    }
    assert_eq!(props(&door, "/types/maps/props").await["n_val"], 3);
}

#[tokio::test]
async fn properties_that_can_not_be_had_are_refused_by_name() {
    let door = Door::new();
    for (set, named) in [
        (json!({ "precommit": [{ "mod": "m", "fun": "f" }] }), "precommit"),
        (json!({ "search_index": "people" }), "search_index"),
        (json!({ "n_val": 17 }), "n can't be 17"),
        (json!({ "r": 4 }), "r can't be set"),
        (json!({ "allow_mult": true, "last_write_wins": true }), "exclude"),
    ] {
        let body = json!({ "props": set }).to_string();
        let refused = door.ask("PUT /buckets/carts/props", &[JSON], body).await;
        assert_eq!(refused.status, 400, "{set}");
        assert!(refused.body.contains(named), "{set}: {refused:?}");
    }
    assert_eq!(door.ask("PUT /buckets/carts/props", &[JSON], "[]").await.status, 400);
    assert_eq!(door.ask("PUT /types/maps/props", &[JSON], "{}").await.status, 501);
}

#[tokio::test]
async fn last_write_wins_where_siblings_are_not_kept() {
    let door = Door::new();
    let body = "{\"props\":{\"allow_mult\":false}}";
    assert_eq!(door.ask("PUT /buckets/carts/props", &[JSON], body).await.status, 204);
    door.put("/buckets/carts/keys/alice", "tea", &[]).await;
    door.put("/buckets/carts/keys/alice", "milk", &[]).await;
    assert_eq!(door.get("/buckets/carts/keys/alice").await.body, "milk");
}

#[tokio::test]
async fn the_preference_list_names_the_nodes_that_serve_a_key() {
    let door = Door::new();
    for path in ["/buckets/carts/keys/alice", "/types/maps/buckets/carts/keys/alice"] {
        let reply = door.get(&format!("{path}/preflist")).await;
        let list = reply.json()["preflist"].as_array().unwrap().clone();
        let mut nodes: Vec<&str> =
            list.iter().map(|entry| entry["node"].as_str().unwrap()).collect();
        nodes.sort_unstable();
        assert_eq!(nodes, ["n1", "n2", "n3"]);
        assert!(list.iter().all(|entry| entry["primary"] == true && entry["partition"].is_u64()));
    }
}

#[tokio::test]
async fn clients_find_what_they_look_for_when_they_connect() {
    let door = Door::new();
    let ping = door.get("/ping").await;
    assert_eq!((ping.status, &ping.body[..]), (200, "OK"));
    let resources = door.get("/").await.json();
    assert_eq!(resources["riak_kv_wm_buckets"], "/buckets");
    assert_eq!(resources["riak_kv_wm_bucket_type"], "/types");
    assert!(resources.get("riak_kv_wm_mapred").is_none(), "Jedlik has none");
    door.node.report(&[
        ("gets", 7),
        ("read_repairs_stale", 2),
        ("read_repairs_missing", 1),
        ("hints", 4),
    ]);
    let stats = door.get("/stats").await.json();
    assert_eq!(stats["riak_kv_version"], "3.2.0");
    assert_eq!((&stats["node_gets_total"], &stats["read_repairs_total"]), (&json!(7), &json!(3)));
    assert_eq!((&stats["jedlik_hints"], &stats["ring_num_partitions"]), (&json!(4), &json!(4)));
    assert_eq!(stats["ring_members"], json!(["n1", "n2", "n3"]));
}

#[tokio::test]
async fn what_jedlik_does_not_have_says_so() {
    let door = Door::new();
    for (line, named) in [
        ("GET /buckets/carts/index/age_int/7", "index"),
        ("GET /types/maps/buckets/carts/index/age_int/7/8", "index"),
        ("POST /mapred", "map/reduce"),
        ("GET /buckets/carts/keys/alice/_,_,1", "links"),
        ("GET /riak/carts/alice/_,_,_/_,_,_", "links"),
        ("GET /search/query/people?q=name", "search"),
        ("PUT /search/index/people", "search"),
        ("GET /buckets/carts/counters/alice", "counters"),
        ("POST /types/maps/buckets/carts/datatypes/alice", "data types"),
        ("POST /types/maps/buckets/carts/datatypes", "data types"),
    ] {
        let refused = door.ask(line, &[], "").await;
        assert_eq!((refused.status, refused.header("content-type")), (501, "text/plain"), "{line}");
        assert!(refused.body.contains(named), "{line}: {refused:?}");
    }
}

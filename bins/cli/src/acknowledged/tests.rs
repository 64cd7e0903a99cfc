//! A sloppy quorum as it is shown.

use jedlik_client::{Context, NodeId, Stored};
use jedlik_protocol::Blob;
use jedlik_protocol::client::{Acknowledgement, MemberAddress, PutAnswer};

use super::{json, nothing, text};

fn members() -> Vec<MemberAddress> {
    let member = |node: u64| MemberAddress {
        node: NodeId(node),
        name: format!("n{node}"),
        address: "127.0.0.1:1".parse().unwrap(),
        alive: true,
    };
    [1, 2, 4].map(member).to_vec()
}

fn answer() -> Stored {
    let one = |node, stands_in_for: Option<u64>, synced| Acknowledgement {
        node: NodeId(node),
        stands_in_for: stands_in_for.map(NodeId),
        synced,
    };
    let answer = PutAnswer {
        context: Blob::from("c"),
        siblings: 1,
        warning: false,
        acknowledged: 3,
        synced: 2,
        by: vec![one(1, None, true), one(4, Some(2), true), one(2, Some(3), false)],
    };
    answer.into()
}

#[test]
fn people_see_who_acknowledged_and_for_whom() {
    assert_eq!(
        text(&answer(), &members()),
        "acknowledged by 3, synced on 2\n  \
         n1, synced\n  \
         n4 standing in for n2, synced\n  \
         n2 standing in for node 0000000000000003, not synced\n"
    );
}

#[test]
fn programs_see_nodes_and_names() {
    let json = json(&answer(), &members());
    assert_eq!((&json["acknowledged"], &json["synced"]), (&3.into(), &2.into()));
    assert_eq!(json["by"][0]["name"], "n1");
    assert!(json["by"][0]["stands_in_for"].is_null());
    assert_eq!(json["by"][1]["stands_in_for"]["name"], "n2");
    assert_eq!(json["by"][2]["stands_in_for"]["node"], "0000000000000003");
    assert!(json["by"][2]["stands_in_for"]["name"].is_null());
}

#[test]
fn where_there_is_nothing_to_write_programs_see_the_same_form_with_nothing_in_it() {
    let names = |json: serde_json::Value| -> Vec<String> {
        json.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(nothing(None)), names(json(&answer(), &members())));
    let context = Context::from_bytes(b"c".to_vec());
    let nothing = nothing(Some(&context));
    assert_eq!((&nothing["acknowledged"], &nothing["context"]), (&0.into(), &"Yw==".into()));
}

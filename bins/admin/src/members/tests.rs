//! Which members are meant by a name.

use jedlik_client::NodeId;
use jedlik_client::protocol::client::Endpoint;

use super::{WhichArgs, name, node_json};

/// A member with the name `n<node>`.
pub(crate) fn member(node: u64) -> Endpoint {
    Endpoint {
        node: NodeId(node),
        name: format!("n{node}"),
        address: format!("127.0.0.1:{}", 7400 + node).parse().unwrap(),
        alive: true,
    }
}

#[test]
fn a_member_goes_by_its_name_or_its_identity() {
    let cases = [
        (None, Some(vec!["n1", "n2"])),
        (Some("n2"), Some(vec!["n2"])),
        (Some("0000000000000001"), Some(vec!["n1"])),
        (Some("n3"), None),
    ];
    for (node, expected) in cases {
        let which = WhichArgs { node: node.map(str::to_owned) };
        let found = which.of(vec![member(1), member(2)]);
        let names = found
            .as_ref()
            .map(|found| found.iter().map(|member| member.name.as_str()).collect::<Vec<_>>());
        assert_eq!(names.ok(), expected, "{node:?}");
        if let Err(error) = found {
            assert!(error.to_string().contains("there are n1, n2"), "{error}");
        }
    }
}

#[test]
fn who_is_no_member_is_shown_by_identity() {
    let members = [member(1)];
    assert_eq!(name(NodeId(1), &members), "n1");
    assert_eq!(name(NodeId(9), &members), "0000000000000009");
    assert!(node_json(NodeId(9), &members)["name"].is_null());
}

//! The members that a name stands for.

use jedlik_client::NodeId;
use jedlik_protocol::client::MemberAddress;

use super::{WhichArgs, name, node_json, resolve, short};

/// Returns a member with the name `n<node>`.
pub(crate) fn member(node: u64) -> MemberAddress {
    MemberAddress {
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

#[test]
fn a_node_is_never_guessed() {
    let ids = [0xabcd_0000_0000_0001, 0xabce_0000_0000_0002, 0x1111_0000_0000_0003, 0x2222];
    let known = || ids.iter().map(|id| NodeId(*id)).zip(["n1", "abce", "n3", "n3"]);
    let cases: [(&str, Result<u64, &str>); 10] = [
        ("n1", Ok(ids[0])),
        ("abce", Ok(ids[1])),
        ("abcd", Ok(ids[0])),
        ("ABCD", Ok(ids[0])),
        ("abcd000000000001", Ok(ids[0])),
        ("1111", Ok(ids[2])),
        ("abc", Err("may be any of n1 (abcd000000000001), abce (abce000000000002)")),
        ("n3", Err("may be any of n3 (1111000000000003), n3 (0000000000002222)")),
        ("n4", Err("no member is called \"n4\"; there are abce, n1, n3, n3")),
        ("", Err("no member is called \"\"")),
    ];
    for (wanted, expected) in cases {
        let found = resolve(wanted, known());
        match (found, expected) {
            (Ok(node), Ok(id)) => assert_eq!(node, NodeId(id), "{wanted}"),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (found, _) => panic!("{wanted}: {found:?}"),
        }
    }
    assert_eq!(resolve(&short(NodeId(ids[1])), known()).unwrap(), NodeId(ids[1]));
}

//! Names in certificates, there and back.

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::{Identity, Role, check_name};

#[test]
fn names_in_certificates_read_as_people_would_expect() {
    let cluster = ClusterId(0xC0FF_EE00);
    for (identity, dns_name) in [
        (
            Identity { cluster, role: Role::Node, name: "n1".into(), node: Some(NodeId(7)) },
            "0000000000000007.n1.node.00000000c0ffee00.jedlik",
        ),
        (
            Identity { cluster, role: Role::Admin, name: "ops".into(), node: None },
            "ops.admin.00000000c0ffee00.jedlik",
        ),
        (
            Identity { cluster, role: Role::Client, name: "web-1".into(), node: None },
            "web-1.client.00000000c0ffee00.jedlik",
        ),
    ] {
        assert_eq!(identity.dns_name(), dns_name);
        assert_eq!(Identity::from_dns_name(dns_name), Some(identity));
    }
}

#[test]
fn names_that_are_not_exactly_so_are_nobodys() {
    for dns_name in [
        "",
        "jedlik",
        "localhost",
        "authority.00000000c0ffee00.jedlik",
        "n1.node.00000000c0ffee00.jedlik",
        "0000000000000007.ops.admin.00000000c0ffee00.jedlik",
        "ops.root.00000000c0ffee00.jedlik",
        "ops.admin.c0ffee00.jedlik",
        "ops.admin.00000000C0FFEE00.jedlik",
        "ops.admin.+0000000c0ffee00.jedlik",
        "ops.admin.00000000c0ffee00.example",
        "Ops.admin.00000000c0ffee00.jedlik",
        "-ops.admin.00000000c0ffee00.jedlik",
        "x.0000000000000007.n1.node.00000000c0ffee00.jedlik",
    ] {
        assert_eq!(Identity::from_dns_name(dns_name), None, "{dns_name:?}");
    }
}

#[test]
fn a_name_is_one_dns_label() {
    for (name, fits) in [
        ("n1", true),
        ("a-b", true),
        (&"a".repeat(63), true),
        (&"a".repeat(64), false),
        ("", false),
        ("a.b", false),
        ("A", false),
        ("a_b", false),
        ("-a", false),
        ("a-", false),
        ("ö", false),
    ] {
        assert_eq!(check_name(name).is_ok(), fits, "{name:?}");
    }
}

fn identities() -> impl Strategy<Value = Identity> {
    let role = prop_oneof![Just(Role::Node), Just(Role::Admin), Just(Role::Client)];
    (any::<u64>(), role, "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", any::<u64>()).prop_map(
        |(cluster, role, name, node)| Identity {
            cluster: ClusterId(cluster),
            role,
            name,
            node: (role == Role::Node).then_some(NodeId(node)),
        },
    )
}

proptest! {
    #[test]
    fn an_identity_survives_its_name(identity in identities()) {
        prop_assert_eq!(Identity::from_dns_name(&identity.dns_name()), Some(identity));
    }
}

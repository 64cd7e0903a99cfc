//! Certificates issued, read back and trusted; authorities kept.

use std::path::Path;

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;

use super::{Authority, AuthorityError, KEY_FILE, Subject};
use crate::{Credentials, Identity, Role};

const CLUSTER: ClusterId = ClusterId(0xABC);

fn credentials(authority: &Authority, subject: &Subject) -> Credentials {
    let issued = authority.issue(subject).unwrap();
    Credentials::from_pem(authority.certificate_pem(), &issued.certificate_pem, &issued.key_pem)
        .unwrap()
}

#[test]
fn issued_certificates_carry_their_subjects_identity() {
    let authority = Authority::create(CLUSTER).unwrap();
    let mut node = Subject::node(NodeId(9), "n1");
    node.extra_names = vec!["db.example.org".into(), "127.0.0.1".into()];
    for (subject, role, id) in [
        (node, Role::Node, Some(NodeId(9))),
        (Subject::admin("ops"), Role::Admin, None),
        (Subject::client("web"), Role::Client, None),
    ] {
        let expected = Identity { cluster: CLUSTER, role, name: subject.name.clone(), node: id };
        assert_eq!(credentials(&authority, &subject).identity(), &expected);
    }
}

#[test]
fn an_authority_read_from_its_files_issues_what_the_first_one_is_trusted_for() {
    let folder = tempfile::tempdir().unwrap();
    let first = Authority::create(CLUSTER).unwrap();
    first.save(&folder.path().join("ca")).unwrap();
    let second = Authority::load(&folder.path().join("ca")).unwrap();
    assert_eq!(second.cluster(), CLUSTER);
    assert_eq!(second.certificate_pem(), first.certificate_pem());
    let issued = second.issue(&Subject::client("web")).unwrap();
    Credentials::from_pem(first.certificate_pem(), &issued.certificate_pem, &issued.key_pem)
        .unwrap();
}

#[test]
fn an_authority_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let first = Authority::create(CLUSTER).unwrap();
    first.save(folder.path()).unwrap();
    let error = Authority::create(CLUSTER).unwrap().save(folder.path()).unwrap_err();
    assert!(matches!(error, AuthorityError::Exists { .. }), "{error}");
    assert_eq!(Authority::load(folder.path()).unwrap().certificate_pem(), first.certificate_pem());
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
#[test]
fn keys_are_readable_by_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(CLUSTER).unwrap();
    authority.save(folder.path()).unwrap();
    assert_eq!(mode(&folder.path().join(KEY_FILE)), 0o600);
    let key = folder.path().join("web.key");
    // A file that was readable by all doesn't stay so.
    std::fs::write(&key, "old").unwrap();
    let issued = authority.issue(&Subject::client("web")).unwrap();
    issued.save(&folder.path().join("web.pem"), &key).unwrap();
    assert_eq!(mode(&key), 0o600);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), issued.key_pem);
}

#[test]
fn subjects_that_make_no_sense_are_refused() {
    let authority = Authority::create(CLUSTER).unwrap();
    let without_node = Subject { node: None, ..Subject::node(NodeId(1), "n1") };
    let with_node = Subject { node: Some(NodeId(1)), ..Subject::admin("ops") };
    for (subject, told) in [
        (Subject::admin("Ops Team"), "the name \"Ops Team\" can't be used"),
        (without_node, "the role node was asked for without a node's identity"),
        (with_node, "the role admin was asked for with a node's identity"),
    ] {
        let error = authority.issue(&subject).err().unwrap().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn files_that_are_no_authority_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Authority::load(folder.path()).err().unwrap().to_string();
    assert!(error.contains("ca.pem"), "{error}");
    let authority = Authority::create(CLUSTER).unwrap();
    authority.save(folder.path()).unwrap();
    std::fs::write(folder.path().join(KEY_FILE), "nonsense").unwrap();
    let error = Authority::load(folder.path()).err().unwrap().to_string();
    assert!(error.contains("ca.key is not the key of a cluster's authority"), "{error}");
}

#[test]
fn a_doors_certificate_has_names_that_clients_may_connect_to() {
    let authority = Authority::create(ClusterId(1)).unwrap();
    let issue = |name: &str| authority.issue_for_door(&[name.into()], 1);
    for name in ["db1", "db1.example.org", "*.example.org", "10.0.0.5", "::1", "a_b.example.org"] {
        assert!(issue(name).is_ok(), "{name}");
    }
    let long = "a".repeat(300);
    for name in
        ["", " ", "a b", "127.0.0.1:8098", "https://x", "[::1]", "10.0.0.1/24", "1.2.3", "*", &long]
    {
        let refused = issue(name).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("without a port or a scheme"), "{name}: {refused}");
    }
}

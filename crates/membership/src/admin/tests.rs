//! Plans, commits of them, and commits that come too late.

use alloc::string::ToString;
use alloc::vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::gossip::{Delta, Gossip};

use super::*;
use crate::tests::{at, config, record};
use crate::{Config, Output};

/// Node 1, which knows nodes 2 to `nodes`.
fn member_of(nodes: u64) -> Membership {
    started(config(1), (2..=nodes).map(record).collect())
}

fn started(config: Config, members: Vec<MemberRecord>) -> Membership {
    let stored = Delta { members, ..Delta::default() };
    let mut membership = Membership::new(at(0), config, Some(stored));
    outputs(&mut membership);
    membership
}

fn outputs(membership: &mut Membership) -> Vec<Output> {
    core::iter::from_fn(|| membership.poll_output()).collect()
}

fn plan(membership: &mut Membership) -> Result<PlanReport, Failure> {
    match membership.handle_admin(at(1), &AdminRequest::Plan)? {
        AdminResponse::Plan(report) => Ok(report),
        other => panic!("{other:?}"),
    }
}

fn commit(membership: &mut Membership, plan: Digest) -> Result<AdminResponse, Failure> {
    membership.handle_admin(at(1), &AdminRequest::Commit { plan })
}

fn set(
    membership: &mut Membership,
    bucket: &str,
    changes: &[(&str, &str)],
) -> Result<BucketEntry, Failure> {
    let changes = changes.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let request = AdminRequest::BucketSet { name: bucket.into(), changes: changes.collect() };
    match membership.handle_admin(at(1), &request)? {
        AdminResponse::Bucket(entry) => Ok(entry),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_names_what_its_commit_makes() {
    let mut membership = member_of(3);
    let report = plan(&mut membership).unwrap();
    assert_eq!((report.layout, report.partitions), (1, 64));
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(report.nodes.iter().map(|node| node.tokens).sum::<u32>(), 64);
    assert_eq!(outputs(&mut membership), [], "a plan changes nothing");
    let committed = commit(&mut membership, report.plan).unwrap();
    assert_eq!(committed, AdminResponse::Committed { layout: 1 });
    let kinds = outputs(&mut membership);
    let stored = kinds
        .iter()
        .position(|output| matches!(output, Output::Persist(Delta { layout: Some(_), .. })));
    let shown = kinds.iter().position(|output| matches!(output, Output::View(_)));
    assert!(stored.is_some() && stored < shown, "stored before it is worked with");
    assert_eq!(membership.view().layout().unwrap().digest(), report.plan);
}

#[test]
fn a_commit_of_another_plan_is_refused_and_says_why() {
    let mut membership = member_of(3);
    let report = plan(&mut membership).unwrap();
    let stale = Digest(report.plan.0 ^ 1);
    let refused = commit(&mut membership, stale).unwrap_err();
    assert_eq!(refused.code, ErrorCode::PlanChanged);
    assert!(refused.message.contains("plan again"), "{refused}");
    commit(&mut membership, report.plan).unwrap();
    outputs(&mut membership);
    for (plan, says) in [(report.plan, "already"), (stale, "layout 1 came into force")] {
        let refused = commit(&mut membership, plan).unwrap_err();
        assert_eq!(refused.code, ErrorCode::PlanChanged);
        assert!(refused.message.contains(says), "{refused}");
    }
    let refused = plan_error(&mut membership);
    assert_eq!(refused.code, ErrorCode::InvalidRequest);
    assert!(refused.message.contains("layout 1 is in force"), "{refused}");
    assert_eq!(outputs(&mut membership), []);
}

fn plan_error(membership: &mut Membership) -> Failure {
    plan(membership).unwrap_err()
}

#[test]
fn a_member_that_comes_between_plan_and_commit_makes_the_plan_stale() {
    let mut membership = member_of(3);
    let report = plan(&mut membership).unwrap();
    let newcomer = Delta { members: vec![record(4)], ..Delta::default() };
    membership.handle_gossip(at(1), NodeId(2), Gossip::Close(newcomer));
    assert_eq!(commit(&mut membership, report.plan).unwrap_err().code, ErrorCode::PlanChanged);
    let report = plan(&mut membership).unwrap();
    assert_eq!(report.nodes.len(), 4);
    assert!(commit(&mut membership, report.plan).is_ok());
}

#[test]
fn fewer_nodes_than_replicas_are_refused() {
    let refused = plan_error(&mut member_of(2));
    assert_eq!(refused.code, ErrorCode::NotReady);
    assert!(refused.message.contains("2 nodes are up") && refused.message.contains('3'));
    let mut alone = started(Config { n: 1, ..config(1) }, vec![]);
    assert!(plan(&mut alone).is_ok(), "one replica needs one node");
}

#[test]
fn a_plan_warns_of_what_an_admin_may_not_have_seen() {
    let away = MemberRecord { status: Status::Away, ..record(5) };
    let zoned = |node, zone: &str| MemberRecord { zone: zone.to_string(), ..record(node) };
    let light = MemberRecord { weight: 1, ..record(3) };
    let heavy = |node| MemberRecord { weight: 10_000, ..record(node) };
    let cases = [
        (vec![record(2), record(3), away], vec!["n5 is not up"]),
        (vec![zoned(2, "z1"), record(3)], vec!["64 of 64 partitions have two"]),
        (
            vec![heavy(2), light, heavy(4), heavy(5)],
            vec!["n3 gets no partitions", "n1 gets no partitions"],
        ),
    ];
    for (members, expected) in cases {
        let warnings = plan(&mut started(config(1), members)).unwrap().warnings;
        for part in expected {
            assert!(warnings.iter().any(|warning| warning.contains(part)), "{part}: {warnings:?}");
        }
    }
}

#[test]
fn setting_properties_counts_up_and_shows() {
    let mut membership = member_of(3);
    let entry = set(&mut membership, "carts", &[("r", "1"), ("w", "3")]).unwrap();
    assert_eq!((entry.version, entry.props.r, entry.props.w), (1, 1, 3));
    assert_eq!(set(&mut membership, "carts", &[("r", "1")]).unwrap().version, 1, "nothing new");
    assert_eq!(set(&mut membership, "carts", &[("n", "1"), ("w", "1")]).unwrap().version, 2);
    assert_eq!(membership.view().bucket(b"carts").n, 1);
    let show = AdminRequest::BucketShow { name: "unset".into() };
    let AdminResponse::Bucket(unset) = membership.handle_admin(at(1), &show).unwrap() else {
        panic!("a bucket is shown");
    };
    assert_eq!((unset.version, unset.props), (0, BucketProps::default()));
    let list = membership.handle_admin(at(1), &AdminRequest::BucketList).unwrap();
    assert!(matches!(list, AdminResponse::Buckets(entries) if entries.len() == 1));
}

#[test]
fn a_setting_that_cannot_be_is_refused_and_changes_nothing() {
    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
    let cases: [Case; 6] = [
        ("carts", &[("colour", "red")], "unknown bucket property \"colour\""),
        ("carts", &[("r", "4")], "it goes from 1 to 3"),
        ("carts", &[("r", "two")], "whole number"),
        ("carts", &[("r", "1"), ("w", "0")], "it goes from 1 to 3"),
        ("carts", &[("n", "4")], "there are 3 nodes"),
        ("", &[("r", "1")], "the bucket name is empty"),
    ];
    let mut membership = member_of(3);
    for (bucket, changes, says) in cases {
        let refused = set(&mut membership, bucket, changes).unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidRequest);
        assert!(refused.message.contains(says), "{refused}");
    }
    assert_eq!(outputs(&mut membership), []);
    assert!(membership.view().members().count() == 3);
}

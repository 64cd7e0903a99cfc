//! Plans, commits of them, and commits that come too late.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::admin::PlanReport;
use jedlik_protocol::gossip::{
    Delta, Gossip, Load, MemberRecord, Ready, StagedChange, Staging, Status,
};
use jedlik_protocol::limits::LAYOUTS_MAX;
use jedlik_protocol::{Digest, LayoutId, PartitionSet};

use super::*;
use crate::tests::{at, config, record};
use crate::{Config, Output};

/// A machine of node 1, which knows nodes 2 to `nodes`.
fn member_of(nodes: u64) -> Membership {
    started(config(1), (2..=nodes).map(record).collect())
}

fn started(mut config: Config, members: Vec<MemberRecord>) -> Membership {
    // Nobody answers what is remembered, and it serves all the same.
    config.lineage.confirm_limit_us = 0;
    let stored = Delta { members, ..Delta::default() };
    let mut membership = Membership::new(at(0), config, Some(stored));
    outputs(&mut membership);
    membership
}

fn outputs(membership: &mut Membership) -> Vec<Output> {
    let mut all = Vec::new();
    while let Some(output) = membership.poll_output() {
        if let Output::Persist { state, .. } = &output {
            membership.handle_saved(at(1), *state);
        }
        all.push(output);
    }
    all
}

fn plan(membership: &mut Membership) -> Result<PlanReport, Failure> {
    match membership.handle_admin(at(1), &AdminRequest::Plan)? {
        AdminResponse::Plan(report) => Ok(*report),
        other => panic!("{other:?}"),
    }
}

fn commit(membership: &mut Membership, plan: Digest) -> Result<AdminResponse, Failure> {
    membership.handle_admin(at(1), &AdminRequest::Commit { plan, lost: 0, dry_run: false })
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
    assert_eq!((report.version, report.partitions), (1, 64));
    assert_eq!((report.base, report.moves), (LayoutId::default(), 0));
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(report.nodes.iter().map(|node| node.tokens).sum::<u32>(), 64);
    assert_eq!(outputs(&mut membership), [], "a plan changes nothing");
    let committed = commit(&mut membership, report.plan).unwrap();
    let layout = LayoutId { version: 1, digest: report.plan.0 };
    assert_eq!(committed, AdminResponse::Committed { layout });
    let kinds = outputs(&mut membership);
    let stored = kinds.iter().position(
        |output| matches!(output, Output::Persist { whole, .. } if !whole.layouts.is_empty()),
    );
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
    for (plan, says) in [(report.plan, "already"), (stale, "came into force since")] {
        let refused = commit(&mut membership, plan).unwrap_err();
        assert_eq!(refused.code, ErrorCode::PlanChanged);
        assert!(refused.message.contains(says), "{refused}");
    }
    let refused = plan_error(&mut membership);
    assert_eq!(refused.code, ErrorCode::InvalidRequest);
    assert!(refused.message.contains("nothing is staged; stage changes with"), "{refused}");
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
            vec!["n3 holds replicas of 64 partitions", "n1 gets no partitions"],
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
    let cases: [Case; 8] = [
        ("carts", &[("colour", "red")], "unknown bucket property \"colour\""),
        ("carts", &[("r", "4")], "it goes from 1 to 3"),
        ("carts", &[("r", "two")], "whole number from 1 to the bucket's n"),
        ("carts", &[("r", "1"), ("w", "0")], "it goes from 1 to 3"),
        ("carts", &[("n", "4")], "there are 3 nodes"),
        ("carts", &[("min_w", "3")], "min_w can't be 3 while w is 2: set w=3 as well"),
        ("carts", &[("min_w", "2"), ("w", "1")], "min_w can't be 2 while w is 1"),
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
    let entry = set(&mut membership, "carts", &[("min_w", "3"), ("w", "3")]).unwrap();
    assert_eq!((entry.props.min_w, entry.props.w), (3, 3));
}

const ANY_ZONE: &str = "";

fn join() -> StagedChange {
    StagedChange::Join { zone: ANY_ZONE.to_string(), weight: 0 }
}

fn replace(by: u64, forced: bool) -> StagedChange {
    StagedChange::Replace { by: NodeId(by), zone: ANY_ZONE.to_string(), forced }
}

fn weight(weight: u32) -> StagedChange {
    StagedChange::Set { zone: None, weight: Some(weight) }
}

fn stage(membership: &mut Membership, node: u64, change: StagedChange) -> Result<Staging, Failure> {
    stage_as(membership, node, change, false)
}

fn stage_as(
    membership: &mut Membership,
    node: u64,
    change: StagedChange,
    dry_run: bool,
) -> Result<Staging, Failure> {
    let request = AdminRequest::Stage { changes: vec![(NodeId(node), change)], dry_run };
    match membership.handle_admin(at(1), &request)? {
        AdminResponse::Staged(staging) => Ok(staging),
        other => panic!("{other:?}"),
    }
}

/// A machine of node 1 in a layout of nodes 1 to 4, with nodes 5 and 6 outside of it. The nodes in `down` are away.
fn placed(down: &[u64]) -> Membership {
    let mut membership = member_of(4);
    let first = plan(&mut membership).unwrap();
    commit(&mut membership, first.plan).unwrap();
    let load = Load { records: 1_000, bytes: 1 << 30, ..Load::default() };
    let stopped = |node: &u64| MemberRecord {
        status: if down.contains(node) { Status::Away } else { Status::Up },
        version: 2,
        load,
        ..record(*node)
    };
    let members = (2..=6).map(|node| stopped(&node)).collect();
    let news = Gossip::Close(Delta { members, ..Delta::default() });
    membership.handle_gossip(at(1), NodeId(2), news);
    outputs(&mut membership);
    membership
}

/// Has all members say that they hold everything under the newest layout.
fn settle(membership: &mut Membership) {
    outputs(membership);
    let layout = membership.view().layout_id();
    let partitions: PartitionSet = membership.view().partitions().partitions().collect();
    let ready = Ready { layout, partitions };
    let known = membership.view();
    let newer = |record: &MemberRecord| MemberRecord {
        version: record.version + 1,
        ready: ready.clone(),
        layout,
        ..record.clone()
    };
    let members = known.members().filter(|record| record.node != NodeId(1)).map(newer).collect();
    let news = Gossip::Close(Delta { members, ..Delta::default() });
    membership.handle_gossip(at(1), NodeId(2), news);
    let all: Vec<Partition> = membership.view().partitions().partitions().collect();
    membership.handle_ready(at(1), layout, &all);
    membership.handle_timeout(at(1_000_000));
    outputs(membership);
}

#[test]
fn what_is_staged_is_complete_and_one_change_of_a_node_takes_the_place_of_the_other() {
    let mut membership = placed(&[]);
    let staging = stage(&mut membership, 5, join()).unwrap();
    let complete = StagedChange::Join { zone: "z2".to_string(), weight: 1 };
    assert_eq!(staging.changes, [(NodeId(5), complete)]);
    assert_eq!(staging.base, membership.view().layout_id());
    let seen = stage_as(&mut membership, 4, StagedChange::Leave, true).unwrap();
    assert_eq!(seen.changes.len(), 2);
    assert_eq!(membership.staged(), staging, "a dry run changes nothing");
    let other = StagedChange::Join { zone: "far".to_string(), weight: 3 };
    let staging = stage(&mut membership, 5, other.clone()).unwrap();
    assert_eq!((staging.revision, staging.changes), (2, vec![(NodeId(5), other)]));
    stage(&mut membership, 2, weight(2)).unwrap();
    let unstage = |membership: &mut Membership, nodes| {
        membership.handle_admin(at(1), &AdminRequest::Unstage { nodes })
    };
    let Ok(AdminResponse::Staged(left)) = unstage(&mut membership, vec![NodeId(5)]) else {
        panic!("what is left is told")
    };
    assert_eq!(left.changes, [(NodeId(2), weight(2))]);
    let refused = unstage(&mut membership, vec![NodeId(5)]).unwrap_err();
    assert!(refused.message.contains("nothing is staged for n5"), "{refused}");
    assert!(unstage(&mut membership, vec![]).is_ok());
    assert!(membership.staged().changes.is_empty());
    assert!(plan_error(&mut membership).message.contains("nothing is staged"));
}

#[test]
fn a_change_that_cannot_be_is_refused_and_says_what_to_do() {
    let set = |zone: Option<&str>, weight| StagedChange::Set {
        zone: zone.map(ToString::to_string),
        weight,
    };
    let cases = [
        (99, join(), "known are n1, n2, n3, n4, n5, n6"),
        (2, join(), "n2 is in the layout already"),
        (5, StagedChange::Leave, "n5 is not in the layout"),
        (5, StagedChange::Remove, "n5 is not in the layout"),
        (5, weight(2), "n5 is not in the layout"),
        (5, replace(6, false), "n5 is not in the layout"),
        (2, replace(3, false), "n3 is in the layout already"),
        (2, replace(6, false), "n6 is not up"),
        (2, replace(99, false), "known are n1"),
        (2, replace(5, true), "n2 is up: replace it without force"),
        (4, replace(5, false), "replace it by force"),
        (2, StagedChange::Remove, "n2 is up: use `jedlik-admin cluster leave`"),
        (4, StagedChange::Leave, "use `jedlik-admin cluster remove` or `replace`"),
        (2, weight(0), "n2 can't have weight 0"),
        (2, set(None, None), "nothing is to be set for n2"),
        (2, set(Some(""), None), "nothing is to be set for n2"),
        (2, set(Some(&"z".repeat(257)), None), "over the limit of 256"),
    ];
    let mut membership = placed(&[4, 6]);
    for (node, change, says) in cases {
        let refused = stage(&mut membership, node, change).unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidRequest);
        assert!(refused.message.contains(says), "{says}: {refused}");
    }
    assert!(membership.staged().changes.is_empty());
    assert_eq!(outputs(&mut membership), []);
}

#[test]
fn changes_that_contradict_one_another_are_refused() {
    let mut membership = placed(&[]);
    stage(&mut membership, 2, replace(5, false)).unwrap();
    for (node, change) in [(3, replace(5, false)), (5, join())] {
        let refused = stage(&mut membership, node, change).unwrap_err();
        assert!(refused.message.contains("another change is staged for it"), "{refused}");
    }
    stage(&mut membership, 3, StagedChange::Leave).unwrap();
    let refused = stage(&mut membership, 4, StagedChange::Leave).unwrap_err();
    assert!(refused.message.contains("2 nodes would be left, and keys have 3"), "{refused}");
    let mut alone = started(Config { n: 1, ..config(1) }, vec![]);
    let first = plan(&mut alone).unwrap();
    commit(&mut alone, first.plan).unwrap();
    let refused = stage(&mut alone, 1, StagedChange::Leave).unwrap_err();
    assert!(refused.message.contains("the last node can't leave"), "{refused}");
}

#[test]
fn the_first_layout_can_be_staged_too() {
    let mut membership = member_of(5);
    for node in 1..=2 {
        stage(&mut membership, node, join()).unwrap();
    }
    let refused = plan_error(&mut membership);
    assert!(refused.message.contains("2 nodes are staged"), "{refused}");
    stage(&mut membership, 4, join()).unwrap();
    let report = plan(&mut membership).unwrap();
    assert_eq!(report.nodes.iter().map(|node| node.node.0).collect::<Vec<_>>(), [1, 2, 4]);
    commit(&mut membership, report.plan).unwrap();
    assert!(membership.staged().changes.is_empty(), "it is void");
}

#[test]
fn a_plan_says_what_moves_and_what_it_weighs() {
    let mut membership = placed(&[]);
    settle(&mut membership);
    let before = membership.view();
    stage(&mut membership, 5, join()).unwrap();
    let report = plan(&mut membership).unwrap();
    assert_eq!((report.version, report.base), (2, before.layout_id()));
    assert_eq!(report.n, 3);
    let newcomer = report.nodes.iter().find(|node| node.node == NodeId(5)).unwrap();
    assert_eq!((newcomer.tokens_before, newcomer.owned_before, newcomer.loses), (0, 0, 0));
    assert_eq!(newcomer.gains, newcomer.owned);
    assert!((12..=13).contains(&newcomer.tokens));
    assert_eq!(report.moves, report.nodes.iter().map(|node| node.gains).sum::<u32>());
    assert!(report.least_moves <= report.moves && report.moves <= 192);
    let copy_bytes = (5_u64 << 30) / 192;
    assert_eq!(report.bytes, u64::from(report.moves) * copy_bytes);
    let most = report.nodes.iter().map(|node| node.gains_bytes).max().unwrap();
    assert_eq!(report.estimate_s, most.div_ceil(20 << 20));
    assert_eq!(report.node_faults, (0, 0));
    assert!(report.risk.iter().all(|risk| (risk.none, risk.one, risk.few) == (0, 0, 0)));
}

#[test]
fn a_replacement_of_the_same_zone_takes_the_tokens_of_the_other() {
    let mut membership = placed(&[4]);
    settle(&mut membership);
    let zone = record(4).zone;
    let change = StagedChange::Replace { by: NodeId(5), zone, forced: true };
    let before = membership.view().layout().unwrap().clone();
    stage(&mut membership, 4, change).unwrap();
    let report = plan(&mut membership).unwrap();
    let moved = before.ring.tokens_of(NodeId(4));
    commit(&mut membership, report.plan).unwrap();
    let after = membership.view().layout().unwrap().clone();
    assert_eq!(after.ring.tokens_of(NodeId(5)), moved);
    for partition in after.ring.partitions().partitions() {
        let former = before.ring.token_holder(partition);
        let successor = if former == NodeId(4) { NodeId(5) } else { former };
        assert_eq!(after.ring.token_holder(partition), successor);
    }
    let refused = stage(&mut membership, 4, join()).unwrap_err();
    assert!(refused.message.contains("n4") || refused.message.contains("was removed"), "{refused}");
}

#[test]
fn a_commit_that_loses_data_needs_the_number_of_partitions_typed() {
    let mut membership = placed(&[2, 3, 4]);
    settle(&mut membership);
    for node in 2..=4 {
        stage(&mut membership, node, replace(node + 10, true)).unwrap_err();
    }
    // Three of four are down; two go by force, so some partitions are on these and the third alone.
    stage(&mut membership, 5, join()).unwrap();
    stage(&mut membership, 6, join()).unwrap();
    stage(&mut membership, 2, StagedChange::Remove).unwrap();
    stage(&mut membership, 3, StagedChange::Remove).unwrap();
    let report = plan(&mut membership).unwrap();
    let lost = report.risk[1].none;
    assert!(lost > 0);
    assert!(report.warnings.iter().any(|w| w.contains(&format!("--accept-loss {lost}"))));
    let mut commit = |lost, dry_run| {
        let request = AdminRequest::Commit { plan: report.plan, lost, dry_run };
        membership.handle_admin(at(1), &request)
    };
    for wrong in [0, lost + 1] {
        let refused = commit(wrong, false).unwrap_err();
        let says = format!("loses the only copies of {lost} partitions; pass --accept-loss {lost}");
        assert!(refused.message.contains(&says), "{refused}");
    }
    assert!(commit(lost, true).is_ok());
    assert!(commit(lost, false).is_ok());
    assert_eq!(membership.view().layout_version(), 2, "the dry run made none");
}

#[test]
fn a_loss_that_there_is_not_is_refused_as_well() {
    let mut membership = placed(&[]);
    stage(&mut membership, 5, join()).unwrap();
    let plan = plan(&mut membership).unwrap().plan;
    let request = AdminRequest::Commit { plan, lost: 3, dry_run: false };
    let refused = membership.handle_admin(at(1), &request).unwrap_err();
    assert!(refused.message.contains("leave --accept-loss out"), "{refused}");
}

#[test]
fn a_change_of_the_staging_makes_a_plan_stale() {
    let mut membership = placed(&[]);
    stage(&mut membership, 5, join()).unwrap();
    let stale = plan(&mut membership).unwrap().plan;
    stage(&mut membership, 6, join()).unwrap();
    let refused = commit(&mut membership, stale).unwrap_err();
    assert_eq!(refused.code, ErrorCode::PlanChanged);
    assert!(refused.message.contains("plan again"), "{refused}");
}

#[test]
fn commits_wait_once_too_many_layouts_count() {
    let mut membership = placed(&[]);
    for version in 2..=LAYOUTS_MAX as u32 {
        stage(&mut membership, 2, weight(version)).unwrap();
        let next = plan(&mut membership).unwrap().plan;
        commit(&mut membership, next).unwrap();
    }
    stage(&mut membership, 2, weight(1)).unwrap();
    let next = plan(&mut membership).unwrap();
    assert!(next.warnings.iter().any(|warning| warning.contains("data still moves")));
    let refused = commit(&mut membership, next.plan).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotReady);
    assert!(refused.message.contains("wait until data has moved"), "{refused}");
    // Data may not move because a node is dead, so giving that node up need not wait.
    hear(&mut membership, &[4], Status::Away);
    stage(&mut membership, 4, StagedChange::Remove).unwrap();
    let relief = plan(&mut membership).unwrap();
    commit(&mut membership, relief.plan).unwrap();
    settle(&mut membership);
    stage(&mut membership, 2, weight(1)).unwrap();
    let next = plan(&mut membership).unwrap().plan;
    assert!(commit(&mut membership, next).is_ok());
}

#[test]
fn a_commit_is_refused_while_a_node_is_up_whose_copies_it_gives_up() {
    for (change, advice) in
        [(StagedChange::Remove, "leave n4"), (replace(5, true), "replace n4 n5")]
    {
        let mut membership = placed(&[4]);
        stage(&mut membership, 4, change).unwrap();
        hear(&mut membership, &[4], Status::Up);
        membership.handle_outcome(at(1), NodeId(4), true);
        let back = plan(&mut membership).unwrap();
        let refused = commit(&mut membership, back.plan).unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidRequest);
        let expected = format!("stage `jedlik-admin cluster {advice}` instead, or stop it first");
        assert!(refused.message.contains(&expected), "{refused}");
        assert_eq!(membership.view().layout_version(), 1);
    }
}

#[test]
fn a_node_that_leaves_is_counted_as_leaving_and_not_staged_again() {
    let mut membership = placed(&[]);
    stage(&mut membership, 4, StagedChange::Leave).unwrap();
    let next = plan(&mut membership).unwrap().plan;
    commit(&mut membership, next).unwrap();
    for change in [StagedChange::Leave, weight(2), replace(5, false)] {
        let refused = stage(&mut membership, 4, change).unwrap_err();
        for words in ["n4 is leaving already", "take that back with `jedlik-admin cluster join`"] {
            assert!(refused.message.contains(words), "no {words:?} in {refused}");
        }
    }
    let refused = stage(&mut membership, 4, StagedChange::Remove).unwrap_err();
    assert!(refused.message.contains("n4 is up and leaving: it stops by itself"), "{refused}");
}

/// Has node 1 hear that `nodes` have this `status` from now on.
fn hear(membership: &mut Membership, nodes: &[u64], status: Status) {
    let record = |node: &u64| {
        let members = membership.known.members();
        let known = members.get(&NodeId(*node)).unwrap().clone();
        MemberRecord { status, version: known.version + 1, ..known }
    };
    let news = Delta { members: nodes.iter().map(record).collect(), ..Delta::default() };
    membership.handle_gossip(at(1), NodeId(2), Gossip::Close(news));
    outputs(membership);
}

#[test]
fn a_commit_is_refused_while_a_node_is_down_that_is_to_hand_on_what_it_holds() {
    let leaves = |node| (node, StagedChange::Leave);
    let replaced = || (4, replace(5, false));
    let remove_4 = "stage `jedlik-admin cluster remove n4` instead, which gives up its copies";
    let replace_4 = "stage `jedlik-admin cluster replace n4 n5` again, which gives up its copies";
    let start_4 = "n4 does not answer, so it can't hand on what it holds: start it again";
    let remove_3 = "stage `jedlik-admin cluster remove n3` instead";
    let cases = [
        (vec![leaves(4)], vec![4], vec![start_4, remove_4]),
        (vec![replaced()], vec![4], vec![start_4, replace_4]),
        (vec![leaves(3), replaced()], vec![3, 4], vec![remove_3, start_4, replace_4]),
    ];
    for (changes, down, says) in cases {
        let mut membership = placed(&[]);
        for (node, change) in changes {
            stage(&mut membership, node, change).unwrap();
        }
        let before = plan(&mut membership).unwrap();
        assert!(!before.warnings.iter().any(|warning| warning.contains("can't be committed")));
        outputs(&mut membership);
        hear(&mut membership, &down, Status::Away);
        let (view, staged) = (membership.view(), membership.staged());
        let report = plan(&mut membership).unwrap();
        assert_eq!(report.plan, before.plan, "it is the same plan on every node");
        let warnings = report.warnings.join("; ");
        for dry_run in [true, false] {
            let request = AdminRequest::Commit { plan: report.plan, lost: report.lost, dry_run };
            let refused = membership.handle_admin(at(1), &request).unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidRequest);
            for words in &says {
                assert!(refused.message.contains(words), "{words}: {refused}");
                assert!(warnings.contains(words), "{words}: {warnings}");
            }
        }
        assert_eq!(outputs(&mut membership), []);
        assert_eq!((membership.view(), membership.staged()), (view, staged));
        hear(&mut membership, &down, Status::Up);
        for node in down {
            membership.handle_outcome(at(1), NodeId(node), true);
        }
        assert!(commit(&mut membership, report.plan).is_ok(), "who is up again hands it on");
    }
}

#[test]
fn a_commit_does_not_mind_who_is_down_if_nothing_is_expected_of_it() {
    let cases = [
        ((2, weight(2)), vec![4], vec![4]),
        ((5, join()), vec![], vec![4]),
        ((4, StagedChange::Remove), vec![4], vec![4]),
        ((4, replace(5, true)), vec![4], vec![4]),
    ];
    for ((node, change), down_before, down) in cases {
        let mut membership = placed(&down_before);
        stage(&mut membership, node, change.clone()).unwrap();
        hear(&mut membership, &down, Status::Away);
        let report = plan(&mut membership).unwrap();
        assert!(commit(&mut membership, report.plan).is_ok(), "{change:?}: {:?}", report.warnings);
    }
}

#[test]
fn nobody_is_made_to_leave_who_would_wait_for_a_dead_node_for_ever() {
    let mut membership = placed(&[]);
    stage(&mut membership, 4, StagedChange::Leave).unwrap();
    hear(&mut membership, &[3], Status::Away);
    let report = plan(&mut membership).unwrap();
    let warned = report.warnings.iter().any(|warning| warning.contains("could not finish leaving"));
    assert!(warned, "{:?} {:?}", report.warnings, report.nodes);
    let refused = commit(&mut membership, report.plan).unwrap_err();
    for words in ["n3 does not answer", "n4 could not finish", "cluster remove n3", "start n3"] {
        assert!(refused.message.contains(words), "no {words:?} in {refused}");
    }
    assert_eq!(membership.view().layout_version(), 1, "nothing was committed");
}

#[test]
fn a_leave_is_taken_back_by_a_join_and_the_dead_node_can_be_removed_then() {
    let mut membership = placed(&[]);
    stage(&mut membership, 4, StagedChange::Leave).unwrap();
    let leave = plan(&mut membership).unwrap().plan;
    commit(&mut membership, leave).unwrap();
    hear(&mut membership, &[3], Status::Away);
    let refused = stage(&mut membership, 3, StagedChange::Remove).unwrap_err();
    assert!(refused.message.contains("2 nodes would be left"), "{refused}");
    stage(&mut membership, 4, join()).unwrap();
    let back = plan(&mut membership).unwrap().plan;
    commit(&mut membership, back).unwrap();
    assert_eq!(membership.view().departed(NodeId(4)), None);
    assert!(membership.view().layout().unwrap().ring.node(NodeId(4)).is_some());
    stage(&mut membership, 3, StagedChange::Remove).unwrap();
    let removal = plan(&mut membership).unwrap();
    commit(&mut membership, removal.plan).unwrap();
    assert_eq!(membership.view().layout_version(), 4);
}

#[test]
fn who_died_after_it_was_staged_goes_by_force_once_it_is_staged_again() {
    for (first, again) in
        [(StagedChange::Leave, StagedChange::Remove), (replace(5, false), replace(5, true))]
    {
        let mut membership = placed(&[]);
        stage(&mut membership, 4, first).unwrap();
        hear(&mut membership, &[4], Status::Away);
        let refused = plan(&mut membership).unwrap().plan;
        let staging = stage(&mut membership, 4, again).unwrap();
        assert_eq!(staging.changes.len(), 1, "it takes the place of the former");
        let report = plan(&mut membership).unwrap();
        assert_ne!(report.plan, refused);
        commit(&mut membership, report.plan).unwrap();
        assert!(membership.view().departed(NodeId(4)).is_some_and(|departed| departed.forced));
    }
}

#[test]
fn who_dies_while_it_leaves_can_be_removed_by_force() {
    let mut membership = placed(&[]);
    stage(&mut membership, 4, StagedChange::Leave).unwrap();
    let leave = plan(&mut membership).unwrap().plan;
    commit(&mut membership, leave).unwrap();
    hear(&mut membership, &[4], Status::Away);
    for change in [StagedChange::Leave, replace(5, false), replace(5, true)] {
        let refused = stage(&mut membership, 4, change).unwrap_err();
        assert!(refused.message.contains("use `jedlik-admin cluster remove`"), "{refused}");
    }
    // It holds nothing else up meanwhile.
    stage(&mut membership, 5, join()).unwrap();
    let join = plan(&mut membership).unwrap().plan;
    commit(&mut membership, join).unwrap();
    assert!(membership.view().departed(NodeId(4)).is_some_and(|departed| !departed.forced));
    stage(&mut membership, 4, StagedChange::Remove).unwrap();
    let removal = plan(&mut membership).unwrap();
    assert_eq!((removal.moves, removal.lost), (0, 0));
    commit(&mut membership, removal.plan).unwrap();
    assert!(membership.view().departed(NodeId(4)).is_some_and(|departed| departed.forced));
}

#[test]
fn a_node_that_died_before_it_had_partitions_can_be_removed() {
    let mut membership = placed(&[]);
    stage(&mut membership, 5, StagedChange::Remove).unwrap_err();
    let mut membership = placed(&[5]);
    let staged = stage(&mut membership, 5, StagedChange::Remove).unwrap();
    assert_eq!(staged.changes.len(), 1);
    let report = plan(&mut membership).unwrap();
    assert_eq!((report.moves, report.lost), (0, 0));
}

#[test]
fn a_plan_warns_of_moves_that_too_few_old_owners_are_left_for() {
    // With one of three owners away two are left, which is N - W + 1; with two away one is.
    let mut membership = placed(&[]);
    stage(&mut membership, 5, join()).unwrap();
    let warned = |membership: &mut Membership| -> Option<String> {
        let warnings = plan(membership).unwrap().warnings;
        warnings.into_iter().find(|why| why.contains("could not move on"))
    };
    hear(&mut membership, &[3], Status::Away);
    assert_eq!(warned(&mut membership), None);
    hear(&mut membership, &[4], Status::Away);
    let warning = warned(&mut membership).expect("two are not there");
    for words in ["n3, n4 do not answer", "partitions could not move on", "cluster remove n3 n4"] {
        assert!(warning.contains(words), "no {words:?} in {warning}");
    }
    // Nobody waits for a node that is given up; the warning names the other one.
    stage(&mut membership, 6, join()).unwrap();
    stage(&mut membership, 3, StagedChange::Remove).unwrap();
    let warning = warned(&mut membership).expect("one is not there");
    assert!(warning.contains("n4 does not answer"), "{warning}");
}

#[test]
fn a_certificate_that_nobody_has_limited_can_lose_its_rights_and_an_unknown_token_can_not() {
    let mut membership = member_of(3);
    let mut revoke = |subject| {
        membership.handle_admin(at(1), &AdminRequest::AccessRevoke(subject)).map(|response| {
            match response {
                AdminResponse::AccessEntry(entry) => (entry.version, entry.revoked),
                other => panic!("{other:?}"),
            }
        })
    };
    assert_eq!(revoke(Subject::Certificate("shop".into())), Ok((1, true)));
    assert_eq!(revoke(Subject::Certificate("shop".into())), Ok((1, true)), "once is enough");
    assert!(revoke(Subject::Certificate("Not a name".into())).is_err());
    assert!(revoke(Subject::Token("shop".into())).is_err());
    assert!(membership.view().access(&Subject::Certificate("shop".into())).unwrap().revoked);
    assert!(membership.view().access(&Subject::Token("shop".into())).is_none());
}

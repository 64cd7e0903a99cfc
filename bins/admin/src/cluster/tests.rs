//! Changes as they are staged, and the cluster as it is shown.

use std::time::{Duration, Instant};

use clap::{Args, Parser};
use jedlik_client::{ClientError, NodeId};
use jedlik_protocol::admin::{
    ClusterStatus, CopiesAtRisk, MemberState, MemberStatus, PlanReport, PlannedNode,
};
use jedlik_protocol::gossip::{
    Life, Load, MemberRecord, Ready, Speaks, StagedChange, Staging, Status,
};
use jedlik_protocol::{ClusterId, Digest, Incarnation, LayoutId};

use super::commit::{behind, overruled};
use super::own_words::OwnWords;
use super::stage::{JoinArgs, LeaveArgs, ReplaceArgs, joins, leaves, replacement, staged_nodes};
use super::staged::{staged_json, staged_text};
use super::wait::{Stall, stall_text};
use super::{plan, status};
use crate::cert::hex;
use crate::exit::Usage;
use crate::transfer_progress::tests::moving;

/// Layout that the clusters of these tests have.
pub(crate) const LAYOUT: LayoutId = LayoutId { version: 1, digest: 0xd1 };

/// Returns a member with the name `n<node>` that has the layout.
pub(crate) fn seen(node: u64, state: MemberState) -> MemberStatus {
    let status = match state {
        MemberState::Away => Status::Away,
        MemberState::Left => Status::Left,
        _ => Status::Up,
    };
    let record = MemberRecord {
        node: NodeId(node),
        name: format!("n{node}"),
        address: format!("127.0.0.1:{}", 7400 + node).parse().unwrap(),
        zone: "z".into(),
        weight: 1,
        life: Life::new(Incarnation(1)),
        generation: 1,
        version: 1,
        status,
        layout: LAYOUT,
        ready: Ready::default(),
        load: Load { records: 100, bytes: 102_400, ..Load::default() },
        speaks: Speaks { protocol_min: 1, protocol_max: 1, storage: 1 },
        message_life_ms: 30_000,
    };
    let is_placed = matches!(state, MemberState::Up | MemberState::Away);
    let (tokens, owned) = if is_placed { (85, 256) } else { (0, 0) };
    MemberStatus {
        record,
        alive: matches!(state, MemberState::Up | MemberState::Joining | MemberState::Leaving),
        state,
        tokens,
        owned,
        ready: owned,
        placed: is_placed.then(|| ("z".into(), 1)),
    }
}

/// Returns a cluster of these members in which nothing moves.
pub(crate) fn cluster(members: &[(u64, MemberState)]) -> ClusterStatus {
    ClusterStatus {
        clock_ms: 1_767_268_860_000,
        agreed_ms: 1_767_268_860_000,
        cluster: ClusterId(1),
        node: NodeId(1),
        layout: LAYOUT,
        partitions: 256,
        flipped: 256,
        staging: Staging { base: LAYOUT, ..Staging::default() },
        members: members.iter().map(|(node, state)| seen(*node, *state)).collect(),
    }
}

#[derive(Debug, Parser)]
struct Typed<A: Args> {
    #[command(flatten)]
    args: A,
}

fn typed<A: Args>(line: &str) -> A {
    Typed::parse_from(std::iter::once("it").chain(line.split(' '))).args
}

/// Returns a cluster in which n1 and n2 are placed, n2 is down, n3 is stopped, n4 and n5 wait, n6 leaves, n7 and n8 are
/// gone.
fn mixed() -> ClusterStatus {
    use MemberState::{Away, Joining, Leaving, Left, Removed, Up};
    let states = [Up, Up, Away, Joining, Joining, Leaving, Left, Removed];
    let members: Vec<(u64, MemberState)> = (1..).zip(states).collect();
    let mut status = cluster(&members);
    status.members[1].alive = false;
    status.members[4].record.zone = "b".into();
    status
}

type Changes = Result<Vec<(NodeId, StagedChange)>, Usage>;

fn refused(changes: Changes, words: &[&str]) {
    let error = changes.unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
}

#[test]
fn nodes_join_where_they_were_started_unless_told_otherwise() {
    let join = |line| joins(&typed::<JoinArgs>(line), &mixed());
    let change = |zone: &str, weight| StagedChange::Join { zone: zone.into(), weight };
    let both = vec![(NodeId(4), change("z", 1)), (NodeId(5), change("b", 1))];
    assert_eq!(join("n4 n5").unwrap(), both);
    assert_eq!(join("n4 --zone c --weight 3").unwrap(), [(NodeId(4), change("c", 3))]);
    refused(join("n4 n9"), &["no member is called \"n9\"", "n1, n2, n3, n4, n5, n6"]);
    refused(join("n1"), &["n1 is in the layout already (up)", "nodes that are not: n4, n5"]);
    assert_eq!(join("n6").unwrap().len(), 1, "it is leaving: to join it takes that back");
    refused(join("n8"), &["n8 was removed", "not used again", "new certificate"]);
    refused(join("n7"), &["n7 has left"]);
    refused(join("0000"), &["may be any of n1 (0000000000000001), n2"]);
}

#[test]
fn only_nodes_that_the_layout_has_leave() {
    let leave = |line| leaves(&typed::<LeaveArgs>(line), &mixed());
    let both = vec![(NodeId(1), StagedChange::Leave), (NodeId(3), StagedChange::Leave)];
    assert_eq!(leave("n1 n3").unwrap(), both);
    refused(leave("n1 n4"), &["n4 is not in the layout", "cluster join n4", "cluster clear n4"]);
    refused(leave("n6"), &["n6 is leaving already", "cluster wait"]);
}

#[test]
fn a_node_that_is_down_is_replaced_by_force() {
    let replace = |line| replacement(&typed::<ReplaceArgs>(line), &mixed());
    let by =
        |zone: &str, forced| StagedChange::Replace { by: NodeId(5), zone: zone.into(), forced };
    assert_eq!(replace("n1 n5").unwrap(), [(NodeId(1), by("b", false))]);
    assert_eq!(replace("n2 n5").unwrap(), [(NodeId(2), by("b", true))]);
    assert_eq!(replace("n1 n5 --zone c").unwrap(), [(NodeId(1), by("c", false))]);
    refused(replace("n1 n2"), &["n2 is in the layout already"]);
    refused(replace("n4 n5"), &["n4 is not in the layout"]);
}

fn staging() -> Staging {
    let replace = StagedChange::Replace { by: NodeId(4), zone: "b".into(), forced: true };
    let changes = vec![
        (NodeId(1), StagedChange::Set { zone: Some("b".into()), weight: Some(2) }),
        (NodeId(2), replace),
        (NodeId(3), StagedChange::Leave),
        (NodeId(5), StagedChange::Join { zone: "z".into(), weight: 1 }),
        (NodeId(9), StagedChange::Remove),
    ];
    Staging { base: LAYOUT, revision: 5, changes }
}

#[test]
fn staged_changes_are_shown_in_words_and_as_json() {
    let status = mixed();
    insta::assert_snapshot!(staged_text(&staging(), &status), @r"
    staged for        change
    n1                set zone b, weight 2
    n2                replace by n4 in zone b, giving up what it holds
    n3                leave
    n5                join in zone z with weight 1
    0000000000000009  remove by force, giving up what it holds
    ");
    let json = staged_json(&staging(), &status);
    assert_eq!((&json[1]["change"], &json[1]["forced"]), (&"replace".into(), &true.into()));
    assert_eq!((&json[3]["name"], &json[3]["weight"]), (&"n5".into(), &1.into()));
    let void = Staging { base: LayoutId::default(), ..staging() };
    assert!(staged_text(&void, &status).contains("void: staged for layout 0"));
    assert_eq!(staged_text(&Staging::default(), &status), "no change is staged\n");
}

#[test]
fn only_what_is_staged_can_be_cleared() {
    let clear = |wanted: &[&str], staging: &Staging| {
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        staged_nodes(&wanted, &ClusterStatus { staging: staging.clone(), ..mixed() })
    };
    assert_eq!(clear(&["n3", "n5"], &staging()).unwrap(), [NodeId(3), NodeId(5)]);
    assert_eq!(clear(&[], &staging()).unwrap(), []);
    let error = clear(&["n4"], &staging()).unwrap_err().to_string();
    assert!(error.contains("nothing is staged for n4; there is for n1, n2, n3"), "{error}");
    assert!(clear(&["n4"], &Staging::default()).unwrap_err().to_string().contains("nor for any"));
}

#[test]
fn status_says_where_everybody_stands() {
    let mut status = ClusterStatus { flipped: 12, ..mixed() };
    status.members[3].record.speaks.protocol_max = 2;
    status.members[1].record.layout = LayoutId { digest: 7, ..LAYOUT };
    status.staging.changes.push((NodeId(4), StagedChange::Join { zone: "z".into(), weight: 1 }));
    insta::assert_snapshot!(status::to_text(&status, &OwnWords::default()), @r"
    cluster 0000000000000001, layout 1 (00000000000000d1) of 256 partitions, as n1 sees it
    name  node      address         zone  weight  state    alive  tokens  ready/owned      holds     layout
    n1    00000000  127.0.0.1:7401  z          1  up       yes        85      256/256  100.0 KiB          1
    n2    00000000  127.0.0.1:7402  z          1  up       no         85      256/256  100.0 KiB  1 (rival)
    n3    00000000  127.0.0.1:7403  z          1  away     no         85      256/256  100.0 KiB          1
    n4    00000000  127.0.0.1:7404  z          1  joining  yes         0          0/0  100.0 KiB          1
    n5    00000000  127.0.0.1:7405  b          1  joining  yes         0          0/0  100.0 KiB          1
    n6    00000000  127.0.0.1:7406  z          1  leaving  yes         0          0/0  100.0 KiB          1
    n7    00000000  127.0.0.1:7407  z          1  left     -           0          0/0  100.0 KiB          1
    n8    00000000  127.0.0.1:7408  z          1  removed  -           0          0/0  100.0 KiB          1
    12 of 256 partitions have flipped; `jedlik-admin transfers` shows how the rest comes on
    members' builds differ:
      protocol 1 to 1, storage format 1: n1, n2, n3, n5, n6
      protocol 1 to 2, storage format 1: n4
    staged for  change
    n4          join in zone z with weight 1
    See `jedlik-admin cluster plan`, or drop them with `jedlik-admin cluster clear`.
    ");
    let json = status::to_json(&status, &OwnWords::default());
    assert_eq!((&json["layout"], &json["flipped"]), (&1.into(), &12.into()));
    let member = &json["members"][5];
    assert_eq!((&member["state"], &member["alive"]), (&"leaving".into(), &true.into()));
    assert_eq!(json["staged"][0]["change"], "join");
}

#[test]
fn who_is_drained_by_its_own_word_is_told_from_who_was_stopped() {
    let status = cluster(&[(1, MemberState::Up), (2, MemberState::Away), (3, MemberState::Away)]);
    let own = OwnWords { drained: [NodeId(2)].into(), ..OwnWords::default() };
    let text = status::to_text(&status, &own);
    assert!(text.contains("drained  no") && text.contains("away     no"), "{text}");
    assert!(text.contains("`jedlik-admin node drain n2 --undo`"), "{text}");
    assert!(!text.contains("n3 is drained"), "{text}");
    let json = status::to_json(&status, &own);
    let member =
        |index: usize| (&json["members"][index]["state"], &json["members"][index]["drained"]);
    assert_eq!(member(1), (&"away".into(), &true.into()));
    assert_eq!(member(2), (&"away".into(), &false.into()));
    let says =
        |node| jedlik_doctor::says_drained(&ClusterStatus { node: NodeId(node), ..status.clone() });
    assert_eq!([1, 2].map(says), [false, true]);
}

#[test]
fn who_has_not_counted_its_records_yet_is_not_shown_as_empty() {
    let mut status = cluster(&[(1, MemberState::Up), (2, MemberState::Up)]);
    status.members[1].record.load = Load::default();
    let own = OwnWords { unread: [(NodeId(2), 12)].into(), ..OwnWords::default() };
    let text = status::to_text(&status, &own);
    assert!(text.contains("0 B, counting") && text.contains("100.0 KiB       "), "{text}");
    assert!(text.contains("n2 has yet to read its records of 12 partitions"), "{text}");
    let json = status::to_json(&status, &own);
    let unread = [0, 1].map(|index| json["members"][index]["unread_partitions"].clone());
    assert_eq!(unread, [0.into(), serde_json::Value::from(12)]);
}

#[test]
fn a_leaver_that_died_is_named_by_status_with_what_to_do() {
    let mut status = mixed();
    assert!(
        !status::to_text(&status, &OwnWords::default())
            .contains("n6 is leaving and does not answer")
    );
    status.members[5].alive = false;
    let text = status::to_text(&status, &OwnWords::default());
    let line = text.lines().find(|line| line.starts_with("n6 is leaving"));
    insta::assert_snapshot!(line.unwrap(), @"n6 is leaving and does not answer; to do: start it, so that it hands on what it holds; if it is lost, give that up: `jedlik-admin cluster remove n6`, then `cluster plan` and commit");
}

#[test]
fn advice_about_a_member_whose_name_another_has_gives_the_identity() {
    let mut status = mixed();
    status.members[5].alive = false;
    status.members[0].record.name = "n6".into();
    let text = status::to_text(&status, &OwnWords::default());
    assert!(text.contains("cluster remove 0000000000000006`"), "{text}");
    status.members[0].state = MemberState::Removed;
    let text = status::to_text(&status, &OwnWords::default());
    assert!(text.contains("cluster remove n6`"), "who is gone is in nobody's way: {text}");
}

#[test]
fn before_the_first_layout_status_says_what_to_do() {
    let layout = LayoutId::default();
    let status = ClusterStatus { layout, partitions: 0, flipped: 0, ..cluster(&[]) };
    let text = status::to_text(&status, &OwnWords::default());
    assert!(text.contains("no layout yet: see `jedlik-admin cluster plan`"), "{text}");
    assert!(!text.contains("flipped") && !text.contains("differ"), "{text}");
}

fn report() -> PlanReport {
    let node = |node, tokens_before, tokens| PlannedNode {
        node: NodeId(node),
        name: format!("n{node}"),
        zone: "z".into(),
        weight: 1,
        tokens_before,
        tokens,
        owned_before: tokens_before * 3,
        owned: tokens * 3,
        gains: tokens.saturating_sub(tokens_before) * 3,
        loses: tokens_before.saturating_sub(tokens) * 3,
        gains_bytes: u64::from(tokens.saturating_sub(tokens_before)) * 1_000_000,
        fair_share_milli: 85_333,
    };
    PlanReport {
        plan: Digest(0xab),
        base: LAYOUT,
        version: 2,
        partitions: 256,
        n: 3,
        nodes: vec![node(1, 128, 86), node(2, 128, 85), node(3, 0, 85)],
        moves: 255,
        least_moves: 250,
        bytes: 85_000_000,
        estimate_s: 75,
        zone_faults: (0, 0),
        node_faults: (0, 0),
        risk: [CopiesAtRisk::default(); 3],
        lost: 0,
        warnings: Vec::new(),
    }
}

#[test]
fn a_plan_says_what_moves_and_how_to_commit_it() {
    insta::assert_snapshot!(plan::to_text(&report()), @r"
    plan 00000000000000ab: layout 2 of 256 partitions, n = 3, made from layout 1 (00000000000000d1)
    name  node      zone  weight     tokens  fair share       owned  gains  receives  loses
    n1    00000000  z          1  128 -> 86        85.3  384 -> 258      0       0 B    126
    n2    00000000  z          1  128 -> 85        85.3  384 -> 255      0       0 B    129
    n3    00000000  z          1    0 -> 85        85.3    0 -> 255    255  81.1 MiB      0
    moves: 255 copies of partitions (the least possible: 250, 1.02 times that), about 81.1 MiB in about 1 min 15 s
    To make it so:
      jedlik-admin cluster commit 00000000000000ab
    ");
    let json = plan::to_json(&report());
    assert_eq!(hex(json["plan"].as_str().unwrap()), Some(0xab));
    assert_eq!((&json["layout"], &json["lost"]), (&2.into(), &0.into()));
}

#[test]
fn a_plan_that_loses_data_can_only_be_committed_by_saying_so() {
    let risk = |none, one, few| CopiesAtRisk { none, one, few };
    let plan = PlanReport {
        risk: [risk(0, 1, 200), risk(3, 1, 0), risk(3, 0, 0)],
        lost: 3,
        zone_faults: (0, 7),
        warnings: vec!["n3 is up".into()],
        ..report()
    };
    insta::assert_snapshot!(plan::to_text(&plan), @r"
    plan 00000000000000ab: layout 2 of 256 partitions, n = 3, made from layout 1 (00000000000000d1)
    name  node      zone  weight     tokens  fair share       owned  gains  receives  loses
    n1    00000000  z          1  128 -> 86        85.3  384 -> 258      0       0 B    126
    n2    00000000  z          1  128 -> 85        85.3  384 -> 255      0       0 B    129
    n3    00000000  z          1    0 -> 85        85.3    0 -> 255    255  81.1 MiB      0
    moves: 255 copies of partitions (the least possible: 250, 1.02 times that), about 81.1 MiB in about 1 min 15 s
    partitions with two copies in one zone: 0 now, 7 then
    copies at risk, of 3 on nodes that are up:
      now: 1 partition has one copy, 200 partitions have fewer than 3
      while data moves: 3 partitions have no copy, 1 partition has one copy
      then: 3 partitions have no copy
    warning: n3 is up
    THE DATA OF 3 PARTITIONS IS LOST BY THIS PLAN.
    To make it so:
      jedlik-admin cluster commit 00000000000000ab --accept-loss 3
    ");
    let command = plan::to_json(&plan)["command"].as_str().unwrap().to_owned();
    assert!(command.ends_with("cluster commit 00000000000000ab --accept-loss 3"), "{command}");
}

#[test]
fn the_first_plan_moves_nothing() {
    let first = PlanReport { base: LayoutId::default(), version: 1, moves: 0, ..report() };
    let text = plan::to_text(&first);
    assert!(text.contains("the first") && !text.contains("moves"), "{text}");
}

#[test]
fn only_members_that_are_up_are_waited_for_after_a_commit() {
    let mut status = mixed();
    status.members.iter_mut().for_each(|member| member.record.layout = LayoutId::default());
    status.members[0].record.layout = LAYOUT;
    assert_eq!(behind(&status, LAYOUT), ["n4", "n5", "n6"]);
}

#[test]
fn a_rival_with_the_greater_digest_overrules_a_commit() {
    let (greater, less) =
        (LayoutId { digest: 0xd2, ..LAYOUT }, LayoutId { digest: 0xd0, ..LAYOUT });
    let next = LayoutId { version: 2, digest: 0 };
    let cases = [(greater, true), (less, false), (LAYOUT, false), (next, false)];
    for (newest, expected) in cases {
        assert_eq!(overruled(LAYOUT, newest), expected, "{newest}");
    }
}

#[test]
fn a_stall_is_told_after_each_stretch_without_a_change() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut stall = Stall::new(Duration::from_secs(15), start);
    let cases: [(u64, u32, Option<u64>); 8] = [
        (0, 100, None),
        (14, 100, None),
        (15, 100, Some(15)),
        (16, 100, None),
        (30, 100, Some(30)),
        (31, 101, None),
        (45, 101, None),
        (46, 101, Some(15)),
    ];
    for (now, ready, expected) in cases {
        let mark = moving(&[ready]).mark();
        assert_eq!(stall.note(at(now), mark), expected.map(Duration::from_secs), "at {now}");
    }
}

#[test]
fn a_stall_report_names_what_is_waited_for() {
    let mut moving = moving(&[85, 256]);
    moving.told[0].answer.as_mut().unwrap().paused = true;
    insta::assert_snapshot!(stall_text(Duration::from_secs(15), &moving.obstacles()), @r"
    nothing has changed for 15 s; it waits for this:
      transfers are paused on n1; to do: jedlik-admin task resume transfers:n1
      n1 is ready for 85 of 256 partitions
    ");
}

#[test]
fn a_stall_report_says_how_to_do_without_a_leaver_that_died() {
    let mut moving = moving(&[256, 256]);
    moving.told[1].answer = Err(ClientError::NoLayout);
    moving.status.members[1].state = MemberState::Leaving;
    moving.status.members[1].alive = false;
    let text = stall_text(Duration::from_secs(15), &moving.obstacles());
    for words in ["it waits for this", "n2 is leaving and does not answer", "cluster remove n2`"] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

#[test]
fn who_is_refilled_and_whose_shards_lie_aside_is_shown() {
    let mut status = cluster(&[(1, MemberState::Up), (2, MemberState::Up)]);
    status.members[1].record.load.refilling = 12;
    status.members[1].record.load.set_aside = 0b101;
    let text = status::to_text(&status, &OwnWords::default());
    assert!(text.contains("up, refilling 12"), "{text}");
    assert!(text.contains("n2: the files of shards 0, 2 were set aside"), "{text}");
    let json = status::to_json(&status, &OwnWords::default());
    assert_eq!(json["members"][1]["refilling"], 12);
    assert_eq!(json["members"][1]["set_aside_shards"], serde_json::json!([0, 2]));
    assert_eq!(json["members"][0]["set_aside_shards"], serde_json::json!([]));
}

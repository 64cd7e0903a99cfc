//! One fault at a time in a cluster that is otherwise well.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use alloc::{format, vec};

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::{
    BackgroundReport, ClusterStatus, HintReport, MemberState, MemberStatus, RepairReport,
    ShardTrouble, TransferReport, TroubleKind, WorkKind,
};
use jedlik_protocol::client::MemberAddress;
use jedlik_protocol::gossip::{Life, Load, MemberRecord, Ready, Speaks, Staging, Status};
use jedlik_protocol::{ClusterId, Incarnation, LayoutId};

use super::diagnosis::Severity::{self, Error, Note, Warning};
use super::diagnosis::{HINT_WARNING_BYTES, diagnose};
use super::names::tell_apart;
use super::observed::{Observed, ObservedMember};
use super::to_text;

const NOW_MS: u64 = 1_767_268_860_000;

/// Layout that the clusters of these tests have.
const LAYOUT: LayoutId = LayoutId { version: 1, digest: 0xd1 };

/// Returns a member with the name `n<node>`.
fn member(node: u64) -> MemberAddress {
    MemberAddress {
        node: NodeId(node),
        name: format!("n{node}"),
        address: ([127, 0, 0, 1], 7400 + node as u16).into(),
        alive: true,
    }
}

/// Returns a member that is up and has the layout.
fn seen(node: u64) -> MemberStatus {
    let MemberAddress { node, name, address, .. } = member(node);
    let record = MemberRecord {
        node,
        name,
        address,
        zone: "z".into(),
        weight: 1,
        life: Life::new(Incarnation(1)),
        generation: 1,
        version: 1,
        status: Status::Up,
        layout: LAYOUT,
        ready: Ready::default(),
        load: Load::default(),
        speaks: Speaks { protocol_min: 1, protocol_max: 1, storage: 1 },
        message_life_ms: 30_000,
    };
    let (tokens, owned, ready) = (85, 256, 256);
    let (state, placed) = (MemberState::Up, Some(("z".into(), 1)));
    MemberStatus { record, alive: true, state, tokens, owned, ready, placed }
}

/// Returns the cluster as a member sees it.
fn view(node: u64) -> ClusterStatus {
    ClusterStatus {
        clock_ms: NOW_MS,
        agreed_ms: NOW_MS,
        cluster: ClusterId(1),
        node: NodeId(node),
        layout: LAYOUT,
        partitions: 256,
        flipped: 256,
        staging: Staging { base: LAYOUT, ..Staging::default() },
        members: (1..=3).map(seen).collect(),
    }
}

/// Returns a report on hints for a node, the oldest a minute old.
fn report(target: u64, count: u64) -> HintReport {
    HintReport {
        target: NodeId(target),
        count,
        bytes: count * 1000,
        oldest_ms: (count > 0).then_some(NOW_MS - 60_000),
        delivering: false,
        delivered: 5,
        left_s: None,
        failure: None,
    }
}

/// Returns a cluster of three members without any fault.
fn well() -> Observed {
    let members = (1..=3).map(|node| ObservedMember {
        status: Some(view(node)),
        hints: Some(Vec::new()),
        counters: Some(BTreeMap::from([("uptime_s".into(), 7200)])),
        repair: Some(RepairReport { exchanges: 100, ..RepairReport::default() }),
        background: Some(BackgroundReport::default()),
        ..ObservedMember::silent(member(node))
    });
    Observed { members: members.collect(), largest_n: 3, now_ms: NOW_MS }
}

fn silence(observed: &mut Observed, index: usize) {
    let silent = ObservedMember::silent(observed.members[index].member.clone());
    observed.members[index] = ObservedMember { failures: vec!["too slow".into()], ..silent };
}

fn status(observed: &mut Observed, index: usize) -> &mut ClusterStatus {
    observed.members[index].status.as_mut().unwrap()
}

fn hint(observed: &mut Observed, holder: usize, hint: HintReport) {
    observed.members[holder].hints.as_mut().unwrap().push(hint);
}

fn count(observed: &mut Observed, name: &str, value: u64) {
    observed.members[0].counters.as_mut().unwrap().insert(name.into(), value);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(diagnose(&well()), []);
    assert_eq!(to_text(&[], 3), "Nothing is wrong with the 3 members.\n");
}

#[test]
fn a_member_that_has_left_is_not_missed() {
    for state in [MemberState::Left, MemberState::Removed] {
        let mut observed = well();
        silence(&mut observed, 2);
        status(&mut observed, 0).members[2].state = state;
        assert_eq!(diagnose(&observed), []);
    }
}

/// Change that breaks a well cluster, and the severity and a few words of the only finding.
type Case = (fn(&mut Observed), Severity, &'static [&'static str]);

fn check(cases: &[Case]) {
    for (fault, severity, words) in cases {
        let mut observed = well();
        fault(&mut observed);
        let findings = diagnose(&observed);
        let text = to_text(&findings, 3);
        assert_eq!(findings.len(), 1, "{text}");
        assert_eq!(findings[0].severity, *severity, "{text}");
        for word in *words {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }
}

#[test]
fn members_that_are_missing_or_disagree_are_found() {
    check(&[
        (|seen| silence(seen, 2), Error, &["n3", "127.0.0.1:7403", "too slow", "not collected"]),
        (
            |seen| {
                silence(seen, 2);
                status(seen, 0).members[2].record.status = Status::Away;
            },
            Warning,
            &["n3", "was stopped", "start it"],
        ),
        (
            |seen| {
                silence(seen, 2);
                hint(seen, 0, report(3, 2000));
                hint(seen, 1, report(3, 48));
            },
            Error,
            &["n3", "2048 keys of 2.0 MiB wait for it"],
        ),
        (
            |seen| {
                status(seen, 0).members[1].record.message_life_ms = 60_000;
                status(seen, 1).members[1].record.message_life_ms = 60_000;
            },
            Error,
            &[
                "limits.message_life_ms",
                "n1 30000, n2 60000, n3 30000",
                "not collected",
                "same value",
            ],
        ),
        (|seen| status(seen, 0).members[1].alive = false, Warning, &["n2", "n1 can't reach it"]),
        (
            |seen| status(seen, 1).layout = LayoutId::default(),
            Warning,
            &["newest layout is 1", "n2 has 0"],
        ),
        (
            |seen| (0..3).for_each(|index| status(seen, index).layout = LayoutId::default()),
            Error,
            &["no layout", "cluster plan"],
        ),
        (|seen| seen.largest_n = 5, Warning, &["3 members for n = 5", "at most 3 of its 5 copies"]),
        (
            |seen| seen.members[1].failures.push("too busy".into()),
            Warning,
            &["n2 did not answer everything: too busy"],
        ),
    ]);
}

#[test]
fn a_drained_member_is_no_fault_of_the_network_and_nobody_fails_to_reach_itself() {
    check(&[
        (
            |seen| {
                for viewer in 0..3 {
                    let member = &mut status(seen, viewer).members[1];
                    (member.alive, member.state) = (false, MemberState::Away);
                    member.record.status = Status::Away;
                }
                let failure = Some("is drained by an admin".into());
                hint(seen, 0, HintReport { failure, ..report(2, 10) });
            },
            Warning,
            &["n2 is drained", "node drain n2 --undo", "10 keys of 9.8 KiB wait for it"],
        ),
        (
            |seen| (0..3).for_each(|viewer| status(seen, viewer).members[1].alive = false),
            Warning,
            &["n2 answers here, but n1, n3 can't reach it"],
        ),
    ]);
}

#[test]
fn hints_that_are_stuck_or_many_are_found() {
    check(&[
        (
            |seen| {
                let failure = Some("its disk refused".into());
                hint(seen, 0, HintReport { failure, ..report(2, 10) });
            },
            Warning,
            &["n1 can't deliver hints to n2", "its disk refused", "oldest for 1 min 0 s"],
        ),
        (
            |seen| {
                let left_s = Some(75);
                hint(seen, 0, HintReport { delivering: true, left_s, ..report(2, 1) });
            },
            Note,
            &["hints of 1 key", "on n1 for n2", "1 min 15 s left"],
        ),
        (
            |seen| {
                let bytes = HINT_WARNING_BYTES + 1;
                hint(seen, 1, HintReport { bytes, ..report(9, 1) });
            },
            Warning,
            &["n2 holds 1.0 GiB in hints"],
        ),
    ]);
}

#[test]
fn faults_of_single_members_are_found() {
    check(&[
        (
            |seen| seen.members[1].background.as_mut().unwrap().paused = true,
            Warning,
            &["paused on n2", "not delivered", "background resume --node n2"],
        ),
        (
            |seen| {
                let background = seen.members[1].background.as_mut().unwrap();
                background.paused_kinds.push(WorkKind::Transfer);
            },
            Warning,
            &["transfers are paused on n2", "task resume transfers:n2"],
        ),
        (
            |seen| {
                let repair = seen.members[0].repair.as_mut().unwrap();
                (repair.failed, repair.to_retry) = (101, 1);
            },
            Warning,
            &["101 of 201 comparisons"],
        ),
        (
            |seen| seen.members[0].repair.as_mut().unwrap().failed = 101,
            Note,
            &["101 of 201 comparisons"],
        ),
        (
            |seen| seen.members[0].repair.as_mut().unwrap().building = 7,
            Note,
            &["n1 is building the trees of 7 partitions"],
        ),
        (
            |seen| count(seen, "clashing_records", 2),
            Warning,
            &["n1 holds 2 keys", "largest size together", "nothing is lost", "with the context"],
        ),
        (
            |seen| count(seen, "journal_failures", 2),
            Error,
            &["n1", "journal: 2 since", "2 h 0 min"],
        ),
        (
            |seen| count(seen, "storage_reopenings", 3),
            Warning,
            &["n1", "opened anew: 3 since", "nothing that was acknowledged is lost"],
        ),
        (
            |seen| count(seen, "refilling_partitions", 12),
            Warning,
            &["n1 is refilling 12 partitions", "Unavailable", "node believe n1 --accept-loss 12"],
        ),
        (|seen| count(seen, "damaged_records", 1), Warning, &["fail their checksum: 1"]),
        (|seen| count(seen, "truncated_entries", 9), Warning, &["truncated past the limit: 9"]),
    ]);
}

#[test]
fn a_few_failed_comparisons_among_many_are_a_note() {
    let mut observed = well();
    observed.members[0].repair.as_mut().unwrap().failed = 1;
    assert_eq!(diagnose(&observed)[0].severity, Note);
}

#[test]
fn a_clock_that_is_seconds_off_what_the_members_agree_on_is_named() {
    let cases =
        [(1_999, 0, None), (2_000, 0, Some("2 s ahead of")), (0, 3_600_000, Some("behind"))];
    for (ahead_ms, behind_ms, words) in cases {
        let mut observed = well();
        status(&mut observed, 1).clock_ms = NOW_MS + ahead_ms - behind_ms;
        let findings = diagnose(&observed);
        assert_eq!(findings.len(), usize::from(words.is_some()), "{findings:?}");
        if let Some(words) = words {
            let crate::diagnosis::Finding { severity, what, remedy, .. } = &findings[0];
            assert_eq!(*severity, Warning);
            assert!(what.contains("clock of n2") && what.contains(words), "{what}");
            assert!(remedy.contains("NTP"));
        }
    }
}

#[test]
fn the_worst_comes_first() {
    let mut observed = well();
    silence(&mut observed, 2);
    observed.members[0].background.as_mut().unwrap().paused = true;
    let failure = Some("its disk refused".into());
    hint(&mut observed, 0, HintReport { failure, ..report(2, 10) });
    observed.members[1].repair.as_mut().unwrap().building = 1;
    let findings = diagnose(&observed);
    let severities: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
    assert!(severities.is_sorted() && severities.len() == 4, "{severities:?}");
    insta::assert_snapshot!(to_text(&findings, 3), @r"
    error: n3 (127.0.0.1:7403) does not answer (too slow)
      holds up: tombstones are not collected and clocks not pruned while it is away
      to do: start it, or see in its log why it does not run; its hints reach it then (`jedlik-admin hints --wait`). If its disk is lost, start it on an empty data directory with `--new`: n3 is filled from the others

    warning: n1 can't deliver hints to n2, which is up: its disk refused (10 keys of 9.8 KiB, the oldest for 1 min 0 s)
      holds up: n2 lacks these writes until then; tombstones are not collected
      to do: put right what n2 says, or see whether n1 can reach it

    warning: background work is paused on n1
      holds up: hints are not delivered, differences between replicas not repaired, tombstones not collected, partitions not moved
      to do: jedlik-admin background resume --node n1

    note: n2 is building the trees of 1 partition from its records
      holds up: anti-entropy of these partitions
      to do: nothing; it takes one paced reading at a first start, and after an unclean stop

    1 error and 2 warnings on 3 members.
    ");
    let fields = findings[0].fields();
    assert_eq!(fields.map(|(name, _)| name), ["severity", "what", "holds_up", "to_do"]);
    assert_eq!(
        (fields[0].1, findings[0].fields()[3].1),
        (Some("error"), Some(&*findings[0].remedy))
    );
}

#[test]
fn what_is_wrong_with_a_shards_storage_is_said_with_its_place() {
    let mut observed = well();
    let trouble = |kind, what: &str| ShardTrouble {
        shard: 3,
        kind,
        since_ms: NOW_MS - 120_000,
        what: what.into(),
    };
    observed.members[1].troubles = vec![
        trouble(TroubleKind::SetAside, "/data/set-aside/shard-3-1"),
        trouble(TroubleKind::ReadOnly, "the file system is read-only"),
        trouble(TroubleKind::FilesGone, "/data/shard-3/records.redb"),
        trouble(TroubleKind::EarlierCopy, "/data/set-aside/2026-01-01-generation-4/shard-3"),
    ];
    let findings = diagnose(&observed);
    let severities: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Error, Error, Warning, Note]);
    assert!(findings[3].what.contains("earlier copy"), "{findings:?}");
    assert!(
        findings[0].what.contains("the disk of n2 is read-only")
            && findings[1].what.contains("removed"),
        "{findings:?}"
    );
    let aside = &findings[2].what;
    assert!(aside.contains("shard 3 of n2") && aside.contains("/data/set-aside/shard-3-1"));
}

#[test]
fn moves_that_wait_for_a_node_that_is_down_are_a_warning_and_others_a_note() {
    for (is_down, severity) in [(true, Warning), (false, Note)] {
        let mut observed = well();
        let blockers = vec!["n3 is down, and holds partitions that move: start it".into()];
        observed.members[0].transfers =
            Some(TransferReport { blockers, ..TransferReport::default() });
        if is_down {
            silence(&mut observed, 2);
        }
        let findings = diagnose(&observed);
        let found = findings.iter().find(|finding| finding.what.contains("partitions of n1 wait"));
        let found = found.unwrap_or_else(|| panic!("{findings:?}"));
        assert_eq!(found.severity, severity);
        assert!(found.what.contains("n3 is down"), "{found:?}");
    }
}

#[test]
fn a_member_that_is_down_gets_the_advice_that_fits_whether_it_is_to_leave() {
    check(&[
        (
            |observed| silence(observed, 2),
            Error,
            &["n3", "does not answer", "data directory with `--new`"],
        ),
        (
            |observed| {
                silence(observed, 2);
                status(observed, 0).members[2].state = MemberState::Leaving;
            },
            Error,
            // `cluster status` and `cluster wait` say the same.
            &[
                "n3 (127.0.0.1:7403) is leaving and does not answer",
                "start it, so that it hands on what it holds",
                "cluster remove n3",
            ],
        ),
        (
            |observed| {
                silence(observed, 2);
                for viewer in [0, 1] {
                    let seen = &mut status(observed, viewer).members[2];
                    (seen.state, seen.placed) = (MemberState::Joining, None);
                }
            },
            Warning,
            &["n3 (127.0.0.1:7403) has no place in the layout", "forget it", "cluster remove n3"],
        ),
    ]);
    let mut observed = well();
    silence(&mut observed, 2);
    status(&mut observed, 0).members[2].state = MemberState::Leaving;
    assert!(!to_text(&diagnose(&observed), 3).contains("--new"), "it is not to be filled again");
}

#[test]
fn members_of_one_name_are_found_and_advice_gives_the_identity() {
    let mut observed = well();
    observed.members[2].member.name = "n1".into();
    let silent = observed.members[2].member.clone();
    observed.members[2] = ObservedMember::silent(silent);
    for viewer in [0, 1] {
        let seen = &mut status(&mut observed, viewer).members[2];
        (seen.state, seen.placed) = (MemberState::Joining, None);
    }
    observed.members[0].background.as_mut().unwrap().paused = true;
    tell_apart(&mut observed.members);
    let text = to_text(&diagnose(&observed), 3);
    for words in [
        "2 members are called n1: 0000000000000001, 0000000000000003",
        "n1 (0000000000000003) (127.0.0.1:7403) has no place in the layout",
        "cluster remove 0000000000000003`",
        "background resume --node 0000000000000001",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    assert!(!text.contains("remove n1"), "{text}");
}

//! Commands as requests, and reports as they are shown.

use jedlik_client::ClientError;
use jedlik_protocol::admin::{AdminRequest, BackgroundChange, BackgroundReport, MergeReport};

use super::{BackgroundCommand, Reports, SetArgs, request, to_json, to_text};
use crate::members::tests::member;
use crate::members::{Told, WhichArgs};

fn everybody() -> WhichArgs {
    WhichArgs { node: None }
}

fn told() -> Reports {
    let running = BackgroundReport {
        paused: false,
        paused_kinds: Vec::new(),
        limit_per_s: 20_000,
        slowdown_percent: 150,
        pace_per_s: 812,
        foreground_p99_us: 4_210,
        quiet_p99_us: 3_900,
        steps: vec![("hints".into(), 12), ("exchanges".into(), 3_400)],
        merges: None,
    };
    let merges = MergeReport {
        working: 1,
        waiting_runs: 9,
        merges: 31,
        merged_bytes: 5 << 20,
        garbage_bytes: 3 << 10,
        last_age_ms: Some(2_400),
    };
    let paused =
        BackgroundReport { paused: true, pace_per_s: 0, merges: Some(merges), ..running.clone() };
    let answers = [Ok(running), Ok(paused), Err(ClientError::NoLayout)];
    let told = answers.into_iter().zip(1..);
    told.map(|(answer, node)| Told { member: member(node), answer }).collect()
}

#[test]
fn each_command_changes_what_it_names_and_nothing_else() {
    let nothing = BackgroundChange::default();
    let cases = [
        (BackgroundCommand::Pause(everybody()), BackgroundChange { paused: Some(true), ..nothing }),
        (
            BackgroundCommand::Resume(everybody()),
            BackgroundChange { paused: Some(false), ..nothing },
        ),
        (
            BackgroundCommand::Set(SetArgs { limit: Some(7), slowdown: None, which: everybody() }),
            BackgroundChange { limit_per_s: Some(7), ..nothing },
        ),
        (
            BackgroundCommand::Set(SetArgs {
                limit: None,
                slowdown: Some(150),
                which: everybody(),
            }),
            BackgroundChange { slowdown_percent: Some(150), ..nothing },
        ),
    ];
    for (command, expected) in cases {
        assert_eq!(request(command).1, AdminRequest::SetBackground(expected));
    }
    assert_eq!(request(BackgroundCommand::Show(everybody())).1, AdminRequest::Background);
}

#[test]
fn pace_and_bounds_are_shown_for_each_member() {
    insta::assert_snapshot!(to_text(&told()), @r"
    node  state      steps/s  limit  slowdown  p99 now  p99 quiet  steps so far
    n1    running        812  20000     150 %   4.2 ms     3.9 ms  hints 12, exchanges 3400
    n2    paused           0  20000     150 %   4.2 ms     3.9 ms  hints 12, exchanges 3400
    n3    no answer        -      -         -        -          -

    node  merges   runs waiting  so far   merged  garbage  last
    n2    working             9      31  5.0 MiB  3.0 KiB  2 s ago
    ");
    let json = to_json(&told());
    assert_eq!(json["nodes"][0]["background"]["steps"]["exchanges"], 3400);
    assert_eq!(json["nodes"][1]["background"]["paused"], true);
    assert!(json["nodes"][0]["background"]["merges"].is_null());
    assert_eq!(json["nodes"][1]["background"]["merges"]["merged_bytes"], 5 << 20);
    assert!(json["nodes"][2]["background"].is_null() && json["nodes"][2]["error"].is_string());
}

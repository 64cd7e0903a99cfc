//! Tables of results made by hand, with figures that are easy to check.

use serde_json::json;

use super::super::machine::Conditions;
use super::super::matrix::{Durability, Place, Row};
use super::super::results::{Results, Run, Said};
use super::{comparison, median, medians};
use crate::cluster::Engine;

fn conditions(processors: usize) -> Conditions {
    Conditions {
        began_s: 0,
        commit: "abc".into(),
        processors,
        processor: "P".into(),
        memory_bytes: 24 << 30,
        kernel: "6.1".into(),
        load: 0.5,
        sync_p50_ms: 0.15,
        sync_p99_ms: 0.3,
    }
}

/// Returns results of one row, each of whose rounds has such a throughput.
fn results(clients: u16, throughputs: &[f64]) -> Results {
    let place = Place {
        engine: Engine::Lsm,
        durability: Durability::Written,
        value_bytes: 100,
        records: 5,
    };
    let row = Row { place, mix: "put".into(), popularity: "uniform".into(), clients, rate: None };
    let run = |throughput: &f64| {
        let put =
            json!({"count": 9, "per_second": throughput, "p50_ms": 1.5, "p99_ms": 3, "p999_ms": 4});
        let requests = json!({"put": put, "get": {"count": 0, "per_second": 0}});
        let report =
            json!({"requests": requests, "nodes_cpu_us_each": 99.5, "errors": {"timeout": 2}});
        Run { row: row.clone(), report }
    };
    let runs = throughputs.iter().map(run).collect();
    Results { conditions: conditions(2), runs, beside: Vec::new() }
}

#[test]
fn a_table_has_the_medians_of_the_rounds_and_what_others_said() {
    let mut results = results(64, &[100.0, 300.0, 200.0]);
    results.beside.push(Said { name: "etcd".into(), line: "12 puts".into() });
    let text = medians(&results);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("2 x P, 24 GiB, Linux 6.1, fdatasync 0.15 ms"), "{text}");
    let words: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(words[words.len() - 9..].join(" "), "200 1.50 3.00 4.00 99.5 - - 6 failed");
    assert!(lines[2].starts_with("lsm written, 5 records of 100 B, put uniform, 64 clients: put "));
    assert_eq!(lines[3..], ["etcd: 12 puts"], "gets of which there were none have no line");
}

#[test]
fn a_comparison_has_the_ratios_of_common_rows_and_says_what_may_be_chance() {
    let before = results(64, &[100.0, 110.0, 90.0]);
    let text = comparison(&before, &results(64, &[200.0, 190.0])).unwrap();
    assert!(text.lines().any(|line| line.contains(": put ") && line.contains(" 1.95 ")), "{text}");
    let text = comparison(&before, &results(64, &[105.0])).unwrap();
    assert!(text.lines().any(|line| line.contains(" 1.05~")), "{text}");
    let text = comparison(&results(64, &[0.0]), &before).unwrap();
    assert!(text.contains(" - ") && !text.contains("inf"), "{text}");
    assert!(comparison(&before, &results(1, &[105.0])).is_err(), "no row in common");
}

#[test]
fn results_of_different_machines_are_told_apart() {
    let before = results(64, &[100.0]);
    let mut after = results(64, &[100.0]);
    assert!(!comparison(&before, &after).unwrap().contains("different machines"));
    after.conditions = conditions(8);
    assert!(comparison(&before, &after).unwrap().contains("different machines"));
}

#[test]
fn a_median_of_an_even_number_is_between_the_two_in_the_middle() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[3.0]), Some(3.0));
    assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
}

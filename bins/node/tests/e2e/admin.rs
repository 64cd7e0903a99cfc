//! The admin's commands as people use them: on a healthy cluster, on one with a node down, and with mistakes.

use serde_json::Value;

use crate::cluster::{Cluster, wait_until, wait_until_ok};
use crate::observer::{OWNERS, Observer};
use crate::requests::shown;
use crate::tools::{Said, run};

/// Exit code of `jedlik-admin doctor` if something is wrong, as `--help` promises.
const FOUND: i32 = 1;
const USAGE: i32 = 2;
const UNAVAILABLE: i32 = 3;

#[test]
fn an_admin_sees_where_a_key_is_what_waits_and_what_is_wrong() {
    let mut cluster = Cluster::start_many(5, |_| {});
    let observer = Observer::of(&cluster, 0);
    wait_until_ok("nothing is wrong", || run(cluster.admin(0).arg("doctor")));
    assert!(said(&cluster, "hints").contains("no hints wait"));
    let key = shown(&observer.keys_where("cup", 1, |list| list[..OWNERS].contains(&2))[0]);
    run(cluster.jedlik(0).args(["put", "carts", &key, "tea", "--w", "3"])).ok();
    let text = said(&cluster, &format!("explain carts {key}"));
    assert_eq!(text.matches(": up to date").count(), OWNERS, "{text}");
    assert!(said(&cluster, "explain nowhere nothing").contains("nobody holds anything of it"));

    cluster.kill(2);
    run(cluster.jedlik(0).args(["put", "carts", &key, "coffee", "--w", "3"])).ok();
    let mut diagnosis = String::new();
    wait_until("the doctor has noticed", || {
        let doctor = run(cluster.admin(0).arg("doctor"));
        diagnosis = doctor.stdout;
        doctor.code == FOUND && diagnosis.contains("wait for it in hints")
    });
    for part in ["error: n3", "does not answer", "holds up:", "to do: start it"] {
        assert!(diagnosis.contains(part), "no {part:?} in {diagnosis}");
    }
    let hints = admin(&cluster, "hints --wait --timeout 1").refused(UNAVAILABLE, &["n3"]);
    assert!(hints.stdout.contains("n3") && hints.stdout.contains("no answer"), "{hints:?}");
    let text = said(&cluster, &format!("explain carts {key}"));
    assert!(text.contains("hint for n3") && text.contains("no answer from: n3"), "{text}");

    cluster.restart(2);
    let drained = said(&cluster, "hints --wait --timeout 120");
    assert!(drained.contains("no hints wait"), "{drained}");
    wait_until_ok("nothing is wrong any more", || run(cluster.admin(0).arg("doctor")));
}

#[test]
fn an_admin_holds_background_work_up_bounds_it_and_starts_a_repair() {
    let mut cluster = Cluster::start_many(5, |_| {});
    wait_until_ok("nothing is wrong", || run(cluster.admin(0).arg("doctor")));

    let paused = json(&cluster, "background pause");
    assert!(reports(&paused).all(|report| report["paused"] == true), "{paused}");
    let doctor = admin(&cluster, "doctor");
    assert_eq!(doctor.code, FOUND);
    assert!(doctor.stdout.contains("paused on n4"), "{doctor:?}");
    cluster.kill(2);
    for number in 0..20 {
        let key = format!("late-{number}");
        run(cluster.jedlik(0).args(["put", "carts", &key, "tea", "--w", "3"])).ok();
    }
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    admin(&cluster, "background resume --node n3").ok();
    let waiting = admin(&cluster, "hints --wait --timeout 2 --json");
    assert_eq!(waiting.code, UNAVAILABLE, "hints stay where they are");
    assert!(waiting.json()["keys"].as_u64().unwrap() > 0, "{waiting:?}");
    let resumed = json(&cluster, "background resume");
    assert!(reports(&resumed).all(|report| report["paused"] == false), "{resumed}");
    admin(&cluster, "hints --wait --timeout 120").ok();

    let set = json(&cluster, "background set --limit 5000 --slowdown 300 --node n4");
    let reports: Vec<&Value> = reports(&set).collect();
    assert_eq!(reports.len(), 1, "one node was named");
    assert_eq!(
        (&reports[0]["limit_per_s"], &reports[0]["slowdown_percent"]),
        (&5000.into(), &300.into())
    );
    let text = said(&cluster, "repair --node n3");
    assert_eq!(rows(&text).count(), 1, "{text}");
    let text = said(&cluster, "repair --partition 17");
    assert_eq!(rows(&text).count(), OWNERS, "{text}");
    // What a member was about to compare anyway is shown as well.
    let done = rows(&text).all(|row| row[1].split_once('/').is_some_and(|(done, of)| done == of));
    assert!(done && text.contains("all"), "{text}");
    assert!(!said(&cluster, "repair --no-wait").is_empty());
}

#[test]
fn nonsense_is_refused_with_what_is_wrong_with_it() {
    let cluster = Cluster::start();
    let refused: [(&str, &[&str]); 10] = [
        ("repair --partition 256", &["there is no partition 256", "0 to 255"]),
        ("repair --partition -1", &["-1"]),
        ("repair --node n9", &["no member is called \"n9\"", "n1, n2, n3"]),
        ("background show --node n9", &["no member is called \"n9\""]),
        ("background set", &["--limit"]),
        ("background set --limit 0", &["0 is not in 1.."]),
        ("background set --slowdown 100", &["100 is not in 101.."]),
        ("hints --watch --wait", &["--wait"]),
        ("explain carts", &["KEY"]),
        ("cluster commit zebra", &["zebra"]),
    ];
    for (line, words) in refused {
        admin(&cluster, line).refused(USAGE, words);
    }
    run(cluster.admin(0).args(["explain", "", "key"]))
        .refused(USAGE, &["the bucket name is empty"]);
    let as_client = |line: &str| {
        let tls = cluster.path("client/tls");
        let mut command = cluster.admin(0);
        command.arg("--cert").arg(tls.join("cert.pem")).arg("--key").arg(tls.join("key.pem"));
        run(command.args(line.split(' ')))
    };
    for line in ["background pause", "background set --limit 1", "repair"] {
        as_client(line).refused(USAGE, &["role client"]);
    }
    as_client("hints").ok();
    wait_until_ok("nothing is wrong", || run(cluster.admin(0).arg("doctor")));
}

fn admin(cluster: &Cluster, line: &str) -> Said {
    run(cluster.admin(0).args(line.split(' ')))
}

/// Runs an admin command, which must succeed, and returns its text for people.
fn said(cluster: &Cluster, line: &str) -> String {
    admin(cluster, line).ok().stdout
}

/// Runs an admin command with `--json`, which must succeed, and returns its output.
fn json(cluster: &Cluster, line: &str) -> Value {
    admin(cluster, &format!("--json {line}")).ok().json()
}

/// Returns the rows of a table that are about one node, as words.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<&str>>());
    rows.filter(|row| row[0].starts_with('n') && row[0] != "node")
}

/// Returns the nodes' reports in the JSON of `background`.
fn reports(json: &Value) -> impl Iterator<Item = &Value> {
    json["nodes"].as_array().unwrap().iter().map(|node| &node["background"])
}

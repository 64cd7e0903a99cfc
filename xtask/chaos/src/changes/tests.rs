//! Changes of a cluster whose programs are scripts that record their arguments.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jedlik_engines::Engine;
use tokio::time::Instant;

use super::{Changes, Rests};
use crate::cluster::Cluster;
use crate::engines::Engines;
use crate::network::Network;
use crate::plan::{MemberChange, Step};

/// Script for `jedlik-node`, which says that it serves, records its process, and has a disk.
const NODE: &str = r#"#!/bin/sh
home=$(dirname "$3"); mkdir -p "$home/data"; echo $$ > "$home/pid"
echo "ready node=1 name=x address=127.0.0.1:7000"
exec sleep 600
"#;

/// Script for `jedlik-admin`, which records staged changes as committed. The answer to the second commit gets lost. n5
/// takes n3 to be up the first time that it is asked, and the first replacement is staged by a node that still does;
/// the commit of the removal is refused the first time. The node that is to leave has ended when the first wait
/// succeeds, which is the second one.
const ADMIN: &str = r#"#!/bin/sh
home=$(dirname "$0")/..
case "$*" in
*"ca init"*) exit 0 ;;
*"cert issue"*) for out; do :; done; mkdir -p "$out"; exit 0 ;;
esac
shift 3
echo "$*" >> "$home/told"
first() { test ! -f "$home/$1" && touch "$home/$1"; }
case "$*" in
"cluster --via n5 status")
    first seen && echo '{"members": [{"name": "n3", "alive": true}]}' && exit
    echo '{"members": [{"name": "n3", "alive": false}, {"name": "n4", "alive": false}]}' ;;
*status)
    echo '{"members": ['; cat "$home/members" 2>/dev/null
    echo '{"name": "n3", "alive": false}, {"name": "n4", "alive": false}]}' ;;
"cluster plan") echo '{"plan": "abc", "nodes": [1, 2, 3, 4]}' ;;
"cluster commit abc")
    grep -q n4 "$home/staged" && first refused && exit 2
    cat "$home/staged" >> "$home/members"
    echo >> "$home/commits"; test $(wc -l < "$home/commits") != 2 ;;
"cluster join "*) echo "{\"name\": \"$3\", \"placed\": true}," > "$home/staged" ;;
"cluster leave "*)
    echo "{\"name\": \"$3\", \"state\": \"leaving\"}," > "$home/staged"; echo "$3" > "$home/leaving" ;;
"cluster replace "*)
    echo "{\"name\": \"$3\", \"state\": \"removed\"}, {\"name\": \"$4\", \"placed\": true}," > "$home/staged"
    forced=true; first replaced && forced=false
    echo "{\"staged\": [{\"name\": \"$3\", \"forced\": $forced}]}" ;;
"cluster remove "*) echo "{\"name\": \"$3\", \"state\": \"removed\"}," > "$home/staged" ;;
"cluster wait "*)
    first waited && exit 3
    test -f "$home/leaving" && kill $(cat "$home/$(cat "$home/leaving")/pid"); rm -f "$home/leaving" ;;
esac
"#;

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Returns the commands that the admin tool was given, without repeated questions.
fn told(folder: &Path) -> Vec<String> {
    let told = fs::read_to_string(folder.join("told")).unwrap();
    let asks = |line: &str| ["status", "plan", "wait"].iter().any(|word| line.contains(word));
    told.lines().filter(|line| !asks(line)).map(str::to_owned).collect()
}

#[tokio::test]
async fn members_come_and_go_as_an_admin_would_have_them() {
    let folder = tempfile::tempdir().unwrap();
    let (home, binaries) = (folder.path().join("run"), folder.path().join("run/bin"));
    fs::create_dir_all(&binaries).unwrap();
    script(&binaries.join("jedlik-node"), NODE);
    script(&binaries.join("jedlik-admin"), ADMIN);
    let engines = Engines::All(Engine::Lsm);
    let cluster = Arc::new(Cluster::new(home.clone(), binaries, Network::Loopback, engines));
    cluster.set_up(4).await.unwrap();
    let rests = Arc::new(Rests::default());
    let mut changes = Changes::new(cluster.clone(), rests.clone(), 7);
    let before = rests.spell();
    let steps = [
        MemberChange::Join(5),
        MemberChange::Leave(2),
        MemberChange::Replace(3, 6),
        MemberChange::Remove(4),
    ];
    let steps = steps.map(|change| Step { at_ms: 0, change });
    let start = Instant::now();
    changes.run(&steps, start, start + Duration::from_secs(60)).await.unwrap();
    changes.rest().await.unwrap();
    let commit = "cluster commit abc";
    let expected = [
        commit,
        "cluster join n5",
        commit,
        "cluster leave n2",
        commit,
        "cluster replace n3 n6",
        "cluster replace n3 n6",
        commit,
        "cluster remove n4",
        commit,
        "cluster remove n4",
        commit,
    ];
    assert_eq!(told(&home), expected);
    let all = fs::read_to_string(home.join("told")).unwrap();
    let times = |words: &str| all.lines().filter(|line| *line == words).count();
    let asked = ["n1", "n4", "n5", "n6"].map(|via| times(&format!("cluster --via {via} status")));
    assert_eq!(
        asked,
        [3, 2, 3, 3],
        "all are asked, until all know: before the replacement, and the removal"
    );
    assert_eq!(cluster.members().await.into_keys().collect::<Vec<_>>(), [1, 5, 6]);
    assert_eq!(cluster.well().await.unwrap(), [1, 5, 6]);
    assert!(rests.spell().is_some() && rests.spell() != before);
    for (name, has_disk) in [("n1", true), ("n3", false), ("n4", false), ("n6", true)] {
        assert_eq!(home.join(name).join("data").exists(), has_disk, "{name}");
    }
    assert_eq!(cluster.tear_down(false).await, [""; 0]);
    assert!(!home.exists());
}

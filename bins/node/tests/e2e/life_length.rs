//! Nodes with different settings for a message's lifetime: `doctor` names them, and nothing is collected meanwhile.

use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::deletes::{delete, lived_for};
use crate::observer::{Observer, is_gone, key};
use crate::requests::{fill, patient_w};

/// Lifetime of a message in milliseconds; a tombstone is kept ten times as long. A busy machine takes a while over a
/// message.
const LIFE_MS: u64 = 2_000;
const OTHER_LIFE_MS: u64 = 2_500;
/// Index of the node that has another lifetime.
const OTHER: usize = 1;

#[test]
fn while_members_have_different_message_life_ms_doctor_says_so_and_no_tombstone_is_collected() {
    let mut cluster = Cluster::start_with(|node| {
        lived_for(node, if node.name == "n2" { OTHER_LIFE_MS } else { LIFE_MS });
    });
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> = (0..20).map(|number| key("deleted", number)).collect();
    observer.runtime.block_on(fill(&client, &keys, 100, &patient_w(3)));
    observer.runtime.block_on(delete(&client, &keys));
    observer.wait_until_settled(&keys);
    for index in 0..3 {
        wait_until("doctor names who has which", || {
            let said = cluster.ask(index, "doctor").stdout;
            let words = ["message_life_ms", "n1 2000", "n2 2500", "n3 2000", "not collected"];
            words.iter().all(|word| said.contains(word))
        });
    }
    let deleted_at = observer.counter("uptime_s");
    // The wait is twice as long as the node with the longer lifetime keeps tombstones.
    let collectable_s = 2 * 10 * OTHER_LIFE_MS / 1_000;
    wait_until("tombstones could have been collected", || {
        let now = observer.counter("uptime_s");
        now.len() == 3 && now.iter().all(|(node, up_s)| *up_s >= deleted_at[node] + collectable_s)
    });
    assert_eq!(observer.counter("collected").values().sum::<u64>(), 0, "none is collected");
    let explained = observer.explain(&keys);
    assert!(explained.values().all(|found| found.merged.is_some()), "all tombstones are there");

    assert!(cluster.nodes[OTHER].stop().success());
    lived_for(&mut cluster.nodes[OTHER], LIFE_MS);
    cluster.restart(OTHER);
    wait_until("nothing is left of what was deleted", || {
        let explained = observer.explain(&keys);
        explained.len() == keys.len() && explained.values().all(is_gone)
    });
    assert!(!cluster.ask(0, "doctor").stdout.contains("message_life_ms"));
}

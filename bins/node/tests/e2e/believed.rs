//! The loss of more disks than the cluster promises to survive: no key counts as absent until an admin has said which
//! copies to believe.

use std::time::Duration;

use jedlik_client::{Client, ClientError};
use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until, wait_until_ok};
use crate::observer::{Observer, key};
use crate::requests::{ByKey, fill, patient_w, r, shown};
use crate::tools::Said;

const USAGE: i32 = 2;
/// Time that a get is repeated while no quorum can vote.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the number of partitions for which a node has no vote.
fn refilling(observer: &Observer, index: usize) -> Option<u64> {
    observer.counter("refilling_partitions").get(&index).copied()
}

/// Returns the number of records that a node holds.
fn held(observer: &Observer, index: usize) -> u64 {
    let held = |name| observer.counter(name).get(&index).copied().unwrap_or(0);
    held("buffer_records") + held("engine_records")
}

/// Returns a client for each node, with that node as its only seed, in the nodes' order.
fn clients(cluster: &Cluster, observer: &Observer) -> Vec<Client> {
    (0..3).map(|index| observer.runtime.block_on(cluster.client(index))).collect()
}

/// Gets a key and returns its number of versions; `None` if no quorum could say whether it is absent.
fn look(observer: &Observer, client: &Client, key: &Key) -> Option<usize> {
    let options = r(2).timeout(PATIENCE);
    match observer.runtime.block_on(client.get(key).options(&options).send()) {
        Ok(found) => Some(found.siblings().len()),
        Err(error) => {
            println!("{}: {error}", shown(key));
            None
        }
    }
}

#[test]
fn with_two_disks_of_three_lost_nothing_is_absent_until_an_admin_believes_a_copy() {
    let mut cluster = Cluster::start();
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> = (0..60).map(|number| key("kept", number)).collect();
    let never = key("never", 0);
    observer.runtime.block_on(fill(&client, &keys, 100, &patient_w(3)));
    for index in [1, 2] {
        cluster.kill(index);
        cluster.nodes[index].lose_disk();
    }
    for index in [1, 2] {
        cluster.restart(index);
    }
    cluster.wait_until_all_are_up(0);
    let clients = clients(&cluster, &observer);
    for client in &clients {
        for key in keys.iter().step_by(20) {
            assert_ne!(look(&observer, client, key), Some(0), "{} is absent", shown(key));
        }
        assert_eq!(look(&observer, client, &never), None, "n1 alone would know");
    }
    // The nodes are given all that is left, which does not give them a vote.
    wait_until("both hold everything", || {
        [1, 2].iter().all(|index| held(&observer, *index) >= keys.len() as u64)
    });
    for index in [1, 2] {
        assert!(refilling(&observer, index) > Some(0), "n{} can't know", index + 1);
    }
    let explained = cluster.ask(0, "explain carts kept-0").stdout;
    assert_eq!(explained.matches("refilling: can't say what is absent").count(), 2, "{explained}");
    let status = cluster.ask(0, "cluster status").stdout;
    assert!(status.contains("refilling"), "{status}");

    let count = refilling(&observer, 1).unwrap();
    let doctor = cluster.ask(0, "doctor").stdout;
    assert!(doctor.contains(&format!("n2 is refilling {count} partitions")), "{doctor}");
    assert!(doctor.contains(&format!("node believe n2 --accept-loss {count}")), "{doctor}");
    let believe = |partitions: u64| -> Said {
        cluster.ask(0, &format!("node believe n2 --accept-loss {partitions}"))
    };
    let wrong = count - 1;
    let says = format!("refilling {count} partitions, not {wrong}");
    believe(wrong).refused(USAGE, &[&says, "doctor"]);
    assert_eq!(refilling(&observer, 1), Some(count), "nothing was believed");
    wait_until_ok("n2 is believed", || believe(count));
    wait_until("n3 was compared with two that vote", || {
        [1, 2].iter().all(|index| refilling(&observer, *index) == Some(0))
    });
    for client in &clients {
        assert_eq!(look(&observer, client, &never), Some(0), "it was never put");
        for key in &keys {
            assert_eq!(look(&observer, client, key), Some(1), "{}", shown(key));
        }
    }
}

#[test]
fn what_the_third_replica_has_missed_is_not_absent_once_one_of_the_two_disks_is_lost() {
    let mut cluster = Cluster::start();
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> = (0..30).map(|number| key("kept", number)).collect();
    cluster.kill(2);
    observer.runtime.block_on(fill(&client, &keys, 100, &patient_w(2)));
    // Nothing is handed over: the third replica must do without it.
    for index in [0, 1] {
        cluster.ask(index, &format!("background pause --node n{}", index + 1)).ok();
    }
    cluster.kill(1);
    cluster.nodes[1].lose_disk();
    for index in [1, 2] {
        cluster.restart(index);
        cluster.ask(index, &format!("background pause --node n{}", index + 1)).ok();
    }
    cluster.wait_until_all_are_up(0);
    let (read, unread) = keys.split_at(15);
    let clients = clients(&cluster, &observer);
    for client in &clients {
        for key in read {
            assert_eq!(look(&observer, client, key), Some(1), "{}", shown(key));
        }
    }
    // Of keys that nobody has read yet there is one copy; with its node away nobody can vote.
    cluster.kill(0);
    for client in &clients[1..] {
        for key in unread.iter().take(3) {
            let options = r(2).timeout(PATIENCE);
            let got = observer.runtime.block_on(client.get(key).options(&options).send());
            let failed = got.err().unwrap_or_else(|| panic!("{} is absent", shown(key)));
            assert!(matches!(failed, ClientError::Unavailable { .. }), "{failed}");
            assert!(failed.to_string().contains("refilling"), "it says who can't say: {failed}");
        }
    }
    cluster.restart(0);
    cluster.ask(0, "background resume").ok();
    observer.wait_until_settled(&keys);
}

//! Writers without contexts reach the sibling limit, and memory stays bounded.

use std::collections::BTreeMap;

use jedlik_client::{Client, ErrorKind};
use jedlik_protocol::Key;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, wait_until};
use crate::observer::{Observer, key};
use crate::requests::{ByKey, r, size};
use crate::tools::run;

const WRITERS: usize = 16;
const VALUE_BYTES: usize = 1 << 10;
const MIB: u64 = 1 << 20;
/// Returns the limit on a node's memory: caches, buffers while they are flushed, and the disk's queue, as these nodes
/// are configured; and for each writer one whole record that is read, merged, sent to two others and waits there.
fn memory_limit(siblings: usize) -> u64 {
    (4 + 2 * 4 + 8) * MIB + (8 * WRITERS * siblings * VALUE_BYTES) as u64
}

#[test]
fn writers_without_contexts_meet_the_sibling_limit_and_memory_stays_bounded() {
    let mut cluster = Cluster::start_many(5, |node| {
        let limits = ["cache-bytes=4", "buffer-bytes=4", "queue-bytes=8"].map(|limit| {
            let (name, mib) = limit.split_once('=').unwrap();
            format!("--storage-{name}={}", mib.parse::<u64>().unwrap() * MIB)
        });
        node.options = limits.into();
    });
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let (key, limit) = (key("crowded", 0), size("JEDLIK_SIBLING_LIMIT", 25));
    let set = ["bucket", "set", "carts", "sibling_warning=5", &format!("sibling_limit={limit}")];
    run(cluster.admin(0).args(set)).ok();
    let known = format!("\"sibling_limit\":{limit},");
    for index in 0..5 {
        wait_until("every node knows the limit", || {
            let shown = run(cluster.admin(index).args(["--json", "bucket", "show", "carts"])).ok();
            shown.stdout.contains(&known)
        });
    }
    let before = observer.counter("rss_bytes");
    let puts = size("JEDLIK_CROWDED_PUTS", 10);
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| observer.runtime.spawn(crowd(client.clone(), key.clone(), puts, limit)))
        .collect();
    let mut most = before.clone();
    wait_until("the writers are done", || {
        grow(&mut most, observer.counter("rss_bytes"));
        writers.iter().all(JoinHandle::is_finished)
    });
    let mut all = Outcome::default();
    for writer in writers {
        let Outcome { done, refused, in_doubt } = observer.runtime.block_on(writer).unwrap();
        all.done += done;
        all.refused += refused;
        all.in_doubt += in_doubt;
    }
    let grown: BTreeMap<usize, u64> =
        most.iter().map(|(index, bytes)| (*index, (bytes - before[index]) / MIB)).collect();
    println!("{all:?}; MiB of growth by node: {grown:?}");
    assert!(all.refused > 0, "the limit was met");
    assert!(grown.values().all(|mib| mib * MIB <= memory_limit(limit)), "{grown:?}");

    observer.runtime.block_on(async {
        let found = client.get(&key).options(&r(3)).await.unwrap();
        let siblings = found.siblings().len();
        assert!((all.done..=all.done + all.in_doubt).contains(&siblings), "{siblings}, {all:?}");
        // One node counts the siblings; a stand-in for it keeps a quarter of the limit free.
        assert!((limit - limit / 4..=limit).contains(&siblings), "{siblings}");
        client.put(&key, "all in one").context(found.context()).await.unwrap();
        let found = client.get(&key).await.unwrap();
        assert_eq!(found.siblings().len(), 1, "a put that has seen them replaces them");
        let after = crowd(client.clone(), key.clone(), 3, limit).await;
        assert_eq!(after.refused, 0, "there is room again");
    });
    assert!((0..5).all(|index| cluster.nodes[index].is_running()));
}

/// Counts of the puts by their outcome.
#[derive(Debug, Default)]
struct Outcome {
    done: usize,
    /// Puts that the sibling limit refused.
    refused: usize,
    /// Puts that may have been applied: by a node that was asked before another one refused, or that was busy.
    in_doubt: usize,
}

/// Puts values without a context, so that each becomes a sibling.
async fn crowd(client: Client, key: Key, puts: usize, limit: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for _ in 0..puts {
        match client.put(&key, vec![b'x'; VALUE_BYTES]).await {
            Ok(_) => outcome.done += 1,
            Err(error) if error.kind() == ErrorKind::Unavailable => outcome.in_doubt += 1,
            Err(error) => {
                assert_eq!((error.name(), error.kind()), ("too-many-siblings", ErrorKind::Invalid));
                let text = error.to_string();
                assert!(text.contains(&limit.to_string()), "it names the limit: {text}");
                outcome.refused += 1;
                outcome.in_doubt += usize::from(error.maybe_applied());
            }
        }
    }
    outcome
}

/// Keeps the larger of two values for each node.
pub(crate) fn grow(most: &mut BTreeMap<usize, u64>, now: BTreeMap<usize, u64>) {
    for (index, value) in now {
        let most = most.entry(index).or_default();
        *most = value.max(*most);
    }
}

//! One key with large values that many clients read at once: each is answered, other keys are served, memory is
//! bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use jedlik_client::{Client, GetOptions};
use jedlik_protocol::Key;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, wait_until};
use crate::limits::grow;
use crate::observer::{Observer, key};
use crate::requests::{ByKey, patient_r, patient_w, size};

/// Number of siblings of the hot key. A hundred would be permitted, but a debug build takes its time with each byte.
const SIBLINGS: usize = 10;
const VALUE_BYTES: usize = 40_000;
/// Timeout of gets. A busy machine takes its time with so much data, and serves the readers in no particular order.
const PATIENCE: Duration = Duration::from_secs(60);
const OTHERS: usize = 12;
const MIB: u64 = 1 << 20;
/// Limit on a node's memory: answers that wait for the clients, requests under way, and an idle node's own needs.
const MEMORY_LIMIT_MIB: u64 = 400;

#[test]
fn a_large_record_is_read_by_many_at_once_and_no_get_of_it_or_of_another_key_fails() {
    let cluster = Cluster::start_alone(3, |_| {});
    let observer = Observer::of(&cluster, 0);
    // Other keys are read from another runtime: the readers' own work must not delay it.
    let quiet = Runtime::new().unwrap();
    let others: Vec<Key> = (0..OTHERS).map(|number| key("other", number)).collect();
    let hot = key("hot", 0);
    let other = quiet.block_on(cluster.client(1));
    quiet.block_on(async {
        for key in &others {
            other.put(key, "cool").options(&patient_w(3)).await.unwrap();
        }
        for _ in 0..SIBLINGS {
            other.put(&hot, vec![b'x'; VALUE_BYTES]).options(&patient_w(3)).await.unwrap();
        }
    });
    // All readers share one connection to each node.
    let client = observer.runtime.block_on(cluster.client(0));
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers = size("JEDLIK_HOT_READERS", 24);
    let reading: Vec<_> = (0..readers)
        .map(|_| {
            let reader = read(client.clone(), hot.clone(), Arc::clone(&over), Arc::clone(&done));
            observer.runtime.spawn(reader)
        })
        .collect();
    let (mut most, mut reads) = (BTreeMap::new(), 0);
    wait_until("there were as many reads as readers", || {
        grow(&mut most, observer.counter("rss_bytes"));
        for key in &others {
            quiet
                .block_on(other.get(key).options(&patient_r(2)).send())
                .expect("a get of another key");
        }
        reads += others.len();
        done.load(Ordering::Relaxed) >= readers || reading.iter().any(JoinHandle::is_finished)
    });
    over.store(true, Ordering::Relaxed);
    for one in reading {
        observer.runtime.block_on(one).expect("no get of the large record fails");
    }
    let mib: BTreeMap<usize, u64> = most.iter().map(|(node, bytes)| (*node, bytes / MIB)).collect();
    println!(
        "{} gets of the large record, {reads} of others; MiB by node: {mib:?}",
        done.load(Ordering::Relaxed)
    );
    assert!(mib.values().all(|mib| *mib <= MEMORY_LIMIT_MIB), "{mib:?}");
}

/// Gets the hot key again and again until the test is over.
async fn read(client: Client, hot: Key, over: Arc<AtomicBool>, done: Arc<AtomicUsize>) {
    let options = GetOptions::default().timeout(PATIENCE);
    while !over.load(Ordering::Relaxed) {
        let found =
            client.get(&hot).options(&options).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.siblings().len(), SIBLINGS);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

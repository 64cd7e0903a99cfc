//! The client's examples against a real cluster: they do what they claim.

#[path = "../../../../crates/client/examples/bulk_load.rs"]
#[expect(dead_code, reason = "an example is a program as well")]
mod bulk_load;
#[path = "../../../../crates/client/examples/cart.rs"]
#[expect(dead_code, reason = "an example is a program as well")]
mod cart;
#[path = "../../../../crates/client/examples/failover.rs"]
#[expect(dead_code, reason = "an example is a program as well")]
mod failover;
#[path = "../../../../crates/client/examples/tags.rs"]
#[expect(dead_code, reason = "an example is a program as well")]
mod tags;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::runtime::Runtime;

use crate::cluster::{Cluster, wait_until};
use crate::requests::size;

/// Number of clients that add to the set at the same time.
const WRITERS: usize = 16;
/// Number of requests before and after the node is killed.
const REQUESTS: u64 = 200;

#[test]
fn a_cart_has_what_both_devices_have_put_in() {
    let cluster = Cluster::start();
    Runtime::new().unwrap().block_on(async {
        let cart = cart::run(&cluster.client(0).await).await.unwrap();
        let cart: Vec<_> = cart.iter().map(|(item, count)| (item.as_str(), *count)).collect();
        assert_eq!(cart, [("coffee", 1), ("milk", 1), ("tea", 2)]);
    });
}

#[test]
fn a_set_has_what_each_of_many_clients_has_added() {
    let cluster = Cluster::start();
    Runtime::new().unwrap().block_on(async {
        let tags = tags::run(&cluster.client(0).await, WRITERS).await.unwrap();
        assert_eq!(tags.len(), WRITERS, "{tags:?}");
    });
}

#[test]
fn a_bulk_load_stores_every_line() {
    let cluster = Cluster::start();
    let lines: Vec<String> =
        (0..size("JEDLIK_LOADED_LINES", 2_000)).map(|number| format!("word-{number}")).collect();
    Runtime::new().unwrap().block_on(async {
        let loaded = bulk_load::run(&cluster.client(0).await, lines.clone()).await.unwrap();
        let all = lines.len();
        assert_eq!(loaded, bulk_load::Loaded { stored: all, failed: 0, there: all });
    });
}

#[test]
fn a_nodes_failure_fails_no_request_of_who_watches_it() {
    let mut cluster = Cluster::start();
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(cluster.client(0));
    let (requests, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let watching = runtime.spawn({
        let (requests, over) = (requests.clone(), over.clone());
        async move {
            failover::run(&client, |seen| {
                requests.store(seen.requests, Ordering::Relaxed);
                !over.load(Ordering::Relaxed)
            })
            .await
        }
    });
    let wait_for = |more: u64| {
        let wanted = requests.load(Ordering::Relaxed) + more;
        wait_until("the watch goes on", || requests.load(Ordering::Relaxed) >= wanted);
    };
    wait_for(REQUESTS);
    cluster.kill(1);
    wait_for(REQUESTS);
    over.store(true, Ordering::Relaxed);
    let seen = runtime.block_on(watching).unwrap();
    assert_eq!(seen.failed, 0, "{seen:?}");
}

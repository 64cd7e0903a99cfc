//! Far more requests than a node can serve: refusals are quick and may be retried, accepted puts are done, and memory
//! stays bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use jedlik_protocol::client::{ClientRequest, ClientResponse, PutRequest};
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::{Key, Quorum};
use jedlik_vclock::Content;
use jedlik_vclock::WriteId;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, wait_until};
use crate::flood::Hose;
use crate::limits::grow;
use crate::observer::{Observer, key};
use crate::requests::{ANSWER_LIMIT, size};
use crate::tools::run;

/// Number of clients at the same time, each on a connection of its own.
const CLIENTS: usize = 32;
/// Puts that each client has under way: all together far more than a node's queues may hold.
const AT_ONCE: usize = 128;
const VALUE_BYTES: usize = 1_000;
const MIB: u64 = 1 << 20;
/// Limit on the growth of a node's memory: the buffers of twice 16 MiB, of which these puts fill a part, the
/// transport's windows, and the queue, which is small.
const MEMORY_LIMIT: u64 = 64 * MIB;

/// Outcomes of the puts, with the time that each took.
#[derive(Default)]
struct Outcome {
    done: Vec<(Key, Duration)>,
    refused: Vec<Duration>,
}

#[test]
fn an_overloaded_node_refuses_at_once_and_does_what_it_has_accepted() {
    let cluster =
        Cluster::start_alone(5, |node| node.options = vec!["--limits-queue-inputs=16".into()]);
    let observer = Observer::of(&cluster, 0);
    let (address, tls) = (cluster.nodes[0].address.unwrap(), cluster.path("client/tls"));
    let before = observer.counter("rss_bytes");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let tls = tls.clone();
            observer.runtime.spawn(async move {
                let mut hose = Hose::connect(address, &tls).await;
                let outcome = flood(&mut hose, client).await;
                hose.close().await;
                outcome
            })
        })
        .collect();
    let mut most = before.clone();
    wait_until("all puts are answered", || {
        grow(&mut most, observer.counter("rss_bytes"));
        clients.iter().all(JoinHandle::is_finished)
    });
    let mut all = Outcome::default();
    for client in clients {
        let outcome = observer.runtime.block_on(client).unwrap();
        all.done.extend(outcome.done);
        all.refused.extend(outcome.refused);
    }
    let grown: BTreeMap<usize, u64> =
        most.iter().map(|(index, bytes)| (*index, (bytes - before[index]) / MIB)).collect();
    let (done, refused) = (all.done.len(), all.refused.len());
    let accepted = median(all.done.iter().map(|(_, took)| *took));
    let rejected = median(all.refused.iter().copied());
    println!("{done} done, half within {accepted:?}; {refused} refused, half within {rejected:?}");
    println!("MiB of growth by node: {grown:?}");
    assert!(refused > 0, "it was an overload");
    assert!(grown.values().all(|mib| mib * MIB <= MEMORY_LIMIT), "{grown:?}");
    println!("overloads counted by node: {:?}", observer.counter("overloads"));

    // Afterwards all is as before: accepted puts are there, and nothing waits.
    let keys: Vec<Key> = all.done.into_iter().map(|(key, _)| key).collect();
    observer.wait_until_settled(&keys);
    wait_until("the queues are empty", || {
        observer.counter("queued_inputs").values().sum::<u64>() == 0
    });
    for index in 0..5 {
        run(cluster.jedlik(index).args(["put", "health", &index.to_string(), "well"])).ok();
    }
}

/// Sends puts at once, again and again, as one client; none may fail except for overload.
async fn flood(hose: &mut Hose, client: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for round in 0..size("JEDLIK_FLOOD_ROUNDS", 2) {
        let first = (client * 1_000 + round) * AT_ONCE;
        let keys: Vec<Key> = (first..first + AT_ONCE).map(|number| key("flood", number)).collect();
        let requests = keys
            .iter()
            .zip(first..)
            .map(|(key, number)| put(key, number, Quorum::Default))
            .collect();
        for (key, (answer, took)) in keys.into_iter().zip(hose.ask(requests).await) {
            match answer {
                ClientResponse::Put(_) => outcome.done.push((key, took)),
                ClientResponse::Failed(failure) => {
                    assert_eq!(failure.code, ErrorCode::Overloaded, "{failure}");
                    assert!(failure.code.retryable() && !failure.maybe_applied, "{failure}");
                    outcome.refused.push(took);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    outcome
}

/// Returns a put of a value, with the quorum `w`.
pub(crate) fn put(key: &Key, number: usize, w: Quorum) -> ClientRequest {
    ClientRequest::Put(PutRequest {
        key: key.clone(),
        content: Content::Value(vec![b'x'; VALUE_BYTES].into()),
        context: None,
        write_id: WriteId(number as u128 + 1),
        ttl_ms: None,
        n: None,
        w,
        pw: Quorum::Default,
        dw: Quorum::Default,
        timeout_ms: ANSWER_LIMIT.as_millis() as u32,
    })
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times[times.len() / 2]
}

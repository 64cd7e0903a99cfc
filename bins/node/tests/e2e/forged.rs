//! Contexts that no get has returned: refused at once if they are too long, and cheap otherwise.

use std::time::Duration;

use jedlik_client::{Bytes, Client, Context as Seen, ErrorKind, Sibling};
use jedlik_protocol::limits::CLOCK_ENTRIES_MAX;
use jedlik_protocol::{Context, Key};
use jedlik_vclock::{ActorId, Dot, VectorClock};

use crate::cluster::Cluster;
use crate::observer::{Observer, key};
use crate::requests::{ByKey, r};

/// Number of forged puts under way while gets go on.
const FORGERIES: usize = 6;
const GETS: usize = 200;
/// Timeout of requests, enough for a few megabytes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn forged_contexts_of_two_hundred_thousand_entries_are_refused_at_once_while_gets_go_on() {
    let cluster = Cluster::start();
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let forger = observer.runtime.block_on(cluster.client(1));
    let id = client.admin().topology().cluster;
    let context =
        |key: &Key, entries| Seen::from_bytes(Context(clock(entries)).encode(id, key).into_bytes());
    observer.runtime.block_on(async {
        for number in 0..FORGERIES {
            client.put(&key("real", number), "tea").await.unwrap();
        }
        let forged: Vec<_> = (0..FORGERIES)
            .map(|number| {
                let (key, client) = (key("real", number), forger.clone());
                let context = context(&key, 200_000);
                let put = client.put(&key, "coffee").context(context).timeout(PATIENCE);
                tokio::spawn(put.send())
            })
            .collect();
        all_there(&client, "tea").await;
        for put in forged {
            let error = put.await.unwrap().unwrap_err();
            assert_eq!((error.name(), error.kind()), ("invalid-context", ErrorKind::Invalid));
            let text = error.to_string();
            assert!(text.contains("over the limit of") && text.contains("get the key"), "{text}");
        }
        // The context has the largest permitted size; the forger gains nothing by it but a truncated clock.
        for number in 0..FORGERIES {
            let key = key("real", number);
            let context = context(&key, CLOCK_ENTRIES_MAX);
            forger.put(&key, "milk").context(context).await.unwrap();
            let found = client.get(&key).options(&r(2)).await.unwrap();
            let length = found.context().unwrap().as_bytes().len();
            assert!(length < 4096, "the clock was cut: {length} bytes");
        }
    });
}

/// Asserts that gets still return each key's first value.
async fn all_there(client: &Client, value: &str) {
    for number in 0..GETS {
        let found = client.get(&key("real", number % FORGERIES)).options(&r(2)).await.unwrap();
        let values: Vec<_> = found.siblings().iter().map(Sibling::value).collect();
        assert_eq!(values, [Some(&Bytes::from(value.to_owned()))]);
    }
}

fn clock(entries: usize) -> VectorClock {
    let mut clock = VectorClock::new();
    for actor in 1..=entries as u64 {
        clock.extend(Dot { actor: ActorId(actor), counter: 1 }, u64::MAX);
    }
    clock
}

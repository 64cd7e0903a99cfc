//! Contexts that no get gave out: refused at once while they are too long, and cheap while they are not.

use std::time::Duration;

use jedlik_client::{Client, ErrorKind, PutOptions};
use jedlik_protocol::limits::CLOCK_ENTRIES_MAX;
use jedlik_protocol::{Context, Key};
use jedlik_vclock::{ActorId, Dot, VectorClock};

use crate::cluster::Cluster;
use crate::observer::{Observer, key};
use crate::requests::r;

/// Forged puts under way at the same time as gets.
const FORGERIES: usize = 6;
const GETS: usize = 200;
/// Long enough for a few megabytes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn forged_contexts_of_two_hundred_thousand_entries_are_refused_at_once_while_gets_go_on() {
    let cluster = Cluster::start();
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let forger = observer.runtime.block_on(cluster.client(1));
    let id = client.topology().cluster;
    let context = |key: &Key, entries| Some(Context(clock(entries)).encode(id, key));
    observer.runtime.block_on(async {
        for number in 0..FORGERIES {
            client.put(&key("real", number), "tea", &PutOptions::default()).await.unwrap();
        }
        let forged: Vec<_> = (0..FORGERIES)
            .map(|number| {
                let (key, client) = (key("real", number), forger.clone());
                let context = context(&key, 200_000);
                let options =
                    PutOptions { context, timeout: Some(PATIENCE), ..PutOptions::default() };
                tokio::spawn(async move { client.put(&key, "coffee", &options).await })
            })
            .collect();
        all_there(&client, "tea").await;
        for put in forged {
            let error = put.await.unwrap().unwrap_err();
            assert_eq!((error.name(), error.kind()), ("invalid-context", ErrorKind::Invalid));
            let text = error.to_string();
            assert!(text.contains("over the limit of") && text.contains("get the key"), "{text}");
        }
        // As long as they may be: whoever makes one up gets nothing by it but a clock that is cut.
        for number in 0..FORGERIES {
            let key = key("real", number);
            let context = context(&key, CLOCK_ENTRIES_MAX);
            let options = PutOptions { context, ..PutOptions::default() };
            forger.put(&key, "milk", &options).await.unwrap();
            let found = client.get(&key, &r(2)).await.unwrap();
            let length = found.context.unwrap().len();
            assert!(length < 4096, "the clock was cut: {length} bytes");
        }
    });
}

/// Gets go on, and show each key's first value.
async fn all_there(client: &Client, value: &str) {
    for number in 0..GETS {
        let found = client.get(&key("real", number % FORGERIES), &r(2)).await.unwrap();
        let content = found.versions.iter().map(|version| version.content.clone());
        assert_eq!(content.collect::<Vec<_>>(), [jedlik_client::Content::Value(value.into())]);
    }
}

fn clock(entries: usize) -> VectorClock {
    let mut clock = VectorClock::new();
    for actor in 1..=entries as u64 {
        clock.extend(Dot { actor: ActorId(actor), counter: 1 }, u64::MAX);
    }
    clock
}

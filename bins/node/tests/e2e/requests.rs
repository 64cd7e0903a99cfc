//! Requests through the Rust client, many at the same time, and the versions that must be found afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::Arc;
use std::time::Duration;

use jedlik_client::{Client, Get, GetOptions, Put, PutOptions, Value};
use jedlik_protocol::Key;

use crate::node::LIMIT;

/// Time that a node may take to report its counters on a busy machine.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Puts under way at the same time when a test fills a cluster.
const AT_ONCE: usize = 32;

/// Returns a size from an environment variable, or the usual one if it is not set.
pub(crate) fn size(variable: &str, usual: usize) -> usize {
    env::var(variable).map_or(usual, |size| size.parse().unwrap())
}

/// Returns the options of a put that wants this many acknowledgements.
pub(crate) fn w(count: u8) -> PutOptions {
    PutOptions::new().w(count)
}

/// Returns the options of a put that wants this many acknowledgements, with time for a busy machine.
pub(crate) fn patient_w(count: u8) -> PutOptions {
    w(count).timeout(LIMIT)
}

/// Returns the options of a get that wants this many answers, with time for a busy machine.
pub(crate) fn patient_r(count: u8) -> GetOptions {
    r(count).timeout(LIMIT)
}

/// Returns the options of a get that wants this many answers.
pub(crate) fn r(count: u8) -> GetOptions {
    GetOptions::new().r(count)
}

/// Requests for a key that is given together with its bucket.
pub(crate) trait ByKey {
    /// Makes a get of the key.
    fn get(&self, key: &Key) -> Get;
    /// Makes a put of a value under the key.
    fn put(&self, key: &Key, value: impl Into<Value>) -> Put;
    /// Makes a delete of the key.
    fn delete(&self, key: &Key) -> Put;
}

impl ByKey for Client {
    fn get(&self, key: &Key) -> Get {
        self.bucket(key.bucket()).get(key.key())
    }

    fn put(&self, key: &Key, value: impl Into<Value>) -> Put {
        self.bucket(key.bucket()).put(key.key(), value)
    }

    fn delete(&self, key: &Key) -> Put {
        self.bucket(key.bucket()).delete(key.key())
    }
}

/// Acknowledged versions of keys, each identified by the length of its value.
#[derive(Default)]
pub(crate) struct Acknowledged {
    lengths: BTreeMap<Key, BTreeSet<u32>>,
    longest: u32,
}

impl Acknowledged {
    /// Puts another version beside those of the key; the put must succeed.
    pub(crate) async fn put(&mut self, client: &Client, key: &Key, options: &PutOptions) {
        self.longest += 1;
        let value = vec![b'x'; self.longest as usize];
        let done = client.put(key, value).options(options).await;
        done.unwrap_or_else(|error| panic!("put of {}: {error}", shown(key)));
        self.lengths.entry(key.clone()).or_default().insert(self.longest);
    }

    /// Gets a key, which must return every acknowledged version.
    pub(crate) async fn check(&self, client: &Client, key: &Key, options: &GetOptions) {
        assert_eq!(lengths(client, key, options).await, self.lengths[key], "{}", shown(key));
    }

    /// Gets a key, which must return at least the version that was put last.
    pub(crate) async fn check_last(&self, client: &Client, key: &Key, options: &GetOptions) {
        let found = lengths(client, key, options).await;
        let last = self.lengths[key].last().unwrap();
        assert!(found.contains(last), "{}: no {last} in {found:?}", shown(key));
    }

    /// Returns all keys with an acknowledged version.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.lengths.keys().cloned().collect()
    }

    /// Returns the lengths of every key's acknowledged versions.
    pub(crate) fn versions(&self) -> &BTreeMap<Key, BTreeSet<u32>> {
        &self.lengths
    }
}

/// Gets a key, which must succeed, and returns the lengths of the values found.
async fn lengths(client: &Client, key: &Key, options: &GetOptions) -> BTreeSet<u32> {
    let found = client.get(key).options(options).await;
    let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
    found.values().map(|value| value.len() as u32).collect()
}

/// Puts a value of this length under every key; all puts must succeed.
pub(crate) async fn fill(client: &Client, keys: &[Key], length: usize, options: &PutOptions) {
    let keys: Arc<[Key]> = keys.into();
    let mut writers = Vec::new();
    for first in 0..AT_ONCE {
        let (client, keys, options) = (client.clone(), Arc::clone(&keys), options.clone());
        writers.push(tokio::spawn(async move {
            for key in keys.iter().skip(first).step_by(AT_ONCE) {
                let done = client.put(key, vec![b'x'; length]).options(&options).await;
                done.unwrap_or_else(|error| panic!("put of {}: {error}", shown(key)));
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Formats a key for a message.
pub(crate) fn shown(key: &Key) -> String {
    String::from_utf8_lossy(key.key()).into_owned()
}

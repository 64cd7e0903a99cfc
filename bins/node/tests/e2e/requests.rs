//! Requests through the Rust client, many at a time, and what is to be found afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::Arc;
use std::time::Duration;

use jedlik_client::{Client, Get, GetOptions, Put, PutOptions, Value};
use jedlik_protocol::Key;

use crate::node::LIMIT;

/// How long a node may take to tell its counters on a busy machine.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Puts under way at a time where a test fills a cluster.
const AT_ONCE: usize = 32;

/// A size that a test can be given by hand, or the usual one.
pub(crate) fn size(variable: &str, usual: usize) -> usize {
    env::var(variable).map_or(usual, |size| size.parse().unwrap())
}

/// Options of a put that wants this many acknowledgements.
pub(crate) fn w(count: u8) -> PutOptions {
    PutOptions::new().w(count)
}

/// The same, for as long as it takes on a busy machine.
pub(crate) fn patient_w(count: u8) -> PutOptions {
    w(count).timeout(LIMIT)
}

/// Options of a get that wants this many answers, for as long as it takes on a busy machine.
pub(crate) fn patient_r(count: u8) -> GetOptions {
    r(count).timeout(LIMIT)
}

/// Options of a get that wants this many answers.
pub(crate) fn r(count: u8) -> GetOptions {
    GetOptions::new().r(count)
}

/// Requests for a key that is given with its bucket.
pub(crate) trait ByKey {
    /// Reads it.
    fn get(&self, key: &Key) -> Get;
    /// Writes it.
    fn put(&self, key: &Key, value: impl Into<Value>) -> Put;
    /// Deletes it.
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

/// The acknowledged versions of keys, each known by the length of its value.
#[derive(Default)]
pub(crate) struct Acknowledged {
    lengths: BTreeMap<Key, BTreeSet<u32>>,
    longest: u32,
}

impl Acknowledged {
    /// Puts another version beside those of the key. It has to succeed.
    pub(crate) async fn put(&mut self, client: &Client, key: &Key, options: &PutOptions) {
        self.longest += 1;
        let value = vec![b'x'; self.longest as usize];
        let done = client.put(key, value).options(options).await;
        done.unwrap_or_else(|error| panic!("put of {}: {error}", shown(key)));
        self.lengths.entry(key.clone()).or_default().insert(self.longest);
    }

    /// Gets a key, which has to return every acknowledged version.
    pub(crate) async fn check(&self, client: &Client, key: &Key, options: &GetOptions) {
        assert_eq!(lengths(client, key, options).await, self.lengths[key], "{}", shown(key));
    }

    /// Gets a key, which has to return at least the version that was put last.
    pub(crate) async fn check_last(&self, client: &Client, key: &Key, options: &GetOptions) {
        let found = lengths(client, key, options).await;
        let last = self.lengths[key].last().unwrap();
        assert!(found.contains(last), "{}: no {last} in {found:?}", shown(key));
    }

    /// All keys.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.lengths.keys().cloned().collect()
    }

    /// Every key's versions.
    pub(crate) fn versions(&self) -> &BTreeMap<Key, BTreeSet<u32>> {
        &self.lengths
    }
}

/// The lengths of the values that a get finds. It has to succeed.
async fn lengths(client: &Client, key: &Key, options: &GetOptions) -> BTreeSet<u32> {
    let found = client.get(key).options(options).await;
    let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
    found.values().map(|value| value.len() as u32).collect()
}

/// Puts a value of so many bytes under every key. All have to succeed.
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

/// A key for a message.
pub(crate) fn shown(key: &Key) -> String {
    String::from_utf8_lossy(key.key()).into_owned()
}

//! The workload of each client: the choice of the next request.
//!
//! Invariant: a fresh key is never put twice, not even by two runs.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use jedlik_client::{ClientError, GetOptions, PutOptions};
use jedlik_protocol::bucket::check_name;
use jedlik_protocol::limits::VALUE_LIMIT_MAX_BYTES;
use tokio::sync::watch;

use crate::bench::arrivals::Arrivals;
use crate::bench::ends::is_hopeless;
use crate::bench::keys::{KeySpace, Random};
use crate::bench::record::Kind;
use crate::bench::{BenchArgs, Run, contradiction, lock};

/// Share of puts among the requests, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mix {
    pub(crate) put_percent: u8,
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = match text {
            "put" => Some(100),
            "get" => Some(0),
            share => share.strip_suffix('%').unwrap_or(share).parse().ok(),
        };
        percent
            .filter(|percent| *percent <= 100)
            .map(|put_percent| Self { put_percent })
            .ok_or_else(|| "a mix is put, get or the share of puts from 0% to 100%".into())
    }
}

/// Settings of the workload, the same for all clients.
pub(crate) struct Workload {
    mix: Mix,
    read_modify_write: bool,
    keys: KeySpace,
    value_bytes: usize,
    /// Random number of the run, which makes the keys of its puts fresh.
    run: u64,
    get: GetOptions,
    put: PutOptions,
}

impl Workload {
    pub(crate) fn new(args: &BenchArgs) -> anyhow::Result<Self> {
        if args.value_bytes > VALUE_LIMIT_MAX_BYTES {
            return Err(contradiction(&format!(
                "--value-bytes is over the largest limit of {VALUE_LIMIT_MAX_BYTES}"
            )));
        }
        check_name(args.bucket.as_bytes()).map_err(|error| contradiction(&error.to_string()))?;
        Ok(Self {
            mix: args.mix,
            read_modify_write: args.read_modify_write,
            keys: KeySpace::new(&args.keys),
            value_bytes: args.value_bytes as usize,
            run: getrandom::u64()?,
            get: args.request.read(&args.read),
            put: args.request.write(&args.write),
        })
    }

    pub(crate) fn keys(&self) -> u64 {
        self.keys.count()
    }

    fn fresh_key(&self, worker: u64, count: u64) -> String {
        format!("put-{:016x}-{worker:05}-{count:010}", self.run)
    }
}

/// One client of a run.
pub(crate) struct Worker {
    run: Arc<Run>,
    index: u64,
    fresh: u64,
    random: Random,
    stopped: watch::Receiver<bool>,
}

impl Worker {
    pub(crate) fn new(run: Arc<Run>, index: u64) -> Self {
        let random = Random::new(run.workload.run ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let stopped = run.stop.subscribe();
        Self { run, index, fresh: 0, random, stopped }
    }

    /// Sends one request after another until the run stops, or one has failed as all others would.
    /// Without `arrivals` it sends the next one once the last was answered.
    pub(crate) async fn drive(mut self, arrivals: Option<Arc<Arrivals>>) {
        while let Some(started) = self.next(arrivals.as_deref()).await {
            let (kind, outcome) = self.step().await;
            let ended = Instant::now();
            let outcome = match outcome {
                Err(error) if is_hopeless(&error) => {
                    // The first such error is enough: if there is one already, this one is dropped.
                    let _ = self.run.hopeless.try_send(error);
                    return;
                }
                passing => passing,
            };
            if let Some(record) = lock(&self.run.record).as_mut() {
                record.note(kind, started, ended, outcome);
            }
        }
    }

    /// Waits until the next request is to be sent, and returns the time from which it counts; `None` once the run stops.
    async fn next(&mut self, arrivals: Option<&Arrivals>) -> Option<Instant> {
        if *self.stopped.borrow() {
            return None;
        }
        let Some(arrivals) = arrivals else { return Some(Instant::now()) };
        tokio::select! {
            started = arrivals.next() => Some(started),
            _stopped = self.stopped.changed() => None,
        }
    }

    /// Sends one request; `Ok(false)` is a get that found nothing.
    async fn step(&mut self) -> (Kind, Result<bool, ClientError>) {
        let keys = &self.run.workload.keys;
        if self.run.workload.read_modify_write {
            let key = keys.choose(&mut self.random);
            return (Kind::ReadModifyWrite, self.replace(key).await.map(|()| true));
        }
        if self.random.below(100) < u64::from(self.run.workload.mix.put_percent) {
            (Kind::Put, self.put_fresh().await.map(|()| true))
        } else {
            let key = keys.choose(&mut self.random);
            (Kind::Get, self.get(key).await)
        }
    }

    /// Gets a key, then puts a new value with its context.
    pub(crate) async fn replace(&mut self, key: u64) -> Result<(), ClientError> {
        let (key, value) = (KeySpace::name(key), self.value());
        let Run { bucket, workload, .. } = &*self.run;
        let context = bucket.get(&key).options(&workload.get).await?.context();
        bucket.put(&key, value).context(context).options(&workload.put).await.map(|_| ())
    }

    async fn put_fresh(&mut self) -> Result<(), ClientError> {
        let key = self.run.workload.fresh_key(self.index, self.fresh);
        self.fresh += 1;
        let value = self.value();
        let Run { bucket, workload, .. } = &*self.run;
        bucket.put(&key, value).options(&workload.put).await.map(|_| ())
    }

    async fn get(&self, key: u64) -> Result<bool, ClientError> {
        let Run { bucket, workload, .. } = &*self.run;
        Ok(!bucket.get(KeySpace::name(key)).options(&workload.get).await?.is_absent())
    }

    /// Returns random bytes for a value, which don't compress.
    fn value(&mut self) -> Vec<u8> {
        self.random.bytes(self.run.workload.value_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Mix;

    #[test]
    fn a_mix_is_a_name_or_a_share() {
        let cases = [
            ("put", Some(100)),
            ("get", Some(0)),
            ("20%", Some(20)),
            ("20", Some(20)),
            ("0%", Some(0)),
            ("101%", None),
            ("%", None),
            ("half", None),
        ];
        for (text, percent) in cases {
            assert_eq!(text.parse::<Mix>().ok().map(|mix| mix.put_percent), percent, "{text}");
        }
    }
}

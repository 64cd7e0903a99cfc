//! `jedlik bench`: clients that send one request after the other, or as requests arrive, with their latencies and the
//! cost.
//!
//! Invariant: only requests that began and ended within the measured time count.

mod arrivals;
mod cost;
mod ends;
mod keys;
mod record;
mod report;
mod workload;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use jedlik_client::{Bucket, Client, ClientError};
use tokio::sync::{mpsc, watch};

use crate::bench::arrivals::Arrivals;
use crate::bench::cost::Cost;
use crate::bench::ends::Ends;
use crate::bench::keys::KeysArgs;
use crate::bench::record::Record;
use crate::bench::report::Report;
use crate::bench::workload::{Mix, Worker, Workload};
use crate::connection::{ConnectionArgs, ReadArgs, RequestArgs, WriteArgs};
use crate::exit::{Exit, Usage};
use crate::interrupt::Signals;
use crate::{output, progress};

/// Drive a mix of requests and measure it
///
/// Each client sends its next request once the last was answered. With --rate requests arrive at that rate instead,
/// whatever the cluster does; one that finds all clients busy waits for a free one, and its waiting counts. Puts write fresh keys, so that they make no siblings;
/// gets read the key space, which --preload fills beforehand. With --read-modify-write each request is a get of a key
/// in the key space and a put with its context.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik bench --mix put --clients 64 --seconds 10
  jedlik bench --mix get --keys 100000 --preload --clients 256
  jedlik bench --mix 20% --preload --json
  jedlik bench --mix get --keys 1000000 --preload --popularity zipf
  jedlik bench --mix put --rate 3000 --clients 256 --seconds 1h --every 1m")]
pub(crate) struct BenchArgs {
    /// put, get, or the share of puts, such as 20%
    #[arg(long, default_value = "50%")]
    mix: Mix,
    /// How many clients run at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// How many requests arrive in a second, all clients together [default: as many as are answered]
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// How long to measure: 10s, 2m
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = jedlik_console::duration)]
    seconds: Duration,
    /// How long to run before the measurement
    #[arg(long, default_value = "2s", value_name = "TIME",
          value_parser = jedlik_console::duration_or_zero)]
    warmup: Duration,
    /// Show the latencies of each such part of the time, too: 1m
    #[arg(long, value_name = "TIME", value_parser = jedlik_console::duration)]
    every: Option<Duration>,
    /// The size of a value
    #[arg(long, default_value_t = 1024, value_name = "BYTES")]
    value_bytes: u32,
    /// The bucket; the measurement is of its properties
    #[arg(long, default_value = "bench")]
    bucket: String,
    #[command(flatten)]
    keys: KeysArgs,
    /// Make each request a get, followed by a put with its context
    #[arg(long)]
    read_modify_write: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// Most parts of the time for which latencies are kept; each takes some 100 KiB of memory.
const PARTS_MAX: u128 = 1_000;

/// State that the clients of a run share.
pub(crate) struct Run {
    pub(crate) bucket: Bucket,
    pub(crate) workload: Workload,
    /// Record of the requests that count; `None` before the measured time and after it.
    pub(crate) record: Mutex<Option<Record>>,
    /// Whether the clients are to stop.
    pub(crate) stop: watch::Sender<bool>,
    /// Way for an error that every other request would meet as well.
    pub(crate) hopeless: mpsc::Sender<ClientError>,
}

pub(crate) async fn run(connection: &ConnectionArgs, args: BenchArgs) -> anyhow::Result<Exit> {
    let workload = Workload::new(&args)?;
    check_parts(&args)?;
    let client = connection.connect().await?;
    let (hopeless, met) = mpsc::channel(1);
    let run = Arc::new(Run {
        bucket: client.bucket(&args.bucket),
        workload,
        record: Mutex::new(None),
        stop: watch::Sender::new(false),
        hopeless,
    });
    let mut ends = Ends { signals: Signals::new()?, hopeless: met };
    if args.keys.preload {
        let bar = progress::bar(Some(run.workload.keys()), "keys preloaded");
        let ended = tokio::select! {
            done = preload(&run, args.clients, &bar) => done.map(|()| None)?,
            exit = ends.signals.received() => Some(exit),
        };
        // A bar that is finished has come to its end.
        let keys = bar.position();
        bar.finish_and_clear();
        if let Some(exit) = ended {
            output::say(&format_args!("jedlik: interrupted after {keys} keys were preloaded"));
            return Ok(exit);
        }
    }
    let arrivals = args.rate.map(|rate| Arc::new(Arrivals::begin(rate)));
    let workers: Vec<_> = (0..args.clients)
        .map(|index| tokio::spawn(Worker::new(run.clone(), index.into()).drive(arrivals.clone())))
        .collect();
    if let Some(exit) = ends.pause(args.warmup).await? {
        output::say(&"jedlik: interrupted before anything was measured");
        return Ok(exit);
    }
    let exit = measure(&client, &run, &args, arrivals.as_deref(), &mut ends).await?;
    run.stop.send_replace(true);
    for worker in workers {
        worker.await.context("a client failed")?;
    }
    Ok(exit)
}

/// Measures the workers, and prints the report: of the whole time, or of the part until a signal.
async fn measure(
    client: &Client,
    run: &Run,
    args: &BenchArgs,
    arrivals: Option<&Arrivals>,
    ends: &mut Ends,
) -> anyhow::Result<Exit> {
    let before = Cost::now(client).await?;
    let late_before = arrivals.map_or(0, Arrivals::late);
    let started = Instant::now();
    *lock(&run.record) = Some(Record::new(started, args.every));
    let interrupted = ends.pause(args.seconds).await?;
    let record = lock(&run.record).take();
    let took = started.elapsed();
    let after = Cost::now(client).await?;
    let record = record.context("the record was lost")?;
    if let Some(exit) = interrupted.filter(|_| record.is_empty()) {
        output::say(&"jedlik: interrupted before anything was measured");
        return Ok(exit);
    }
    if record.is_empty() {
        let text = format!(
            "nothing was measured: no request began and ended within {took:?}; measure for longer with --seconds, \
             or look whether the cluster answers"
        );
        return Err(contradiction(&text));
    }
    let late = arrivals.map(|arrivals| arrivals.late() - late_before);
    let report = Report { args, took, record: &record, late, cost: after.since(&before) };
    if args.json {
        output::line(&report.json())?;
    } else {
        output::line(&report.to_string().trim_end())?;
    }
    if let Some(exit) = interrupted {
        let seconds = took.as_secs_f64();
        output::say(&format_args!("jedlik: interrupted: the report is of {seconds:.1} s"));
        return Ok(exit);
    }
    Ok(if record.errors().is_empty() { Exit::Done } else { Exit::Unavailable })
}

/// Refuses a time that would be shown in no part of its own, or in too many.
fn check_parts(args: &BenchArgs) -> anyhow::Result<()> {
    let Some(every) = args.every else { return Ok(()) };
    let parts = args.seconds.as_nanos().div_ceil(every.as_nanos().max(1));
    if parts > PARTS_MAX {
        return Err(contradiction(&format!(
            "--every {every:?} makes {parts} parts of {:?}; at most {PARTS_MAX} are kept",
            args.seconds
        )));
    }
    Ok(())
}

/// Writes every key of the key space, replacing its siblings.
async fn preload(run: &Arc<Run>, clients: u16, bar: &ProgressBar) -> anyhow::Result<()> {
    let mut workers = Vec::new();
    for index in 0..u64::from(clients) {
        let (run, bar) = (run.clone(), bar.clone());
        workers.push(tokio::spawn(async move {
            let mut worker = Worker::new(run.clone(), index);
            for key in (index..run.workload.keys()).step_by(clients.into()) {
                worker.replace(key).await?;
                bar.inc(1);
                bar.set_message(bar.position().to_string());
            }
            anyhow::Ok(())
        }));
    }
    for worker in workers {
        worker.await.context("a client failed")?.context("the preload failed")?;
    }
    Ok(())
}

/// Locks the record, even if a client panicked while it held the lock.
pub(crate) fn lock(record: &Mutex<Option<Record>>) -> std::sync::MutexGuard<'_, Option<Record>> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a usage error for arguments that contradict one another or the cluster.
pub(crate) fn contradiction(text: &str) -> anyhow::Error {
    Usage(text.into()).into()
}

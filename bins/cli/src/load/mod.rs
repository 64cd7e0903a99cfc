//! `jedlik load`: many keys from a file, many at once.
//!
//! Invariant: a key stands in the acknowledged log only after its put was acknowledged.

mod lines;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use jedlik_client::protocol::{Blob, Key};
use jedlik_client::{Client, ClientError, GetOptions, PutOptions};
use tokio::sync::{Mutex, mpsc};

use crate::connection::{ConnectionArgs, RequestArgs, WriteArgs};
use crate::entry::Entry;
use crate::exit::{Exit, Usage};
use crate::load::lines::{Format, NumberedLine};
use crate::load::tally::Tally;
use crate::names::BucketArgs;
use crate::{output, progress};

/// Write many keys from a file
///
/// The file has a JSON object a line, {"key":…,"value":…}, or plain lines, each of which is a key and
/// its own value. A JSON string is stored as its bytes, any other JSON value as its text without
/// white space; value_base64 and key_base64 carry what is not text, siblings an array of values. Lines
/// end with a line feed. What `dump` writes, `load` reads.
///
/// Puts are blind unless --replace is given: a key that is there already gets a sibling.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik load words /usr/share/dict/words
  jedlik load carts carts.ndjson --replace
  jedlik dump carts | jedlik load backup -")]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    bucket: BucketArgs,
    /// The file; - reads standard input
    file: PathBuf,
    /// What the lines are; auto looks at the first
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// How many puts are under way at once
    #[arg(long, value_name = "COUNT", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Read each key first and replace what is there
    #[arg(long)]
    replace: bool,
    /// Append each acknowledged key to this file, a line each, at once
    #[arg(long, value_name = "FILE")]
    acked: Option<PathBuf>,
    /// Stop at the first failure
    #[arg(long)]
    fail_fast: bool,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// What every worker needs.
struct Job {
    client: Client,
    bucket: Blob,
    options: PutOptions,
    replace: bool,
    fail_fast: bool,
    lines: Mutex<mpsc::Receiver<NumberedLine>>,
    tally: Tally,
}

pub(crate) async fn run(connection: &ConnectionArgs, args: LoadArgs) -> anyhow::Result<Exit> {
    let bucket = args.bucket.name()?;
    let acked = args.acked.as_ref().map(|path| {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.with_context(|| Usage(format!("can't append to {}", path.display())))
    });
    let acked = acked.transpose()?;
    let source = lines::Source::open(&args.file)?;
    let bar = progress::bar(source.length_bytes(), "keys");
    let client = connection.connect().await?;
    let (sender, receiver) = mpsc::channel(usize::from(args.concurrency) * 4);
    let reading = tokio::task::spawn_blocking(move || source.read(args.format, &sender));
    let job = Arc::new(Job {
        client,
        bucket,
        options: PutOptions {
            n: args.request.n,
            w: args.write.w,
            pw: args.write.pw,
            dw: args.write.dw,
            timeout: args.request.timeout,
            ..PutOptions::default()
        },
        replace: args.replace,
        fail_fast: args.fail_fast,
        lines: Mutex::new(receiver),
        tally: Tally::new(acked, bar),
    });
    let started = Instant::now();
    let workers: Vec<_> = (0..args.concurrency).map(|_| tokio::spawn(work(job.clone()))).collect();
    for worker in workers {
        worker.await.context("a worker failed")??;
    }
    job.lines.lock().await.close();
    reading.await.context("the reader failed")??;
    finish(&job.tally, started.elapsed(), args.json)
}

fn finish(tally: &Tally, took: Duration, json: bool) -> anyhow::Result<Exit> {
    let summary = tally.finish(took);
    if json {
        output::line(&summary.json())?;
    } else {
        output::say(&summary);
    }
    Ok(summary.exit())
}

/// Takes lines until there are none, or until one failed and that is enough.
async fn work(job: Arc<Job>) -> anyhow::Result<()> {
    loop {
        let line = job.lines.lock().await.recv().await;
        let Some(line) = line else { return Ok(()) };
        let outcome = match line.entry {
            Ok(entry) => store(&job, &entry).await.map(|()| entry).map_err(Into::into),
            Err(reason) => Err(Usage(reason).into()),
        };
        let failed = outcome.is_err();
        job.tally.note(line.number, line.length_bytes, outcome)?;
        if failed && job.fail_fast {
            job.lines.lock().await.close();
            return Ok(());
        }
    }
}

async fn store(job: &Job, entry: &Entry) -> Result<(), ClientError> {
    let key = Key::new(job.bucket.clone(), entry.key.as_slice())?;
    let mut options = job.options.clone();
    if job.replace {
        let read = GetOptions { n: options.n, timeout: options.timeout, ..GetOptions::default() };
        options.context = job.client.get(&key, &read).await?.context;
    }
    for value in &entry.values {
        job.client.put(&key, value.as_slice(), &options).await?;
    }
    Ok(())
}

//! `jedlik load`: many keys from a file, with many puts under way.
//!
//! Invariant: a key is in the acknowledged log only after its put was acknowledged.

mod lines;
mod properties;
mod tally;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use jedlik_client::{Bucket, Client, GetOptions, PutOptions};
use jedlik_protocol::escape::Escaped;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::connection::{ConnectionArgs, RequestArgs, WriteArgs};
use crate::entry::{DumpLine, Entry, FORM};
use crate::exit::{Exit, Usage};
use crate::interrupt::Signals;
use crate::load::lines::{Format, NumberedLine};
use crate::load::tally::Tally;
use crate::names::EscapeArgs;
use crate::{output, progress};

/// Write many keys from a file
///
/// The file has a JSON object per line, {"key":…,"value":…}, or plain lines, each of which is a key and its own value.
/// A JSON string is stored as its bytes, any other JSON value as its text without white space; value_base64 and
/// key_base64 carry what is not text, siblings an array of values. Lines end with a line feed. `load` reads what `dump`
/// writes. A dump that is cut short, or lacks its first lines, is loaded as far as it goes, and counts as failed. A dump of
/// all buckets without its first line, or any dump in a form that this version does not know, is refused.
///
/// With --all the file is a dump of all buckets. Their properties are set first, which takes an admin's certificate,
/// unless --keep-properties is given; other loads leave properties alone.
///
/// Puts are blind unless --replace is given: a key that already has a value gets a sibling.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik load words /usr/share/dict/words
  jedlik load carts carts.ndjson --replace
  jedlik dump carts | jedlik load backup -
  jedlik load --all backup.ndjson")]
pub(crate) struct LoadArgs {
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    bucket: Option<OsString>,
    /// The file; - reads standard input
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    file: Option<PathBuf>,
    #[command(flatten)]
    escapes: EscapeArgs,
    /// Load all buckets of this dump; - reads standard input
    #[arg(long, value_name = "FILE")]
    all: Option<PathBuf>,
    /// Leave buckets' properties as they are
    #[arg(long, conflicts_with = "bucket")]
    keep_properties: bool,
    /// The form of the lines; auto decides by the first one
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// How many puts are under way at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Read each key first, and replace its siblings
    #[arg(long)]
    replace: bool,
    /// Append each key to this file as soon as its put is acknowledged, a line each
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

/// Settings and state that all workers of a load share.
struct Job {
    client: Client,
    /// Bucket for keys whose lines name none; `None` if lines must name their buckets.
    bucket: Option<Bucket>,
    sets_properties: bool,
    read: GetOptions,
    write: PutOptions,
    replace: bool,
    fail_fast: bool,
    lines: Mutex<Lines>,
    tally: Tally,
}

/// Lines that are still to be loaded.
struct Lines {
    /// First line that stores something, which was read ahead.
    first: Option<NumberedLine>,
    rest: mpsc::Receiver<NumberedLine>,
    /// Whether no more lines are wanted, not even those that were read ahead.
    closed: bool,
}

impl Lines {
    async fn next(&mut self) -> Option<NumberedLine> {
        if self.closed {
            return None;
        }
        match self.first.take() {
            Some(line) => Some(line),
            None => self.rest.recv().await,
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.rest.close();
    }
}

pub(crate) async fn run(connection: &ConnectionArgs, args: LoadArgs) -> anyhow::Result<Exit> {
    let bucket = args.bucket.as_ref().map(|name| args.escapes.bucket(name)).transpose()?;
    let path = args.all.as_ref().or(args.file.as_ref());
    let path = path.ok_or_else(|| Usage("give a file, or - for standard input".into()))?;
    let acked = args.acked.as_ref().map(|path| {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.with_context(|| Usage(format!("can't append to {}", path.display())))
    });
    let acked = acked.transpose()?;
    let source = lines::Source::open(path)?;
    let bar = progress::bar(source.length_bytes(), "keys");
    let client = connection.connect().await?;
    let bucket = bucket.map(|name| client.bucket(name));
    let (sender, receiver) = mpsc::channel(usize::from(args.concurrency) * 4);
    let reading = tokio::task::spawn_blocking(move || source.read(args.format, &sender));
    let job = Arc::new(Job {
        client,
        bucket,
        sets_properties: args.all.is_some() && !args.keep_properties,
        read: GetOptions::new().n(args.request.n).timeout(args.request.timeout),
        write: args.request.write(&args.write),
        replace: args.replace,
        fail_fast: args.fail_fast,
        lines: Mutex::new(Lines { first: None, rest: receiver, closed: false }),
        tally: Tally::new(acked, bar),
    });
    let started = Instant::now();
    let mut signals = Signals::new()?;
    let ended = tokio::select! {
        done = load(&job, args.concurrency, reading) => done.map(|()| None)?,
        exit = signals.received() => Some(exit),
    };
    finish(&job.tally, started.elapsed(), ended, args.json)
}

/// Loads everything, with this many workers.
async fn load(
    job: &Arc<Job>,
    concurrency: u16,
    reading: JoinHandle<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    prepare(job).await?;
    let workers: Vec<_> = (0..concurrency).map(|_| tokio::spawn(work(job.clone()))).collect();
    for worker in workers {
        worker.await.context("a worker failed")??;
    }
    job.lines.lock().await.close();
    reading.await.context("the reader failed")?
}

/// Says how the load ended: by itself, or as `interrupted` by a signal.
fn finish(
    tally: &Tally,
    took: Duration,
    interrupted: Option<Exit>,
    json: bool,
) -> anyhow::Result<Exit> {
    let summary = tally.finish(took);
    if interrupted.is_some() {
        output::say(&format_args!("jedlik: {}", summary.interrupted()));
    } else if let Some(doubt) = summary.doubt() {
        output::say(&format_args!("jedlik: {doubt}"));
    }
    if json {
        output::line(&summary.json())?;
    } else {
        output::say(&summary);
    }
    Ok(interrupted.unwrap_or_else(|| summary.exit()))
}

/// Loads what precedes the first key: buckets get their properties before any of their keys is put.
async fn prepare(job: &Job) -> anyhow::Result<()> {
    let mut lines = job.lines.lock().await;
    let first = lines.next().await;
    let wanted = job.bucket.as_ref().map(|bucket| &bucket.name()[..]);
    check_beginning(first.as_ref().map(|first| &first.line), wanted)?;
    lines.first = first;
    while let Some(line) = lines.next().await {
        if matches!(line.line, Ok(DumpLine::Header | DumpLine::Properties { .. })) {
            perform(job, line).await?;
            continue;
        }
        lines.first = Some(line);
        break;
    }
    Ok(())
}

/// Refuses an incomplete beginning before anything is stored: a dump of all buckets (`wanted` is `None`) must have a
/// header, and so must any input that has other lines of a dump. Keys and values without a bucket of their own need none.
fn check_beginning(
    first: Option<&Result<DumpLine, String>>,
    wanted: Option<&[u8]>,
) -> Result<(), Usage> {
    let found = match first {
        Some(Ok(DumpLine::Header)) => return Ok(()),
        Some(Ok(DumpLine::Unknown { form })) => return Err(unknown(form)),
        Some(Ok(DumpLine::Properties { .. })) => "a bucket's properties",
        Some(Ok(DumpLine::End { .. })) => "the end of a dump",
        Some(Ok(DumpLine::Entry(Entry { bucket, .. })))
            if wanted.is_some() && bucket.is_some() && bucket.as_deref() != wanted =>
        {
            let text = "the first line is a key of another bucket, as in a dump of all buckets: load such a dump \
                        whole, with --all; nothing was loaded";
            return Err(Usage(text.into()));
        }
        _ if wanted.is_some() => return Ok(()),
        Some(Ok(DumpLine::Entry(_))) => "a key",
        Some(Err(_)) => "no JSON of a dump",
        None => "nothing",
    };
    Err(Usage(format!(
        "the first line is {found}, and a dump begins with {{\"jedlik_dump\":{FORM}}}: its beginning is missing, or it \
         is no dump; nothing was loaded"
    )))
}

fn unknown(form: &str) -> Usage {
    Usage(format!(
        "the dump is of form {form}, and this program reads form {FORM}: load it with the version that wrote it, or a \
         later one"
    ))
}

/// Loads lines until there are none, or until one has failed and `fail_fast` is set.
async fn work(job: Arc<Job>) -> anyhow::Result<()> {
    loop {
        let line = job.lines.lock().await.next().await;
        let Some(line) = line else { return Ok(()) };
        if !perform(&job, line).await? && job.fail_fast {
            job.lines.lock().await.close();
            return Ok(());
        }
    }
}

/// Loads one line; `false` if that failed.
async fn perform(job: &Job, line: NumberedLine) -> anyhow::Result<bool> {
    let NumberedLine { number, length_bytes, line } = line;
    let outcome = match line {
        Ok(DumpLine::Entry(entry)) => store(job, &entry).await.map(|()| entry),
        Ok(DumpLine::Header) => return Ok(job.tally.note_header(length_bytes)),
        // Several dumps may follow one another in one file.
        Ok(DumpLine::Unknown { form }) => return Err(unknown(&form).into()),
        Ok(DumpLine::End { keys }) => return Ok(job.tally.note_end(length_bytes, keys)),
        Ok(DumpLine::Properties { bucket, properties }) => {
            job.tally.note_bytes(length_bytes);
            if job.sets_properties {
                properties::set(&job.client, &bucket, properties).await?;
            }
            return Ok(true);
        }
        Err(reason) => Err(Usage(reason).into()),
    };
    let succeeded = outcome.is_ok();
    job.tally.note(number, length_bytes, outcome)?;
    Ok(succeeded)
}

async fn store(job: &Job, entry: &Entry) -> anyhow::Result<()> {
    let bucket = bucket_of(job, entry)?;
    let mut context = None;
    if job.replace {
        context = bucket.get(&entry.key).options(&job.read).await?.context();
    }
    for value in &entry.values {
        let put = bucket.put(&entry.key, &value.bytes).attributes(&value.attributes);
        put.context(context.clone()).options(&job.write).await?;
    }
    Ok(())
}

fn bucket_of(job: &Job, entry: &Entry) -> Result<Bucket, Usage> {
    match (&job.bucket, &entry.bucket) {
        (Some(wanted), None) => Ok(wanted.clone()),
        (None, Some(named)) => Ok(job.client.bucket(named)),
        (Some(wanted), Some(named)) if wanted.name()[..] == named[..] => Ok(wanted.clone()),
        (Some(_), Some(named)) => {
            let named = Escaped(named);
            Err(Usage(format!("the line is of the bucket {named}; load such a dump with --all")))
        }
        (None, None) => Err(Usage("the line names no bucket; give one in place of --all".into())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::{Lines, NumberedLine, check_beginning};
    use crate::entry::{DumpLine, Entry};

    #[tokio::test]
    async fn no_line_is_taken_once_a_load_has_stopped_though_more_were_read_ahead() {
        let (sender, rest) = mpsc::channel(4);
        let line = |number| {
            let line = Ok(DumpLine::Entry(Entry::plain(b"a")));
            NumberedLine { number, length_bytes: 2, line }
        };
        for number in 2..=4 {
            sender.send(line(number)).await.ok().unwrap();
        }
        let mut lines = Lines { first: Some(line(1)), rest, closed: false };
        assert_eq!(lines.next().await.map(|line| line.number), Some(1));
        assert_eq!(lines.next().await.map(|line| line.number), Some(2));
        lines.close();
        assert!(lines.next().await.is_none());
        assert!(sender.send(line(5)).await.is_err(), "the reader is told");
    }

    #[test]
    fn a_dump_without_its_beginning_or_of_another_form_is_refused_and_plain_keys_are_not() {
        let line = |text: &str| DumpLine::from_json(text.as_bytes());
        let key = || Ok(DumpLine::Entry(Entry::plain(b"a")));
        let header = line("{\"jedlik_dump\":1}");
        for wanted in [Some(&b"b"[..]), None] {
            assert!(check_beginning(Some(&header), wanted).is_ok());
            for (first, words) in [
                (line("{\"jedlik_dump\":2,\"cluster\":\"c\"}"), "form 2"),
                (line("{\"jedlik_dump\":1,\"pages\":true}"), "form 1 with pages"),
                (line("{\"jedlik_dump\":\"later\"}"), "later"),
                (line("{\"bucket\":\"b\",\"properties\":{\"n\":3}}"), "properties"),
                (line("{\"end\":{\"keys\":7}}"), "end of a dump"),
            ] {
                let refused = check_beginning(Some(&first), wanted).unwrap_err().to_string();
                assert!(refused.contains(words), "{refused}");
            }
        }
        let wanted = Some(&b"b"[..]);
        assert!(check_beginning(Some(&key()), wanted).is_ok());
        assert!(check_beginning(None, wanted).is_ok());
        assert!(check_beginning(Some(&Err("oops".into())), wanted).is_ok(), "told line by line");
        for (bucket, refused) in [("b", false), ("other", true)] {
            let first = line(&format!("{{\"bucket\":\"{bucket}\",\"key\":\"a\",\"value\":1}}"));
            let said = check_beginning(Some(&first), wanted).map_err(|error| error.to_string());
            assert_eq!(said.is_err(), refused, "{said:?}");
            assert!(!refused || said.unwrap_err().contains("--all; nothing was loaded"));
        }
        for first in [Some(&key()), Some(&Err("oops".into())), None] {
            let refused = check_beginning(first, None).unwrap_err().to_string();
            assert!(refused.contains("jedlik_dump"), "{refused}");
        }
    }
}

//! `jedlik dump`: a whole bucket as lines that `load` reads.
//!
//! Invariant: a file is replaced by a whole dump, or not at all.

use std::ffi::OsString;
use std::io::{BufWriter, IntoInnerError, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use jedlik_atomicfile::{AtomicFile, Readers};
use jedlik_client::{self as client, Client, ClientError, Quorum, ScanOptions};
use jedlik_protocol::Blob;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::{BucketEntry, PROPERTY_NAMES};
use jedlik_protocol::escape::Escaped;
use tokio::signal::unix::{SignalKind, signal};

use crate::connection::ConnectionArgs;
use crate::entry::{DumpLine, Entry, Valued};
use crate::exit::{Exit, Usage};
use crate::names::EscapeArgs;
use crate::output::Output;
use crate::progress;
use crate::writer::{self, Lines, Sink};

/// Form of the lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object per key, with siblings as an array
    Json,
    /// The key alone; fails for a key whose value is not the key itself
    Lines,
}

/// Write all of a bucket, or of every bucket, as lines that `load` reads
///
/// Loading the lines again stores the same bytes. Contexts and times are not kept. Of a dump in JSON, the first line
/// gives the version of its form, the next ones the properties of buckets, and the last one the number of keys, by
/// which `load` knows that the dump is whole.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik dump carts > carts.ndjson
  jedlik dump --all --output backup.ndjson
  jedlik dump words --format lines --sort | cmp - words.txt")]
pub(crate) struct DumpArgs {
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    bucket: Option<OsString>,
    #[command(flatten)]
    escapes: EscapeArgs,
    /// Write all buckets that have any key, with their properties
    #[arg(long, conflicts_with = "format")]
    all: bool,
    /// The form of the lines
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// The file to write, instead of standard output; it is replaced by a whole dump or not at all
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Sort by the keys' bytes; holds the whole bucket in memory
    #[arg(long)]
    sort: bool,
    /// Replicas of each partition that must answer
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    r: Quorum,
    /// Longest time for one page, retries included: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", value_parser = jedlik_console::duration)]
    timeout: Option<Duration>,
}

/// File that the dump is written to, which appears once it is whole.
struct WholeFile {
    /// New file beside the old one, which takes its place once it is whole.
    file: BufWriter<AtomicFile>,
    path: PathBuf,
}

impl WholeFile {
    fn open(path: PathBuf) -> anyhow::Result<Self> {
        let file = AtomicFile::create(&path, Readers::AsBefore)
            .with_context(|| Usage(format!("can't write {}", path.display())))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 16, file), path })
    }
}

impl Sink for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| unwritten(&self.path))
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        let file = self.file.into_inner().map_err(IntoInnerError::into_error);
        file.and_then(AtomicFile::commit).with_context(|| unwritten(&self.path))
    }
}

fn unwritten(path: &Path) -> String {
    format!("{} can't be written and is as it was", path.display())
}

pub(crate) async fn run(connection: &ConnectionArgs, args: DumpArgs) -> anyhow::Result<Exit> {
    let Some(path) = args.output.clone() else {
        let (lines, writer) = writer::start(|| Ok(Box::new(Output::new())));
        let dumped = dump(connection, args, lines).await;
        writer.await.context("the output's thread failed")??;
        return dumped;
    };
    // From here on a signal removes the unfinished file.
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let file = WholeFile::open(path.clone())?;
    let (lines, writer) = writer::start(|| Ok(Box::new(file)));
    let interrupted = || Err(anyhow!("interrupted; {} is as it was", path.display()));
    let dumped = tokio::select! {
        done = dump(connection, args, lines) => done,
        _ = interrupt.recv() => interrupted(),
        _ = terminate.recv() => interrupted(),
    };
    writer.await.context("the output's thread failed")??;
    dumped
}

async fn dump(
    connection: &ConnectionArgs,
    args: DumpArgs,
    mut lines: Lines,
) -> anyhow::Result<Exit> {
    let bucket = args.bucket.as_ref().map(|name| args.escapes.bucket(name)).transpose()?;
    let client = connection.connect().await?;
    let options = ScanOptions::new().r(args.r).timeout(args.timeout);
    let scan = |bucket: &Blob| client.bucket(bucket).scan().options(&options);
    let (buckets, mut scan) = match &bucket {
        Some(bucket) if args.format == Format::Lines => (Vec::new(), scan(bucket).await?),
        Some(bucket) => (one(&client, bucket).await?, scan(bucket).await?),
        None => client.admin().scan_every_bucket(&options).await?,
    };
    let is_json = args.format == Format::Json;
    if is_json {
        lines.write(&other_line(&DumpLine::Header)?).await?;
    }
    for bucket in buckets {
        lines.write(&other_line(&properties(&bucket))?).await?;
    }
    let bar = progress::bar(Some(scan.progress().total.into()), "keys");
    let mut held = Vec::new();
    let mut count = 0_u64;
    while let Some(page) = scan.next_page().await {
        for item in page? {
            count += 1;
            let entry = entry(&item, args.all)?;
            if args.sort {
                held.push(entry);
            } else {
                lines.write(&line(&entry, args.format)?).await?;
            }
        }
        bar.set_position(scan.progress().done.into());
        bar.set_message(count.to_string());
    }
    held.sort_unstable_by(|a, b| (&a.bucket, &a.key).cmp(&(&b.bucket, &b.key)));
    for entry in held {
        lines.write(&line(&entry, args.format)?).await?;
    }
    if is_json {
        lines.write(&other_line(&DumpLine::End { keys: count })?).await?;
    }
    lines.finish().await?;
    bar.finish_and_clear();
    Ok(Exit::Done)
}

/// Returns a bucket's properties, if they were ever set.
async fn one(client: &Client, bucket: &Blob) -> anyhow::Result<Vec<BucketEntry>> {
    let request = AdminRequest::BucketShow { name: bucket.clone() };
    match client.admin().ask(request, None).await? {
        AdminResponse::Bucket(entry) if entry.version > 0 => Ok(vec![entry]),
        AdminResponse::Bucket(_) => Ok(Vec::new()),
        _ => Err(ClientError::Mismatch.into()),
    }
}

fn properties(entry: &BucketEntry) -> DumpLine {
    let named = |name: &&str| Some(((*name).to_owned(), entry.props.value(name)?));
    let properties = PROPERTY_NAMES.iter().filter_map(named).collect();
    DumpLine::Properties { bucket: entry.name.to_vec(), properties }
}

fn other_line(line: &DumpLine) -> anyhow::Result<Vec<u8>> {
    Ok((line.to_json()? + "\n").into_bytes())
}

/// # Errors
/// A value carries what only a newer version of Jedlik can read, which a dump would lose.
fn entry(found: &client::Entry, of_all: bool) -> anyhow::Result<Entry> {
    let valued = |sibling: &client::Sibling| {
        let bytes = sibling.value()?.to_vec();
        Some(sibling.attributes().map(|attributes| Valued { bytes, attributes }))
    };
    let values: Option<Vec<Valued>> = found.siblings().iter().filter_map(valued).collect();
    let values = values.with_context(|| {
        let key = Escaped(found.key());
        format!("{key} carries what a newer version of jedlik wrote; use that one to dump it")
    })?;
    let bucket = of_all.then(|| found.bucket().to_vec());
    Ok(Entry { bucket, key: found.key().to_vec(), values })
}

/// Formats an entry as a line, with its line end.
fn line(entry: &Entry, format: Format) -> anyhow::Result<Vec<u8>> {
    let mut line = match format {
        Format::Json => entry.to_json()?.into_bytes(),
        Format::Lines if entry.is_plain() => entry.key.clone(),
        Format::Lines => {
            let key = Escaped(&entry.key);
            let text = format!("{key} has another value than the key itself; use --format json");
            return Err(Usage(text).into());
        }
    };
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::{Format, line};
    use crate::entry::{Entry, Valued};
    use crate::exit::Exit;

    #[test]
    fn lines_are_refused_where_they_would_lose_the_value() {
        assert_eq!(line(&Entry::plain(b"tea"), Format::Lines).unwrap(), b"tea\n");
        let other = Entry { bucket: None, key: b"tea".to_vec(), values: vec![Valued::plain(b"1")] };
        let error = line(&other, Format::Lines).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage);
        let json = line(&other, Format::Json).unwrap();
        assert_eq!(json, b"{\"key\":\"tea\",\"value\":\"1\"}\n");
    }
}

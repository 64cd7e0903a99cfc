//! `jedlik dump`: a whole bucket as lines that `load` reads.
//!
//! Invariant: a file is replaced by a whole dump, or not at all.

use std::io::{BufWriter, IntoInnerError, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use jedlik_atomicfile::{AtomicFile, Readers};
use jedlik_client::ScanOptions;
use jedlik_client::protocol::Quorum;
use jedlik_client::protocol::client::ScanItem;
use jedlik_client::protocol::escape::Escaped;
use tokio::signal::unix::{SignalKind, signal};

use crate::connection::ConnectionArgs;
use crate::entry::Entry;
use crate::exit::{Exit, Usage};
use crate::names::BucketArgs;
use crate::output::Output;
use crate::{parse, progress, shown};

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a key, siblings as an array
    Json,
    /// The key alone; refused for a key whose value is not the key itself
    Lines,
}

/// Write all of a bucket as lines that `load` reads
///
/// Loading the lines again stores the same bytes. Contexts and times are not kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik dump carts > carts.ndjson
  jedlik dump words --format lines --sort | cmp - words.txt")]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    bucket: BucketArgs,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// The file to write, instead of standard output: whole, or as it was
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Sort by the keys' bytes; holds the whole bucket in memory
    #[arg(long)]
    sort: bool,
    /// Replicas of each partition that must answer
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    r: Quorum,
    /// Longest time for one page, retries included: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    timeout: Option<Duration>,
}

/// Where the lines go.
enum Sink {
    /// A file that takes its place once it is whole.
    File {
        file: BufWriter<AtomicFile>,
        path: PathBuf,
    },
    Output(Output),
}

impl Sink {
    fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::Output(Output::new())) };
        let file = AtomicFile::create(&path, Readers::AsBefore)
            .with_context(|| Usage(format!("can't write {}", path.display())))?;
        Ok(Self::File { file: BufWriter::with_capacity(1 << 16, file), path })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::File { file, path } => file.write_all(bytes).with_context(|| unwritten(path)),
            Self::Output(output) => Ok(output.write(bytes)?),
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::File { file, path } => {
                let file = file.into_inner().map_err(IntoInnerError::into_error);
                file.and_then(AtomicFile::commit).with_context(|| unwritten(&path))
            }
            Self::Output(output) => Ok(output.finish()?),
        }
    }
}

fn unwritten(path: &Path) -> String {
    format!("{} can't be written and is as it was", path.display())
}

pub(crate) async fn run(connection: &ConnectionArgs, args: DumpArgs) -> anyhow::Result<Exit> {
    let Some(path) = args.output.clone() else {
        let sink = Sink::open(None)?;
        return dump(connection, args, sink).await;
    };
    // From here on a signal removes what is written beside the file.
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let sink = Sink::open(Some(path.clone()))?;
    tokio::select! {
        done = dump(connection, args, sink) => done,
        _ = interrupt.recv() => bail!("interrupted; {} is as it was", path.display()),
        _ = terminate.recv() => bail!("interrupted; {} is as it was", path.display()),
    }
}

async fn dump(connection: &ConnectionArgs, args: DumpArgs, mut sink: Sink) -> anyhow::Result<Exit> {
    let bucket = args.bucket.name()?;
    let client = connection.connect().await?;
    let options = ScanOptions { r: args.r, timeout: args.timeout, ..ScanOptions::default() };
    let mut scan = client.scan(bucket, &options)?;
    let bar = progress::bar(Some(scan.progress().1.into()), "keys");
    let mut held = Vec::new();
    let mut count = 0_u64;
    while let Some(page) = scan.next_page().await {
        for item in page? {
            count += 1;
            let entry = entry(&item);
            if args.sort {
                held.push(entry);
            } else {
                sink.write(&line(&entry, args.format)?)?;
            }
        }
        bar.set_position(scan.progress().0.into());
        bar.set_message(count.to_string());
    }
    held.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    for entry in held {
        sink.write(&line(&entry, args.format)?)?;
    }
    sink.finish()?;
    bar.finish_and_clear();
    Ok(Exit::Done)
}

fn entry(item: &ScanItem) -> Entry {
    let values = shown::values(&item.versions).map(|value| value.to_vec()).collect();
    Entry { key: item.key.to_vec(), values }
}

/// An entry's line, with its end.
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
    use crate::entry::Entry;
    use crate::exit::Exit;

    #[test]
    fn lines_are_refused_where_they_would_lose_the_value() {
        assert_eq!(line(&Entry::plain(b"tea"), Format::Lines).unwrap(), b"tea\n");
        let other = Entry { key: b"tea".to_vec(), values: vec![b"1".to_vec()] };
        let error = line(&other, Format::Lines).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage);
        let json = line(&other, Format::Json).unwrap();
        assert_eq!(json, b"{\"key\":\"tea\",\"value\":\"1\"}\n");
    }
}

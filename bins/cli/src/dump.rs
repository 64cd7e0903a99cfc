//! `jedlik dump`: a whole bucket as lines that `load` reads.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use jedlik_client::ScanOptions;
use jedlik_client::protocol::Quorum;
use jedlik_client::protocol::client::ScanItem;

use crate::connection::ConnectionArgs;
use crate::entry::Entry;
use crate::exit::{Exit, Usage};
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
    bucket: String,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// The file to write, instead of standard output
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

pub(crate) async fn run(connection: &ConnectionArgs, args: DumpArgs) -> anyhow::Result<Exit> {
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => {
            let file = File::create(path)
                .with_context(|| Usage(format!("can't write {}", path.display())))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let client = connection.connect().await?;
    let options = ScanOptions { r: args.r, timeout: args.timeout, ..ScanOptions::default() };
    let mut scan = client.scan(&args.bucket, &options)?;
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
                write_entry(&mut out, &entry, args.format)?;
            }
        }
        bar.set_position(scan.progress().0.into());
        bar.set_message(count.to_string());
    }
    held.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    for entry in held {
        write_entry(&mut out, &entry, args.format)?;
    }
    out.flush().context("the output can't be written")?;
    bar.finish_and_clear();
    Ok(Exit::Done)
}

fn entry(item: &ScanItem) -> Entry {
    let values = shown::values(&item.versions).map(|value| value.to_vec()).collect();
    Entry { key: item.key.to_vec(), values }
}

fn write_entry(out: &mut impl Write, entry: &Entry, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => out.write_all(entry.to_json()?.as_bytes())?,
        Format::Lines if entry.is_plain() => out.write_all(&entry.key)?,
        Format::Lines => {
            let key = String::from_utf8_lossy(&entry.key);
            let text = format!("{key:?} has another value than the key itself; use --format json");
            return Err(Usage(text).into());
        }
    }
    out.write_all(b"\n")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Format, write_entry};
    use crate::entry::Entry;
    use crate::exit::Exit;

    #[test]
    fn lines_are_refused_where_they_would_lose_the_value() {
        let mut out = Vec::new();
        write_entry(&mut out, &Entry::plain(b"tea"), Format::Lines).unwrap();
        assert_eq!(out, b"tea\n");
        let other = Entry { key: b"tea".to_vec(), values: vec![b"1".to_vec()] };
        let error = write_entry(&mut out, &other, Format::Lines).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage);
        write_entry(&mut out, &other, Format::Json).unwrap();
        assert_eq!(out, b"tea\n{\"key\":\"tea\",\"value\":\"1\"}\n");
    }
}

//! `jedlik keys`.

use std::io::{self, BufWriter, Write as _};
use std::time::Duration;

use clap::Args;
use jedlik_client::ScanOptions;
use jedlik_client::protocol::Quorum;

use crate::connection::ConnectionArgs;
use crate::entry::Bytes;
use crate::exit::Exit;
use crate::parse;

/// List a bucket's keys
///
/// One a line, in no particular order unless --sort is given. Deleted and expired keys are left out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik keys carts
  jedlik keys words --sort | head
  jedlik keys words --json | wc -l")]
pub(crate) struct KeysArgs {
    bucket: String,
    /// Sort by the keys' bytes; holds all of them in memory
    #[arg(long)]
    sort: bool,
    /// Print each key as a JSON string, or as {\"value_base64\":…} where it is not UTF-8
    #[arg(long)]
    json: bool,
    /// Replicas of each partition that must answer
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    r: Quorum,
    /// Longest time for one page, retries included: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(connection: &ConnectionArgs, args: KeysArgs) -> anyhow::Result<Exit> {
    let client = connection.connect().await?;
    let options = ScanOptions {
        values: false,
        r: args.r,
        page_keys: 1024,
        timeout: args.timeout,
        ..ScanOptions::default()
    };
    let mut scan = client.scan(&args.bucket, &options)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut held = Vec::new();
    while let Some(page) = scan.next_page().await {
        for item in page? {
            if args.sort {
                held.push(item.key);
            } else {
                write_key(&mut out, &item.key, args.json)?;
            }
        }
    }
    held.sort_unstable();
    for key in held {
        write_key(&mut out, &key, args.json)?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn write_key(out: &mut impl io::Write, key: &[u8], json: bool) -> anyhow::Result<()> {
    if !json {
        out.write_all(key)?;
    } else if let Bytes::Value(text) = Bytes::plain(key) {
        out.write_all(text.get().as_bytes())?;
    } else {
        serde_json::to_writer(&mut *out, &Bytes::plain(key))?;
    }
    out.write_all(b"\n")?;
    Ok(())
}

//! `jedlik keys`: lists a bucket's keys.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jedlik_client::{Quorum, Scan, ScanOptions};
use jedlik_protocol::escape::Escaped;

use crate::connection::ConnectionArgs;
use crate::entry;
use crate::exit::Exit;
use crate::names::BucketArgs;
use crate::output::Output;
use crate::writer::{self, Lines};

/// List a bucket's keys
///
/// Prints one key per line, in no particular order unless --sort is given. Deleted and expired keys are left out.
/// Backslashes, control characters and bytes that are not UTF-8 are printed as \\ \n \r \t \xHH, which other commands
/// read with --escapes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik keys carts
  jedlik keys words --sort | head
  jedlik keys words --json | wc -l
  jedlik keys words --null | xargs -0 -n 1 jedlik delete words --")]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    bucket: BucketArgs,
    /// Sort by the keys' bytes; holds all of them in memory
    #[arg(long)]
    sort: bool,
    /// Print each key as a JSON string, or as {"key_base64":…} if it is not UTF-8
    #[arg(long)]
    json: bool,
    /// Print each key's bytes as they are, followed by a zero byte
    #[arg(long, short = '0', conflicts_with = "json")]
    null: bool,
    /// Replicas of each partition that must answer
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    r: Quorum,
    /// Longest time for one page, retries included: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", value_parser = jedlik_console::duration)]
    timeout: Option<Duration>,
}

/// Form in which keys are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Escaped,
    Json,
    Null,
}

pub(crate) async fn run(connection: &ConnectionArgs, args: KeysArgs) -> anyhow::Result<Exit> {
    let bucket = args.bucket.name()?;
    let form = match (args.json, args.null) {
        (true, _) => Form::Json,
        (_, true) => Form::Null,
        _ => Form::Escaped,
    };
    let client = connection.connect().await?;
    let options = ScanOptions::new().values(false).page_keys(1024);
    let options = options.r(args.r).timeout(args.timeout);
    let mut scan = client.bucket(&bucket).scan().options(&options).await?;
    let (lines, writer) = writer::start(|| Ok(Box::new(Output::new())));
    let printed = print(&mut scan, (args.sort, form), lines).await;
    writer.await.context("the output's thread failed")??;
    printed.map(|()| Exit::Done)
}

async fn print(
    scan: &mut Scan,
    (sort, form): (bool, Form),
    mut lines: Lines,
) -> anyhow::Result<()> {
    let mut held = Vec::new();
    while let Some(page) = scan.next_page().await {
        for item in page? {
            if sort {
                held.push(item.key().clone());
            } else {
                lines.write(&printed(item.key(), form)?).await?;
            }
        }
    }
    held.sort_unstable();
    for key in held {
        lines.write(&printed(&key, form)?).await?;
    }
    Ok(lines.finish().await?)
}

fn printed(key: &[u8], form: Form) -> serde_json::Result<Vec<u8>> {
    let mut text = match form {
        Form::Escaped => Escaped(key).to_string().into_bytes(),
        Form::Json => entry::key_json(key)?.into_bytes(),
        Form::Null => key.to_vec(),
    };
    text.push(if form == Form::Null { 0 } else { b'\n' });
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{Form, printed};

    #[test]
    fn a_key_is_one_line_or_ends_with_a_zero_byte() {
        let cases: [(&[u8], &str, &str); 3] = [
            (b"tea", "tea\n", "\"tea\"\n"),
            (b"two\nlines", "two\\nlines\n", "\"two\\nlines\"\n"),
            (&[0xff], "\\xff\n", "{\"key_base64\":\"/w==\"}\n"),
        ];
        for (key, escaped, json) in cases {
            assert_eq!(printed(key, Form::Escaped).unwrap(), escaped.as_bytes());
            assert_eq!(printed(key, Form::Json).unwrap(), json.as_bytes());
            assert_eq!(printed(key, Form::Null).unwrap(), [key, &[0]].concat());
        }
    }
}

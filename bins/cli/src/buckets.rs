//! `jedlik buckets`: the buckets that hold data, and how much each holds.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use jedlik_client::{Bytes, Quorum, ScanOptions};
use jedlik_protocol::bucket::{BucketEntry, PROPERTY_NAMES};
use jedlik_protocol::escape::Escaped;
use serde_json::{Map, Value};

use crate::connection::ConnectionArgs;
use crate::entry::{key_json, properties_json};
use crate::exit::Exit;
use crate::output::Output;
use crate::progress;

/// List the buckets that hold data
///
/// Shows how many keys each bucket has and how much its values take, with siblings but without copies. All keys are
/// read for it, which takes as long as listing them. Buckets without keys are not listed, even if their properties were
/// set; `jedlik-admin bucket list` has them. Names are printed as `keys` prints keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik buckets
  jedlik buckets --json")]
pub(crate) struct BucketsArgs {
    /// Print a JSON object per bucket, with its properties
    #[arg(long)]
    json: bool,
    /// Replicas of each partition that must answer
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    r: Quorum,
    /// Longest time for one page, retries included: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", value_parser = jedlik_console::duration)]
    timeout: Option<Duration>,
}

/// Counts of what one bucket holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Held {
    keys: u64,
    value_bytes: u64,
}

pub(crate) async fn run(connection: &ConnectionArgs, args: BucketsArgs) -> anyhow::Result<Exit> {
    let client = connection.connect().await?;
    let options = ScanOptions::new().values(false).page_keys(1024);
    let options = options.r(args.r).timeout(args.timeout);
    let (set, mut scan) = client.admin().scan_every_bucket(&options).await?;
    let bar = progress::bar(Some(scan.progress().total.into()), "keys");
    let mut buckets: BTreeMap<Bytes, Held> = BTreeMap::new();
    let mut count = 0_u64;
    while let Some(page) = scan.next_page().await {
        for item in page? {
            count += 1;
            let held = buckets.entry(item.bucket().clone()).or_default();
            held.keys += 1;
            held.value_bytes += item.value_bytes();
        }
        bar.set_position(scan.progress().done.into());
        bar.set_message(count.to_string());
    }
    bar.finish_and_clear();
    let mut output = Output::new();
    let text = if args.json { json(&buckets, &set)? } else { table(&buckets) };
    output.write(text.as_bytes())?;
    output.finish()?;
    Ok(Exit::Done)
}

fn table(buckets: &BTreeMap<Bytes, Held>) -> String {
    if buckets.is_empty() {
        return String::new();
    }
    let row = |keys: &str, bytes: &str, name: &str| format!("{keys:>12}  {bytes:>16}  {name}\n");
    let mut text = row("keys", "bytes of values", "bucket");
    for (name, Held { keys, value_bytes }) in buckets {
        text += &row(&keys.to_string(), &value_bytes.to_string(), &Escaped(name).to_string());
    }
    text
}

fn json(buckets: &BTreeMap<Bytes, Held>, set: &[BucketEntry]) -> anyhow::Result<String> {
    let mut text = String::new();
    for (name, Held { keys, value_bytes }) in buckets {
        let entry = set.iter().find(|entry| entry.name[..] == name[..]);
        let properties = entry.map_or(Value::Null, |entry| {
            let named = |name: &&str| Some(((*name).to_owned(), entry.props.value(name)?));
            properties_json(&PROPERTY_NAMES.iter().filter_map(named).collect::<Vec<_>>())
        });
        let mut line = Map::new();
        line.insert("bucket".into(), serde_json::from_str(&key_json(name)?)?);
        line.insert("keys".into(), (*keys).into());
        line.insert("value_bytes".into(), (*value_bytes).into());
        line.insert("properties".into(), properties);
        text += &(serde_json::to_string(&line)? + "\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jedlik_client::Bytes;
    use jedlik_protocol::bucket::{BucketEntry, BucketProps};

    use super::{Held, json, table};

    #[test]
    fn buckets_are_told_with_what_they_hold() {
        let held = Held { keys: 2, value_bytes: 30 };
        let buckets: BTreeMap<Bytes, Held> =
            [(Bytes::from("two\nlines"), held), (Bytes::from("carts"), held)].into();
        let text = table(&buckets);
        assert!(text.contains("           2                30  carts\n"), "{text}");
        assert!(text.ends_with("two\\nlines\n"), "{text}");
        let props = BucketProps { n: 2, ..BucketProps::default() };
        let set = [BucketEntry { name: "carts".into(), version: 1, props }];
        let text = json(&buckets, &set).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["bucket"], &lines[0]["keys"]), (&"carts".into(), &2.into()));
        assert_eq!(lines[0]["properties"]["n"], 2);
        assert!(lines[1]["properties"].is_null());
        assert_eq!(table(&BTreeMap::new()), "");
    }
}

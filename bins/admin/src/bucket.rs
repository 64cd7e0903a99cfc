//! `jedlik-admin bucket`: properties of buckets, under the protocol's names for them.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jedlik_client::ClientError;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::{BucketEntry, BucketProps, PROPERTY_NAMES};
use jedlik_protocol::escape::{Escaped, unescape};
use jedlik_protocol::{Blob, Key};
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::connection::ConnectionArgs;
use crate::exit::Usage;
use crate::output::Output;
use crate::table::{Align, Table};

/// Name of a bucket on the command line.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    name: OsString,
    /// The name has escapes, as `bucket list` prints it: \\ \n \r \t \xHH
    #[arg(long, short)]
    escapes: bool,
}

impl NameArgs {
    fn bytes(&self) -> Result<Blob, Usage> {
        let name = Blob::from(name_bytes(&self.name, self.escapes)?);
        // A node would take a name over the limit for an attack and close the connection.
        Key::new(name.clone(), "-").map_err(|error| Usage(error.to_string()))?;
        Ok(name)
    }
}

/// Returns the bytes that a bucket's name or a key on the command line stands for.
pub(crate) fn name_bytes(argument: &OsStr, escapes: bool) -> Result<Vec<u8>, Usage> {
    let bytes = argument.as_encoded_bytes();
    if !escapes {
        return Ok(bytes.to_vec());
    }
    unescape(bytes).map_err(|error| Usage(format!("{}: {error}", Escaped(bytes))))
}

#[derive(Debug, Subcommand)]
pub(crate) enum BucketCommand {
    /// List the buckets whose properties were set
    List,
    /// Show a bucket's properties, set or default
    Show {
        #[command(flatten)]
        name: NameArgs,
    },
    /// Set some of a bucket's properties
    #[command(after_help = "\
Examples:
  jedlik-admin bucket set carts r=3 durability=written
  jedlik-admin bucket set carts min_w=1    # the least w that a put may ask for
  jedlik-admin bucket set sessions ttl_ms=3600000 reconcile=last-write-wins")]
    Set {
        #[command(flatten)]
        name: NameArgs,
        /// Properties to set, as NAME=VALUE
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = change)]
        changes: Vec<(String, String)>,
    },
}

pub(crate) async fn run(
    connection: &ConnectionArgs,
    command: BucketCommand,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let request = match command {
        BucketCommand::List => AdminRequest::BucketList,
        BucketCommand::Show { name } => AdminRequest::BucketShow { name: name.bytes()? },
        BucketCommand::Set { name, changes } => {
            check(&changes)?;
            AdminRequest::BucketSet { name: name.bytes()?, changes }
        }
    };
    match Cluster::connect(connection, None).await?.ask(&request).await? {
        AdminResponse::Buckets(buckets) => {
            let json = buckets.iter().map(bucket_json).collect();
            output.print(&json, || list_text(&buckets))?;
        }
        AdminResponse::Bucket(bucket) => {
            output.print(&bucket_json(&bucket), || bucket_text(&bucket))?;
        }
        _ => return Err(ClientError::Mismatch.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Parses one change of a property, written `NAME=VALUE`.
fn change(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a change is NAME=VALUE, such as r=3")?;
    Ok((name.trim().into(), value.trim().into()))
}

/// Refuses names and values that no bucket takes. The node checks whether the properties fit together, since it knows
/// the others.
fn check(changes: &[(String, String)]) -> Result<(), Usage> {
    let mut props = BucketProps::default();
    changes
        .iter()
        .try_for_each(|(name, value)| props.set(name, value))
        .map_err(|error| Usage(error.to_string()))
}

fn bucket_json(bucket: &BucketEntry) -> Value {
    let properties: Map<String, Value> = PROPERTY_NAMES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), property_json(&bucket.props.value(name)?))))
        .collect();
    json!({
        "name": str::from_utf8(&bucket.name).ok(),
        "name_escaped": Escaped(&bucket.name).to_string(),
        "version": bucket.version,
        "properties": properties,
        "warnings": bucket.props.warnings(),
    })
}

/// Converts a property's value to JSON: numbers as numbers, `none` as null, words as strings.
fn property_json(value: &str) -> Value {
    match value.parse::<u64>() {
        Ok(number) => number.into(),
        Err(_) if value == "none" => Value::Null,
        Err(_) => value.into(),
    }
}

fn list_text(buckets: &[BucketEntry]) -> String {
    if buckets.is_empty() {
        return "no bucket's properties were set; all have the defaults\n".into();
    }
    let mut table = Table::new([
        ("bucket", Align::Left),
        ("version", Align::Right),
        ("other than the defaults", Align::Left),
    ]);
    let defaults = BucketProps::default();
    for bucket in buckets {
        let set: Vec<String> = PROPERTY_NAMES
            .iter()
            .filter(|name| bucket.props.value(name) != defaults.value(name))
            .filter_map(|name| Some(format!("{name}={}", bucket.props.value(name)?)))
            .collect();
        let name = Escaped(&bucket.name).to_string();
        table.row([name, bucket.version.to_string(), set.join(" ")]);
    }
    table.to_string()
}

fn bucket_text(bucket: &BucketEntry) -> String {
    let mut table = Table::new([("property", Align::Left), ("value", Align::Right)]);
    for name in PROPERTY_NAMES {
        if let Some(value) = bucket.props.value(name) {
            table.row([name.into(), value]);
        }
    }
    let name = Escaped(&bucket.name);
    let set = match bucket.version {
        0 => "never set: the defaults".into(),
        version => format!("version {version}"),
    };
    let warnings = bucket.props.warnings().into_iter().map(|text| format!("warning: {text}\n"));
    format!("bucket {name}, {set}\n{table}{}", warnings.collect::<String>())
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::bucket::{BucketEntry, BucketProps};

    use super::{NameArgs, Usage, bucket_json, bucket_text, change, check, list_text};

    fn bucket(changes: &[(&str, &str)]) -> BucketEntry {
        let mut props = BucketProps::default();
        changes.iter().for_each(|(name, value)| props.set(name, value).unwrap());
        BucketEntry { name: "carts".into(), version: changes.len() as u64, props }
    }

    #[test]
    fn a_change_is_a_name_and_a_value() {
        assert_eq!(change("r=3"), Ok(("r".into(), "3".into())));
        assert_eq!(change("x = a=b"), Ok(("x".into(), "a=b".into())));
        assert!(change("r").is_err());
    }

    #[test]
    fn a_name_past_its_limit_is_refused_before_it_is_sent() {
        let of_length = |length| NameArgs { name: "b".repeat(length).into(), escapes: false };
        assert_eq!(of_length(256).bytes().unwrap().len(), 256);
        let Usage(message) = of_length(257).bytes().unwrap_err();
        assert!(message.contains("257") && message.contains("256"), "{message}");
        of_length(0).bytes().unwrap_err();
    }

    #[test]
    fn unknown_properties_and_values_are_refused_before_they_are_sent() {
        let cases = [
            ("colour", "red", Some("known are")),
            ("n", "many", Some("whole number")),
            ("durability", "maybe", Some("buffered, written or synced")),
            ("ttl_ms", "none", None),
            ("reconcile", "last-write-wins", None),
        ];
        for (name, value, words) in cases {
            let error = check(&[(name.into(), value.into())]).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), words.is_some(), "{error:?}");
            assert!(error.unwrap_or_default().contains(words.unwrap_or_default()));
        }
    }

    #[test]
    fn properties_keep_their_kind_in_json() {
        let json = bucket_json(&bucket(&[("ttl_ms", "5"), ("r", "3")]));
        assert_eq!(json["properties"]["r"], 3);
        assert_eq!(json["properties"]["ttl_ms"], 5);
        assert_eq!(json["properties"]["durability"], "synced");
        assert!(bucket_json(&bucket(&[]))["properties"]["ttl_ms"].is_null());
    }

    #[test]
    fn people_see_what_was_changed() {
        let text = list_text(&[bucket(&[("r", "3"), ("durability", "written")])]);
        assert!(text.contains("carts") && text.contains("r=3 durability=written"), "{text}");
        assert!(list_text(&[]).contains("defaults"));
        assert!(bucket_text(&bucket(&[])).contains("never set"));
    }

    #[test]
    fn quorums_that_need_not_meet_are_warned_of_in_text_and_in_json() {
        let weak = bucket(&[("r", "1"), ("w", "1")]);
        let text = bucket_text(&weak);
        assert!(text.contains("warning: r=1 and w=1 together are not above n=3"), "{text}");
        assert_eq!(bucket_json(&weak)["warnings"].as_array().unwrap().len(), 1);
        assert!(!bucket_text(&bucket(&[])).contains("warning:"));
    }
}

//! `node stats`: every node's counters, side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use jedlik_client::ClientError;
use jedlik_protocol::admin::{NodeStats, ShardTrouble, TroubleKind};
use jedlik_protocol::client::MemberAddress;
use serde_json::{Map, Value, json};

use crate::connection::ConnectionArgs;
use crate::exit::UNAVAILABLE;
use crate::output::{self, Output};

const STATS_TIMEOUT: Duration = Duration::from_secs(3);

type Told = (MemberAddress, Result<NodeStats, ClientError>);

pub(super) async fn run(connection: &ConnectionArgs, output: Output) -> anyhow::Result<ExitCode> {
    let told = connection.connect().await?.admin().stats(STATS_TIMEOUT).await;
    output.print(&json(&told), || text(&told))?;
    let mut silent = false;
    for (member, stats) in &told {
        if let Err(error) = stats {
            output::say(&format_args!("jedlik-admin: no counters from {}: {error}", member.name));
            silent = true;
        }
    }
    Ok(if silent { UNAVAILABLE.into() } else { ExitCode::SUCCESS })
}

fn json(told: &[Told]) -> Value {
    let nodes: Vec<Value> = told
        .iter()
        .map(|(member, stats)| {
            let counters = stats.as_ref().ok().map(|stats| {
                let counters = stats.counters.iter();
                let named = counters.map(|(name, value)| (name.clone(), (*value).into()));
                named.collect::<Map<String, Value>>()
            });
            json!({
                "node": member.node.to_string(),
                "name": member.name,
                "address": member.address,
                "counters": counters,
                "troubles": stats.as_ref().ok().map(|stats| troubles(&stats.troubles)),
                "error": stats.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    json!({ "nodes": nodes })
}

fn troubles(troubles: &[ShardTrouble]) -> Vec<Value> {
    let trouble = |trouble: &ShardTrouble| {
        json!({
            "shard": trouble.shard,
            "kind": kind_name(trouble.kind),
            "since_ms": trouble.since_ms,
            "what": trouble.what,
        })
    };
    troubles.iter().map(trouble).collect()
}

fn kind_name(kind: TroubleKind) -> &'static str {
    match kind {
        TroubleKind::Reopening => "reopening",
        TroubleKind::SetAside => "set-aside",
        TroubleKind::Stalled => "stalled",
        TroubleKind::Full => "full",
        TroubleKind::ReadOnly => "read-only",
        TroubleKind::EarlierCopy => "earlier-copy",
        TroubleKind::FilesGone => "files-gone",
    }
}

/// Formats the counters: a line for each counter, a column for each node that answered.
fn text(told: &[Told]) -> String {
    let nodes: Vec<(&str, BTreeMap<&str, u64>)> = told
        .iter()
        .filter_map(|(member, stats)| {
            let counters = stats.as_ref().ok()?.counters.iter();
            let named = counters.map(|(name, value)| (name.as_str(), *value));
            Some((member.name.as_str(), named.collect()))
        })
        .collect();
    let Some((_, Ok(first))) = told.iter().find(|(_, stats)| stats.is_ok()) else {
        return String::new();
    };
    let names: Vec<&str> = first.counters.iter().map(|(name, _)| name.as_str()).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}", "");
    for (node, _) in &nodes {
        write!(text, "  {node:>16}").expect("writing into memory can't fail");
    }
    text.push('\n');
    for name in names {
        write!(text, "{name:width$}").expect("writing into memory can't fail");
        for (_, counters) in &nodes {
            let value = counters.get(name).map_or_else(|| "-".into(), ToString::to_string);
            write!(text, "  {value:>16}").expect("writing into memory can't fail");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use jedlik_client::{ClientError, NodeId};
    use jedlik_protocol::admin::NodeStats;
    use jedlik_protocol::client::MemberAddress;

    use super::{Told, json, text};

    fn told(node: u64, counters: Option<&[(&str, u64)]>) -> Told {
        let member = MemberAddress {
            node: NodeId(node),
            name: format!("n{node}"),
            address: "127.0.0.1:1".parse().unwrap(),
            alive: true,
        };
        let stats = counters.map(|counters| NodeStats {
            counters: counters.iter().map(|(name, value)| ((*name).into(), *value)).collect(),
            troubles: Vec::new(),
        });
        (member, stats.ok_or(ClientError::NoLayout))
    }

    #[test]
    fn counters_stand_side_by_side_and_a_silent_node_is_named_in_json() {
        let told = [
            told(1, Some(&[("cpu_us", 5), ("puts", 1)])),
            told(2, Some(&[("cpu_us", 7)])),
            told(3, None),
        ];
        let lines: Vec<String> = text(&told)
            .lines()
            .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines, ["n1 n2", "cpu_us 5 7", "puts 1 -"]);
        let json = json(&told);
        assert_eq!(json["nodes"][0]["counters"]["cpu_us"], 5);
        assert!(json["nodes"][2]["counters"].is_null() && json["nodes"][2]["error"].is_string());
    }
}

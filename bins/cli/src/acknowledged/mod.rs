//! The nodes that acknowledged a write, and the primaries that they stand in for: as JSON, or a line for each node.

#[cfg(test)]
mod tests;

use jedlik_client::{Context, NodeId, Stored};
use jedlik_protocol::client::MemberAddress;
use serde_json::{Value, json};

use crate::parse::context_text;

/// Formats a write's answer as one line of JSON.
pub(crate) fn json(answer: &Stored, members: &[MemberAddress]) -> Value {
    let by: Vec<Value> = answer
        .acknowledgements()
        .iter()
        .map(|one| {
            json!({
                "node": one.node.to_string(),
                "name": name(one.node, members),
                "stands_in_for": one.stands_in_for.map(|target| json!({
                    "node": target.to_string(),
                    "name": name(target, members),
                })),
                "synced": one.synced,
            })
        })
        .collect();
    json!({
        "context": context_text(&answer.context()),
        "siblings": answer.siblings(),
        "warning": answer.has_many_siblings(),
        "acknowledged": answer.acknowledged(),
        "synced": answer.synced(),
        "by": by,
    })
}

/// Formats what stands in for a write's answer where there was nothing to write, in the same form.
pub(crate) fn nothing(context: Option<&Context>) -> Value {
    json!({
        "context": context.map(context_text),
        "siblings": 0,
        "warning": false,
        "acknowledged": 0,
        "synced": 0,
        "by": [],
    })
}

/// Formats a write's answer for people, a line for each acknowledgement.
pub(crate) fn text(answer: &Stored, members: &[MemberAddress]) -> String {
    let mut text =
        format!("acknowledged by {}, synced on {}\n", answer.acknowledged(), answer.synced());
    let called = |node| name(node, members).map_or_else(|| format!("node {node}"), str::to_owned);
    for one in answer.acknowledgements() {
        let stands_in = match one.stands_in_for {
            Some(target) => format!(" standing in for {}", called(target)),
            None => String::new(),
        };
        let synced = if one.synced { "synced" } else { "not synced" };
        text += &format!("  {}{stands_in}, {synced}\n", called(one.node));
    }
    text
}

fn name(node: NodeId, members: &[MemberAddress]) -> Option<&str> {
    members.iter().find(|member| member.node == node).map(|member| member.name.as_str())
}

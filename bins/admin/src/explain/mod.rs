//! `jedlik-admin explain`: a key's place, the record that each node holds of it, and the nodes that are behind.
//!
//! Invariant: the output shows what each node holds; only the statuses compare.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use jedlik_amounts::bytes;
use jedlik_client::ClientError;
use jedlik_console::rfc3339_ms;
use jedlik_protocol::Key;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, Explanation, Holder};
use jedlik_protocol::client::MemberAddress;
use jedlik_protocol::escape::Escaped;
use jedlik_protocol::inspection::{HintSummary, RecordSummary, SiblingSummary};
use serde_json::{Value, json};

use crate::bucket::name_bytes;
use crate::connection::ConnectionArgs;
use crate::exit::Usage;
use crate::members::{name, node_json};
use crate::output::Output;

/// Show where a key belongs and what each node holds of it
///
/// Asks one node, which asks the others. Shows the key's position and partition, its preference list, each replica's
/// record and hints with clocks, siblings, tombstones and times, and which nodes are behind. Values are not shown;
/// `jedlik get` does that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik-admin explain carts alice
  jedlik-admin explain carts alice --json")]
pub(crate) struct ExplainArgs {
    bucket: OsString,
    key: OsString,
    /// Bucket and key have escapes, as `jedlik keys` prints them: \\ \n \r \t \xHH
    #[arg(long, short)]
    escapes: bool,
}

pub(crate) async fn run(
    connection: &ConnectionArgs,
    args: ExplainArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let bytes = |argument| name_bytes(argument, args.escapes);
    let key = Key::new(bytes(&args.bucket)?, bytes(&args.key)?)
        .map_err(|error| Usage(error.to_string()))?;
    let title = format!("{}/{}", Escaped(key.bucket()), Escaped(key.key()));
    let client = connection.connect().await?;
    let answer = client.admin().ask(AdminRequest::Explain { key }, None).await?;
    let AdminResponse::Explained(explained) = answer else {
        return Err(ClientError::Mismatch.into());
    };
    let members = client.admin().topology().members;
    output.print(&to_json(&explained, &members), || to_text(&title, &explained, &members))?;
    Ok(ExitCode::SUCCESS)
}

/// State of a node's record compared with the merge of all records and hints found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CopyStatus {
    /// The node's record equals the merge, or it is a primary and nothing was found anywhere.
    UpToDate,
    /// The node is a primary, and its record differs from the merge or is missing.
    Behind,
    /// The node's record is damaged and can't be read.
    Damaged,
    /// The node is a fallback that holds a different record, or hints for others.
    Beside,
    /// The node is a fallback and holds nothing of the key.
    Nothing,
    /// The node did not answer.
    Silent,
}

impl CopyStatus {
    fn of(holder: &Holder, explained: &Explanation) -> Self {
        let Some(holds) = &holder.holds else { return Self::Silent };
        let digest = |record: &Option<RecordSummary>| record.as_ref().map(|record| record.digest);
        let primary = holder.rank < u16::from(explained.n);
        if holds.damaged {
            Self::Damaged
        } else if digest(&holds.record) == digest(&explained.merged) {
            if holds.record.is_some() || primary { Self::UpToDate } else { Self::Nothing }
        } else if primary {
            Self::Behind
        } else if holds.record.is_some() || !holds.hints.is_empty() {
            Self::Beside
        } else {
            Self::Nothing
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "up to date",
            Self::Behind => "behind",
            Self::Damaged => "damaged",
            Self::Beside => "not an owner",
            Self::Nothing => "nothing",
            Self::Silent => "no answer",
        }
    }
}

fn role(holder: &Holder, n: u8) -> String {
    match holder.rank.checked_sub(n.into()) {
        None => format!("primary {}", holder.rank + 1),
        Some(past) => format!("fallback {}", past + 1),
    }
}

fn to_text(title: &str, explained: &Explanation, members: &[MemberAddress]) -> String {
    let mut text = format!(
        "{title} is at position {:032x} in partition {}, n = {}\n",
        explained.position.0, explained.partition, explained.n
    );
    match &explained.merged {
        Some(merged) => put(&mut text, 0, "merged: ", merged),
        None => text += "nobody holds anything of it\n",
    }
    for holder in &explained.holders {
        let status = CopyStatus::of(holder, explained);
        let up = if holder.alive { "up" } else { "away" };
        let (node, role) = (name(holder.node, members), role(holder, explained.n));
        let refilling = holder.holds.as_ref().is_some_and(|holds| holds.refilling);
        let votes = if refilling { ", refilling: can't say what is absent" } else { "" };
        line(&mut text, 0, &format!("{node}  {role}, {up}: {}{votes}", status.name()));
        let Some(holds) = &holder.holds else { continue };
        if let Some(record) = &holds.record
            && status != CopyStatus::UpToDate
        {
            put(&mut text, 2, "record ", record);
        }
        for hint in &holds.hints {
            put_hint(&mut text, hint, explained, members);
        }
    }
    text + &summary(explained, members)
}

fn put_hint(
    text: &mut String,
    hint: &HintSummary,
    explained: &Explanation,
    members: &[MemberAddress],
) {
    let (target, since) = (name(hint.target, members), rfc3339_ms(hint.since_ms));
    let same = explained.merged.as_ref().is_some_and(|merged| merged.digest == hint.record.digest);
    if same {
        line(text, 2, &format!("hint for {target} since {since}: all of it"));
    } else {
        put(text, 2, &format!("hint for {target} since {since}: "), &hint.record);
    }
}

/// Prints a record: a line for it and one for each of its versions.
fn put(text: &mut String, indent: usize, what: &str, record: &RecordSummary) {
    let clock: Vec<String> =
        record.clock.iter().map(|(actor, counter)| dot(*actor, *counter)).collect();
    let (digest, clock) = (record.digest.0, clock.join(" "));
    line(text, indent, &format!("{what}{digest:016x}, clock {clock}"));
    let mut shown = BTreeSet::new();
    for sibling in &record.siblings {
        let again =
            if shown.insert(sibling.write_id) { "" } else { ", another attempt of a put above" };
        line(text, indent + 2, &(version(sibling) + again));
    }
    if record.siblings.is_empty() {
        line(text, indent + 2, "no version");
    }
}

fn version(sibling: &SiblingSummary) -> String {
    let what = match sibling.value_bytes {
        Some(length) => format!("value of {}", bytes(length.into())),
        None => "tombstone".into(),
    };
    let (dot, written) = (dot(sibling.actor, sibling.counter), rfc3339_ms(sibling.written_at_ms));
    let expires = sibling.expires_at_ms.map(|at| format!(", expires {}", rfc3339_ms(at)));
    format!("{what}, {dot}, written {written}{}", expires.unwrap_or_default())
}

/// Formats a dot. Actors are random: eight digits suffice to tell the actors of one key apart.
fn dot(actor: u64, counter: u64) -> String {
    format!("{:08x}:{counter}", actor >> 32)
}

fn line(text: &mut String, indent: usize, rest: &str) {
    writeln!(text, "{:indent$}{rest}", "").expect("writing into memory can't fail");
}

/// Returns a line that says whether there is anything to do.
fn summary(explained: &Explanation, members: &[MemberAddress]) -> String {
    let who = |wanted: CopyStatus| -> Vec<String> {
        let of = |holder: &&Holder| CopyStatus::of(holder, explained) == wanted;
        explained.holders.iter().filter(of).map(|holder| name(holder.node, members)).collect()
    };
    let cases = [
        ("behind", who(CopyStatus::Behind)),
        ("damaged", who(CopyStatus::Damaged)),
        ("no answer from", who(CopyStatus::Silent)),
    ];
    let said: Vec<String> = cases
        .into_iter()
        .filter(|(_, nodes)| !nodes.is_empty())
        .map(|(what, nodes)| format!("{what}: {}", nodes.join(", ")))
        .collect();
    if said.is_empty() { "every primary agrees\n".into() } else { said.join("; ") + "\n" }
}

fn to_json(explained: &Explanation, members: &[MemberAddress]) -> Value {
    let holders: Vec<Value> =
        explained.holders.iter().map(|holder| holder_json(holder, explained, members)).collect();
    json!({
        "position": format!("{:032x}", explained.position.0),
        "partition": explained.partition.0,
        "n": explained.n,
        "merged": explained.merged.as_ref().map(record_json),
        "holders": holders,
    })
}

fn holder_json(holder: &Holder, explained: &Explanation, members: &[MemberAddress]) -> Value {
    let hints = holder.holds.as_ref().map(|holds| {
        let hints = holds.hints.iter().map(|hint| {
            json!({
                "target": node_json(hint.target, members),
                "since": rfc3339_ms(hint.since_ms),
                "record": record_json(&hint.record),
            })
        });
        hints.collect::<Vec<Value>>()
    });
    let record = holder.holds.as_ref().and_then(|holds| holds.record.as_ref());
    json!({
        "holder": node_json(holder.node, members),
        "rank": holder.rank,
        "primary": holder.rank < u16::from(explained.n),
        "alive": holder.alive,
        "status": CopyStatus::of(holder, explained).name(),
        "record": record.map(record_json),
        "hints": hints,
        "refilling": holder.holds.as_ref().is_some_and(|holds| holds.refilling),
    })
}

fn record_json(record: &RecordSummary) -> Value {
    let clock: Vec<Value> = record
        .clock
        .iter()
        .map(|(actor, counter)| json!({ "actor": format!("{actor:016x}"), "counter": counter }))
        .collect();
    let siblings: Vec<Value> = record
        .siblings
        .iter()
        .map(|sibling| {
            json!({
                "actor": format!("{:016x}", sibling.actor),
                "counter": sibling.counter,
                "write_id": format!("{:032x}", sibling.write_id.0),
                "deleted": sibling.value_bytes.is_none(),
                "value_bytes": sibling.value_bytes,
                "written_at": rfc3339_ms(sibling.written_at_ms),
                "expires_at": sibling.expires_at_ms.map(rfc3339_ms),
            })
        })
        .collect();
    let digest = format!("{:016x}", record.digest.0);
    json!({ "digest": digest, "clock": clock, "siblings": siblings })
}

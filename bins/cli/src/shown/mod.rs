//! Versions as commands show them: as JSON, or apart from one another as text.
//!
//! Invariant: one value alone is shown as its bytes and nothing else.

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use jedlik_client::{Content, rfc3339};
use jedlik_protocol::Blob;
use jedlik_protocol::client::{GetAnswer, Version};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::entry::Bytes;
use crate::output::Output;
use crate::parse::context_text;

/// The values among the versions.
pub(crate) fn values(versions: &[Version]) -> impl Iterator<Item = &Blob> {
    versions.iter().filter_map(|version| match &version.content {
        Content::Value(value) => Some(value),
        Content::Tombstone => None,
    })
}

/// What `get --json` prints.
#[derive(Serialize)]
struct Shown {
    siblings: Vec<ShownVersion>,
    context: Option<String>,
    answered: u8,
    primaries: u8,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

#[derive(Serialize)]
struct ShownVersion {
    #[serde(flatten)]
    value: Option<Bytes<Box<RawValue>>>,
    written_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    tag: String,
    deleted: bool,
}

/// A get's answer as one line of JSON.
pub(crate) fn json(answer: &GetAnswer) -> serde_json::Result<String> {
    let siblings = answer.versions.iter().map(|version| ShownVersion {
        value: match &version.content {
            Content::Value(value) => Some(Bytes::plain(value)),
            Content::Tombstone => None,
        },
        written_at: rfc3339(version.written_at_ms),
        expires_at: version.expires_at_ms.map(rfc3339),
        tag: format!("{:016x}", version.tag),
        deleted: version.content == Content::Tombstone,
    });
    let context = answer.context.as_ref().map(|context| context_text(context));
    serde_json::to_string(&Shown {
        siblings: siblings.collect(),
        context,
        answered: answer.answered,
        primaries: answer.primaries,
        partial: answer.partial,
    })
}

/// Writes a found key's versions: one value as it is, several each under a header line.
pub(crate) fn text(out: &mut impl Write, versions: &[Version], terminal: bool) -> io::Result<()> {
    if let [Version { content: Content::Value(value), .. }] = versions {
        out.write_all(value)?;
        return if terminal { writeln!(out) } else { Ok(()) };
    }
    for (index, version) in versions.iter().enumerate() {
        let (number, count) = (index + 1, versions.len());
        let written = rfc3339(version.written_at_ms);
        let tag = version.tag;
        match &version.content {
            Content::Value(value) => {
                let bytes = value.len();
                writeln!(
                    out,
                    "--- sibling {number} of {count}, written {written}, tag {tag:016x}, {bytes} bytes"
                )?;
                out.write_all(value)?;
                writeln!(out)?;
            }
            Content::Tombstone => writeln!(
                out,
                "--- sibling {number} of {count}, written {written}, tag {tag:016x}, deleted"
            )?,
        }
    }
    Ok(())
}

/// Prints a found key's versions on standard output.
pub(crate) fn print(versions: &[Version]) -> anyhow::Result<()> {
    let mut output = Output::new();
    let mut shown = Vec::new();
    text(&mut shown, versions, output.is_terminal())?;
    output.write(&shown)?;
    Ok(output.finish()?)
}

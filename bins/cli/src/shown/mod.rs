//! Versions as commands show them: as JSON, or as text with separators.
//!
//! Invariant: a single value is shown as its bytes and nothing else.

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use jedlik_client::{Found, Sibling};
use jedlik_console::rfc3339;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::entry::{AttributesJson, Bytes};
use crate::output::Output;
use crate::parse::context_text;

/// Output of `get --json`, as one JSON object.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<AttributesJson>,
    written_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    tag: String,
    deleted: bool,
}

/// Formats a get's answer as one line of JSON.
pub(crate) fn json(answer: &Found) -> serde_json::Result<String> {
    let siblings = answer.siblings().iter().map(|sibling| ShownVersion {
        value: sibling.value().map(|value| Bytes::plain(value)),
        attributes: sibling.attributes().and_then(|carried| AttributesJson::of(&carried)),
        written_at: rfc3339(sibling.written_at()),
        expires_at: sibling.expires_at().map(rfc3339),
        tag: sibling.tag().to_string(),
        deleted: sibling.is_tombstone(),
    });
    let context = answer.context().as_ref().map(context_text);
    serde_json::to_string(&Shown {
        siblings: siblings.collect(),
        context,
        answered: answer.answered(),
        primaries: answer.primaries(),
        partial: answer.is_partial(),
    })
}

/// Writes a key's versions: a single value as it is, several each under a header line. On a terminal, a single value
/// ends its line.
pub(crate) fn text(out: &mut impl Write, siblings: &[Sibling], terminal: bool) -> io::Result<()> {
    if let [one] = siblings
        && let Some(value) = one.value()
    {
        out.write_all(value)?;
        return if terminal && !value.ends_with(b"\n") { writeln!(out) } else { Ok(()) };
    }
    for (index, sibling) in siblings.iter().enumerate() {
        let (number, count) = (index + 1, siblings.len());
        let (written, tag) = (rfc3339(sibling.written_at()), sibling.tag());
        match sibling.value() {
            Some(value) => {
                let bytes = value.len();
                writeln!(
                    out,
                    "--- sibling {number} of {count}, written {written}, tag {tag}, {bytes} bytes"
                )?;
                out.write_all(value)?;
                writeln!(out)?;
            }
            None => writeln!(
                out,
                "--- sibling {number} of {count}, written {written}, tag {tag}, deleted"
            )?,
        }
    }
    Ok(())
}

/// Prints a key's versions on standard output.
pub(crate) fn print(siblings: &[Sibling]) -> anyhow::Result<()> {
    let mut output = Output::new();
    let mut shown = Vec::new();
    text(&mut shown, siblings, output.is_terminal())?;
    output.write(&shown)?;
    Ok(output.finish()?)
}

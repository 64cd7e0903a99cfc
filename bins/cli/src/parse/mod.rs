//! Parsers of arguments: contexts, and values from three sources.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_client::{Bytes, Context};
use jedlik_protocol::limits::{CONTEXT_LIMIT_BYTES, VALUE_LIMIT_MAX_BYTES};

use crate::exit::Usage;

/// Longest text of a context: its base64, and white space around it.
const CONTEXT_TEXT_BYTES: u64 = (CONTEXT_LIMIT_BYTES as u64).div_ceil(3) * 4 + 1024;

/// Formats a context as text.
pub(crate) fn context_text(context: &Context) -> String {
    STANDARD.encode(context.as_bytes())
}

/// Parses a context from text; white space around it is ignored.
pub(crate) fn context(text: &str) -> Result<Context, String> {
    STANDARD
        .decode(text.trim())
        .map(Context::from_bytes)
        .map_err(|error| format!("the context is not base64 as `get` gave it out: {error}"))
}

/// Reads a context from a file that `--context-out` wrote.
pub(crate) fn context_file(path: &Path) -> anyhow::Result<Context> {
    let unreadable = || Usage(format!("can't read the context from {}", path.display()));
    let file = std::fs::File::open(path).with_context(unreadable)?;
    let mut text = String::new();
    file.take(CONTEXT_TEXT_BYTES + 1).read_to_string(&mut text).with_context(unreadable)?;
    if text.len() as u64 > CONTEXT_TEXT_BYTES {
        let path = path.display();
        let text = format!(
            "{path} has more than {CONTEXT_TEXT_BYTES} bytes, the text of a context of the largest size \
             ({CONTEXT_LIMIT_BYTES} bytes): no get gave it out"
        );
        return Err(Usage(text).into());
    }
    Ok(context(&text).map_err(Usage)?)
}

/// Parses `NAME=VALUE`; the value may hold further equals signs.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not NAME=VALUE")),
    }
}

/// Reads a value's bytes: from the argument itself, from a file, or for `-` from standard input.
pub(crate) fn value(argument: Option<OsString>, file: Option<PathBuf>) -> anyhow::Result<Bytes> {
    let limit = u64::from(VALUE_LIMIT_MAX_BYTES) + 1;
    let mut bytes = Vec::new();
    match (argument, file) {
        (_, Some(path)) => {
            let unreadable = || Usage(format!("can't read the value from {}", path.display()));
            let file = std::fs::File::open(&path).with_context(unreadable)?;
            file.take(limit).read_to_end(&mut bytes).with_context(unreadable)?;
        }
        (Some(text), None) if text == "-" => {
            let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
            read.context(Usage("can't read the value from standard input".into()))?;
        }
        (Some(text), None) => bytes = text.into_encoded_bytes(),
        (None, None) => {
            return Err(Usage("give a value, --file PATH, or - for standard input".into()).into());
        }
    }
    if bytes.len() as u64 >= limit {
        let text = format!("the value is over the largest limit of {VALUE_LIMIT_MAX_BYTES} bytes");
        return Err(Usage(text).into());
    }
    Ok(Bytes::from(bytes))
}

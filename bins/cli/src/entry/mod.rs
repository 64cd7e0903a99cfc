//! One key with its values as a line of a dump: what `load` reads and `dump` writes.
//!
//! Invariant: loading what was dumped stores the same bytes. A JSON string stands for its own bytes,
//! any other JSON value for its text without white space; what is not UTF-8 goes in base64.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Bytes in JSON: a value as text or JSON where they are such, else in base64.
#[derive(Serialize)]
pub(crate) enum Bytes<T> {
    #[serde(rename = "value")]
    Value(T),
    #[serde(rename = "value_base64")]
    Base64(String),
}

/// What one line stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    /// More than one: siblings.
    pub(crate) values: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<Box<RawValue>>,
    value_base64: Option<String>,
    siblings: Option<Vec<SiblingLine>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiblingLine {
    value: Option<Box<RawValue>>,
    value_base64: Option<String>,
}

#[derive(Serialize)]
struct DumpedLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(flatten)]
    value: Option<Bytes<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    siblings: Option<Vec<Bytes<Box<RawValue>>>>,
}

impl Bytes<Box<RawValue>> {
    /// Text as a JSON string, always.
    pub(crate) fn plain(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Value(
                serde_json::value::to_raw_value(text).expect("a string is always valid JSON"),
            ),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    /// A JSON object or array as itself where loading it gives the same bytes, other text as a
    /// string.
    fn structured(bytes: &[u8]) -> Self {
        let json = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.starts_with(['{', '[']))
            .and_then(|text| serde_json::from_str::<Box<RawValue>>(text).ok())
            .filter(|raw| compact(raw.get()).as_bytes() == bytes);
        json.map_or_else(|| Self::plain(bytes), Self::Value)
    }
}

impl Entry {
    /// A line whose key is also its value.
    pub(crate) fn plain(line: &[u8]) -> Self {
        Self { key: line.to_vec(), values: vec![line.to_vec()] }
    }

    /// Reads a line of JSON.
    pub(crate) fn from_json(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let key = match (line.key, line.key_base64) {
            (Some(key), None) => key.into_bytes(),
            (None, Some(encoded)) => decode(&encoded)?,
            _ => return Err("needs either key or key_base64".into()),
        };
        let single = line.value.is_some() || line.value_base64.is_some();
        let values = match (single, line.siblings) {
            (true, None) => vec![value(line.value.as_deref(), line.value_base64.as_deref())?],
            (false, Some(siblings)) if !siblings.is_empty() => siblings
                .iter()
                .map(|sibling| value(sibling.value.as_deref(), sibling.value_base64.as_deref()))
                .collect::<Result<_, _>>()?,
            _ => return Err("needs either value, value_base64 or siblings".into()),
        };
        Ok(Self { key, values })
    }

    /// The entry as a line of JSON, without a line end.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        let text = std::str::from_utf8(&self.key);
        let mut values = self.values.iter().map(|value| Bytes::structured(value));
        let (value, siblings) = match self.values.len() {
            1 => (values.next(), None),
            _ => (None, Some(values.collect())),
        };
        serde_json::to_string(&DumpedLine {
            key: text.ok(),
            key_base64: text.is_err().then(|| STANDARD.encode(&self.key)),
            value,
            siblings,
        })
    }

    /// Whether a plain line stands for it.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.values.as_slice(), [value] if *value == self.key)
            && !self.key.contains(&b'\n')
    }
}

/// A key by itself: a JSON string, or an object with its base64 where it is not UTF-8.
pub(crate) fn key_json(key: &[u8]) -> serde_json::Result<String> {
    std::str::from_utf8(key).map_or_else(
        |_| serde_json::to_string(&serde_json::json!({ "key_base64": STANDARD.encode(key) })),
        serde_json::to_string,
    )
}

fn value(json: Option<&RawValue>, base64: Option<&str>) -> Result<Vec<u8>, String> {
    match (json, base64) {
        (Some(json), None) if json.get().starts_with('"') => {
            serde_json::from_str::<String>(json.get())
                .map(String::into_bytes)
                .map_err(|error| error.to_string())
        }
        (Some(json), None) => Ok(compact(json.get()).into_bytes()),
        (None, Some(encoded)) => decode(encoded),
        _ => Err("needs either value or value_base64".into()),
    }
}

fn decode(encoded: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(encoded).map_err(|error| format!("not base64: {error}"))
}

/// Valid JSON without the white space between its tokens; numbers and the order of members stay.
fn compact(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if quoted || !c.is_ascii_whitespace() {
            text.push(c);
        }
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
    }
    text
}

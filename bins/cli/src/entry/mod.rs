//! The lines of a dump, which `load` reads and `dump` writes: a key with its values, a bucket's properties, and a first
//! and a last line that show whether the dump is whole.
//!
//! Invariant: loading what was dumped stores the same bytes. A JSON string stands for its own bytes, any other JSON
//! value for its text without white space; bytes that are not UTF-8 are in base64.

mod attributes;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_client::Attributes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use attributes::AttributesJson;

/// Bytes in JSON: as text or as a JSON value where they are one, otherwise in base64.
#[derive(Serialize)]
pub(crate) enum Bytes<T> {
    #[serde(rename = "value")]
    Value(T),
    #[serde(rename = "value_base64")]
    Base64(String),
}

/// Version of the form that dumps are written in.
pub(crate) const FORM: u32 = 1;

/// Member that only a header line has; its value is the form's version.
const HEADER_NAME: &str = "jedlik_dump";
/// Longest line that may be a header.
const HEADER_MOST_BYTES: usize = 64 << 10;

/// One line of a dump, or of any file that `load` reads as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DumpLine {
    /// The first line of a whole dump.
    Header,
    /// The first line of a dump that another version wrote, in a form that this one does not know.
    Unknown {
        /// Version of the form and names of other members, as the line has them.
        form: String,
    },
    /// Line with a bucket's properties, by their names.
    Properties { bucket: Vec<u8>, properties: Vec<(String, String)> },
    /// Line with a key and its values.
    Entry(Entry),
    /// The last line of a whole dump.
    End {
        /// Number of keys that the dump has.
        keys: u64,
    },
}

/// Key that one line stores, with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Name of the bucket, in a dump of all buckets; `None` if the line names none.
    pub(crate) bucket: Option<Vec<u8>>,
    pub(crate) key: Vec<u8>,
    /// Values of the key; more than one are siblings.
    pub(crate) values: Vec<Valued>,
}

/// Value of a key, with what it carries beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Valued {
    pub(crate) bytes: Vec<u8>,
    pub(crate) attributes: Attributes,
}

impl Valued {
    /// Makes a value that carries nothing.
    pub(crate) fn plain(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), attributes: Attributes::default() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    bucket: Option<String>,
    bucket_base64: Option<String>,
    properties: Option<serde_json::Map<String, serde_json::Value>>,
    end: Option<EndLine>,
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<Box<RawValue>>,
    value_base64: Option<String>,
    attributes: Option<AttributesJson>,
    siblings: Option<Vec<SiblingLine>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    keys: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiblingLine {
    value: Option<Box<RawValue>>,
    value_base64: Option<String>,
    attributes: Option<AttributesJson>,
}

#[derive(Serialize)]
struct DumpedLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(flatten)]
    value: Option<DumpedValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    siblings: Option<Vec<DumpedValue>>,
}

#[derive(Serialize)]
struct DumpedValue {
    #[serde(flatten)]
    bytes: Bytes<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<AttributesJson>,
}

impl Bytes<Box<RawValue>> {
    /// Converts UTF-8 bytes to a JSON string, and other bytes to base64.
    pub(crate) fn plain(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Value(
                serde_json::value::to_raw_value(text).expect("a string is always valid JSON"),
            ),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    /// Keeps a JSON object or array as such if loading it gives the same bytes; other text becomes a string.
    fn structured(bytes: &[u8]) -> Self {
        let json = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.starts_with(['{', '[']))
            .and_then(|text| serde_json::from_str::<Box<RawValue>>(text).ok())
            .filter(|raw| compact(raw.get()).as_bytes() == bytes);
        json.map_or_else(|| Self::plain(bytes), Self::Value)
    }
}

impl DumpLine {
    /// Parses a line of JSON; the error is a message for people.
    pub(crate) fn from_json(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        if let Some(header) = Self::header(text) {
            return Ok(header);
        }
        let line: Line = serde_json::from_str(text).map_err(|error| in_the_line(&error))?;
        if let Some(EndLine { keys }) = line.end {
            return Ok(Self::End { keys });
        }
        let bucket = bytes("bucket", line.bucket.clone(), line.bucket_base64.as_deref())?;
        let Some(properties) = &line.properties else {
            return Entry::from_line(line, bucket).map(Self::Entry);
        };
        let bucket = bucket.ok_or("properties need a bucket")?;
        let property = |(name, value): (&String, &serde_json::Value)| match value {
            serde_json::Value::Null => Ok((name.clone(), "none".to_owned())),
            serde_json::Value::String(text) => Ok((name.clone(), text.clone())),
            serde_json::Value::Number(number) => Ok((name.clone(), number.to_string())),
            _ => Err(format!("the property {name} is no string or number")),
        };
        let properties = properties.iter().map(property).collect::<Result<_, _>>()?;
        Ok(Self::Properties { bucket, properties })
    }

    /// Parses a header, whatever else a later version may add to it; `None` for every other line.
    fn header(text: &str) -> Option<Self> {
        // Values may be long, but headers are not.
        if text.len() > HEADER_MOST_BYTES || !text.contains(HEADER_NAME) {
            return None;
        }
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        let form = line.get(HEADER_NAME)?;
        let others: Vec<&str> =
            line.keys().map(String::as_str).filter(|name| *name != HEADER_NAME).collect();
        if others.is_empty() && form.as_u64() == Some(FORM.into()) {
            return Some(Self::Header);
        }
        let with = if others.is_empty() { "" } else { " with " };
        Some(Self::Unknown { form: format!("{form}{with}{}", others.join(", ")) })
    }

    /// Formats the line as JSON, without a line end.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        match self {
            Self::Unknown { form } => Ok(format!("{{\"{HEADER_NAME}\":{form}}}")),
            Self::Header => Ok(format!("{{\"{HEADER_NAME}\":{FORM}}}")),
            Self::End { keys } => Ok(format!("{{\"end\":{{\"keys\":{keys}}}}}")),
            Self::Entry(entry) => entry.to_json(),
            Self::Properties { bucket, properties } => {
                let mut line = serde_json::Map::new();
                let (name, name_base64) = text_or_base64(bucket);
                let encoded = name_base64.map(|name| ("bucket_base64", name));
                let name = name.map(|name| ("bucket", name.to_owned()));
                line.extend(name.or(encoded).map(|(field, name)| (field.to_owned(), name.into())));
                line.insert("properties".into(), properties_json(properties));
                serde_json::to_string(&line)
            }
        }
    }
}

/// Converts properties to JSON: numbers as numbers, `none` as null, words as strings.
pub(crate) fn properties_json(properties: &[(String, String)]) -> serde_json::Value {
    let value = |value: &String| match value.parse::<u64>() {
        Ok(number) => number.into(),
        Err(_) if value == "none" => serde_json::Value::Null,
        Err(_) => value.clone().into(),
    };
    properties.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

/// Returns the bytes that a line gives as text or in base64; `None` if it gives neither.
fn bytes(
    what: &str,
    text: Option<String>,
    base64: Option<&str>,
) -> Result<Option<Vec<u8>>, String> {
    match (text, base64) {
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(encoded)) => decode(encoded).map(Some),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(format!("needs either {what} or {what}_base64")),
    }
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    let text = std::str::from_utf8(bytes);
    (text.ok(), text.is_err().then(|| STANDARD.encode(bytes)))
}

impl Entry {
    /// Makes the entry of a plain line, whose key is also its value.
    pub(crate) fn plain(line: &[u8]) -> Self {
        Self { bucket: None, key: line.to_vec(), values: vec![Valued::plain(line)] }
    }

    fn from_line(line: Line, bucket: Option<Vec<u8>>) -> Result<Self, String> {
        let key = bytes("key", line.key, line.key_base64.as_deref())?;
        let key = key.ok_or("needs either key or key_base64")?;
        let single = line.value.is_some() || line.value_base64.is_some();
        let values = match (single, line.siblings) {
            (true, None) => {
                let (value, value_base64) = (line.value, line.value_base64);
                vec![valued(SiblingLine { value, value_base64, attributes: line.attributes })?]
            }
            (false, Some(siblings)) if !siblings.is_empty() && line.attributes.is_none() => {
                siblings.into_iter().map(valued).collect::<Result<_, _>>()?
            }
            _ => return Err("needs either value, value_base64 or siblings".into()),
        };
        Ok(Self { bucket, key, values })
    }

    /// Formats the entry as a line of JSON, without a line end.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        let (bucket, bucket_base64) = self.bucket.as_deref().map_or((None, None), text_or_base64);
        let (key, key_base64) = text_or_base64(&self.key);
        let mut values = self.values.iter().map(|value| DumpedValue {
            bytes: Bytes::structured(&value.bytes),
            attributes: AttributesJson::of(&value.attributes),
        });
        let (value, siblings) = match self.values.len() {
            1 => (values.next(), None),
            _ => (None, Some(values.collect())),
        };
        serde_json::to_string(&DumpedLine {
            bucket,
            bucket_base64,
            key,
            key_base64,
            value,
            siblings,
        })
    }

    /// Whether a plain line can stand for the entry.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.values.as_slice(), [value] if *value == Valued::plain(&self.key))
            && !self.key.contains(&b'\n')
    }
}

/// Formats a key alone: as a JSON string, or as an object with its base64 if it is not UTF-8.
pub(crate) fn key_json(key: &[u8]) -> serde_json::Result<String> {
    std::str::from_utf8(key).map_or_else(
        |_| serde_json::to_string(&serde_json::json!({ "key_base64": STANDARD.encode(key) })),
        serde_json::to_string,
    )
}

fn valued(line: SiblingLine) -> Result<Valued, String> {
    let bytes = value(line.value.as_deref(), line.value_base64.as_deref())?;
    let attributes = line.attributes.unwrap_or_default().attributes()?;
    Ok(Valued { bytes, attributes })
}

fn value(json: Option<&RawValue>, base64: Option<&str>) -> Result<Vec<u8>, String> {
    match (json, base64) {
        (Some(json), None) if json.get().starts_with('"') => {
            serde_json::from_str::<String>(json.get())
                .map(String::into_bytes)
                .map_err(|error| in_the_value(&error))
        }
        (Some(json), None) => Ok(compact(json.get()).into_bytes()),
        (None, Some(encoded)) => decode(encoded),
        _ => Err("needs either value or value_base64".into()),
    }
}

/// Formats an error of a line's JSON. The parser counts lines within its text, which has just one.
fn in_the_line(error: &serde_json::Error) -> String {
    match error.column() {
        0 => in_the_value(error),
        column => format!("{} at column {column}", in_the_value(error)),
    }
}

/// Formats an error of a value's JSON without its place, which is counted from the value's beginning.
fn in_the_value(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

fn decode(encoded: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(encoded).map_err(|error| format!("not base64: {error}"))
}

/// Removes the white space between the tokens of valid JSON; numbers and the order of members stay.
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

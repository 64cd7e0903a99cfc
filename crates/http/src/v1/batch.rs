//! Batches: many gets, or many puts, in one request.
//!
//! Invariant: each entry has its own result, in the order of the entries; nothing links them but the request.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_door::requests::{self, ReadOptions, WriteOptions};
use jedlik_door::{Answer, unexpected};
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::limits::{ATTRIBUTES_LIMIT_BYTES, VALUE_LIMIT_MAX_BYTES};
use jedlik_protocol::{Attributes, Blob, Key, Value};
use jedlik_vclock::Content;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::access::{Asked, PartlyForbidden};
use crate::keep;
use crate::problem::{Problem, Shown};
use crate::v1::document::{Stored, Versions};
use crate::v1::json;
use crate::v1::name::Name;
use crate::v1::options::{Read, Write, query, ttl};

/// Most entries of a batch.
const ENTRIES_MAX: usize = 1_000;
/// Entries of a batch that are under way at a time.
const AT_ONCE: usize = 16;
/// Longest body of a batch.
const BODY_BYTES: usize = 2 * VALUE_LIMIT_MAX_BYTES as usize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gets {
    keys: Vec<KeyEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    bucket: Name,
    key: Name,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Puts {
    entries: Vec<PutEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutEntry {
    bucket: Name,
    key: Name,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(default)]
    delete: bool,
    content_type: Option<String>,
    content_encoding: Option<String>,
    #[serde(default)]
    metadata: Vec<MetadataEntry>,
    context: Option<String>,
    ttl_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataEntry {
    name: Name,
    value: Name,
}

#[derive(Serialize)]
struct Results<T> {
    results: Vec<T>,
}

/// Outcome of one entry.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<T> {
    Done {
        status: u16,
        #[serde(flatten)]
        answer: T,
    },
    Failed(Failed),
}

impl<T> From<Problem> for Outcome<T> {
    fn from(problem: Problem) -> Self {
        let status = problem.status.as_u16();
        Self::Failed(Failed { status, error: problem.into_shown() })
    }
}

#[derive(Serialize)]
struct Failed {
    status: u16,
    error: Shown<'static>,
}

/// Reads many keys in one request.
pub(crate) async fn get(shared: Asked, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let options = query::<Read>(&parts.uri)?.at_once()?;
    let Gets { keys } = entries(&shared, body).await?;
    check_count(keys.len())?;
    let requests = keys.iter().map(|entry| get_request(entry, &options));
    let mut room = Vec::new();
    let mut keep = |Answer { response, held }| {
        room.push(held);
        response
    };
    let answers = ask(&shared, requests.collect()).await;
    let results = answers.into_iter().map(|answer| match answer.map(&mut keep) {
        Ok(ClientResponse::Got(answer)) => {
            let versions = Versions::from(&answer);
            let status = if versions.is_absent() { StatusCode::NOT_FOUND } else { StatusCode::OK };
            Outcome::Done { status: status.as_u16(), answer: versions }
        }
        Ok(other) => Problem::from(unexpected(other)).into(),
        Err(problem) => problem.into(),
    });
    let mut response = answered(results.collect());
    response.extensions_mut().insert(keep::Held::new(room));
    Ok(response)
}

/// Writes many keys, or deletes them.
pub(crate) async fn put(shared: Asked, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let options = query::<Write>(&parts.uri)?.unconditional()?;
    let Puts { entries } = entries(&shared, body).await?;
    check_count(entries.len())?;
    let requests = entries.into_iter().map(|entry| put_request(entry, &options));
    let answers = ask(&shared, requests.collect()).await;
    let results = answers.into_iter().map(|answer| match answer.map(|answer| answer.response) {
        Ok(ClientResponse::Put(answer)) => {
            Outcome::Done { status: StatusCode::OK.as_u16(), answer: Stored::from(&answer) }
        }
        Ok(other) => Problem::from(unexpected(other)).into(),
        Err(problem) => problem.into(),
    });
    Ok(answered(results.collect()))
}

/// Returns the answer that has these results.
fn answered<T: Serialize>(results: Vec<Outcome<T>>) -> Response {
    let is_forbidden = |outcome: &Outcome<T>| matches!(outcome, Outcome::Failed(failed) if failed.status == StatusCode::FORBIDDEN.as_u16());
    let forbidden = results.iter().any(is_forbidden);
    let mut response = json(StatusCode::OK, "application/json", &Results { results });
    if forbidden {
        response.extensions_mut().insert(PartlyForbidden);
    }
    response
}

async fn entries<T: DeserializeOwned>(shared: &Asked, body: Body) -> Result<T, Problem> {
    let received = shared.bodies.receive(body, BODY_BYTES).await?;
    serde_json::from_slice(&received.bytes)
        .map_err(|error| Problem::invalid(format!("the body can't be used: {error}")))
}

fn check_count(count: usize) -> Result<(), Problem> {
    if count <= ENTRIES_MAX {
        return Ok(());
    }
    Err(Problem::invalid(format!("{count} entries are over the limit of {ENTRIES_MAX} of a batch")))
}

fn get_request(entry: &KeyEntry, options: &ReadOptions) -> Result<ClientRequest, Problem> {
    Ok(requests::get(key(&entry.bucket, &entry.key)?, options))
}

fn put_request(entry: PutEntry, options: &WriteOptions) -> Result<ClientRequest, Problem> {
    let key = key(&entry.bucket, &entry.key)?;
    let context = entry.context.as_deref().map(context).transpose()?;
    let ttl_ms = ttl(entry.ttl_ms)?.or(options.ttl_ms);
    let options = WriteOptions { ttl_ms, ..options.clone() };
    let content = content(entry)?;
    Ok(requests::put(key, content, context, &options)?)
}

fn content(entry: PutEntry) -> Result<Content<Value>, Problem> {
    let bytes = match (entry.value, entry.value_base64, entry.delete) {
        (None, None, true) => return Ok(Content::Tombstone),
        (Some(text), None, false) => Blob::from(text.as_str()),
        (None, Some(base64), false) => {
            let bytes = STANDARD.decode(&base64);
            bytes.map_err(|error| Problem::invalid(format!("value_base64: {error}")))?.into()
        }
        _ => {
            let message = "an entry needs one of value, value_base64 and delete";
            return Err(Problem::invalid(message));
        }
    };
    let pair = |entry: MetadataEntry| Ok::<_, Problem>((entry.name.bytes()?, entry.value.bytes()?));
    let metadata = entry.metadata.into_iter().map(pair).collect::<Result<_, _>>()?;
    let content_encoding = entry.content_encoding;
    let mut attributes = Attributes { metadata, content_encoding, ..Attributes::default() };
    if let Some(content_type) = &entry.content_type {
        attributes = attributes.with_content_type(content_type);
    }
    let value = Value::with_attributes(bytes, &attributes);
    let length = value.encoded_attributes().len();
    if length > ATTRIBUTES_LIMIT_BYTES {
        let message = format!(
            "what belongs to the value beside its bytes has {length} bytes, over the limit of {ATTRIBUTES_LIMIT_BYTES}"
        );
        return Err(Problem::invalid(message));
    }
    Ok(Content::Value(value))
}

fn context(text: &str) -> Result<Blob, Problem> {
    let bytes = STANDARD.decode(text);
    bytes.map(Blob::from).map_err(|error| Problem::invalid(format!("context: {error}")))
}

fn key(bucket: &Name, key: &Name) -> Result<Key, Problem> {
    Key::new(bucket.bytes()?, key.bytes()?).map_err(|error| Problem::invalid(error.to_string()))
}

/// Asks for everything, some at a time, and returns the answers in the order of the requests.
async fn ask(
    shared: &Asked,
    requests: Vec<Result<ClientRequest, Problem>>,
) -> Vec<Result<Answer, Problem>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut answers: Vec<Option<Result<Answer, Problem>>> = Vec::new();
    let mut under_way = JoinSet::new();
    for (index, request) in requests.into_iter().enumerate() {
        answers.push(None);
        match request {
            Ok(request) => {
                let (node, caller) = (Arc::clone(&shared.node), shared.caller());
                let places = Arc::clone(&places);
                under_way.spawn(async move {
                    // Nobody closes it.
                    let _place = places.acquire().await;
                    (index, node.ask(&caller, request).await)
                });
            }
            Err(problem) => answers[index] = Some(Err(problem)),
        }
    }
    while let Some(answered) = under_way.join_next().await {
        if let Ok((index, answer)) = answered {
            answers[index] = Some(Ok(answer));
        }
    }
    let lost = || Err(Problem::internal("the request ended without an answer"));
    answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::client::{ClientRequest, PutRequest};
    use jedlik_vclock::Content;

    use super::{PutEntry, Puts, put_request};
    use jedlik_door::requests::WriteOptions;

    fn request(json: &str) -> Result<PutRequest, String> {
        let entry: PutEntry = serde_json::from_str(json).map_err(|error| error.to_string())?;
        match put_request(entry, &WriteOptions::default()) {
            Ok(ClientRequest::Put(put)) => Ok(put),
            Ok(other) => panic!("{other:?}"),
            Err(problem) => Err(problem.failure.message),
        }
    }

    #[test]
    fn an_entry_becomes_a_put_or_a_delete() {
        let json = r#"{"bucket":"b","key":"k","value":"tea","content_type":"text/plain",
            "metadata":[{"name":"a","value":"1"}],"context":"AAEC","ttl_ms":5}"#;
        let put = request(json).unwrap();
        let Content::Value(value) = &put.content else { panic!("a value") };
        assert_eq!((&value.bytes()[..], put.ttl_ms), (&b"tea"[..], Some(5)));
        let attributes = value.attributes().unwrap();
        assert_eq!(attributes.content_type.as_deref(), Some("text/plain"));
        assert_eq!(attributes.metadata, [("a".into(), "1".into())]);
        assert_eq!(put.context.as_deref(), Some(&[0, 1, 2][..]));
        let deleted = request(r#"{"bucket":"b","key":{"base64":"/w=="},"delete":true}"#).unwrap();
        assert_eq!((deleted.content, &deleted.key.key()[..]), (Content::Tombstone, &[255][..]));
    }

    #[test]
    fn what_an_entry_lacks_or_has_too_much_of_is_an_error() {
        for json in [
            r#"{"bucket":"b","key":"k"}"#,
            r#"{"bucket":"b","key":"k","value":"a","delete":true}"#,
            r#"{"bucket":"b","key":"k","value":"a","value_base64":"YQ=="}"#,
            r#"{"bucket":"b","key":"k","value":"a","colour":"red"}"#,
            r#"{"bucket":"","key":"k","value":"a"}"#,
            r#"{"bucket":"b","key":"k","value":"a","context":"?"}"#,
        ] {
            assert!(request(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<Puts>(r#"{"entries":[],"more":1}"#).is_err());
    }
}

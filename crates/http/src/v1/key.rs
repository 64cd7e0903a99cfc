//! Gets, puts and deletes of one key.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use axum::response::Response;
use jedlik_door::requests::{self, WriteOptions};
use jedlik_door::{Answer, Held, Phase, unexpected};
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetAnswer, Version};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::VALUE_LIMIT_MAX_BYTES;
use jedlik_protocol::{Key, Value};
use jedlik_vclock::Content;

use tokio::time::{Instant, sleep};

use crate::access::Asked;
use crate::keep;
use crate::path::segment;
use crate::problem::Problem;
use crate::v1::conditions::Conditions;
use crate::v1::document::{self, MEDIA_TYPE, Stored, Versions};
use crate::v1::headers::{self, CONTEXT, context_text};
use crate::v1::json;
use crate::v1::options::{Read, Write, query};

/// Pause between two looks of a request that waits for a change; it doubles.
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two such looks.
const POLL_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Places of the bucket's name and the key in the path, counted from 0.
pub(crate) const BUCKET: usize = 2;
const KEY: usize = 4;

/// Reads a key. With `poll_ms` the answer waits until the key is no longer as in the context that the request carries,
/// or for so long.
pub(crate) async fn get(shared: Asked, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let (options, poll) = query::<Read>(&uri)?.polled()?;
    let request = requests::get(key(&uri)?, &options);
    let seen = headers::context(&headers)?;
    let until = poll.map(|time| Instant::now() + time);
    let mut pause = POLL_PAUSE;
    loop {
        let Answer { response, held } = shared.node.ask(&shared.caller(), request.clone()).await;
        let answer = match response {
            ClientResponse::Got(answer) => answer,
            other => return Err(unexpected(other).into()),
        };
        let Some(until) = until.filter(|_| answer.context == seen) else {
            return found(&answer, held, wants_document(&headers));
        };
        if Instant::now() + pause > until || shared.node.phase() == Phase::Stopping {
            return Ok(unchanged(seen.as_ref()));
        }
        drop(held);
        sleep(pause).await;
        pause = (pause * 2).min(POLL_PAUSE_MAX);
    }
}

/// Answers that the key is as its client has seen it.
fn unchanged(seen: Option<&jedlik_protocol::Blob>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    if let Some(seen) = seen {
        add_context(&mut response, seen);
    }
    response
}

/// Writes the key that the path names.
pub(crate) async fn put(shared: Asked, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (options, latest) = query::<Write>(&parts.uri)?.conditional()?;
    let (key, context) = (key(&parts.uri)?, headers::context(&parts.headers)?);
    let conditions = Conditions::of(&parts.headers, latest)?;
    let attributes = headers::attributes(&parts.headers)?;
    let received = shared.bodies.receive(body, VALUE_LIMIT_MAX_BYTES as usize).await?;
    conditions.check(&shared, &key, context.as_ref(), &options).await?;
    let value = Value::with_attributes(received.bytes.clone().into(), &attributes);
    let request =
        requests::put(key, Content::Value(value), context, &options).map_err(Problem::from)?;
    stored(&shared, request).await
}

/// Deletes what the context has seen of a key. Without a context, that is what a get sees now.
pub(crate) async fn delete(
    shared: Asked,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let options = query::<Write>(&uri)?.unconditional()?;
    let key = key(&uri)?;
    let context = match headers::context(&headers)? {
        Some(context) => Some(context),
        None => match seen(&shared, &key, &options).await? {
            Some(context) => Some(context),
            None => return Err(absent()),
        },
    };
    let request = requests::put(key, Content::Tombstone, context, &options)?;
    stored(&shared, request).await
}

/// Returns the context of what a get sees of a key; `None` if nothing is kept of it.
async fn seen(
    shared: &Asked,
    key: &Key,
    options: &WriteOptions,
) -> Result<Option<jedlik_protocol::Blob>, Problem> {
    let WriteOptions { n, timeout_ms, .. } = *options;
    let options = requests::ReadOptions { n, timeout_ms, ..requests::ReadOptions::default() };
    let answer = shared.node.ask(&shared.caller(), requests::get(key.clone(), &options)).await;
    match answer.response {
        ClientResponse::Got(answer) => Ok(answer.context),
        other => Err(unexpected(other).into()),
    }
}

async fn stored(shared: &Asked, request: ClientRequest) -> Result<Response, Problem> {
    match shared.node.ask(&shared.caller(), request).await.response {
        ClientResponse::Put(answer) => {
            let mut response = json(StatusCode::OK, "application/json", &Stored::from(&answer));
            add_context(&mut response, &answer.context);
            Ok(response)
        }
        other => Err(unexpected(other).into()),
    }
}

/// Answers with the one value that a get has found, or with a document of all versions.
fn found(answer: &GetAnswer, held: Held, wants_document: bool) -> Result<Response, Problem> {
    let is_absent =
        !answer.versions.iter().any(|version| matches!(version.content, Content::Value(_)));
    let mut response = match &answer.versions[..] {
        [Version { content: Content::Value(value), .. }] if !wants_document => {
            let mut response = Response::new(Body::from(value.bytes().bytes().clone()));
            let attributes = value.attributes().ok_or_else(unreadable)?;
            headers::add(response.headers_mut(), &attributes);
            response
        }
        versions => {
            let status = match versions {
                _ if is_absent => StatusCode::NOT_FOUND,
                [_] => StatusCode::OK,
                _ if wants_document => StatusCode::OK,
                _ => StatusCode::MULTIPLE_CHOICES,
            };
            json(status, MEDIA_TYPE, &Versions::from(answer))
        }
    };
    if let [version] = &answer.versions[..] {
        let tag = format!("\"{}\"", document::tag(version.tag));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
    }
    if let Some(context) = &answer.context {
        add_context(&mut response, context);
    }
    response.extensions_mut().insert(keep::Held::new([held]));
    Ok(response)
}

fn add_context(response: &mut Response, context: &jedlik_protocol::Blob) {
    if let Ok(context) = HeaderValue::try_from(context_text(context)) {
        response.headers_mut().insert(CONTEXT, context);
    }
}

fn wants_document(headers: &HeaderMap) -> bool {
    let accepts = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split(',').any(|range| range.split(';').next().map(str::trim) == Some(MEDIA_TYPE))
    };
    headers.get_all(header::ACCEPT).iter().any(accepts)
}

/// Returns the key that a path names.
///
/// # Errors
/// Its bucket or itself is empty or too long.
pub(crate) fn key(uri: &Uri) -> Result<Key, Problem> {
    let name = |number| segment(uri.path(), number).unwrap_or_default().into_owned();
    Key::new(name(BUCKET), name(KEY)).map_err(|error| Problem::invalid(error.to_string()))
}

fn absent() -> Problem {
    Problem::with_status(StatusCode::NOT_FOUND, "nothing is kept of the key, not even its deletion")
}

fn unreadable() -> Problem {
    let message = "a newer version of Jedlik wrote the value, and this node can't read what it carries beside its \
                   bytes: ask for the document of its versions, or upgrade the node";
    Failure::new(ErrorCode::Internal, message).into()
}

//! Gets, puts and deletes of one key.
//!
//! `sync_on_write` is DW, and `node_confirms` raises W ([`jedlik_riak::quorums`]). A put without `returnbody` is answered
//! without a vclock: one that covered siblings its client has not seen would make the client's next put remove them. With
//! `returnbody` a get follows the put, and its answer is shown.
//!
//! A delete without a vclock gets the key first, and deletes what it has seen.
//!
//! Invariant: a put is sent to the node once, and a refusal says whether it may have taken effect.

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use axum::response::Response;
use jedlik_door::requests::{self, WriteOptions};
use jedlik_door::{Answer, Held, unexpected};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetAnswer, PutAnswer};
use jedlik_protocol::error::Failure;
use jedlik_protocol::limits::VALUE_LIMIT_MAX_BYTES;
use jedlik_protocol::{Blob, Key, Value};
use jedlik_riak::quorums::absence;
use jedlik_vclock::Content;

use crate::access::Asked;
use crate::riak::address::Address;
use crate::riak::answer::{Shown, absent, has_value, wants_parts};
use crate::riak::conditions::{Conditions, Seen};
use crate::riak::headers::{self, SIBLINGS, VCLOCK};
use crate::riak::query::{Query, Reads, Writes};
use crate::riak::refusal::Refusal;

/// Reads a key, with its siblings.
pub(crate) async fn get(shared: Asked, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let (address, query) = (Address::of(&uri), Query::of(&uri)?);
    let (key, conditions) = (address.key()?, Conditions::of(&headers)?);
    let (answer, held) = read(&shared, &key, query.reads(false)?).await?;
    let vtag = query.text("vtag");
    let in_parts = wants_parts(&headers);
    Shown { address: &address, vtag, conditions, in_parts }.response(&answer, held)
}

/// Writes a key, or makes it.
pub(crate) async fn put(shared: Asked, request: Request<Body>) -> Result<Response, Refusal> {
    let address = Address::of(request.uri());
    stored(&shared, address, request, StatusCode::NO_CONTENT).await
}

/// Writes a key whose name the node chooses.
pub(crate) async fn post(shared: Asked, request: Request<Body>) -> Result<Response, Refusal> {
    let address = Address::of(request.uri()).with_key(requests::unique_name()?);
    let location = address.location();
    let mut response = stored(&shared, address, request, StatusCode::CREATED).await?;
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Deletes a key, if it is there.
pub(crate) async fn delete(
    shared: Asked,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (key, query) = (Address::of(&uri).key()?, Query::of(&uri)?);
    let (writes, conditions) = (query.writes(true)?, Conditions::of(&headers)?);
    let mut context = headers::context(&headers, &VCLOCK)?;
    if context.is_none() || conditions.concern_writes() {
        let (answer, _) = read(&shared, &key, query.reads(true)?).await?;
        conditions.write(&Seen::of(&answer))?;
        if !answer.versions.iter().any(has_value) {
            return Ok(absent(&answer));
        }
        context = context.or(answer.context);
    }
    write(&shared, key, Content::Tombstone, context, &writes).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Carries out a put, and answers with the status `done` unless the value is to be returned.
async fn stored(
    shared: &Asked,
    address: Address,
    request: Request<Body>,
    done: StatusCode,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let (query, key) = (Query::of(&parts.uri)?, address.key()?);
    let (reads, writes) = (query.reads(false)?, query.writes(false)?);
    let returned = query.flag("returnbody", false)?;
    let attributes = headers::attributes(&parts.headers, &address)?;
    let conditions = Conditions::of(&parts.headers)?;
    let mut context = headers::context(&parts.headers, &VCLOCK)?;
    let received = shared.bodies.receive(body, VALUE_LIMIT_MAX_BYTES as usize).await?;
    if conditions.concern_writes() {
        let (answer, _) = read(shared, &key, reads.clone()).await?;
        conditions.write(&Seen::of(&answer))?;
        context = context.or(answer.context);
    }
    let value = Value::with_attributes(received.bytes.clone().into(), &attributes);
    let put = write(shared, key.clone(), Content::Value(value), context, &writes).await?;
    let mut response = if returned {
        let (answer, held) = read(shared, &key, reads).await.map_err(stored_but_unread)?;
        let in_parts = wants_parts(&parts.headers);
        let conditions = Conditions::default();
        Shown { address: &address, vtag: None, conditions, in_parts }.response(&answer, held)?
    } else {
        empty(done)
    };
    if put.siblings > 1 {
        response.headers_mut().insert(SIBLINGS, put.siblings.into());
    }
    Ok(response)
}

/// Gets a key. One that is absent is asked for again if replicas that have nothing are not to count as answers.
async fn read(shared: &Asked, key: &Key, reads: Reads) -> Result<(GetAnswer, Held), Refusal> {
    let Reads { mut options, notfound_ok, basic_quorum } = reads;
    let got = got(shared, key, &options).await?;
    if notfound_ok || got.0.versions.iter().any(has_value) {
        return Ok(got);
    }
    let props = properties(shared, key.bucket().clone()).await?;
    let invalid =
        |error: jedlik_protocol::error::InvalidQuorum| Refusal::invalid(error.to_string());
    let Some(r) = absence(options.r, basic_quorum, &props).map_err(invalid)? else {
        return Ok(got);
    };
    options.r = r;
    self::got(shared, key, &options).await
}

async fn got(
    shared: &Asked,
    key: &Key,
    options: &requests::ReadOptions,
) -> Result<(GetAnswer, Held), Refusal> {
    let request = requests::get(key.clone(), options);
    let Answer { response, held } = shared.node.ask(&shared.caller(), request).await;
    match response {
        ClientResponse::Got(answer) => Ok((answer, held)),
        other => Err(unexpected(other).into()),
    }
}

async fn write(
    shared: &Asked,
    key: Key,
    content: Content<Value>,
    context: Option<Blob>,
    writes: &Writes,
) -> Result<PutAnswer, Refusal> {
    let Writes { quorums, pw, timeout_ms } = writes.clone();
    let props = if quorums.need_properties() {
        properties(shared, key.bucket().clone()).await?
    } else {
        BucketProps::default()
    };
    let resolved = quorums.resolve(&props);
    let (w, dw) = resolved.map_err(|error| Refusal::invalid(error.to_string()))?;
    let options = WriteOptions { n: None, w, pw, dw, ttl_ms: None, timeout_ms };
    let request = requests::put(key, content, context, &options)?;
    match shared.node.ask(&shared.caller(), request).await.response {
        ClientResponse::Put(answer) => Ok(answer),
        other => Err(unexpected(other).into()),
    }
}

/// Returns the properties of a bucket.
///
/// # Errors
/// The node does not tell them.
pub(crate) async fn properties(shared: &Asked, bucket: Blob) -> Result<BucketProps, Refusal> {
    let request = ClientRequest::Admin(AdminRequest::BucketShow { name: bucket });
    match shared.node.ask(&shared.caller(), request).await.response {
        ClientResponse::Admin(AdminResponse::Bucket(entry)) => Ok(entry.props),
        other => Err(unexpected(other).into()),
    }
}

fn stored_but_unread(Refusal(problem): Refusal) -> Refusal {
    let message = format!(
        "the value was stored, but could not be returned: {}; get the key before you put it again",
        problem.failure.message
    );
    let failure = Failure { message, maybe_applied: false, ..problem.failure };
    Refusal(crate::problem::Problem { failure, ..problem })
}

/// Returns an answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

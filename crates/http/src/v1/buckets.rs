//! Buckets and their properties.

use axum::body::Body;
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use jedlik_door::unexpected;
use jedlik_protocol::Blob;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::{BucketEntry, PROPERTY_NAMES};
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::access::Asked;
use crate::path::segment;
use crate::problem::Problem;
use crate::v1::json;
use crate::v1::key::BUCKET;
use crate::v1::name::Name;
use crate::v1::options::nothing;

/// Longest body of a change of properties.
const BODY_BYTES: usize = 64 << 10;

#[derive(Serialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Serialize)]
struct Bucket {
    bucket: Name,
    /// 0 for a bucket whose properties were never set.
    version: u64,
    properties: Map<String, Value>,
    warnings: Vec<String>,
}

impl From<&BucketEntry> for Bucket {
    fn from(entry: &BucketEntry) -> Self {
        let property = |name: &&str| Some(((*name).to_owned(), value(&entry.props.value(name)?)));
        Self {
            bucket: Name::from(&entry.name),
            version: entry.version,
            properties: PROPERTY_NAMES.iter().filter_map(property).collect(),
            warnings: entry.props.warnings(),
        }
    }
}

/// Returns the buckets of a list as JSON.
pub(crate) fn list_json(buckets: &[BucketEntry]) -> Value {
    let buckets: Vec<Bucket> = buckets.iter().map(Bucket::from).collect();
    serde_json::to_value(buckets).unwrap_or_default()
}

/// Lists the buckets whose properties were set.
pub(crate) async fn list(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    match ask(&shared, AdminRequest::BucketList).await? {
        AdminResponse::Buckets(buckets) => {
            let buckets = buckets.iter().map(Bucket::from).collect();
            Ok(json(StatusCode::OK, "application/json", &Buckets { buckets }))
        }
        other => Err(unexpected(ClientResponse::Admin(other)).into()),
    }
}

/// Shows the properties of a bucket, set or default.
pub(crate) async fn show(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    bucket(&shared, AdminRequest::BucketShow { name: name(&uri)? }).await
}

/// Changes some properties of a bucket: those that the body names.
pub(crate) async fn change(shared: Asked, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    nothing(&parts.uri)?;
    let received = shared.bodies.receive(body, BODY_BYTES).await?;
    let properties: Map<String, Value> =
        serde_json::from_slice(&received.bytes).map_err(|error| {
            Problem::invalid(format!("the body is no object of properties: {error}"))
        })?;
    let changes = properties.iter().map(|(name, value)| Ok((name.clone(), text(name, value)?)));
    let changes: Vec<(String, String)> = changes.collect::<Result<_, Problem>>()?;
    bucket(&shared, AdminRequest::BucketSet { name: name(&parts.uri)?, changes }).await
}

async fn bucket(shared: &Asked, request: AdminRequest) -> Result<Response, Problem> {
    match ask(shared, request).await? {
        AdminResponse::Bucket(entry) => {
            Ok(json(StatusCode::OK, "application/json", &Bucket::from(&entry)))
        }
        other => Err(unexpected(ClientResponse::Admin(other)).into()),
    }
}

/// Asks the node what an admin would ask it.
pub(crate) async fn ask(shared: &Asked, request: AdminRequest) -> Result<AdminResponse, Problem> {
    match shared.node.ask(&shared.caller(), ClientRequest::Admin(request)).await.response {
        ClientResponse::Admin(response) => Ok(response),
        other => Err(unexpected(other).into()),
    }
}

fn name(uri: &Uri) -> Result<Blob, Problem> {
    let name: Blob = segment(uri.path(), BUCKET).unwrap_or_default().into_owned().into();
    jedlik_protocol::bucket::check_name(&name)
        .map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(name)
}

/// Returns a property's value as JSON: a number as one, `none` as null, a word as a string.
fn value(text: &str) -> Value {
    match text.parse::<u64>() {
        Ok(number) => number.into(),
        Err(_) if text == "none" => Value::Null,
        Err(_) => text.into(),
    }
}

/// Returns a property's value as text, in which the node checks it.
fn text(name: &str, value: &Value) -> Result<String, Problem> {
    match value {
        Value::Null => Ok("none".into()),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Problem::invalid(format!("the property {name} takes a number, a word or null"))),
    }
}

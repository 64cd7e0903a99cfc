//! Properties of buckets, as JSON under Riak's names ([`jedlik_riak::properties`]).
//!
//! Invariant: a set changes all that it names, or nothing.

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use axum::response::Response;
use jedlik_door::unexpected;
use jedlik_protocol::Blob;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_riak::properties::{self, Setting};
use serde_json::{Map, Value, json};

use crate::access::Asked;
use crate::riak::address::Address;
use crate::riak::objects;
use crate::riak::refusal::Refusal;

/// Longest body that sets properties.
const BODY_LIMIT_BYTES: usize = 64 << 10;

/// Shows the properties of a bucket.
pub(crate) async fn get(shared: Asked, uri: Uri) -> Result<Response, Refusal> {
    shown(&shared, &Address::of(&uri)).await
}

/// Shows the properties that buckets of any type have until others are set.
pub(crate) async fn of_type() -> Response {
    as_json(&json!({ "props": shown_props(&BucketProps::default()) }))
}

/// Sets properties of a bucket.
pub(crate) async fn put(shared: Asked, request: Request<Body>) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let address = Address::of(&parts.uri);
    let bucket = address.bucket()?;
    let received = shared.bodies.receive(body, BODY_LIMIT_BYTES).await?;
    let settings = settings(&received.bytes, address.name_in_type())?;
    let props = objects::properties(&shared, bucket.clone()).await?;
    let changes = properties::changes(&props, &settings);
    set(&shared, bucket, changes.map_err(|error| Refusal::invalid(error.to_string()))?).await
}

/// Gives a bucket the properties of one that was never set.
pub(crate) async fn delete(shared: Asked, uri: Uri) -> Result<Response, Refusal> {
    set(&shared, Address::of(&uri).bucket()?, properties::reset()).await
}

/// Answers with the properties of a bucket.
///
/// # Errors
/// The bucket can't be one, or the node does not tell its properties.
pub(crate) async fn shown(shared: &Asked, address: &Address) -> Result<Response, Refusal> {
    let props = objects::properties(shared, address.bucket()?).await?;
    let mut props = shown_props(&props);
    let name = String::from_utf8_lossy(address.name_in_type());
    props.insert("name".to_owned(), Value::from(name));
    Ok(as_json(&json!({ "props": props })))
}

async fn set(
    shared: &Asked,
    name: Blob,
    changes: Vec<(String, String)>,
) -> Result<Response, Refusal> {
    let done = objects::empty(StatusCode::NO_CONTENT);
    if changes.is_empty() {
        return Ok(done);
    }
    let request = ClientRequest::Admin(AdminRequest::BucketSet { name, changes });
    match shared.node.ask(&shared.caller(), request).await.response {
        ClientResponse::Admin(AdminResponse::Bucket(_)) => Ok(done),
        other => Err(unexpected(other).into()),
    }
}

/// Reads what is to be set in the bucket `bucket`.
fn settings(body: &[u8], bucket: &[u8]) -> Result<Vec<(String, Setting)>, Refusal> {
    let malformed =
        || Refusal::invalid("the body must be a JSON object: {\"props\":{\"NAME\":VALUE,…}}");
    let document: Map<String, Value> = serde_json::from_slice(body).map_err(|_| malformed())?;
    let Some(Value::Object(props)) = document.get("props") else { return Err(malformed()) };
    let mut settings = Vec::new();
    for (name, value) in props {
        if name == "name" {
            if value.as_str().map(str::as_bytes) != Some(bucket) {
                return Err(Refusal::invalid(
                    "the bucket property name can't be set: it is the bucket's",
                ));
            }
            continue;
        }
        let setting = setting(value).ok_or_else(|| {
            Refusal::invalid(format!("the bucket property {name} can't be {value}"))
        })?;
        settings.push((name.clone(), setting));
    }
    Ok(settings)
}

fn setting(value: &Value) -> Option<Setting> {
    match value {
        Value::Bool(flag) => Some(Setting::Flag(*flag)),
        Value::Number(number) => number.as_u64().map(Setting::Number),
        Value::String(text) => Some(Setting::Text(text.clone())),
        Value::Array(hooks) => Some(Setting::Hooks(hooks.len())),
        Value::Object(object) => {
            let text = |name: &str| object.get(name)?.as_str().map(str::to_owned);
            Some(Setting::Function { module: text("mod")?, function: text("fun")? })
        }
        Value::Null => None,
    }
}

fn shown_props(props: &BucketProps) -> Map<String, Value> {
    let value = |setting| match setting {
        Setting::Flag(flag) => Value::from(flag),
        Setting::Number(number) => Value::from(number),
        Setting::Text(text) => Value::from(text),
        Setting::Function { module, function } => json!({ "mod": module, "fun": function }),
        // There are none to show: no hook can be set.
        Setting::Hooks(_) => json!([]),
    };
    properties::of(props).into_iter().map(|(name, setting)| (name, value(setting))).collect()
}

/// Answers with a JSON document.
pub(crate) fn as_json(document: &Value) -> Response {
    let mut response = Response::new(Body::from(document.to_string()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::bucket::BucketProps;
    use jedlik_riak::properties;
    use serde_json::json;

    use super::{settings, shown_props};

    #[test]
    fn what_is_shown_can_be_set() {
        let document = json!({ "props": shown_props(&BucketProps::default()) }).to_string();
        let mut read = settings(document.as_bytes(), b"carts").unwrap();
        read.sort_by(|(name, _), (other, _)| name.cmp(other));
        assert_eq!(read, properties::of(&BucketProps::default()));
    }

    #[test]
    fn a_body_of_another_form_is_refused() {
        for body in [
            "",
            "[]",
            "{\"n_val\":3}",
            "{\"props\":3}",
            "{\"props\":{\"n_val\":null}}",
            "{\"props\":{\"n_val\":-1}}",
            "{\"props\":{\"name\":\"other\"}}",
            "{\"props\":{\"linkfun\":{\"jsfun\":\"f\"}}}",
        ] {
            assert!(settings(body.as_bytes(), b"carts").is_err(), "{body}");
        }
        assert_eq!(settings(b"{\"props\":{\"name\":\"carts\"}}", b"carts").unwrap(), []);
    }
}

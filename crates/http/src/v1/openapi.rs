//! Description of the interface, an OpenAPI 3.1 document.
//!
//! Invariant: what the router serves at `/v1` is what the document describes, path by path and method by method.

use axum::response::{IntoResponse, Response};

/// The document, written by hand.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

/// Answers with the document itself.
pub(crate) async fn show() -> Response {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::Request;
    use jedlik_door::fake::FakeNode;
    use jedlik_protocol::bucket::PROPERTY_NAMES;
    use serde_json::Value;
    use tower_service::Service as _;

    use super::DOCUMENT;
    use crate::{Settings, routes};

    const METHODS: [&str; 7] = ["get", "put", "post", "patch", "delete", "trace", "options"];

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[tokio::test]
    async fn each_path_takes_the_methods_that_are_described() {
        let mut routes =
            routes::of(Arc::<FakeNode>::default(), &Settings::default(), Arc::default());
        for (path, described) in document()["paths"].as_object().unwrap() {
            for method in METHODS {
                let uri = path.replace(['{', '}'], "");
                let request = Request::builder().method(method.to_uppercase().as_str()).uri(uri);
                let request = request.body(Body::empty()).unwrap();
                let status = routes.call(request).await.unwrap().status().as_u16();
                assert_eq!(status != 405, described.get(method).is_some(), "{method} {path}");
            }
        }
    }

    #[test]
    fn every_route_is_described() {
        let routes = include_str!("../v1.rs").split(".route(\"").skip(1);
        let routes: BTreeSet<&str> = routes.filter_map(|rest| rest.split('"').next()).collect();
        let document = document();
        let described = document["paths"].as_object().unwrap().keys().map(String::as_str);
        let described: BTreeSet<&str> = described.filter(|path| path.starts_with("/v1")).collect();
        assert_eq!(routes, described);
    }

    #[test]
    fn every_property_of_a_bucket_is_described() {
        let document = document();
        let described = &document["components"]["schemas"]["Properties"]["properties"];
        let described: BTreeSet<&str> =
            described.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, BTreeSet::from(PROPERTY_NAMES));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut left = vec![&document];
        while let Some(value) = left.pop() {
            if let Some(to) = value.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(&to[1..]).is_some(), "{to}");
            }
            left.extend(value.as_array().into_iter().flatten());
            left.extend(value.as_object().into_iter().flat_map(|fields| fields.values()));
        }
    }
}

//! Walk through every path, method, parameter and status of the interface, over a node in memory.

mod lists;
mod objects;
mod others;
mod served;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use jedlik_door::Node;
use jedlik_door::fake::FakeNode;
use tower_service::Service as _;

use crate::{Settings, routes};

/// Door over a node in memory.
struct Door {
    node: Arc<FakeNode>,
    routes: Router,
}

/// Answer that has arrived whole.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Door {
    fn new() -> Self {
        let node = Arc::new(FakeNode::default());
        let routes =
            routes::of(Arc::clone(&node) as Arc<dyn Node>, &Settings::default(), Arc::default());
        Self { node, routes }
    }

    /// Sends a request; a first word of the form `METHOD PATH`.
    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let (parts, body) = self.begin(line, headers, body).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends a request, and returns the answer with its body still to come.
    async fn begin(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> axum::http::Response<Body> {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.routes.clone().call(request.body(body.into()).unwrap()).await.unwrap()
    }

    /// Gets a path, without headers of its own.
    async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path}"), &[], "").await
    }

    /// Puts a text, and asserts that it is stored.
    async fn put(&self, path: &str, text: &'static str, headers: &[(&str, &str)]) {
        let headers = [&[("content-type", "text/plain")], headers].concat();
        let reply = self.ask(&format!("PUT {path}"), &headers, text).await;
        assert_eq!(reply.status, 204, "{reply:?}");
    }
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

//! Paths of the door, and what answers at each.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jedlik_door::{Access, Node};

use crate::body::Bodies;
use crate::metrics::Served;
use crate::problem::Problem;
use crate::riak::refusal::Refusal;
use crate::serve::Settings;
use crate::ui::Feed;
use crate::{health, metrics, pages, riak, ui, v1};

/// Parts of the door that every handler may use.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) bodies: Bodies,
    pub(crate) feed: Feed,
    pub(crate) access: Access,
    /// Counts of the requests that the door has served.
    pub(crate) served: Arc<Served>,
}

impl FromRef<Shared> for Arc<dyn Node> {
    fn from_ref(shared: &Shared) -> Self {
        Arc::clone(&shared.node)
    }
}

fn refused(uri: &Uri, status: StatusCode, message: String) -> Response {
    let problem = Problem::with_status(status, message);
    if riak::has(uri.path()) { Refusal(problem).into_response() } else { problem.into_response() }
}

async fn nothing_here(uri: Uri) -> Response {
    let message = format!(
        "there is nothing at {}; /v1/openapi.json describes Jedlik's interface, Riak's begins at /buckets and /types, and \
         /ui shows the cluster",
        uri.path()
    );
    refused(&uri, StatusCode::NOT_FOUND, message)
}

async fn not_this_way(method: Method, uri: Uri) -> Response {
    let message = format!("{} does not take {method}", uri.path());
    refused(&uri, StatusCode::METHOD_NOT_ALLOWED, message)
}

/// Returns everything that the door serves.
pub(crate) fn of(node: Arc<dyn Node>, settings: &Settings, served: Arc<Served>) -> Router {
    let (limits, access) = (settings.limits, settings.guard.access());
    let is_open = access == Access::Open && !settings.guard.wants_tls();
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::show))
        .merge(v1::routes())
        .merge(ui::routes())
        .merge(riak::routes())
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_way)
        .with_state(Shared {
            node,
            bodies: Bodies::new(limits),
            feed: Feed::default(),
            access,
            served,
        })
        .layer(from_fn_with_state(is_open, pages::check))
}

//! `/ui`: a page that shows the cluster, and changes nothing.
//!
//! Invariant: the page loads nothing from elsewhere and runs nothing but its own files, which its content policy says,
//! too. They are part of the program.

mod feed;
mod snapshot;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::access::Asked;
use crate::problem::Problem;
use crate::routes::Shared;

pub(crate) use feed::Feed;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Files of the page: their names, media types and contents.
const FILES: [(&str, &str, &[u8]); 17] = [
    ("", "text/html; charset=utf-8", include_bytes!("ui/page/index.html")),
    ("icon.svg", "image/svg+xml", include_bytes!("ui/page/icon.svg")),
    ("style.css", STYLE, include_bytes!("ui/page/style.css")),
    ("main.js", JAVASCRIPT, include_bytes!("ui/page/main.js")),
    ("amounts.js", JAVASCRIPT, include_bytes!("ui/page/amounts.js")),
    ("buckets.js", JAVASCRIPT, include_bytes!("ui/page/buckets.js")),
    ("doctor.js", JAVASCRIPT, include_bytes!("ui/page/doctor.js")),
    ("dom.js", JAVASCRIPT, include_bytes!("ui/page/dom.js")),
    ("key.js", JAVASCRIPT, include_bytes!("ui/page/key.js")),
    ("members.js", JAVASCRIPT, include_bytes!("ui/page/members.js")),
    ("news.js", JAVASCRIPT, include_bytes!("ui/page/news.js")),
    ("ring.js", JAVASCRIPT, include_bytes!("ui/page/ring.js")),
    ("status.js", JAVASCRIPT, include_bytes!("ui/page/status.js")),
    ("traffic.js", JAVASCRIPT, include_bytes!("ui/page/traffic.js")),
    ("work.js", JAVASCRIPT, include_bytes!("ui/page/work.js")),
    // uPlot, under the MIT licence, whose text is beside it.
    ("vendor/uplot.js", JAVASCRIPT, include_bytes!("ui/page/vendor/uplot.js")),
    ("vendor/uplot.css", STYLE, include_bytes!("ui/page/vendor/uplot.css")),
];

/// Headers of every file: what the page may load, and that nobody frames it.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// Returns what is served at `/ui`.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/ui", get(async |_: Asked| file("")))
        .route("/ui/", get(async || Redirect::permanent("/ui")))
        .route("/ui/events", get(feed::events))
        .route("/ui/{*name}", get(async |_: Asked, Path(name): Path<String>| file(&name)))
}

fn file(name: &str) -> Response {
    let Some((_, media_type, bytes)) = FILES.iter().find(|(known, _, _)| *known == name) else {
        let message = format!("the page has no file {name:?}; it begins at /ui");
        return Problem::with_status(StatusCode::NOT_FOUND, message).into_response();
    };
    let mut response = (*bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::{StatusCode, header};

    use super::{FILES, file};

    #[test]
    fn every_file_is_served_with_its_type_and_the_content_policy() {
        for (name, media_type, _) in FILES {
            let response = file(name);
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], media_type, "{name}");
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'self';"), "{policy}");
        }
        assert_eq!(file("../ui.rs").status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_page_names_no_other_host_and_no_file_that_is_missing() {
        let names: Vec<&str> = FILES.iter().map(|(name, _, _)| *name).collect();
        for (name, _, bytes) in FILES.iter().filter(|(name, _, _)| !name.starts_with("vendor/")) {
            let text = std::str::from_utf8(bytes).unwrap();
            let hosts = text.matches("://").count() - text.matches("http://www.w3.org/").count();
            assert_eq!(hosts, 0, "{name}");
            for part in text.split('"').filter_map(|part| part.strip_prefix("/ui/")) {
                assert!(names.contains(&part) || part == "events", "{name} names {part}");
            }
            for part in text.split('"').filter_map(|part| part.strip_prefix("./")) {
                assert!(names.contains(&part), "{name} imports {part}");
            }
        }
    }
}

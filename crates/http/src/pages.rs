//! Requests that a browser sends on behalf of a page of somebody else.
//!
//! Invariant: no page but the node's own changes anything through the browser of a visitor who may, and none reads from a
//! door that is open to every program of this machine under a name of its own.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jedlik_protocol::error::{ErrorCode, Failure};

use crate::access::Peer;
use crate::problem::Problem;
use crate::riak;
use crate::riak::refusal::Refusal;

/// Header by which a browser says from where a request comes.
const FETCH_SITE: &str = "sec-fetch-site";

/// Lets a request through unless a browser has sent it for a page of somebody else. An open door is one that every
/// program of this machine may use.
pub(crate) async fn check(State(is_open): State<bool>, request: Request, next: Next) -> Response {
    let Some(why) = refusal(is_open, &request) else { return next.run(request).await };
    let problem = Problem::from(Failure::new(ErrorCode::Forbidden, why));
    if riak::has(request.uri().path()) {
        Refusal(problem).into_response()
    } else {
        problem.into_response()
    }
}

/// Returns why a request is refused; `None` if it is not.
fn refusal(is_open: bool, request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    let host = request.uri().authority().map(|authority| Cow::Borrowed(authority.as_str()));
    let host = host.or_else(|| text(headers, header::HOST.as_str()));
    let peer = request.extensions().get::<Peer>();
    let is_near = peer.is_some_and(|peer| peer.address.ip().to_canonical().is_loopback());
    if is_open && is_near && host.as_deref().is_some_and(|host| !is_of_here(host)) {
        return Some(
            "this door is open to this machine alone, so it is reached as localhost, by an address or by a name without a \
             dot; nothing was done. Another name takes TLS or tokens",
        );
    }
    let is_foreign = changes(request.method()) && !is_own(headers, host.as_deref());
    is_foreign.then_some("a page of another origin has no business here; nothing was done")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a request comes from no page, or from one of this host. Programs say nothing of a page.
fn is_own(headers: &HeaderMap, host: Option<&str>) -> bool {
    if let Some(site) = text(headers, FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = text(headers, header::ORIGIN.as_str()) else { return true };
    origin.split_once("://").is_some_and(|(_, origin)| Some(origin) == host)
}

/// Whether no page on the internet can have this host: an address, or a name that no name server there gives, such as
/// `localhost`.
fn is_of_here(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // An address of version 6 has colons of its own, within brackets.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok() || !name.contains('.') || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::{is_of_here, is_own};

    #[test]
    fn an_address_and_localhost_are_here_and_other_names_are_anywhere() {
        for (host, here) in [
            ("127.0.0.1:8098", true),
            ("127.0.0.1", true),
            ("[::1]:8098", true),
            ("[::1]", true),
            ("localhost", true),
            ("LocalHost.:80", true),
            ("n1.localhost:8098", true),
            ("evil.example", false),
            ("evil.example:8098", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("riak:8098", true),
            ("", true),
        ] {
            assert_eq!(is_of_here(host), here, "{host}");
        }
    }

    #[test]
    fn a_page_is_known_by_what_its_browser_says() {
        for (headers, own) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://here:1")], false),
            (&[("origin", "http://here:1")], true),
            (&[("origin", "https://here:1")], true),
            (&[("origin", "http://here:2")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            assert_eq!(is_own(&map, Some("here:1")), own, "{headers:?}");
        }
    }
}

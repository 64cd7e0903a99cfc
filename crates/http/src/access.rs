//! Who comes in: everybody, or whoever shows a token.
//!
//! Invariant: a handler gets at the node only through [`Asked`], which has let its client in. What the client may do
//! there is the node's to decide.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_door::{Caller, Node};
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::ErrorCode;

use crate::problem::Problem;
use crate::routes::Shared;

/// Clients that the door lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, with every right: for a door on this machine, where all programs are trusted.
    Open,
    /// Clients that show a token, with its rights.
    Tokens,
}

/// Request of a client that was let in: what every handler may use, and who asks.
pub(crate) struct Asked {
    shared: Shared,
    caller: Caller,
}

impl Asked {
    /// Returns the party that asks.
    pub(crate) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// Refuses a client that may not read everything, before it is shown what the door has gathered for itself.
    pub(crate) async fn check_sees_all(&self) -> Result<(), Problem> {
        let request = ClientRequest::Admin(AdminRequest::Status);
        match self.node.ask(&self.caller, request).await.response {
            ClientResponse::Failed(failure) if failure.code == ErrorCode::Forbidden => {
                Err(failure.into())
            }
            _ => Ok(()),
        }
    }
}

impl Deref for Asked {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl FromRequestParts<Shared> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let caller = match shared.access {
            Access::Open => Caller::Trusted,
            Access::Tokens => caller(&parts.headers, &*shared.node)?,
        };
        Ok(Self { shared: shared.clone(), caller })
    }
}

/// Returns the caller whose token a request shows.
fn caller(headers: &HeaderMap, node: &dyn Node) -> Result<Caller, Problem> {
    let Some((name, secret)) =
        headers.get(header::AUTHORIZATION).and_then(|value| token(value.as_bytes()))
    else {
        return Err(unauthorized(
            "it needs a token, as `Authorization: Bearer TOKEN`, or as name and password",
        ));
    };
    match node.knows(&name, &secret) {
        true => Ok(Caller::Token(Arc::from(name))),
        // Whether the name, the secret or the time is wrong is nobody's business.
        false => Err(unauthorized("the token is not in force here")),
    }
}

/// Returns a token's name and secret: `Bearer NAME.SECRET`, or `Basic` with the base64 of `NAME:SECRET`.
fn token(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let value = std::str::from_utf8(value).ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        let (name, secret) = rest.split_once('.')?;
        return Some((name.to_owned(), secret.as_bytes().to_vec()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (name, secret) = pair.split_once(':')?;
    Some((name.to_owned(), secret.as_bytes().to_vec()))
}

fn unauthorized(why: &str) -> Problem {
    let message =
        format!("nothing was done: {why}; an admin makes one with `jedlik-admin token make`");
    Problem::with_status(StatusCode::UNAUTHORIZED, message)
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn a_token_is_read_in_both_ways() {
        let shop = Some(("shop".to_owned(), b"x.y-z".to_vec()));
        for (header, expected) in [
            ("Bearer shop.x.y-z", shop.clone()),
            ("bearer  shop.x.y-z ", shop.clone()),
            ("Basic c2hvcDp4Lnktei", None),
            ("Basic c2hvcDp4LnktejEy", Some(("shop".to_owned(), b"x.y-z12".to_vec()))),
            ("Basic c2hvcDp4Lnkteg==", shop),
            ("Bearer shop", None),
            ("Digest shop.x", None),
            ("", None),
        ] {
            assert_eq!(token(header.as_bytes()), expected, "{header}");
        }
    }
}

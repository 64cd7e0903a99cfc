//! Who comes in: everybody, or whoever shows a token or a certificate.
//!
//! Invariant: a handler gets at the node only through [`Asked`], which has let its client in. What the client may do
//! there is the node's to decide.

use std::net::SocketAddr;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_door::{Access, Caller, DoorName, Node, Phase, Reason, Token};
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::{ErrorCode, Failure};

use crate::problem::Problem;
use crate::routes::Shared;
use crate::traced::{self, Traced};

/// Client at the other end of a connection, as a request's extension.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Client by the certificate that it has shown; `None` if it has shown none.
    pub(crate) client: Option<Caller>,
    pub(crate) address: SocketAddr,
}

/// Mark of an answer that is no refusal itself, and in which something was refused for want of rights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartlyForbidden;

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
        check_sees_all(&*self.node, &self.caller).await
    }
}

/// Refuses a client that may not read everything, or not any more.
pub(crate) async fn check_sees_all(node: &dyn Node, caller: &Caller) -> Result<(), Problem> {
    if *caller == Caller::Trusted {
        return Ok(());
    }
    let request = ClientRequest::Admin(AdminRequest::Status);
    match node.ask(caller, request).await.response {
        ClientResponse::Failed(failure) if failure.code == ErrorCode::Forbidden => {
            Err(failure.into())
        }
        _ => Ok(()),
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
        let peer = parts.extensions.get::<Peer>();
        let shown = peer.and_then(|peer| peer.client.clone());
        let caller = match shared.access {
            Access::Open => Ok(shown.unwrap_or(Caller::Trusted)),
            Access::Tokens => caller(&parts.headers, shown, &*shared.node),
        };
        let caller = caller.map_err(|reason| {
            // It does not know yet which tokens are in force.
            if shared.node.phase() == Phase::Starting {
                return starting();
            }
            if let Some(peer) = peer {
                shared.node.refused(DoorName::Http, reason, peer.address);
            }
            unauthorized(reason)
        })?;
        let shared = match traced::trace(&parts.headers) {
            Some(trace) => Shared { node: Traced::of(&shared.node, trace), ..shared.clone() },
            None => shared.clone(),
        };
        Ok(Self { shared, caller })
    }
}

/// Returns the caller whose token a request shows; without one, the caller by the certificate.
fn caller(
    headers: &HeaderMap,
    certificate: Option<Caller>,
    node: &dyn Node,
) -> Result<Caller, Reason> {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| token(value.as_bytes()));
    match (shown, certificate) {
        (Some(token), _) if node.knows(&token) => Ok(Caller::Token(token)),
        // Riak's clients show a name in any case.
        (Some(token), Some(Caller::Certificate(name))) if token == Token::new(&name, b"") => {
            Ok(Caller::Certificate(name))
        }
        (Some(_), _) => Err(Reason::Token),
        (None, certificate) => certificate.ok_or(Reason::Nothing),
    }
}

/// Returns a token: `Bearer NAME.SECRET`, or `Basic` with the base64 of `NAME:SECRET`.
fn token(value: &[u8]) -> Option<Token> {
    let value = std::str::from_utf8(value).ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        let (name, secret) = rest.split_once('.')?;
        return Some(Token::new(name, secret.as_bytes()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (name, secret) = pair.split_once(':')?;
    Some(Token::new(name, secret.as_bytes()))
}

fn starting() -> Problem {
    let message = "the node is starting, and does not know yet who may come in; nothing was done";
    Failure::new(ErrorCode::NotReady, message).into()
}

fn unauthorized(reason: Reason) -> Problem {
    let why = match reason {
        // Whether the name, the secret or the time is wrong is nobody's business.
        Reason::Token => "the token is not in force here",
        _ => "it needs a token, as `Authorization: Bearer TOKEN`, or as name and password",
    };
    let message =
        format!("nothing was done: {why}; an admin makes one with `jedlik-admin token make`");
    Problem::with_status(StatusCode::UNAUTHORIZED, message)
}

#[cfg(test)]
mod tests {
    use jedlik_door::Token;

    use super::token;

    #[test]
    fn a_token_is_read_in_both_ways() {
        let shop = Some(Token::new("shop", b"x.y-z"));
        for (header, expected) in [
            ("Bearer shop.x.y-z", shop.clone()),
            ("bearer  shop.x.y-z ", shop.clone()),
            ("Basic c2hvcDp4Lnktei", None),
            ("Basic c2hvcDp4LnktejEy", Some(Token::new("shop", b"x.y-z12"))),
            ("Basic c2hvcDp4Lnkteg==", shop),
            ("Bearer shop", None),
            ("Digest shop.x", None),
            ("", None),
        ] {
            assert_eq!(token(header.as_bytes()), expected, "{header}");
        }
    }
}

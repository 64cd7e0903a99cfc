//! Rights of those who ask: what a token or a client's certificate allows.
//!
//! Invariant: every client's request passes here, whichever way it came, before anything is done for it. Nodes and admins
//! may do everything; a client's certificate that has no rights of its own may use all data and change nothing else.

use jedlik_door::Token;
use jedlik_membership::View;
use jedlik_protocol::access::{AccessEntry, Right, Subject};
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ScanOf};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::escape::Escaped;

use crate::questions::changes_state;

/// Party that asks for something, as far as it limits what may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Somebody who may do everything: an admin, a node, or whoever is on this machine where that suffices.
    Trusted,
    /// A client with the rights of its certificate's name.
    Certificate(String),
    /// A client with the rights of its token.
    Token(Token),
}

/// Right that a request needs, to a bucket or to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need<'a> {
    /// Everybody who may come in may ask this.
    Nothing,
    To(&'a [u8], Right),
}

/// Lets a request through if whoever asks may have it carried out.
///
/// # Errors
/// It needs a right that the asker has not, or not any more.
pub(crate) fn permit(
    view: &View,
    wall_ms: u64,
    asker: &Asker,
    request: &ClientRequest,
) -> Result<(), Failure> {
    let entry = match asker {
        Asker::Trusted => return Ok(()),
        Asker::Certificate(name) => match view.access(&Subject::Certificate(name.clone())) {
            Some(entry) => entry,
            // As it always was: an admin has not limited this certificate.
            None => return Ok(()),
        },
        // A token that was made anew since the client came in has another secret.
        Asker::Token(token) => {
            entry_of(view, token).ok_or_else(|| forbidden("the token is not in force here"))?
        }
    };
    if !entry.is_in_force(wall_ms) {
        return Err(forbidden("its rights were taken back, or their time is over"));
    }
    match need(request) {
        Need::Nothing => Ok(()),
        Need::To(bucket, right) => has(entry, bucket, right),
    }
}

/// Whether a token is known and has the right secret, and is in force.
pub(crate) fn is_token(view: &View, wall_ms: u64, token: &Token) -> bool {
    entry_of(view, token).is_some_and(|entry| entry.is_in_force(wall_ms))
}

/// Returns the entry of a token that has the right secret.
fn entry_of<'a>(view: &'a View, token: &Token) -> Option<&'a AccessEntry> {
    let entry = view.access(&Subject::Token(token.name.to_string()));
    entry.filter(|entry| entry.has_secret(&token.secret_hash))
}

fn has(entry: &AccessEntry, bucket: &[u8], right: Right) -> Result<(), Failure> {
    if entry.right_to(bucket).is_some_and(|has| has >= right) {
        return Ok(());
    }
    let name = entry.subject.name();
    let place = match bucket {
        [] => "all buckets".to_owned(),
        bucket => format!("bucket {}", Escaped(bucket)),
    };
    Err(forbidden(&format!("{name} has not the right to {} {place}", right.name())))
}

fn need(request: &ClientRequest) -> Need<'_> {
    match request {
        ClientRequest::Get(get) => Need::To(get.key.bucket(), Right::Read),
        ClientRequest::Put(put) => Need::To(put.key.bucket(), Right::Write),
        ClientRequest::Scan(scan) => match &scan.of {
            ScanOf::Bucket(bucket) => Need::To(bucket, Right::Read),
            ScanOf::EveryBucket(_) => Need::To(&[], Right::Read),
        },
        ClientRequest::Topology => Need::Nothing,
        ClientRequest::Admin(request) => match request {
            AdminRequest::Explain { key } => Need::To(key.bucket(), Right::Read),
            AdminRequest::BucketShow { name } => Need::To(name, Right::Read),
            AdminRequest::BucketSet { name, .. } => Need::To(name, Right::Admin),
            AdminRequest::AccessList => Need::To(&[], Right::Admin),
            request if changes_state(request) => Need::To(&[], Right::Admin),
            _ => Need::To(&[], Right::Read),
        },
    }
}

fn forbidden(why: &str) -> Failure {
    let message = format!(
        "this may not be done: {why}; an admin sees and gives rights with `jedlik-admin token`"
    );
    Failure::new(ErrorCode::Forbidden, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jedlik_door::Token;
    use jedlik_hashing::{NodeId, PartitionCount};
    use jedlik_membership::View;
    use jedlik_protocol::access::{AccessEntry, Grant, Right, Subject, hash_secret};
    use jedlik_protocol::admin::AdminRequest;
    use jedlik_protocol::client::{ClientRequest, GetRequest};
    use jedlik_protocol::error::ErrorCode;
    use jedlik_protocol::gossip::Delta;
    use jedlik_protocol::{ClusterId, Key, Quorum};

    use super::{Asker, is_token, permit};

    fn token(name: &str, grants: &[(&str, Right)]) -> AccessEntry {
        let grant =
            |(prefix, right): &(&str, Right)| Grant { prefix: (*prefix).into(), right: *right };
        AccessEntry {
            subject: Subject::Token(name.into()),
            version: 1,
            secret_hash: hash_secret(b"secret"),
            grants: grants.iter().map(grant).collect(),
            expires_at_ms: Some(1_000),
            revoked: false,
        }
    }

    fn view(access: Vec<AccessEntry>) -> View {
        let (known, nobody) = (Delta { access, ..Delta::default() }, BTreeSet::new());
        View::new(NodeId(1), ClusterId(1), PartitionCount::DEFAULT, known, nobody)
    }

    fn get(bucket: &str) -> ClientRequest {
        let key = Key::new(bucket, "k").unwrap();
        let [r, pr] = [Quorum::Default; 2];
        ClientRequest::Get(GetRequest { key, n: None, r, pr, timeout_ms: 1 })
    }

    fn set(bucket: &str) -> ClientRequest {
        let (name, changes) = (bucket.into(), Vec::new());
        ClientRequest::Admin(AdminRequest::BucketSet { name, changes })
    }

    #[test]
    fn a_token_may_do_what_its_grants_say_and_nothing_else() {
        let view = view(vec![token("shop", &[("carts", Right::Read), ("own", Right::Admin)])]);
        let shop = Asker::Token(Token::new("shop", b"secret"));
        let status = ClientRequest::Admin(AdminRequest::Status);
        for (request, may) in [
            (get("carts"), true),
            (get("carts/2"), true),
            (get("other"), false),
            (set("own"), true),
            (set("carts"), false),
            (ClientRequest::Topology, true),
            (status, false),
        ] {
            let answer = permit(&view, 0, &shop, &request);
            assert_eq!(answer.is_ok(), may, "{request:?}");
            assert!(permit(&view, 0, &Asker::Trusted, &request).is_ok());
        }
    }

    #[test]
    fn rights_end_with_their_time_and_with_a_revocation() {
        let shop = Asker::Token(Token::new("shop", b"secret"));
        let held = view(vec![token("shop", &[("", Right::Write)])]);
        assert!(permit(&held, 999, &shop, &get("b")).is_ok());
        assert_eq!(permit(&held, 1_000, &shop, &get("b")).unwrap_err().code, ErrorCode::Forbidden);
        let revoked = AccessEntry { revoked: true, ..token("shop", &[("", Right::Write)]) };
        assert!(permit(&view(vec![revoked]), 0, &shop, &get("b")).is_err());
        assert!(permit(&view(Vec::new()), 0, &shop, &get("b")).is_err(), "it is not known");
        let other = AccessEntry {
            secret_hash: hash_secret(b"another"),
            version: 2,
            ..token("shop", &[("", Right::Write)])
        };
        assert!(permit(&view(vec![other]), 0, &shop, &get("b")).is_err(), "it was made anew");
    }

    #[test]
    fn a_certificate_is_limited_once_an_admin_has_limited_it() {
        let shop = Asker::Certificate("shop".into());
        assert!(permit(&view(Vec::new()), 0, &shop, &get("b")).is_ok());
        let entry = AccessEntry {
            subject: Subject::Certificate("shop".into()),
            ..token("shop", &[("carts", Right::Read)])
        };
        let view = view(vec![entry]);
        assert!(permit(&view, 0, &shop, &get("carts")).is_ok());
        assert!(permit(&view, 0, &shop, &get("b")).is_err());
    }

    #[test]
    fn a_token_comes_in_with_its_secret_alone() {
        let view = view(vec![token("shop", &[])]);
        assert!(is_token(&view, 0, &Token::new("shop", b"secret")));
        for (at_ms, name, secret) in
            [(0, "shop", "wrong"), (0, "nobody", "secret"), (1_000, "shop", "secret")]
        {
            let token = Token::new(name, secret.as_bytes());
            assert!(!is_token(&view, at_ms, &token), "{name} {secret}");
        }
    }
}

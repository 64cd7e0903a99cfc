//! Entry of a client: TLS first where the door has it, then who it is.
//!
//! Invariant: nothing is asked of the node for a client that has not come in, and no secret is looked at that came in
//! plaintext where it could have come over TLS.

use std::net::SocketAddr;

use jedlik_door::{Access, Caller, Guard, Node, Reason, Token};
use jedlik_protocol::error::{ErrorCode, Failure};

use crate::code;
use crate::messages::Authenticate;
use crate::refusal::Refusal;

/// How far a client has come in.
pub(crate) struct Entry {
    /// Address of the client.
    pub(crate) from: SocketAddr,
    access: Access,
    has_tls: bool,
    step: Step,
}

/// Step that is next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The client has to begin with TLS.
    Tls,
    /// The client has to show a token.
    Token,
    /// The client is in.
    In(Caller),
    /// The client is not let in, and loses its connection.
    Over,
}

impl Entry {
    /// Returns the entry of a client that has just connected.
    pub(crate) fn new(guard: &Guard, from: SocketAddr) -> Self {
        let (access, has_tls) = (guard.access(), guard.wants_tls());
        let step = if has_tls { Step::Tls } else { Step::after_tls(access, None) };
        Self { from, access, has_tls, step }
    }

    /// Whether the client is to begin with TLS.
    pub(crate) fn wants_tls(&self) -> bool {
        self.step == Step::Tls
    }

    /// Notes that the client speaks TLS, and who it is by its certificate.
    pub(crate) fn is_secured(&mut self, client: Option<Caller>) {
        self.step = Step::after_tls(self.access, client);
    }

    /// Whether the client loses its connection.
    pub(crate) fn is_over(&self) -> bool {
        self.step == Step::Over
    }

    /// Returns who asks; `None` if that is not known yet.
    pub(super) fn caller(&self) -> Option<&Caller> {
        match &self.step {
            Step::In(caller) => Some(caller),
            Step::Tls | Step::Token | Step::Over => None,
        }
    }

    /// Lets a request through if the client has come in far enough.
    pub(super) fn check(&self, code: u8) -> Result<(), (Reason, Refusal)> {
        match (&self.step, code) {
            (Step::In(_), _)
            | (Step::Tls, code::START_TLS)
            | (Step::Token, code::AUTHENTICATE | code::START_TLS) => Ok(()),
            // Riak's own words.
            (Step::Tls, _) => {
                Err((Reason::Plain, Refusal::word("Security is enabled, please STARTTLS first")))
            }
            (Step::Token | Step::Over, _) => Err((Reason::Nothing, unknown().into())),
        }
    }

    /// Lets a client in that shows a token, or a certificate and its name.
    pub(super) fn authenticate(
        &mut self,
        shown: &Authenticate,
        node: &dyn Node,
    ) -> Result<(), (Reason, Refusal)> {
        if self.access == Access::Open {
            // Riak's clients that begin with TLS show a name and a password in any case.
            return if self.has_tls { Ok(()) } else { Err((Reason::Nothing, not_here())) };
        }
        let user = String::from_utf8_lossy(&shown.user);
        if shown.password.is_empty() && self.is_certificate_of(&user) {
            return Ok(());
        }
        let token = Token::new(&user, &shown.password);
        if node.knows(&token) {
            self.step = Step::In(Caller::Token(token));
            return Ok(());
        }
        // Whether the name, the secret or the time is wrong is nobody's business. Guessing costs a connection each.
        self.step = Step::Over;
        Err((Reason::Token, Refusal::word("Authentication failed")))
    }

    /// Whether a user's name goes with the certificate that the client has shown.
    fn is_certificate_of(&self, user: &str) -> bool {
        match &self.step {
            Step::In(Caller::Certificate(name)) => **name == *user,
            // An admin's certificate may call itself what it likes.
            Step::In(Caller::Trusted) => true,
            _ => false,
        }
    }
}

impl Step {
    fn after_tls(access: Access, client: Option<Caller>) -> Self {
        match (client, access) {
            (Some(client), _) => Self::In(client),
            (None, Access::Open) => Self::In(Caller::Trusted),
            (None, Access::Tokens) => Self::Token,
        }
    }
}

/// Returns the failure of a request whose client has shown nothing.
pub(super) fn unknown() -> Failure {
    let message = "nothing was done: it needs a token, whose name is the user and whose secret is the password; an \
                   admin makes one with `jedlik-admin token make`";
    Failure::new(ErrorCode::Forbidden, message)
}

/// Returns the refusal of TLS where there is none.
pub(super) fn no_tls() -> Refusal {
    Refusal::invalid(
        "there is no TLS to be started; it takes riak_pb.tls_cert, and is started once",
    )
}

fn not_here() -> Refusal {
    Refusal::invalid(
        "neither TLS nor authentication is configured here; connect without credentials",
    )
}

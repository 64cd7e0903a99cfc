//! Session of one connection: what its client asks, and the answers.
//!
//! Invariant: a message has one answer, or as many as its listing has pages, and the next message is looked at after the
//! last of them.

mod delete;
mod entry;
mod get;
mod list;
mod properties;
mod put;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jedlik_door::requests::TIMEOUT_MS;
use jedlik_door::{Answer, Caller, DoorName, Node, Phase, Reason, unexpected};
use jedlik_protocol::Key;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::TIMEOUT_MAX_MS;
use jedlik_riak::{VERSION, names, preflist};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::code;
use crate::frame::{Frames, Reply};
use crate::limits::{CLIENT_ID_LIMIT_BYTES, PUT_LIMIT_BYTES, REQUEST_LIMIT_BYTES};
use crate::messages::{
    Authenticate, ClientId, GetPreferenceList, PreferenceList, Preferred, ServerInfo,
};
use crate::quorums::{Asked, Kind, Meant};
use crate::refusal::{Ended, Refusal};

pub(crate) use self::entry::Entry;

/// Session of one connection.
pub(crate) struct Session {
    node: Arc<dyn Node>,
    /// Name of the node, from its certificate.
    name: Arc<str>,
    entry: Entry,
    /// Identifier that the client has given itself, which Jedlik has no use for.
    client_id: Bytes,
}

impl Session {
    pub(crate) fn new(node: Arc<dyn Node>, name: Arc<str>, entry: Entry) -> Self {
        Self { node, name, entry, client_id: Bytes::new() }
    }

    /// Returns how far the client has come in.
    pub(crate) fn entry(&mut self) -> &mut Entry {
        &mut self.entry
    }

    /// Notes why the client, or a request of it, was refused.
    pub(crate) fn note(&self, reason: Reason) {
        self.node.refused(DoorName::RiakPb, reason, self.entry.from);
    }

    /// Returns the longest message that a request with this code may have.
    ///
    /// # Errors
    /// No message with this code is carried out, whatever it says, or none of this client yet.
    pub(crate) fn limit(&self, code: u8) -> Result<usize, Refusal> {
        self.entry.check(code).map_err(|(reason, refusal)| {
            self.note(reason);
            refusal
        })?;
        match code {
            code::PUT => Ok(PUT_LIMIT_BYTES),
            code if code::is_known(code) => Ok(REQUEST_LIMIT_BYTES),
            code => Err(match code::missing(code) {
                Some(what) => Refusal::invalid(format!("Jedlik has no {what} (message {code})")),
                None => Refusal::invalid(format!("no request has the message code {code}")),
            }),
        }
    }

    /// Carries out what a message asks for, and answers it.
    ///
    /// # Errors
    /// The client can't be answered.
    pub(crate) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        code: u8,
        message: Bytes,
        to: &mut Frames<S>,
    ) -> io::Result<()> {
        let began = Instant::now();
        let carried_out = match code {
            code::LIST_KEYS => self.list_keys(message, to).await,
            code::LIST_BUCKETS => self.list_buckets(message, to).await,
            _ => match self.reply(code, message).await {
                Ok(reply) => to.send(reply).await.map_err(Ended::Gone),
                Err(refusal) => Err(Ended::Refused(refusal)),
            },
        };
        let refused = match carried_out {
            Ok(()) => false,
            Err(Ended::Refused(refusal)) => {
                if refusal.is_for_want_of_rights() {
                    self.note(Reason::Forbidden);
                }
                to.send(Reply::new(code::ERROR, &refusal.message())).await?;
                true
            }
            Err(Ended::Gone(error)) => return Err(error),
        };
        self.node.count_riak_pb(code::kind(code), refused, began.elapsed());
        Ok(())
    }

    /// Carries out a request that has one answer.
    async fn reply(&mut self, code: u8, message: Bytes) -> Result<Reply, Refusal> {
        match code {
            code::PING => Ok(Reply::empty(code::PONG)),
            code::GET_CLIENT_ID => {
                let client_id = ClientId { client_id: self.client_id.clone() };
                Ok(Reply::new(code::GOT_CLIENT_ID, &client_id))
            }
            code::SET_CLIENT_ID => self.set_client_id(message),
            code::GET_SERVER_INFO => Ok(self.server_info()),
            code::GET => self.get(decoded(message)?).await,
            code::PUT => self.put(message).await,
            code::DELETE => self.delete(decoded(message)?).await,
            code::GET_BUCKET => self.get_bucket(decoded(message)?).await,
            code::SET_BUCKET => self.set_bucket(decoded(message)?).await,
            code::RESET_BUCKET => self.reset_bucket(decoded(message)?).await,
            code::GET_BUCKET_TYPE => Self::get_bucket_type(&decoded(message)?),
            code::SET_BUCKET_TYPE => Self::set_bucket_type(&decoded(message)?),
            code::GET_PREFERENCE_LIST => self.preference_list(decoded(message)?).await,
            code::AUTHENTICATE => self.authenticate(&decoded(message)?),
            code::START_TLS => Err(entry::no_tls()),
            code => Err(Refusal::invalid(format!("no request has the message code {code}"))),
        }
    }

    fn set_client_id(&mut self, message: Bytes) -> Result<Reply, Refusal> {
        let ClientId { client_id } = decoded(message)?;
        if client_id.len() > CLIENT_ID_LIMIT_BYTES {
            let length = client_id.len();
            return Err(Refusal::invalid(format!(
                "the client's id has {length} bytes, over the limit of {CLIENT_ID_LIMIT_BYTES}"
            )));
        }
        // A slice would keep the whole buffer that it came in.
        self.client_id = Bytes::copy_from_slice(&client_id);
        Ok(Reply::empty(code::CLIENT_ID_SET))
    }

    fn server_info(&self) -> Reply {
        let info = ServerInfo {
            node: Some(Bytes::copy_from_slice(self.name.as_bytes())),
            server_version: Some(Bytes::from_static(VERSION.as_bytes())),
        };
        Reply::new(code::SERVER_INFO, &info)
    }

    async fn preference_list(&self, request: GetPreferenceList) -> Result<Reply, Refusal> {
        let key = key(request.bucket_type.as_ref(), &request.bucket, request.key)?;
        let n = self.properties_of(&key).await?.n;
        let topology = match self.ask(ClientRequest::Topology).await.response {
            ClientResponse::Topology(topology) => topology,
            other => return Err(unexpected(other).into()),
        };
        let entries = preflist::of(&topology, &key, n).ok_or_else(|| {
            let message = "the cluster has no layout yet; try again later";
            Failure::new(ErrorCode::NotReady, message)
        })?;
        let preferred = |entry: preflist::Entry| Preferred {
            partition: entry.partition.into(),
            node: entry.node.into(),
            primary: entry.primary,
        };
        let list = PreferenceList { preflist: entries.into_iter().map(preferred).collect() };
        Ok(Reply::new(code::PREFERENCE_LIST, &list))
    }

    fn authenticate(&mut self, request: &Authenticate) -> Result<Reply, Refusal> {
        if self.node.phase() == Phase::Starting {
            let message = "the node is starting, and does not know yet who may come in; try again";
            return Err(Failure::new(ErrorCode::NotReady, message).into());
        }
        match self.entry.authenticate(request, &*self.node) {
            Ok(()) => Ok(Reply::empty(code::AUTHENTICATED)),
            Err((reason, refusal)) => {
                self.note(reason);
                Err(refusal)
            }
        }
    }

    async fn ask(&self, request: ClientRequest) -> Answer {
        match self.caller() {
            Ok(caller) => self.node.ask(caller, request).await,
            Err(failure) => ClientResponse::Failed(failure).into(),
        }
    }

    /// Returns who asks. A client that has not come in was refused before its request was received.
    fn caller(&self) -> Result<&Caller, Failure> {
        self.entry.caller().ok_or_else(entry::unknown)
    }

    async fn ask_admin(&self, request: AdminRequest) -> Result<AdminResponse, Failure> {
        match self.ask(ClientRequest::Admin(request)).await.response {
            ClientResponse::Admin(response) => Ok(response),
            other => Err(unexpected(other)),
        }
    }

    async fn properties_of(&self, key: &Key) -> Result<BucketProps, Failure> {
        self.properties(key.bucket().clone()).await
    }

    /// Returns what quorums mean in the bucket of a key, whose properties are asked for only where they matter.
    async fn quorums(&self, asked: Asked, kind: Kind, key: &Key) -> Result<Meant, Refusal> {
        if asked.need_properties() {
            asked.meant(kind, &self.properties_of(key).await?)
        } else {
            asked.meant(kind, &BucketProps::default())
        }
    }
}

/// Decodes a message of a request.
fn decoded<M: Message + Default>(message: Bytes) -> Result<M, Refusal> {
    M::decode(message)
        .map_err(|error| Refusal::invalid(format!("the message can't be read: {error}")))
}

/// Returns the key of a bucket of a type.
fn key(bucket_type: Option<&Bytes>, bucket: &Bytes, key: Bytes) -> Result<Key, Refusal> {
    let bucket = bucket_name(bucket_type, bucket)?;
    Key::new(bucket, key).map_err(Refusal::invalid)
}

/// Returns the name that the bucket of a type has in Jedlik.
fn bucket_name(
    bucket_type: Option<&Bytes>,
    bucket: &Bytes,
) -> Result<jedlik_protocol::Blob, Refusal> {
    names::bucket(bucket_type.map(|name| &name[..]), bucket).map_err(Refusal::invalid)
}

/// Returns the time that a request may take, in milliseconds. Riak knows no longest one, so a longer one is shortened.
fn timeout_ms(asked: Option<u32>) -> u32 {
    match asked {
        None | Some(0) => TIMEOUT_MS,
        Some(ms) => ms.min(TIMEOUT_MAX_MS),
    }
}

/// Returns a field's context; `None` if it is empty or left out.
fn context(field: Option<Bytes>) -> Option<jedlik_protocol::Blob> {
    field.filter(|bytes| !bytes.is_empty()).map(Into::into)
}

#[cfg(test)]
mod tests;

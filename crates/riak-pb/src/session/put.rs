//! Puts of a key.
//!
//! Conditions are looked at by a get of the key before the put. Nothing holds the key between the two, so of two clients
//! with the same condition both may succeed, and then leave siblings:
//!
//! - `if_none_match`: the key is absent. A deleted key is; the put then follows its tombstone, and leaves no sibling of it.
//! - `if_not_modified`: the key's context is still the one that the put names.
//!
//! `return_body` and `return_head` are a get of the key after the put. If that get fails, the put's answer is without them,
//! since the put has succeeded.
//!
//! Invariant: a put that is refused for its condition has written nothing.

use bytes::Bytes;
use jedlik_door::requests::{self, ReadOptions, WriteOptions, unique_name};
use jedlik_door::unexpected;
use jedlik_protocol::client::{ClientResponse, PutAnswer};
use jedlik_protocol::{Blob, Key, Value};
use jedlik_vclock::Content;

use super::get::{contents, is_absent};
use super::{Session, context, decoded, key, timeout_ms};
use crate::code;
use crate::content::received;
use crate::frame::Reply;
use crate::messages::{Put, PutQuorums, Stored};
use crate::quorums::{Asked, Kind, quorum};
use crate::refusal::Refusal;

impl Session {
    pub(super) async fn put(&self, message: Bytes) -> Result<Reply, Refusal> {
        let (put, quorums): (Put, PutQuorums) = (decoded(message.clone())?, decoded(message)?);
        if put.asis == Some(true) {
            return Err(Refusal::invalid("asis can't be had: every put gets a version of its own"));
        }
        let content = received(put.content.clone())?;
        let (name, made) = match put.key.clone().filter(|key| !key.is_empty()) {
            Some(key) => (key, None),
            None => {
                let name = Bytes::from(unique_name()?);
                (name.clone(), Some(name))
            }
        };
        let key = key(put.bucket_type.as_ref(), &put.bucket, name)?;
        let read = ReadOptions {
            n: None,
            timeout_ms: timeout_ms(quorums.timeout),
            ..ReadOptions::default()
        };
        let context = self.context_of(&put, &key, &read).await?;
        let options = self.write_options(quorums, &key).await?;
        let answer = self.write(key.clone(), content, context, &options).await?;
        let mut stored = Stored { key: made, ..Stored::default() };
        let head = put.return_body != Some(true);
        if head && put.return_head != Some(true) {
            return Ok(Reply::new(code::STORED, &stored));
        }
        let Ok((found, held)) = self.read(&key, &read).await else {
            stored.vclock = Some(answer.context.into_bytes());
            return Ok(Reply::new(code::STORED, &stored));
        };
        stored.content = contents(&found, head)?;
        stored.vclock = found.context.map(Blob::into_bytes);
        Ok(Reply::new(code::STORED, &stored).keeping(held))
    }

    /// Returns the context that the put follows.
    ///
    /// # Errors
    /// The put's condition does not hold, or that can't be told.
    async fn context_of(
        &self,
        put: &Put,
        key: &Key,
        options: &ReadOptions,
    ) -> Result<Option<Blob>, Refusal> {
        let named = context(put.vclock.clone());
        let (none, same) = (put.if_none_match == Some(true), put.if_not_modified == Some(true));
        if !none && !same {
            return Ok(named);
        }
        let (found, _held) = self.read(key, options).await?;
        if none && !is_absent(&found.versions) {
            return Err(Refusal::word("match_found"));
        }
        if same && named != found.context {
            let word = if is_absent(&found.versions) { "notfound" } else { "modified" };
            return Err(Refusal::word(word));
        }
        Ok(named.or(found.context))
    }

    async fn write_options(&self, quorums: PutQuorums, key: &Key) -> Result<WriteOptions, Refusal> {
        let asked = Asked {
            count: quorums.w,
            primaries: quorums.pw,
            n_val: quorums.n_val,
            node_confirms: quorums.node_confirms,
            sloppy_quorum: quorums.sloppy_quorum,
        };
        let meant = self.quorums(asked, Kind::Write, key).await?;
        Ok(WriteOptions {
            n: meant.n,
            w: meant.count,
            pw: meant.primaries,
            dw: quorum(quorums.dw)?,
            ttl_ms: None,
            timeout_ms: timeout_ms(quorums.timeout),
        })
    }

    pub(super) async fn write(
        &self,
        key: Key,
        content: Content<Value>,
        context: Option<Blob>,
        options: &WriteOptions,
    ) -> Result<PutAnswer, Refusal> {
        let request = requests::put(key, content, context, options)?;
        match self.ask(request).await.response {
            ClientResponse::Put(answer) => Ok(answer),
            other => Err(unexpected(other).into()),
        }
    }
}

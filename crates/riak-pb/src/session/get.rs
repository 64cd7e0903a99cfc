//! Gets of a key.
//!
//! An absent key is an answer without anything in it. A deleted one is too, unless its client asks for the context of the
//! tombstone, which the next put has to name. Where siblings are there, a tombstone among them is one of them.
//!
//! Invariant: an answer is of one moment: its context covers the versions that are in it, and no other.

use jedlik_door::requests::{self, ReadOptions};
use jedlik_door::{Held, unexpected};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientResponse, GetAnswer, Version};
use jedlik_protocol::error::Failure;
use jedlik_protocol::{Blob, Key};
use jedlik_riak::quorums::absence;
use jedlik_vclock::Content;

use super::{Session, context, key, timeout_ms};
use crate::content::shown;
use crate::frame::Reply;
use crate::messages::{Get, Got};
use crate::quorums::{Asked, Kind};
use crate::refusal::Refusal;
use crate::{code, messages};

impl Session {
    pub(super) async fn get(&self, request: Get) -> Result<Reply, Refusal> {
        let asked = Asked {
            count: request.r,
            primaries: request.pr,
            n_val: request.n_val,
            node_confirms: request.node_confirms,
            sloppy_quorum: request.sloppy_quorum,
        };
        let key = key(request.bucket_type.as_ref(), &request.bucket, request.key)?;
        let options = self.read_options(asked, request.timeout, &key).await?;
        let (mut answer, mut held) = self.read(&key, &options).await?;
        if is_absent(&answer.versions) && request.notfound_ok == Some(false) {
            let basic = request.basic_quorum == Some(true);
            if let Some(options) = self.more_of_them(&key, &options, basic).await? {
                drop(held);
                (answer, held) = self.read(&key, &options).await?;
            }
        }
        let known = context(request.if_modified);
        let wanted = Wanted {
            head: request.head == Some(true),
            deleted: request.deletedvclock == Some(true),
        };
        Ok(Reply::new(code::GOT, &got(answer, known.as_ref(), wanted)?).keeping(held))
    }

    pub(super) async fn read_options(
        &self,
        asked: Asked,
        timeout: Option<u32>,
        key: &Key,
    ) -> Result<ReadOptions, Refusal> {
        let meant = self.quorums(asked, Kind::Read, key).await?;
        let (n, r, pr) = (meant.n, meant.count, meant.primaries);
        Ok(ReadOptions { n, r, pr, timeout_ms: timeout_ms(timeout) })
    }

    pub(super) async fn read(
        &self,
        key: &Key,
        options: &ReadOptions,
    ) -> Result<(GetAnswer, Held), Failure> {
        let answer = self.ask(requests::get(key.clone(), options)).await;
        match answer.response {
            ClientResponse::Got(got) => Ok((got, answer.held)),
            other => Err(unexpected(other)),
        }
    }

    /// Returns the options with which an absent key is asked for again; `None` if enough have said so.
    async fn more_of_them(
        &self,
        key: &Key,
        options: &ReadOptions,
        basic_quorum: bool,
    ) -> Result<Option<ReadOptions>, Refusal> {
        let props = self.properties_of(key).await?;
        let props = BucketProps { n: options.n.unwrap_or(props.n), ..props };
        let r = absence(options.r, basic_quorum, &props).map_err(Refusal::invalid)?;
        Ok(r.map(|r| ReadOptions { r, ..options.clone() }))
    }
}

/// Parts of an answer that its client wants or not.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// Whether the values' bytes are left out.
    head: bool,
    /// Whether the context of a deleted key is wanted.
    deleted: bool,
}

/// Returns what a get has found, for a client that knows the versions of this context.
fn got(answer: GetAnswer, known: Option<&Blob>, wanted: Wanted) -> Result<Got, Refusal> {
    let vclock = |answer: GetAnswer| answer.context.map(Blob::into_bytes);
    if is_absent(&answer.versions) {
        let vclock = if wanted.deleted { vclock(answer) } else { None };
        return Ok(Got { vclock, ..Got::default() });
    }
    if known.is_some() && known == answer.context.as_ref() {
        // Riak leaves the context out, and its client for Node then fails.
        return Ok(Got { vclock: vclock(answer), unchanged: Some(true), ..Got::default() });
    }
    let content = contents(&answer, wanted.head)?;
    Ok(Got { content, vclock: vclock(answer), unchanged: None })
}

/// Returns the versions that a get has found, without their bytes if only their `head` is wanted.
pub(super) fn contents(answer: &GetAnswer, head: bool) -> Result<Vec<messages::Content>, Refusal> {
    answer.versions.iter().map(|version| shown(version, head)).collect()
}

/// Whether a get has found no value: the key was never written, or is deleted.
pub(super) fn is_absent(versions: &[Version]) -> bool {
    !versions.iter().any(|version| matches!(version.content, Content::Value(_)))
}

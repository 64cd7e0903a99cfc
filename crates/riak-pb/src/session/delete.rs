//! Deletes of a key.
//!
//! Invariant: a delete removes what its context has seen, or what a get sees now where it names none.

use jedlik_door::requests::WriteOptions;
use jedlik_vclock::Content;

use super::get::is_absent;
use super::{Session, context, key, timeout_ms};
use crate::code;
use crate::frame::Reply;
use crate::messages::Delete;
use crate::quorums::{Asked, Kind, quorum};
use crate::refusal::Refusal;

impl Session {
    pub(super) async fn delete(&self, delete: Delete) -> Result<Reply, Refusal> {
        let key = key(delete.bucket_type.as_ref(), &delete.bucket, delete.key)?;
        let asked =
            Asked { n_val: delete.n_val, sloppy_quorum: delete.sloppy_quorum, ..Asked::default() };
        let context = match context(delete.vclock) {
            Some(context) => context,
            None => {
                // The quorum for both ways counts where the one of the way is left out.
                let count = delete.r.or(delete.rw);
                let asked = Asked { count, primaries: delete.pr, ..asked };
                let options = self.read_options(asked, delete.timeout, &key).await?;
                let (found, _held) = self.read(&key, &options).await?;
                match found.context {
                    Some(context) if !is_absent(&found.versions) => context,
                    _ => return Ok(Reply::empty(code::DELETED)),
                }
            }
        };
        let asked = Asked { count: delete.w.or(delete.rw), primaries: delete.pw, ..asked };
        let meant = self.quorums(asked, Kind::Write, &key).await?;
        let options = WriteOptions {
            n: meant.n,
            w: meant.count,
            pw: meant.primaries,
            dw: quorum(delete.dw)?,
            ttl_ms: None,
            timeout_ms: timeout_ms(delete.timeout),
        };
        self.write(key, Content::Tombstone, Some(context), &options).await?;
        Ok(Reply::empty(code::DELETED))
    }
}

//! Listings of a bucket's keys, and of the buckets of a type.
//!
//! A page of keys is a message of its own, and the last message says that it is the last. A listing that fails ends with
//! an error in its place. Buckets are found by reading every record: a bucket is there as long as it has a key.
//!
//! Invariant: nothing is sent for a page without names, which clients would take for something else, and a name is sent
//! once.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use jedlik_door::listing::{Listing, ListingOptions};
use jedlik_protocol::Blob;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_riak::names;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Session, bucket_name, decoded, timeout_ms};
use crate::code;
use crate::frame::{Frames, Reply};
use crate::limits::BUCKETS_LIMIT_BYTES;
use crate::messages::{Buckets, Keys, ListBuckets, ListKeys};
use crate::refusal::{Ended, Refusal};

impl Session {
    pub(super) async fn list_keys<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        message: Bytes,
        to: &mut Frames<S>,
    ) -> Result<(), Ended> {
        let request: ListKeys = decoded(message)?;
        let bucket = bucket_name(request.bucket_type.as_ref(), &request.bucket)?;
        jedlik_protocol::bucket::check_name(&bucket).map_err(Refusal::invalid)?;
        let (node, caller) = (Arc::clone(&self.node), self.caller()?.clone());
        let options = options(request.timeout);
        let mut listing = Listing::of_bucket(node, caller, bucket, None, options).await?;
        while let Some(page) = listing.next().await {
            let page = page?;
            let keys: Vec<Bytes> =
                page.items.into_iter().map(|item| item.key.into_bytes()).collect();
            if !keys.is_empty() {
                let reply = Reply::new(code::KEYS, &Keys { keys, done: None }).keeping(page.held);
                to.send(reply).await.map_err(Ended::Gone)?;
            }
        }
        let last = Keys { keys: Vec::new(), done: Some(true) };
        to.send(Reply::new(code::KEYS, &last)).await.map_err(Ended::Gone)
    }

    pub(super) async fn list_buckets<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        message: Bytes,
        to: &mut Frames<S>,
    ) -> Result<(), Ended> {
        let request: ListBuckets = decoded(message)?;
        let streamed = request.stream == Some(true);
        let bucket_type = request.bucket_type.as_deref();
        names::bucket(bucket_type, b"any").map_err(Refusal::invalid)?;
        let (node, caller) = (Arc::clone(&self.node), self.caller()?.clone());
        let options = options(request.timeout);
        let mut listing = Listing::of_every_bucket(node, caller, options).await?;
        let (mut seen, mut length) = (BTreeSet::<Blob>::new(), 0);
        while let Some(page) = listing.next().await {
            let mut fresh = Vec::new();
            for item in page?.items {
                let Some(name) = names::within(&item.bucket, bucket_type) else { continue };
                // Not a slice, which would keep the whole page.
                if !seen.contains(&item.bucket) && seen.insert(Blob::from(&item.bucket[..])) {
                    length += name.len();
                    fresh.push(Bytes::copy_from_slice(name));
                }
            }
            if length > BUCKETS_LIMIT_BYTES {
                return Err(too_many().into());
            }
            if streamed && !fresh.is_empty() {
                let reply = Reply::new(code::BUCKETS, &Buckets { buckets: fresh, done: None });
                to.send(reply).await.map_err(Ended::Gone)?;
            }
        }
        let within = |name: &Blob| names::within(name, bucket_type).map(Bytes::copy_from_slice);
        let rest = if streamed { Vec::new() } else { seen.iter().filter_map(within).collect() };
        let last = Buckets { buckets: rest, done: Some(true) };
        to.send(Reply::new(code::BUCKETS, &last)).await.map_err(Ended::Gone)
    }
}

/// Returns the options of a listing, each page of which may take the whole time of the request.
fn options(timeout: Option<u32>) -> ListingOptions {
    ListingOptions { timeout_ms: timeout_ms(timeout), ..ListingOptions::default() }
}

fn too_many() -> Failure {
    let message = format!(
        "the names of all buckets take more than {BUCKETS_LIMIT_BYTES} bytes, the most of a listing over this interface"
    );
    Failure::new(ErrorCode::InvalidRequest, message)
}

//! Properties of buckets and of bucket types.
//!
//! A type is a part of its buckets' names and has no properties of its own, so what is shown of it are the properties of a
//! bucket that was never set, and they can't be changed.
//!
//! Invariant: a property that can't be had is refused by its name, and then none of them is set.

use bytes::Bytes;
use jedlik_door::unexpected;
use jedlik_protocol::Blob;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::error::Failure;
use jedlik_riak::{names, properties};

use super::{Session, bucket_name};
use crate::code;
use crate::frame::Reply;
use crate::messages::{GetBucket, GetBucketType, GotBucket, SetBucket, SetBucketType};
use crate::refusal::Refusal;
use crate::settings;

impl Session {
    pub(super) async fn get_bucket(&self, request: GetBucket) -> Result<Reply, Refusal> {
        let name = bucket_name(request.bucket_type.as_ref(), &request.bucket)?;
        Ok(shown(&self.properties(name).await?))
    }

    pub(super) async fn set_bucket(&self, request: SetBucket) -> Result<Reply, Refusal> {
        let name = bucket_name(request.bucket_type.as_ref(), &request.bucket)?;
        let settings = settings::received(request.props)?;
        let props = self.properties(name.clone()).await?;
        let changes = properties::changes(&props, &settings).map_err(Refusal::invalid)?;
        self.change(name, changes).await?;
        Ok(Reply::empty(code::BUCKET_SET))
    }

    pub(super) async fn reset_bucket(&self, request: GetBucket) -> Result<Reply, Refusal> {
        let name = bucket_name(request.bucket_type.as_ref(), &request.bucket)?;
        self.change(name, properties::reset()).await?;
        Ok(Reply::empty(code::BUCKET_RESET))
    }

    pub(super) fn get_bucket_type(request: &GetBucketType) -> Result<Reply, Refusal> {
        check_type(&request.bucket_type)?;
        Ok(shown(&BucketProps::default()))
    }

    pub(super) fn set_bucket_type(request: &SetBucketType) -> Result<Reply, Refusal> {
        check_type(&request.bucket_type)?;
        let why = "a bucket type has no properties of its own: set those of its buckets";
        Err(Refusal::invalid(why))
    }

    /// Returns the properties of a bucket, set or default.
    pub(super) async fn properties(&self, name: Blob) -> Result<BucketProps, Failure> {
        match self.ask_admin(AdminRequest::BucketShow { name }).await? {
            AdminResponse::Bucket(entry) => Ok(entry.props),
            other => Err(unexpected(ClientResponse::Admin(other))),
        }
    }

    async fn change(&self, name: Blob, changes: Vec<(String, String)>) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        match self.ask_admin(AdminRequest::BucketSet { name, changes }).await? {
            AdminResponse::Bucket(_) => Ok(()),
            other => Err(unexpected(ClientResponse::Admin(other))),
        }
    }
}

fn shown(props: &BucketProps) -> Reply {
    Reply::new(code::GOT_BUCKET, &GotBucket { props: settings::shown(&properties::of(props)) })
}

fn check_type(bucket_type: &Bytes) -> Result<(), Refusal> {
    names::bucket(Some(bucket_type), b"any").map(drop).map_err(Refusal::invalid)
}

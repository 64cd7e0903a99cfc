//! Shard that a request is for: that of its key's partition.
//!
//! Invariant: requests for one partition go to one shard, whichever way they came.

use jedlik_hashing::Partition;
use jedlik_membership::View;
use jedlik_protocol::Key;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::PeerRequest;

use super::Router;
use crate::inbox::Inbox;

impl Router {
    pub(super) fn shard_of_client(
        &self,
        view: &View,
        request: &ClientRequest,
    ) -> Result<&Inbox, Failure> {
        match request {
            ClientRequest::Get(get) => Ok(self.shard_of_key(view, &get.key)),
            ClientRequest::Put(put) => Ok(self.shard_of_key(view, &put.key)),
            ClientRequest::Scan(scan) => self.shard_of_partition(view, scan.partition),
            ClientRequest::Admin(AdminRequest::Explain { key }) => Ok(self.shard_of_key(view, key)),
            ClientRequest::Topology | ClientRequest::Admin(_) => {
                let message = "only gets, puts and scans can be forwarded";
                Err(Failure::new(ErrorCode::InvalidRequest, message))
            }
        }
    }

    pub(super) fn shard_of_peer(
        &self,
        view: &View,
        request: &PeerRequest,
    ) -> Result<&Inbox, Failure> {
        match request {
            PeerRequest::Write { key, .. }
            | PeerRequest::Hint { key, .. }
            | PeerRequest::Read { key, .. }
            | PeerRequest::Deliver { key, .. }
            | PeerRequest::Compare { key, .. }
            | PeerRequest::Revise { key, .. }
            | PeerRequest::Inspect { key } => Ok(self.shard_of_key(view, key)),
            PeerRequest::Scan { partition, .. }
            | PeerRequest::Hashes { partition, .. }
            | PeerRequest::Digests { partition, .. }
            | PeerRequest::Vote { partition, .. }
            | PeerRequest::Fetch { partition, .. } => self.shard_of_partition(view, *partition),
            PeerRequest::Forward(request) => self.shard_of_client(view, request),
        }
    }

    fn shard_of_key(&self, view: &View, key: &Key) -> &Inbox {
        let partition = view.partitions().partition(key.position(view.cluster()));
        &self.shards[partition.0 as usize % self.shards.len()].inbox
    }

    fn shard_of_partition(&self, view: &View, partition: Partition) -> Result<&Inbox, Failure> {
        let count = view.partitions().get();
        if partition.0 >= count {
            let message = format!("there is no partition {partition}: the cluster has {count}");
            return Err(Failure::new(ErrorCode::InvalidRequest, message));
        }
        Ok(&self.shards[partition.0 as usize % self.shards.len()].inbox)
    }
}

//! What members say of themselves and the answering node can't know: whether one that is away is drained.
//!
//! Invariant: a member that does not answer in time has said nothing, and is shown as the answering node sees it.

use std::collections::BTreeSet;
use std::time::Duration;

use jedlik_client::NodeId;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, ClusterStatus};
use jedlik_protocol::gossip::Status;

use crate::cluster::Cluster;
use crate::cluster::status::says_drained;

/// Time in which a member must answer; `cluster status` waits no longer for members that are gone.
const LIMIT: Duration = Duration::from_secs(1);

/// Words of the members about themselves.
#[derive(Debug, Default)]
pub(super) struct OwnWords {
    /// Members that are away, answer, and say that they are drained.
    pub(super) drained: BTreeSet<NodeId>,
}

impl OwnWords {
    /// Asks the members that are away whether they are drained.
    pub(super) async fn ask(cluster: &Cluster, status: &ClusterStatus) -> Self {
        let away = status.members.iter().filter(|seen| seen.record.status == Status::Away);
        let away: Vec<NodeId> = away.map(|seen| seen.record.node).collect();
        let admin = cluster.client().admin();
        let told = admin.ask_members(&away, &AdminRequest::Status, LIMIT).await;
        let drained = told.into_iter().filter_map(|(member, answer)| match answer {
            Ok(AdminResponse::Status(own)) if says_drained(&own) => Some(member.node),
            _ => None,
        });
        Self { drained: drained.collect() }
    }
}

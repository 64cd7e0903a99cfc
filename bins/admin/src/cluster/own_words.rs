//! What members say of themselves and the answering node can't know: whether one that is away is drained, and how much
//! of its records one has yet to count.
//!
//! Invariant: a member that does not answer in time has said nothing, and is shown as the answering node sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jedlik_client::NodeId;
use jedlik_doctor::says_drained;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, ClusterStatus, MemberStatus};
use jedlik_protocol::gossip::Status;

use crate::cluster::Cluster;

/// Time in which a member must answer; `cluster status` waits no longer for members that are gone.
const LIMIT: Duration = Duration::from_secs(1);

/// Words of the members about themselves.
#[derive(Debug, Default)]
pub(super) struct OwnWords {
    /// Members that are away, answer, and say that they are drained.
    pub(super) drained: BTreeSet<NodeId>,
    /// Members that have yet to read records, as after a restart, with the number of such partitions.
    pub(super) unread: BTreeMap<NodeId, u32>,
}

impl OwnWords {
    /// Asks the members that are away whether they are drained, and those that are up how much they have yet to read.
    pub(super) async fn ask(cluster: &Cluster, status: &ClusterStatus) -> Self {
        let nodes = |wanted: fn(&&MemberStatus) -> bool| -> Vec<NodeId> {
            status.members.iter().filter(wanted).map(|seen| seen.record.node).collect()
        };
        let away = nodes(|seen| seen.record.status == Status::Away);
        let up = nodes(|seen| seen.alive);
        let admin = cluster.client().admin();
        let (away, up) = tokio::join!(
            admin.ask_members(&away, &AdminRequest::Status, LIMIT),
            admin.ask_members(&up, &AdminRequest::RepairProgress, LIMIT),
        );
        let drained = away.into_iter().filter_map(|(member, answer)| match answer {
            Ok(AdminResponse::Status(own)) if says_drained(&own) => Some(member.node),
            _ => None,
        });
        let unread = up.into_iter().filter_map(|(member, answer)| match answer {
            Ok(AdminResponse::Repair(report)) if report.building > 0 => {
                Some((member.node, report.building))
            }
            _ => None,
        });
        Self { drained: drained.collect(), unread: unread.collect() }
    }
}

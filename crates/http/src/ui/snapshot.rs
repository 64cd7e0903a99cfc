//! Everything that the page shows, as one document: what this node sees, and what each member reports of itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jedlik_door::{Caller, Node, Rights, unexpected};
use jedlik_hashing::NodeId;
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, ClusterStatus, MemberState, MemberStatus,
};
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::Status;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::v1::{buckets, cluster};

/// Questions that are asked of every member.
const QUESTIONS: [AdminRequest; 6] = [
    AdminRequest::Status,
    AdminRequest::Stats,
    AdminRequest::Hints,
    AdminRequest::Transfers,
    AdminRequest::RepairProgress,
    AdminRequest::Background,
];

/// What the page shows at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Snapshot {
    /// Everything but the layouts.
    pub(super) news: Value,
    /// The active layouts, which are large and change seldom.
    pub(super) layouts: Value,
}

impl Snapshot {
    /// Asks the node, and every member that it takes to be up, at once.
    ///
    /// # Errors
    /// The node itself does not answer.
    pub(super) async fn take(node: &Arc<dyn Node>) -> Result<Self, Failure> {
        let caller = Caller { rights: Rights::Read };
        let ask =
            async |request| match node.ask(&caller, ClientRequest::Admin(request)).await.response {
                ClientResponse::Admin(response) => Ok(response),
                other => Err(unexpected(other)),
            };
        let status = match ask(AdminRequest::Status).await? {
            AdminResponse::Status(status) => status,
            other => return Err(unexpected(ClientResponse::Admin(other))),
        };
        let layouts = match ask(AdminRequest::Layouts).await? {
            AdminResponse::Layouts(layouts) => {
                layouts.iter().map(cluster::layout_json).collect::<Vec<Value>>()
            }
            other => return Err(unexpected(ClientResponse::Admin(other))),
        };
        let buckets = match ask(AdminRequest::BucketList).await? {
            AdminResponse::Buckets(buckets) => buckets::list_json(&buckets),
            other => return Err(unexpected(ClientResponse::Admin(other))),
        };
        let news = json!({
            "at_ms": now_ms(),
            "cluster": cluster::status_json(&status),
            "members": members(node, &status).await,
            "buckets": buckets,
            "findings": [],
        });
        Ok(Self { news, layouts: json!({ "layouts": layouts }) })
    }
}

/// Asks all members at once, and returns what they say in the order of the status.
async fn members(node: &Arc<dyn Node>, status: &ClusterStatus) -> Vec<Value> {
    let is_here =
        |member: &&MemberStatus| !matches!(member.state, MemberState::Left | MemberState::Removed);
    let mut asked = JoinSet::new();
    let here: Vec<&MemberStatus> = status.members.iter().filter(is_here).collect();
    for (index, member) in here.iter().enumerate() {
        let (node, id, alive) = (Arc::clone(node), member.record.node, member.alive);
        asked.spawn(async move {
            let told = if alive { told(&*node, id).await } else { Map::new() };
            (index, told)
        });
    }
    let mut said: Vec<Map<String, Value>> = here.iter().map(|_| Map::new()).collect();
    while let Some(told) = asked.join_next().await {
        if let Ok((index, told)) = told {
            said[index] = told;
        }
    }
    let named = here.iter().zip(said).map(|(member, mut told)| {
        told.insert("node".into(), member.record.node.to_string().into());
        told.insert("name".into(), member.record.name.clone().into());
        Value::Object(told)
    });
    named.collect()
}

/// Returns a member's answers by their names; a question without an answer is left out.
async fn told(node: &dyn Node, member: NodeId) -> Map<String, Value> {
    let mut told = Map::new();
    for question in QUESTIONS {
        match node.ask_member(member, question).await.response {
            ClientResponse::Admin(answer) => note(&mut told, &answer),
            // One that does not answer this will not answer the next one either.
            _ => break,
        }
    }
    told
}

fn note(told: &mut Map<String, Value>, answer: &AdminResponse) {
    let (name, value) = match answer {
        AdminResponse::Status(status) => {
            let own = status.members.iter().find(|member| member.record.node == status.node);
            let drained = own.is_some_and(|own| own.record.status == Status::Away);
            told.insert("drained".into(), drained.into());
            ("sees", sees(status))
        }
        AdminResponse::Stats(stats) => ("stats", cluster::stats_json(stats)),
        AdminResponse::Hints(hints) => ("hints", hints.iter().map(cluster::hints_json).collect()),
        AdminResponse::Transfers(report) => ("transfers", cluster::transfers_json(report)),
        AdminResponse::Repair(report) => ("repair", cluster::repair_json(report)),
        AdminResponse::Background(report) => ("background", cluster::background_json(report)),
        _ => return,
    };
    told.insert(name.into(), value);
}

/// Returns whom a member takes to be up.
fn sees(status: &ClusterStatus) -> Value {
    let sees = status
        .members
        .iter()
        .map(|member| (member.record.node.to_string(), Value::from(member.alive)));
    Value::Object(sees.collect())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

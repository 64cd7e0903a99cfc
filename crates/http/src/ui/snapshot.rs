//! Everything that the page shows, as one document: what this node sees, and what each member reports of itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jedlik_doctor::{Observed, ObservedMember, diagnose, is_gone, largest_n, tell_apart};
use jedlik_door::{Caller, Node, unexpected};
use jedlik_protocol::admin::{AdminRequest, AdminResponse, ClusterStatus, MemberStatus};
use jedlik_protocol::client::{ClientRequest, ClientResponse, MemberAddress};
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::Status;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::v1::{buckets, cluster, doctor};

/// Questions that are asked of every member.
const QUESTIONS: [AdminRequest; 6] = [
    AdminRequest::Status,
    AdminRequest::Stats,
    AdminRequest::Hints,
    AdminRequest::Transfers,
    AdminRequest::RepairProgress,
    AdminRequest::Background,
];

/// Everything that the page shows at one time.
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
        let caller = Caller::Reader;
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
            AdminResponse::Buckets(buckets) => buckets,
            other => return Err(unexpected(ClientResponse::Admin(other))),
        };
        let (members, observed) = members(node, &status).await;
        let largest_n = largest_n(&buckets);
        let findings = diagnose(&Observed { members: observed, largest_n, now_ms: now_ms() });
        let news = json!({
            "at_ms": now_ms(),
            "cluster": cluster::status_json(&status),
            "members": members,
            "buckets": buckets::list_json(&buckets),
            "findings": doctor::to_json(&findings),
        });
        Ok(Self { news, layouts: json!({ "layouts": layouts }) })
    }
}

/// Asks all members at once, and returns what they say in the order of the status, for the page and for the diagnosis.
async fn members(
    node: &Arc<dyn Node>,
    status: &ClusterStatus,
) -> (Vec<Value>, Vec<ObservedMember>) {
    let here: Vec<&MemberStatus> =
        status.members.iter().filter(|member| !is_gone(member)).collect();
    let mut observed: Vec<ObservedMember> =
        here.iter().map(|member| ObservedMember::silent(address(member))).collect();
    tell_apart(&mut observed);
    let mut asked = JoinSet::new();
    for (index, member) in observed.iter().enumerate() {
        let (node, member) = (Arc::clone(node), member.clone());
        asked.spawn(async move {
            let told =
                if member.member.alive { told(&*node, member).await } else { (Map::new(), member) };
            (index, told)
        });
    }
    let mut said: Vec<Map<String, Value>> = here.iter().map(|_| Map::new()).collect();
    while let Some(told) = asked.join_next().await {
        if let Ok((index, told)) = told {
            (said[index], observed[index]) = told;
        }
    }
    let named = here.iter().zip(said).map(|(member, mut told)| {
        told.insert("node".into(), member.record.node.to_string().into());
        told.insert("name".into(), member.record.name.clone().into());
        Value::Object(told)
    });
    (named.collect(), observed)
}

fn address(member: &MemberStatus) -> MemberAddress {
    let record = &member.record;
    let (node, name, address) = (record.node, record.name.clone(), record.address);
    MemberAddress { node, name, address, alive: member.alive }
}

/// Returns a member's answers by their names; a question without an answer is left out.
async fn told(node: &dyn Node, mut member: ObservedMember) -> (Map<String, Value>, ObservedMember) {
    let mut told = Map::new();
    for question in QUESTIONS {
        match node.ask_member(&Caller::Reader, member.member.node, question).await.response {
            ClientResponse::Admin(answer) => {
                note(&mut told, &answer);
                member.note(Ok(answer));
            }
            // One that does not answer this will not answer the next one either.
            other => {
                member.note(Err(unexpected(other).message));
                break;
            }
        }
    }
    (told, member)
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

//! What is wrong with the cluster, what that holds up, and what to do: as `jedlik-admin doctor` says it.
//!
//! Invariant: all members are asked at once, and one that does not answer costs no more than the time for an answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use jedlik_doctor::{Finding, Observed, ObservedMember, diagnose, largest_n, tell_apart};
use jedlik_door::{Caller, Node, unexpected};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::Failure;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::access::Asked;
use crate::problem::Problem;
use crate::v1::options::nothing;

/// Time in which a member has to answer a question.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Answers with the findings, the most severe first.
pub(crate) async fn show(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    shared.check_sees_all().await?;
    let findings = findings(&shared.node).await?;
    let document = json!({ "findings": to_json(&findings) });
    Ok(super::json(StatusCode::OK, "application/json", &document))
}

/// Asks all members what they report of themselves, and returns what is wrong.
///
/// # Errors
/// The node itself does not say which members there are.
pub(crate) async fn findings(node: &Arc<dyn Node>) -> Result<Vec<Finding>, Failure> {
    let caller = Caller::Reader;
    let members = match node.ask(&caller, ClientRequest::Topology).await.response {
        ClientResponse::Topology(topology) => topology.members,
        other => return Err(unexpected(other)),
    };
    let buckets = ClientRequest::Admin(AdminRequest::BucketList);
    let largest_n = match node.ask(&caller, buckets).await.response {
        ClientResponse::Admin(AdminResponse::Buckets(buckets)) => largest_n(&buckets),
        other => return Err(unexpected(other)),
    };
    let mut observed: Vec<ObservedMember> =
        members.into_iter().map(ObservedMember::silent).collect();
    tell_apart(&mut observed);
    let mut asked = JoinSet::new();
    for (index, member) in observed.iter().enumerate() {
        let (node, member) = (Arc::clone(node), member.clone());
        asked.spawn(async move { (index, observe(&*node, member).await) });
    }
    while let Some(told) = asked.join_next().await {
        if let Ok((index, member)) = told {
            observed[index] = member;
        }
    }
    Ok(diagnose(&Observed { members: observed, largest_n, now_ms: now_ms() }))
}

/// Asks one member everything, unless it does not answer the first question.
async fn observe(node: &dyn Node, mut member: ObservedMember) -> ObservedMember {
    let id = member.member.node;
    let ask = |request| {
        let asked = timeout(ANSWER_LIMIT, node.ask_member(&Caller::Reader, id, request));
        async move {
            match asked.await.map(|answer| answer.response) {
                Ok(ClientResponse::Admin(response)) => Ok(response),
                Ok(other) => Err(unexpected(other).message),
                Err(_) => Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
            }
        }
    };
    member.note(ask(jedlik_doctor::FIRST).await);
    if member.status.is_some() {
        let [hints, stats, repairs, background, transfers] = jedlik_doctor::OTHERS.map(ask);
        let told = tokio::join!(hints, stats, repairs, background, transfers);
        for answer in [told.0, told.1, told.2, told.3, told.4] {
            member.note(answer);
        }
    }
    member
}

/// Returns findings as JSON.
pub(crate) fn to_json(findings: &[Finding]) -> Value {
    let shown = findings.iter().map(|finding| {
        let fields = finding.fields();
        let fields = fields.map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::Object(fields.into_iter().collect::<Map<String, Value>>())
    });
    shown.collect()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

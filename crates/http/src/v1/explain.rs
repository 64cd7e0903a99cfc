//! Where a key belongs, and what each node holds of it.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use jedlik_door::unexpected;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, Explanation, Holder};
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::inspection::{HintSummary, Inspection, RecordSummary, SiblingSummary};
use serde_json::{Value, json};

use crate::access::Asked;
use crate::problem::Problem;
use crate::v1::buckets::ask;
use crate::v1::key::key;
use crate::v1::options::nothing;

/// Explains a key: the answering node asks all that may hold it.
pub(crate) async fn explain(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    match ask(&shared, AdminRequest::Explain { key: key(&uri)? }).await? {
        AdminResponse::Explained(explained) => {
            let document = explanation_json(&explained);
            Ok(super::json(StatusCode::OK, "application/json", &document))
        }
        other => Err(unexpected(ClientResponse::Admin(other)).into()),
    }
}

fn explanation_json(explained: &Explanation) -> Value {
    let holder = |holder: &Holder| holder_json(holder, explained);
    json!({
        "position": format!("{:032x}", explained.position.0),
        "partition": explained.partition.0,
        "n": explained.n,
        "merged": explained.merged.as_ref().map(record_json),
        "holders": explained.holders.iter().map(holder).collect::<Vec<Value>>(),
    })
}

fn holder_json(holder: &Holder, explained: &Explanation) -> Value {
    let held = |inspection: &Inspection| {
        json!({
            "record": inspection.record.as_ref().map(record_json),
            "damaged": inspection.damaged,
            "refilling": inspection.refilling,
            "hints": inspection.hints.iter().map(hint_json).collect::<Vec<Value>>(),
        })
    };
    json!({
        "node": holder.node.to_string(),
        "rank": holder.rank,
        "primary": holder.rank < u16::from(explained.n),
        "alive": holder.alive,
        "up_to_date": up_to_date(holder, explained),
        "holds": holder.holds.as_ref().map(held),
    })
}

/// Whether a node holds what all of them together do; `None` if it did not answer.
fn up_to_date(holder: &Holder, explained: &Explanation) -> Option<bool> {
    let holds = holder.holds.as_ref()?;
    let digest = |record: &Option<RecordSummary>| record.as_ref().map(|record| record.digest);
    Some(!holds.damaged && digest(&holds.record) == digest(&explained.merged))
}

fn hint_json(hint: &HintSummary) -> Value {
    json!({
        "target": hint.target.to_string(),
        "since_ms": hint.since_ms,
        "record": record_json(&hint.record),
    })
}

fn record_json(record: &RecordSummary) -> Value {
    let clock = record
        .clock
        .iter()
        .map(|(actor, counter)| json!({ "actor": format!("{actor:016x}"), "counter": counter }));
    json!({
        "digest": format!("{:016x}", record.digest.0),
        "clock": clock.collect::<Vec<Value>>(),
        "siblings": record.siblings.iter().map(sibling_json).collect::<Vec<Value>>(),
    })
}

fn sibling_json(sibling: &SiblingSummary) -> Value {
    json!({
        "actor": format!("{:016x}", sibling.actor),
        "counter": sibling.counter,
        "deleted": sibling.value_bytes.is_none(),
        "value_bytes": sibling.value_bytes,
        "written_at_ms": sibling.written_at_ms,
        "expires_at_ms": sibling.expires_at_ms,
    })
}

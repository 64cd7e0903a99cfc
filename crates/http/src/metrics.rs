//! `/metrics`: what the node reports of itself, what it measures, and what the door has served, in Prometheus' text form.
//!
//! Invariant: a question that the node does not answer in time costs its own metrics alone, and is counted.

mod cluster;
mod counters;
mod metric;
mod reports;
mod requests;
mod scrape;
mod served;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jedlik_door::Phase;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use tokio::time::timeout;

pub use self::counters::knows_counter;
pub(crate) use self::served::{Call, Served};

use self::cluster::Names;
use self::metric::{Metric, gauge};
use self::scrape::Scrape;

/// Time in which the node has to answer a question.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);

const BUILD: Metric =
    gauge("jedlik_build_info", "1, with the version of the program.").by(&["version"]);
const SERVING: Metric = gauge("jedlik_serving", "1 while the node takes requests for data.");
const UNANSWERED: Metric = gauge(
    "jedlik_scrape_unanswered",
    "Questions of this scrape that the node did not answer, whose metrics are missing.",
);

/// Answers with all metrics.
pub(crate) async fn show(shared: Asked) -> Response {
    if let Err(problem) = shared.check_sees_all().await {
        return problem.into_response();
    }
    let ask = |request| answer(&shared, request);
    let measures = timeout(ANSWER_LIMIT, shared.node.measures());
    let (status, stats, hints, repairs, background, transfers, measures) = tokio::join!(
        ask(AdminRequest::Status),
        ask(AdminRequest::Stats),
        ask(AdminRequest::Hints),
        ask(AdminRequest::RepairProgress),
        ask(AdminRequest::Background),
        ask(AdminRequest::Transfers),
        measures,
    );
    let answers = [status, stats, hints, repairs, background, transfers];
    let unanswered = answers.iter().filter(|answer| answer.is_none()).count();
    let unanswered = unanswered as u64 + u64::from(measures.is_err());
    let names = names(&answers);
    let mut scrape = Scrape::default();
    scrape.labelled(BUILD, vec![("version", env!("CARGO_PKG_VERSION").into())], 1_u64);
    scrape.whole(SERVING, shared.node.phase() == Phase::Serving);
    scrape.whole(UNANSWERED, unanswered);
    for answer in answers.into_iter().flatten() {
        add(&mut scrape, &answer, &names);
    }
    if let Ok(measures) = measures {
        requests::add(&mut scrape, &measures);
    }
    shared.served.add_to(&mut scrape);
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    ([content_type], scrape.into_text()).into_response()
}

async fn answer(shared: &Asked, request: AdminRequest) -> Option<AdminResponse> {
    let asked = shared.node.ask(&shared.caller(), ClientRequest::Admin(request));
    match timeout(ANSWER_LIMIT, asked).await.ok()?.response {
        ClientResponse::Admin(answer) => Some(answer),
        _ => None,
    }
}

fn names(answers: &[Option<AdminResponse>]) -> Names {
    let status = answers.iter().flatten().find_map(|answer| match answer {
        AdminResponse::Status(status) => Some(status),
        _ => None,
    });
    status.map(Names::of).unwrap_or_default()
}

fn add(scrape: &mut Scrape, answer: &AdminResponse, names: &Names) {
    match answer {
        AdminResponse::Status(status) => cluster::add(scrape, status, names),
        AdminResponse::Stats(stats) => counters::add(scrape, stats),
        AdminResponse::Hints(hints) => reports::hints(scrape, hints, names, now_ms()),
        AdminResponse::Repair(report) => reports::add(scrape, &reports::REPAIRS, report),
        AdminResponse::Background(report) => reports::background(scrape, report),
        AdminResponse::Transfers(report) => reports::add(scrape, &reports::TRANSFER, report),
        // Nothing else was asked for.
        _ => {}
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}
use crate::access::Asked;

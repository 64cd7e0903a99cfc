//! A scrape of a node that answers everything, and the page that lists what it serves.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use jedlik_door::{
    Answering, Caller, DoorMeasures, Measures, Measuring, Node, Phase, RequestMeasures, Token,
};
use jedlik_hashing::NodeId;
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, BackgroundReport, ClusterStatus, HintReport, MemberState,
    MemberStatus, NodeStats, RepairReport, WorkKind,
};
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{Life, Load, MemberRecord, Ready, Speaks, Staging, Status};
use jedlik_protocol::{ClusterId, Incarnation, LayoutId};
use tower_service::Service as _;

use super::counters::rows;
use super::metric::{Kind, Metric, Unit};
use super::served::{Call, Served};
use super::{BUILD, SERVING, UNANSWERED, cluster, reports, requests, served};
use crate::{Settings, routes};

/// Node that answers questions about itself, or none.
struct Fake {
    answers: bool,
}

impl Node for Fake {
    fn ask(&self, _: &Caller, request: ClientRequest) -> Answering {
        let response = match request {
            ClientRequest::Admin(request) if self.answers => {
                ClientResponse::Admin(answer(&request))
            }
            _ => ClientResponse::Failed(Failure::new(ErrorCode::NotReady, "the node is starting")),
        };
        Box::pin(std::future::ready(response.into()))
    }

    fn knows(&self, _: &Token) -> bool {
        false
    }

    fn ask_member(&self, _: &Caller, _: NodeId, request: AdminRequest) -> Answering {
        Box::pin(std::future::ready(ClientResponse::Admin(answer(&request)).into()))
    }

    fn phase(&self) -> Phase {
        if self.answers { Phase::Serving } else { Phase::Starting }
    }

    fn measures(&self) -> Measuring {
        let outcomes = vec![("ok", 3), ("timeout", 1)];
        let requests = RequestMeasures { kind: "get", outcomes, ..RequestMeasures::default() };
        let outcomes = vec![("ok", 2)];
        let riak_pb = RequestMeasures { kind: "put", outcomes, ..RequestMeasures::default() };
        let measures = Measures {
            requests: vec![requests],
            riak_pb: vec![riak_pb],
            certificate_ends_s: Some(9),
            doors: vec![DoorMeasures {
                door: "http",
                certificate_ends_s: Some(8),
                refusals: vec![("wrong_token", 2)],
            }],
            ..Measures::default()
        };
        Box::pin(std::future::ready(measures))
    }
}

fn answer(request: &AdminRequest) -> AdminResponse {
    match request {
        AdminRequest::Status => AdminResponse::Status(status()),
        AdminRequest::Stats => {
            let counters = rows().map(|row| (row.counter.to_owned(), 1_500)).collect();
            AdminResponse::Stats(NodeStats { counters, troubles: Vec::new() })
        }
        AdminRequest::Hints => AdminResponse::Hints(vec![HintReport {
            target: NodeId(2),
            count: 7,
            bytes: 7_000,
            oldest_ms: Some(0),
            delivering: false,
            delivered: 0,
            left_s: None,
            failure: None,
        }]),
        AdminRequest::RepairProgress => {
            let report = RepairReport { exchanges: 10, agreed: 8, ..RepairReport::default() };
            AdminResponse::Repair(Box::new(report))
        }
        AdminRequest::Background => AdminResponse::Background(Box::new(BackgroundReport {
            paused_kinds: vec![WorkKind::Repair],
            steps: vec![("exchange".into(), 9)],
            ..BackgroundReport::default()
        })),
        AdminRequest::Transfers => AdminResponse::Transfers(Box::default()),
        other => panic!("asked for {other:?}"),
    }
}

fn status() -> ClusterStatus {
    let member = |node, state, alive| MemberStatus {
        record: MemberRecord {
            node: NodeId(node),
            name: format!("n{node}"),
            address: ([127, 0, 0, 1], 7401).into(),
            zone: "z".into(),
            weight: 1,
            life: Life::new(Incarnation(1)),
            generation: 1,
            version: 1,
            status: Status::Up,
            layout: LayoutId::default(),
            ready: Ready::default(),
            load: Load::default(),
            speaks: Speaks { protocol_min: 1, protocol_max: 1, storage: 1 },
            message_life_ms: 30_000,
        },
        alive,
        state,
        tokens: 0,
        owned: 0,
        ready: 0,
        placed: None,
    };
    let members = vec![
        member(1, MemberState::Up, true),
        member(2, MemberState::Up, false),
        member(3, MemberState::Left, false),
    ];
    ClusterStatus {
        cluster: ClusterId(1),
        node: NodeId(1),
        layout: LayoutId::default(),
        partitions: 256,
        flipped: 256,
        staging: Staging::default(),
        clock_ms: 10_000,
        agreed_ms: 10_250,
        members,
    }
}

/// Returns what a node's door serves after one request for a key.
async fn scrape(answers: bool) -> String {
    let served = Arc::<Served>::default();
    let call = Call::of(&Method::GET, "/v1/buckets/carts/keys/alice");
    served.answered(call, StatusCode::OK, std::time::Duration::from_millis(1));
    let mut routes = routes::of(Arc::new(Fake { answers }), &Settings::default(), served);
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let response = routes.call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_node_tells_how_it_and_its_cluster_do() {
    let text = scrape(true).await;
    for line in [
        "jedlik_serving 1",
        "jedlik_scrape_unanswered 0",
        "jedlik_puts_total 1500",
        "jedlik_engine_bytes 1500",
        "jedlik_gossip_age_seconds 1.5",
        "jedlik_exchanges_total{outcome=\"differed\"} 2",
        "jedlik_background_paused{work=\"repair\"} 1",
        "jedlik_background_paused{work=\"hints\"} 0",
        "jedlik_target_hints{member=\"n2\",node=\"0000000000000002\"} 7",
        "jedlik_member_alive{member=\"n2\",node=\"0000000000000002\"} 0",
        "jedlik_members{state=\"left\"} 1",
        "jedlik_clock_skew_seconds -0.25",
        "jedlik_requests_total{kind=\"get\",outcome=\"timeout\"} 1",
        "jedlik_door_refusals_total{door=\"http\",reason=\"wrong_token\"} 2",
        "jedlik_door_certificate_end_timestamp_seconds{door=\"http\"} 8",
        "jedlik_http_requests_total{interface=\"v1\",kind=\"get\",status=\"2xx\"} 1",
        "jedlik_riak_pb_requests_total{kind=\"put\",outcome=\"ok\"} 2",
    ] {
        assert!(text.lines().any(|one| one == line), "no {line} in {text}");
    }
    assert!(!text.contains("member=\"n3\""), "who has left is not missed");
}

#[tokio::test]
async fn a_node_that_answers_nothing_is_still_scraped() {
    let text = scrape(false).await;
    for line in ["jedlik_serving 0", "jedlik_scrape_unanswered 6"] {
        assert!(text.lines().any(|one| one == line), "no {line} in {text}");
    }
    assert!(text.contains("jedlik_http_requests_total{") && !text.contains("jedlik_puts_total"));
}

/// Returns the metrics of each section of the page.
fn sections() -> [(&'static str, Vec<Metric>); 7] {
    let reports = reports::REPAIRS.iter().map(|row| row.metric);
    let transfers = reports::TRANSFER.iter().map(|row| row.metric);
    let pace = reports::PACE.iter().map(|row| row.metric);
    let of_background = [reports::PAUSED, reports::STEPS, reports::FOREGROUND, reports::QUIET];
    let of_hints = [reports::HINTS, reports::HINTS_SIZE, reports::HINTS_AGE];
    let background = reports.chain(transfers).chain(pace).chain(of_background).chain(of_hints);
    let cluster = vec![
        cluster::ALIVE,
        cluster::MEMBERS,
        cluster::LAYOUT,
        cluster::PARTITIONS,
        cluster::FLIPPED,
        cluster::STAGED,
        cluster::SKEW,
    ];
    let measured = [
        requests::REQUESTS,
        requests::TIMES,
        requests::SIBLINGS,
        requests::SYNCS,
        requests::COMMITS,
        requests::CERTIFICATE,
        requests::DOOR_CERTIFICATE,
    ];
    [
        ("Over HTTP", vec![served::REQUESTS, served::TIMES]),
        ("Over Riak's Protocol Buffers", vec![requests::RIAK_PB_REQUESTS, requests::RIAK_PB_TIMES]),
        ("Who was not let in", vec![requests::REFUSALS]),
        ("Requests, journals, certificates", measured.to_vec()),
        ("The cluster as the node sees it", cluster),
        (
            "The node's counters",
            [BUILD, SERVING, UNANSWERED].into_iter().chain(rows().map(|row| row.metric)).collect(),
        ),
        ("Hints, repairs, transfers, background work", background.collect()),
    ]
}

/// Returns the part of the page that lists the metrics.
fn listed() -> String {
    let mut page = String::new();
    for (title, metrics) in sections() {
        let mut said = BTreeSet::new();
        writeln!(
            page,
            "## {title}\n\n| metric | labels | kind | unit | meaning |\n|---|---|---|---|---|"
        )
        .unwrap();
        for metric in metrics.into_iter().filter(|metric| said.insert(metric.name)) {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let unit = match metric.unit {
                Unit::None => "",
                Unit::Bytes => "bytes",
                Unit::Seconds => "seconds",
            };
            let (name, help) = (metric.full_name(), metric.help);
            let labels: Vec<String> =
                metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = labels.join(", ");
            writeln!(page, "| `{name}` | {labels} | {kind} | {unit} | {help} |").unwrap();
        }
        page.push('\n');
    }
    page.trim_end().to_owned() + "\n"
}

#[test]
fn the_page_on_metrics_lists_them_all() {
    const FIRST: &str = "## Over HTTP\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, list) = page.split_at(page.find(FIRST).unwrap());
    if std::env::var_os("SNAPSHOTS").is_some_and(|wish| wish == "overwrite") {
        std::fs::write(&path, before.to_owned() + &listed()).unwrap();
    } else {
        assert_eq!(list, listed(), "SNAPSHOTS=overwrite writes the page anew");
    }
}

#[tokio::test]
async fn what_is_served_is_listed_and_what_is_listed_is_served() {
    let text = scrape(true).await;
    let headers = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let found: Vec<&str> = headers.filter_map(|line| line.split(' ').next()).collect();
    let known: BTreeSet<String> = sections()
        .into_iter()
        .flat_map(|(_, metrics)| metrics)
        .map(|metric| metric.full_name())
        .collect();
    let distinct: BTreeSet<String> = found.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(distinct.len(), found.len(), "a metric stands twice in {found:?}");
    assert_eq!(distinct, known);
}

#[test]
fn alerts_and_the_dashboard_name_no_metric_that_is_not_served() {
    let histogram = |metric: &Metric| metric.kind == Kind::Histogram;
    let mut known = BTreeSet::new();
    for metric in sections().into_iter().flat_map(|(_, metrics)| metrics) {
        let suffixes: &[&str] =
            if histogram(&metric) { &["_bucket", "_sum", "_count"] } else { &[""] };
        known.extend(suffixes.iter().map(|suffix| metric.full_name() + suffix));
    }
    for file in ["alerts.yaml", "alerts-test.yaml", "dashboard.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("jedlik_")) {
            assert!(known.contains(word), "{file} names {word}");
        }
    }
}

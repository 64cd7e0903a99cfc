//! What collectors get, and what is counted where they get nothing.

use std::io;
use std::num::{NonZeroU64, NonZeroU128};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jedlik_protocol::TraceContext;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::otlp::{ExportRequest, Resource, SpanMessage};
use crate::tracer::{Counts, QUEUE_SPANS, Settings, Tracer};
use crate::{Kind, OpenSpan};

const LONG: Duration = Duration::from_secs(60);

/// Head and body of a request.
type Received = (String, Vec<u8>);

/// Collector that keeps what it is sent, and answers each request with the same bytes.
struct Collector {
    address: String,
    requests: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    async fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::<Mutex<Vec<Received>>>::default();
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                if let Ok(request) = receive(&mut stream).await {
                    kept.lock().unwrap().push(request);
                    let _gone = stream.write_all(answer).await;
                }
            }
        });
        Self { address, requests }
    }

    fn spans(&self) -> Vec<SpanMessage> {
        let requests = self.requests.lock().unwrap();
        let exports = requests.iter().map(|(_, body)| ExportRequest::decode(&body[..]).unwrap());
        let resources = exports.flat_map(|export| export.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

async fn receive(stream: &mut TcpStream) -> io::Result<Received> {
    let mut received = Vec::new();
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = received.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else { continue };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        if received.len() == end + 4 + length {
            return Ok((head, received.split_off(end + 4)));
        }
    }
}

fn settings(collector: &str, sample: f64) -> Settings {
    let (collector, path) = (collector.to_owned(), "/v1/traces".to_owned());
    Settings { collector, path, sample, limit_per_s: 1_000_000 }
}

fn start(collector: &str, sample: f64) -> Tracer {
    Tracer::start(&settings(collector, sample), &Resource::default())
}

/// Returns the address of a listener that is closed again.
async fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

fn caller(flags: u8) -> TraceContext {
    let trace = NonZeroU128::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736).unwrap();
    TraceContext { trace, span: NonZeroU64::new(0x00f0_67aa_0ba9_02b7).unwrap(), flags }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waits = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, waits).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn spans_arrive_with_their_parents_names_and_ends() {
    let collector = Collector::start(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let tracer = start(&collector.address, 0.0);
    let mut root = tracer.begin(Some(&caller(1))).unwrap();
    root.name("put carts");
    root.text("db.operation.name", "put");
    root.number("jedlik.acknowledged", 2);
    root.texts("jedlik.replicas", ["1".to_owned(), "2".to_owned()].into_iter());
    root.texts("jedlik.hints", std::iter::empty());
    let mut child = tracer.child(&root.context(), Kind::Client).unwrap();
    child.name("write");
    drop(child);
    root.end();
    timeout(LONG, tracer.close(LONG)).await.unwrap();
    let (head, _) = collector.requests.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let spans = collector.spans();
    let [child, root] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(root.trace_id, caller(1).trace.get().to_be_bytes());
    assert_eq!(root.parent_span_id, caller(1).span.get().to_be_bytes());
    assert_eq!((&root.name[..], root.kind, root.flags), ("put carts", 2, 0x301));
    assert_eq!((root.attributes.len(), root.status.is_none()), (3, true));
    assert_eq!((&child.trace_id, &child.parent_span_id), (&root.trace_id, &root.span_id));
    assert_eq!((&child.name[..], child.kind, child.flags), ("write", 3, 0x101));
    assert!(child.status.is_some(), "nobody has ended it");
    assert!(root.start_time_unix_nano <= child.start_time_unix_nano);
    assert!(root.end_time_unix_nano >= child.end_time_unix_nano);
    assert_eq!(tracer.counts(), Counts { sent: 2, ..Counts::default() });
}

#[tokio::test]
async fn a_request_is_traced_as_its_caller_has_decided_or_by_its_share() {
    let tracer = start(&nobody().await, 0.25);
    let (asked, not_asked) = (caller(1), caller(0));
    assert!((0..100).all(|_| tracer.begin(Some(&asked)).is_some()));
    assert!((0..100).all(|_| tracer.begin(Some(&not_asked)).is_none()));
    assert!(tracer.join(&asked).is_some() && tracer.join(&not_asked).is_none());
    let drawn = (0..4_000).filter(|_| tracer.begin(None).is_some()).count();
    assert!((800..1_200).contains(&drawn), "{drawn} of 4000");
    for (sample, all) in [(0.0, false), (1.0, true)] {
        let tracer = start(&nobody().await, sample);
        assert!((0..1_000).all(|_| tracer.begin(None).is_some() == all), "{sample}");
    }
}

#[tokio::test]
async fn past_the_limit_of_a_second_requests_are_not_traced_and_are_counted() {
    let settings = Settings { limit_per_s: 100, ..settings(&nobody().await, 1.0) };
    let tracer = Tracer::start(&settings, &Resource::default());
    let begun: Vec<OpenSpan> = (0..10_000).filter_map(|_| tracer.begin(Some(&caller(1)))).collect();
    assert!((75..5_000).contains(&begun.len()), "{}", begun.len());
    assert_eq!(tracer.counts().over_limit, 10_000 - begun.len() as u64);
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nobody_up_and_its_spans_are_counted() {
    let tracer = start(&nobody().await, 1.0);
    for _ in 0..3 {
        tracer.begin(None).unwrap().end();
    }
    until("they are counted", || tracer.counts().unsent == 3).await;
    tracer.close(LONG).await;
    tracer.begin(None).unwrap().end();
    assert_eq!(tracer.counts(), Counts { unsent: 3, queue_full: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_collector_that_hangs_is_given_up_and_what_has_no_room_is_counted() {
    // It accepts connections, and reads nothing.
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tracer = start(&hangs.local_addr().unwrap().to_string(), 1.0);
    let spans = 4 * QUEUE_SPANS as u64;
    let closed = tracer.clone();
    let counts = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        while tracer.counts().queue_full == 0 && begun.elapsed() < LONG {
            (0..spans).filter_map(|_| tracer.begin(None)).for_each(OpenSpan::end);
        }
        tracer.counts()
    });
    assert!(counts.await.unwrap().queue_full > 0);
    timeout(LONG, closed.close(Duration::from_millis(50))).await.expect("it has a limit");
}

#[tokio::test]
async fn what_a_collector_refuses_is_not_counted_as_sent() {
    // Partial success of 2 refused spans, as the collector's message says it.
    const PARTLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\x0a\x02\x08\x02";
    const REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    const NOT_HTTP: &[u8] = b"SSH-2.0-OpenSSH\r\n\r\n";
    for (answer, unsent) in [(PARTLY, 2), (REFUSED, 3), (NOT_HTTP, 3)] {
        let collector = Collector::start(answer).await;
        let tracer = start(&collector.address, 1.0);
        for _ in 0..3 {
            tracer.begin(None).unwrap().end();
        }
        timeout(LONG, tracer.close(LONG)).await.unwrap();
        assert_eq!(tracer.counts(), Counts { sent: 3 - unsent, unsent, ..Counts::default() });
    }
}

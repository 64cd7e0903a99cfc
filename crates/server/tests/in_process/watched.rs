//! What a node serves over HTTP to those who watch it.

use std::net::SocketAddr;

use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::{Key, Quorum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::Cluster;

/// Returns the answer to a request without a body.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Returns the number of a metric, with its labels.
fn number(metrics: &str, metric: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {metric} in {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn what_a_node_does_is_in_its_metrics_and_what_is_wrong_in_its_diagnosis() {
    let cluster = Cluster::of(1);
    let nodes = cluster.serving(1).await;
    let admin = cluster.admin(&nodes[0]).await;
    let changes = [("n", "1"), ("r", "1"), ("w", "1")];
    let changes = changes.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    admin.admin(AdminRequest::BucketSet { name: "carts".into(), changes }).await.unwrap();
    let key = Key::new("carts", "alice").unwrap();
    admin.put(&key, "tea", None).await.unwrap();
    admin.get(&key, Quorum::Default).await.unwrap();
    let address = nodes[0].http_address().unwrap();
    let metrics = get(address, "/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200 OK"), "{metrics}");
    for (metric, expected) in [
        ("jedlik_serving", 1.0),
        ("jedlik_scrape_unanswered", 0.0),
        ("jedlik_shards_serving", 2.0),
        ("jedlik_puts_total", 1.0),
        ("jedlik_requests_total{kind=\"put\",outcome=\"ok\"}", 1.0),
        ("jedlik_request_duration_seconds_count{kind=\"get\"}", 1.0),
        ("jedlik_get_siblings_sum", 1.0),
        ("jedlik_quorum_shortfalls_total", 0.0),
        ("jedlik_member_alive{member=\"n1\",node=\"0000000000000001\"}", 1.0),
    ] {
        assert_eq!(number(&metrics, metric).to_bits(), f64::to_bits(expected), "{metric}");
    }
    assert!(number(&metrics, "jedlik_journal_commit_size_bytes_sum") > 0.0);
    assert!(number(&metrics, "jedlik_certificate_end_timestamp_seconds") > 1.7e9);
    let again = get(address, "/metrics").await;
    let scraped = "jedlik_http_requests_total{interface=\"health\",kind=\"get\",status=\"2xx\"}";
    assert!(number(&again, scraped) >= 1.0);
    let diagnosis = get(address, "/v1/doctor").await;
    let body = diagnosis.split_once("\r\n\r\n").unwrap().1;
    assert!(body.starts_with("{\"findings\":[{"), "{diagnosis}");
    assert!(body.contains("there are 1 member for n = 3"), "{diagnosis}");
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}

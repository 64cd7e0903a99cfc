//! Doors with TLS, tokens and certificates: who comes in, who no longer does, and what hostile clients cost.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use jedlik_ports::free_address;

use crate::cluster::{Cluster, wait_until};
use crate::http::{Http, open};
use crate::node::{LIMIT, Node};
use crate::tools::{leave_out, run, tool};

/// Connections that begin no handshake: more than may be under way.
const IDLE: usize = 1_000;
/// Memory that a node may take beyond what it had: what its allocator keeps of a flood.
const MORE_BYTES: u64 = 96 << 20;
/// Codes of Riak's messages.
const GET: u8 = 9;
const GOT: u8 = 10;
const AUTHENTICATE: u8 = 253;
const AUTHENTICATED: u8 = 254;

/// Issues a certificate for a node's doors into `door` in its folder.
pub(crate) fn issue_door(node: &Node, more: &[&str]) {
    let ca = node.folder.parent().unwrap().join("ca");
    let mut command = tool("jedlik-admin");
    command.args(["cert", "door", "--name", "127.0.0.1", "--name", "localhost", "--ca"]).arg(ca);
    run(command.arg("--out").arg(node.folder.join("door")).args(more)).ok();
}

/// Gives a door of a node TLS, with the certificate of [`issue_door`].
pub(crate) fn use_tls(node: &mut Node, door: &str) {
    for (option, file) in [("cert", "cert.pem"), ("key", "key.pem")] {
        let path = node.folder.join("door").join(file);
        node.options.push(format!("--{door}-tls-{option}={}", path.display()));
    }
}

/// Opens the HTTP door with TLS, to those with a certificate.
fn by_certificate(node: &mut Node) {
    open(node);
    issue_door(node, &["--days", "300"]);
    use_tls(node, "http");
    node.options.push("--http-tls-clients=required".into());
}

/// Opens all doors to those with a token. Without TLS, as here, that is for this machine only.
fn by_token(node: &mut Node) {
    open(node);
    node.options.push("--http-access=tokens".into());
    node.options.push(format!("--riak-pb-listen={}", free_address().unwrap()));
    node.options.push("--riak-pb-access=tokens".into());
}

/// Returns a `curl` to a node's door that shows the certificate of a role, if any.
fn curl(cluster: &Cluster, node: usize, role: Option<&str>, path: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--cacert"]);
    curl.arg(cluster.path("ca/ca.pem"));
    if let Some(role) = role {
        let file = |name: &str| cluster.path(format!("{role}/tls/{name}.pem"));
        curl.arg("--cert").arg(file("cert")).arg("--key").arg(file("key"));
    }
    curl.arg(format!("https://{}{path}", cluster.nodes[node].address.unwrap()));
    curl
}

fn status(cluster: &Cluster, node: usize, role: Option<&str>, path: &str) -> String {
    let mut curl = curl(cluster, node, role, path);
    let said =
        run(curl.args(["--output", "/dev/null", "--write-out", "%{http_code} %{http_version}"]));
    said.stdout
}

fn metric(cluster: &Cluster, name: &str) -> u64 {
    let text = run(&mut curl(cluster, 0, Some("admin"), "/metrics")).ok().stdout;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
}

fn refusals(cluster: &Cluster, reason: &str) -> u64 {
    metric(cluster, &format!("jedlik_door_refusals_total{{door=\"http\",reason=\"{reason}\"}}"))
}

#[test]
fn a_certificate_opens_a_door_with_tls_as_far_as_its_rights_go() {
    let cluster = Cluster::start_with(by_certificate);
    let (carts, prices) = ("/v1/buckets/carts/keys/none", "/v1/buckets/prices/keys/none");
    assert_eq!(status(&cluster, 0, Some("client"), carts), "404 2");
    assert_eq!(status(&cluster, 0, Some("admin"), "/v1/cluster"), "200 2");
    for refused in [None, Some("n1")] {
        assert!(status(&cluster, 0, refused, carts).starts_with("000"), "{refused:?}");
    }
    cluster.ask(0, "token limit --certificate client --read prices").ok();
    for node in 0..3 {
        wait_until("the limit is known", || {
            status(&cluster, node, Some("client"), carts).starts_with("403")
        });
        assert!(status(&cluster, node, Some("client"), prices).starts_with("404"));
    }
    cluster.ask(1, "token revoke --certificate client").ok();
    for node in 0..3 {
        wait_until("nothing is left", || {
            status(&cluster, node, Some("client"), prices).starts_with("403")
        });
        let get = |node: usize| run(cluster.jedlik(node).args(["get", "prices", "none"]));
        get(node).refused(2, &["taken back"]);
    }
    let refused = refusals(&cluster, "forbidden");
    assert!(refused >= 2, "{refused}");
}

#[test]
fn a_doors_certificate_is_read_anew_and_a_bad_one_changes_nothing() {
    let cluster = Cluster::start_with(by_certificate);
    let node = &cluster.nodes[0];
    let ends = || metric(&cluster, "jedlik_door_certificate_end_timestamp_seconds{door=\"http\"}");
    let before = ends();
    issue_door(node, &["--days", "600", "--force"]);
    wait_until("the certificate is read", || ends() > before + 200 * 86_400);
    fs::write(node.folder.join("door/cert.pem"), "nothing").unwrap();
    wait_until("it is told", || node.log().contains("was not read anew"));
    assert_eq!(status(&cluster, 0, Some("client"), "/v1/buckets/b/keys/k"), "404 2");
    issue_door(node, &["--days", "900", "--force"]);
    wait_until("a good one is read again", || ends() > before + 500 * 86_400);
}

#[test]
fn hostile_handshakes_cost_nobody_else() {
    let cluster = Cluster::start_with(by_certificate);
    let address = cluster.nodes[0].address.unwrap();
    let serves = || status(&cluster, 0, Some("client"), "/v1/buckets/b/keys/k") == "404 2";
    assert!(serves());
    let rss = || {
        let stats = run(&mut curl(&cluster, 0, Some("admin"), "/v1/members/self/stats"));
        stats.ok().json()["counters"]["rss_bytes"].as_u64().unwrap()
    };
    let before = rss();
    // A record that claims to be a hello, and isn't.
    for length in 0..200 {
        say(address, &[&[22, 3, 1, 0, 200][..], &vec![7; length]].concat());
    }
    let plain = say(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(plain.ends_with("use https://"), "{plain}");
    let mut idle: Vec<TcpStream> = (0..IDLE).map(|_| connect(address)).collect();
    assert!(serves(), "with {IDLE} connections that say nothing");
    let mut slow = connect(address);
    slow.write_all(&[22, 3, 1]).unwrap();
    // Their time is over, or others have taken their places.
    for stream in idle.iter_mut().chain([&mut slow]) {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
    renegotiate(&cluster, address);
    assert!(serves());
    let after = rss();
    assert!(after < before + MORE_BYTES, "{before} bytes before, {after} after");
    assert!(refusals(&cluster, "handshake") >= IDLE as u64);
    assert!(refusals(&cluster, "plain") >= 1);
    let log = cluster.nodes[0].log();
    let told = log.matches("a door refused a client").count();
    assert!((1..10).contains(&told), "{told} lines:\n{log}");
}

/// Asks for another handshake within a connection, again and again, as only TLS 1.2 lets a client.
fn renegotiate(cluster: &Cluster, address: SocketAddr) {
    let file = |name: &str| cluster.path(format!("client/tls/{name}.pem"));
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-tls1_2", "-connect", &address.to_string(), "-cert"]);
    client.arg(file("cert")).arg("-key").arg(file("key"));
    client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut client) = client.spawn() else {
        return leave_out("there is no openssl, which asks for another handshake");
    };
    // It may have given up before all is written.
    let _gone = client.stdin.take().unwrap().write_all("R\n".repeat(100).as_bytes());
    client.wait().unwrap();
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends bytes, and returns what comes back until the node closes the connection.
fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let (mut stream, mut answer) = (connect(address), Vec::new());
    // A node that has had enough closes the connection while it is being written to.
    let _closed = stream.write_all(bytes);
    let _closed = stream.shutdown(std::net::Shutdown::Write);
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Connection of a client of Riak's that speaks Protocol Buffers.
struct RiakPb(TcpStream);

impl RiakPb {
    /// Connects to a node's door, whose place is among its options.
    fn to(node: &Node) -> Self {
        let place = node.options.iter().find_map(|option| option.strip_prefix("--riak-pb-listen="));
        Self(connect(place.unwrap().parse().unwrap()))
    }

    /// Sends a message of two fields, and returns the answer's code and text.
    fn ask(&mut self, code: u8, fields: [&str; 2]) -> (u8, String) {
        let mut message = vec![code];
        for (tag, field) in (1..).zip(fields) {
            message.extend([tag << 3 | 2, u8::try_from(field.len()).unwrap()]);
            message.extend(field.as_bytes());
        }
        self.0.write_all(&(message.len() as u32).to_be_bytes()).unwrap();
        self.0.write_all(&message).unwrap();
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).unwrap();
        (answer[0], String::from_utf8_lossy(&answer[1..]).into_owned())
    }

    fn authenticate(&mut self, token: &str) -> bool {
        let (name, secret) = token.split_once('.').unwrap();
        let (code, text) = self.ask(AUTHENTICATE, [name, secret]);
        assert!(code == AUTHENTICATED || text.contains("Authentication failed"), "{text}");
        code == AUTHENTICATED
    }

    /// Whether a get is let through.
    fn may_get(&mut self, bucket: &str) -> bool {
        let (code, text) = self.ask(GET, [bucket, "none"]);
        assert!(code == GOT || text.contains("Forbidden: "), "{text}");
        code == GOT
    }
}

/// Statuses at which a door answers a get in each interface, and the page and the metrics.
fn statuses(node: &Node, token: &str) -> [u16; 4] {
    let door = Http::to(node);
    let bearer = format!("Bearer {token}");
    ["/v1/buckets/carts/keys/none", "/buckets/carts/keys/none", "/ui", "/metrics"]
        .map(|path| door.get(path, &[("Authorization", &bearer)]).status.as_u16())
}

/// Opens the news of a node's page, and waits for the first.
fn open_page(node: &Node, token: &str) -> TcpStream {
    let (mut page, mut news) = (connect(node.address.unwrap()), Vec::new());
    let request = format!(
        "GET /ui/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    page.write_all(request.as_bytes()).unwrap();
    while !String::from_utf8_lossy(&news).contains("event: news") {
        let mut bytes = [0; 4_096];
        let length = page.read(&mut bytes).unwrap();
        assert!(length > 0, "no news came: {}", String::from_utf8_lossy(&news));
        news.extend(&bytes[..length]);
    }
    page
}

fn make(cluster: &Cluster, words: &[&str]) -> String {
    let made = run(cluster.admin(0).args(["token", "make", "--json"]).args(words)).ok().json();
    made["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_that_is_over_opens_no_door_of_any_node() {
    let cluster = Cluster::start_with(by_token);
    let watch = make(&cluster, &["watch", "--read", ""]);
    let prices = make(&cluster, &["prices", "--read", "prices"]);
    let mut sessions: Vec<RiakPb> = cluster.nodes.iter().map(RiakPb::to).collect();
    for (node, session) in cluster.nodes.iter().zip(&mut sessions) {
        wait_until("the token is known", || statuses(node, &watch) == [404, 404, 200, 200]);
        wait_until("the other one, too", || statuses(node, &prices)[..2] == [403, 403]);
        assert_eq!(session.ask(GET, ["carts", "none"]).0, 0, "it has shown nothing");
        assert!(session.authenticate(&watch) && session.may_get("carts"));
        let mut other = RiakPb::to(node);
        assert!(other.authenticate(&prices) && !other.may_get("carts") && other.may_get("prices"));
        for wrong in ["watch.guess", "nobody.guess"] {
            assert_eq!(statuses(node, wrong), [401; 4]);
            assert!(!RiakPb::to(node).authenticate(wrong));
        }
    }
    let pages: Vec<TcpStream> = cluster.nodes.iter().map(|node| open_page(node, &watch)).collect();
    cluster.ask(1, "token revoke watch").ok();
    let end = Instant::now() + LIMIT;
    for mut page in pages {
        while page.read(&mut [0; 4_096]).unwrap() > 0 {
            assert!(Instant::now() < end, "an open page still has news");
        }
    }
    let short = make(&cluster, &["short", "--read", "", "--expires", "2s"]);
    for (node, session) in cluster.nodes.iter().zip(&mut sessions) {
        wait_until("the token is refused", || statuses(node, &watch) == [401; 4]);
        assert!(!session.may_get("carts"), "a session goes no further than its token");
        assert!(!RiakPb::to(node).authenticate(&watch));
        wait_until("the time is over", || statuses(node, &short) == [401; 4]);
        assert!(!RiakPb::to(node).authenticate(&short));
    }
    // A token of the same name is another one.
    let again = make(&cluster, &["watch", "--read", ""]);
    for (node, session) in cluster.nodes.iter().zip(&mut sessions) {
        wait_until("the token is known", || statuses(node, &again) == [404, 404, 200, 200]);
        assert!(!session.may_get("carts"), "it has shown another secret");
        assert_eq!(statuses(node, &watch), [401; 4]);
    }
}

#[test]
fn a_door_opens_to_other_machines_only_with_what_protects_it_or_when_told_so() {
    let cluster = Cluster::unfounded();
    cluster.issue("node", "n1");
    let mut node = Node::new(cluster.path("n1"), "n1");
    issue_door(&node, &[]);
    let listen = format!("--http-listen=0.0.0.0:{}", free_address().unwrap().port());
    node.options = vec![listen.clone()];
    node.start_in_vain(&[]);
    for words in ["http.tls_cert", "http.access = \"tokens\"", "http.insecure_beyond_loopback"] {
        assert!(node.log().contains(words), "{words}: {}", node.log());
    }
    node.options = vec![listen.clone(), "--http-access=tokens".into()];
    use_tls(&mut node, "http");
    node.start(&[]);
    assert!(!node.log().contains("other machines reach this door"), "{}", node.log());
    node.kill();
    let mut check = tool("jedlik-node");
    check.args(["check-config", "--config"]).arg(node.folder.join("node.toml"));
    check.args(&node.options);
    assert_eq!(run(&mut check).code, 0, "{check:?}");
    let key = node.folder.join("door/key.pem");
    fs::copy(node.folder.join("tls/key.pem"), key).unwrap();
    let said = run(&mut check);
    assert!(said.code == 2 && said.stderr.contains("does not belong"), "{said:?}");
    node.options = vec![listen, "--http-insecure-beyond-loopback=true".into()];
    node.start(&[]);
    assert!(node.log().contains("other machines reach this door"), "{}", node.log());
}

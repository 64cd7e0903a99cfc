//! The page at `/ui`, in a real browser: what happens to the cluster is seen there.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use jedlik_ports::free_address;
use serde_json::json;

use crate::change::{commit, stage};
use crate::cluster::Cluster;
use crate::http::{Http, open};
use crate::node::LIMIT;
use crate::tools::{leave_out, run};

const BROWSER: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";
/// Options of the browser: no window, no sandbox of its own for root, and nothing that looks for other hosts.
const OPTIONS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];
/// Environment variable that names a folder for pictures of the page.
const PICTURES: &str = "JEDLIK_TEST_PICTURES";

/// Browser of a test, and its driver, which ends with it.
struct Browser {
    page: Client,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser with a window of that size; `None` if there is none here.
    async fn start(width: u32, height: u32, dark: bool) -> Option<Self> {
        if !Path::new(BROWSER).exists() || !Path::new(DRIVER).exists() {
            leave_out("there is no browser; `apt-get install chromium chromium-driver` brings it");
            return None;
        }
        let (profile, address) = (tempfile::tempdir().unwrap(), free_address().unwrap());
        let mut driver = Command::new(DRIVER);
        driver.arg(format!("--port={}", address.port()));
        let driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the driver listens", || TcpStream::connect(address).is_ok()).await;
        let mut options: Vec<String> = OPTIONS.map(String::from).into();
        options.push(format!("--window-size={width},{height}"));
        options.push(format!("--user-data-dir={}", profile.path().display()));
        if dark {
            options.push("--blink-settings=preferredColorScheme=0".into());
        }
        let wanted = json!({ "goog:chromeOptions": { "args": options, "binary": BROWSER } });
        let serde_json::Value::Object(wanted) = wanted else { unreachable!("it is an object") };
        let mut builder =
            ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        builder.capabilities(Capabilities::from_iter(wanted));
        let page = builder.connect(&format!("http://{address}")).await.unwrap();
        Some(Self { page, driver, _profile: profile })
    }

    async fn open(&self, door: &str) {
        self.page.goto(&format!("http://{door}/ui")).await.unwrap();
    }

    /// Waits until the page has what `css` selects.
    async fn sees(&self, css: &str) {
        let wait = self.page.wait().at_most(LIMIT).for_element(Locator::Css(css)).await;
        if let Err(error) = wait {
            panic!("the page has no {css}: {error}\n{}", self.text("body").await);
        }
    }

    /// Waits until the text of an element has these words.
    async fn reads(&self, css: &str, words: &str) {
        let begun = Instant::now();
        loop {
            let text = self.text(css).await;
            if text.contains(words) {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "{css} reads {text:?}, not {words:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns an element's text; empty if it isn't there, or is drawn anew at the moment.
    async fn text(&self, css: &str) -> String {
        match self.page.find(Locator::Css(css)).await {
            Ok(element) => element.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    async fn count(&self, css: &str) -> usize {
        self.page.find_all(Locator::Css(css)).await.map_or(0, |found| found.len())
    }

    /// Keeps a picture of the page, if somebody wants to look at it.
    async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os(PICTURES) else { return };
        let picture = self.page.screenshot().await.unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
    }

    async fn close(self) {
        self.page.clone().close().await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its driver's session; what is left of both goes here.
        let _ended = self.driver.kill();
        let _ended = self.driver.wait();
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn door(cluster: &Cluster) -> String {
    cluster.nodes[0].address.expect("it was started").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_happens_to_the_cluster() {
    let mut cluster = tokio::task::block_in_place(|| Cluster::start_with(open));
    let Some(browser) = Browser::start(1400, 1500, false).await else { return };
    browser.open(&door(&cluster)).await;
    browser.sees("jedlik-ring .node").await;
    browser.reads("jedlik-status", "all answer").await;
    assert_eq!(browser.count("jedlik-ring .node").await, 3);
    assert_eq!(browser.count("jedlik-ring .part").await, 256);
    tokio::task::block_in_place(|| fill(&cluster));
    browser.picture("rest").await;

    // A key is explained.
    let field = |name: &str| format!("jedlik-key input[name={name}]");
    for (name, text) in [("bucket", "carts"), ("key", "alice")] {
        let input = browser.page.find(Locator::Css(&field(name))).await.unwrap();
        input.send_keys(text).await.unwrap();
    }
    browser.page.find(Locator::Css("jedlik-key button")).await.unwrap().click().await.unwrap();
    browser.reads("jedlik-key", "jedlik-admin explain carts alice").await;
    assert_eq!(browser.count("jedlik-key tbody .mark.well").await, 3);
    browser.picture("key").await;

    // A member is killed, and the picture shows it.
    cluster.kill(2);
    browser.sees("jedlik-ring .node.wrong").await;
    browser.reads("[data-member=n3]", "no answer").await;
    browser.sees("[data-member=n3] .dot.wrong").await;
    browser.reads("jedlik-status", "n3 not answering").await;
    tokio::task::block_in_place(|| write(&cluster, "missed", 40));
    browser.reads("jedlik-work", "n3").await;
    browser.picture("dead").await;
    tokio::task::block_in_place(|| cluster.restart(2));
    browser.reads("jedlik-status", "all answer").await;

    // A join is committed, and its progress moves.
    tokio::task::block_in_place(|| {
        cluster.add_nodes(1, open);
        cluster.wait_until_all_are_up(0);
        cluster.ask(0, "background pause").ok();
    });
    browser.sees("[data-member=n4]").await;
    tokio::task::block_in_place(|| {
        let plan = stage(&cluster, 0, "join n4");
        commit(&cluster, 0, &plan);
    });
    browser.sees("[data-progress]").await;
    let first = browser.text("[data-progress]").await;
    browser.picture("moving").await;
    tokio::task::block_in_place(|| cluster.ask(0, "background resume").ok());
    let begun = Instant::now();
    while browser.text("[data-progress]").await == first {
        assert!(begun.elapsed() < LIMIT, "stays at {first}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    browser.reads("jedlik-work", "All are where the layout has them.").await;
    assert_eq!(browser.count("jedlik-ring .node").await, 4);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_fits_a_phone_and_the_dark_and_says_when_it_is_cut_off() {
    let mut cluster = tokio::task::block_in_place(|| Cluster::start_with(open));
    tokio::task::block_in_place(|| fill(&cluster));
    for (name, width, height, dark) in [("phone", 500, 1400, false), ("dark", 1400, 1500, true)] {
        let Some(browser) = Browser::start(width, height, dark).await else { return };
        browser.open(&door(&cluster)).await;
        browser.sees("jedlik-ring .node").await;
        browser.sees("jedlik-traffic dd").await;
        let fits =
            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        let fits = browser.page.execute(fits, Vec::new()).await.unwrap();
        assert_eq!(fits, json!(true), "nothing is wider than the {name}");
        browser.picture(name).await;
        if dark {
            let index = 0;
            cluster.kill(index);
            browser.reads("jedlik-status", "cut off").await;
            browser.sees("body.cut").await;
            browser.picture("cut").await;
        }
        browser.close().await;
    }
}

/// Puts some keys, and properties of a bucket.
fn fill(cluster: &Cluster) {
    cluster.ask(0, "bucket set carts w=2 durability=written").ok();
    run(cluster.jedlik(0).args(["put", "carts", "alice", "{\"tea\":1}"])).ok();
    write(cluster, "k", 400);
}

fn write(cluster: &Cluster, name: &str, count: usize) {
    let door = Http::to(&cluster.nodes[0]);
    for number in 0..count {
        let path = format!("/v1/buckets/some/keys/{name}{number}");
        let answer = door.put(&path, &[], &[b'x'; 1024]);
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.json());
    }
}

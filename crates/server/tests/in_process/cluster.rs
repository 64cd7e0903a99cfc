//! A small cluster with its authority, its folders and its configurations.

use std::net::SocketAddr;
use std::path::Path;

use jedlik_hashing::NodeId;
use jedlik_net::Credentials;
use jedlik_net::authority::{Authority, Subject};
use jedlik_protocol::ClusterId;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, ClusterStatus};
use jedlik_server::config::{Config, Settings};
use jedlik_server::{Node, NodeError};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::caller::{Caller, PATIENCE};

/// Folders and authority of a cluster; the nodes are the tests' own.
pub(crate) struct Cluster {
    folder: TempDir,
    authority: Authority,
    n: u8,
}

impl Cluster {
    /// Returns a cluster for three nodes or more, with three replicas.
    pub(crate) fn new() -> Self {
        Self::of(3)
    }

    /// Returns a cluster whose first layout has `n` replicas.
    pub(crate) fn of(n: u8) -> Self {
        let authority = Authority::create(ClusterId(0x5eed)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
        Self { folder, authority, n }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the settings of node `number`, with certificates issued at their first use.
    pub(crate) fn settings(&self, number: u64, seeds: &[SocketAddr]) -> Settings {
        let folder = self.folder.path().join(format!("n{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        if !cert.exists() {
            let subject = Subject::node(NodeId(number), format!("n{number}"));
            self.authority.issue(&subject).unwrap().save(&cert, &key).unwrap();
        }
        let seeds: Vec<String> = seeds.iter().map(|seed| format!("\"{seed}\"")).collect();
        let text = format!(
            "data_dir = \"data\"\nlisten = \"127.0.0.1:0\"\nseeds = [{}]\nzone = \"z{number}\"\n\
             shards = 2\npartitions = 16\nn = {}\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [tls]\nca = \"../ca.pem\"\ncert = \"cert.pem\"\nkey = \"key.pem\"\n",
            seeds.join(", "),
            self.n,
        );
        let mut settings = Settings::defaults();
        settings.add_text(&folder.join("node.toml"), &text);
        settings
    }

    pub(crate) fn config(&self, number: u64, seeds: &[SocketAddr]) -> Config {
        self.settings(number, seeds).check().unwrap()
    }

    pub(crate) async fn start(&self, number: u64, seeds: &[SocketAddr]) -> Node {
        self.try_start(number, seeds).await.unwrap()
    }

    pub(crate) async fn try_start(
        &self,
        number: u64,
        seeds: &[SocketAddr],
    ) -> Result<Node, NodeError> {
        Node::start(&self.config(number, seeds)).await
    }

    fn credentials(&self, subject: &Subject) -> Credentials {
        let issued = self.authority.issue(subject).unwrap();
        let authority = self.authority.certificate_pem();
        Credentials::from_pem(authority, &issued.certificate_pem, &issued.key_pem).unwrap()
    }

    /// Opens an admin's connection to `node`.
    pub(crate) async fn admin(&self, node: &Node) -> Caller {
        Caller::connect(&self.credentials(&Subject::admin("root")), node.address()).await
    }

    /// Opens a client's connection to `node`.
    pub(crate) async fn client(&self, node: &Node) -> Caller {
        Caller::connect(&self.credentials(&Subject::client("app")), node.address()).await
    }

    /// Starts nodes 1 to `count` and commits a layout of them all.
    pub(crate) async fn serving(&self, count: u64) -> Vec<Node> {
        let mut nodes = vec![self.start(1, &[]).await];
        for number in 2..=count {
            nodes.push(self.start(number, &[nodes[0].address()]).await);
        }
        self.commit(&nodes).await;
        nodes
    }

    async fn commit(&self, nodes: &[Node]) {
        let admin = self.admin(&nodes[0]).await;
        all_up(&admin, nodes.len()).await;
        let AdminResponse::Plan(plan) = admin.admin(AdminRequest::Plan).await.unwrap() else {
            panic!("not a plan");
        };
        admin
            .admin(AdminRequest::Commit { plan: plan.plan, lost: 0, dry_run: false })
            .await
            .unwrap();
        for node in nodes {
            let admin = self.admin(node).await;
            until(&admin, |status| status.layout.version == 1).await;
            all_up(&admin, nodes.len()).await;
        }
    }
}

/// Waits until the asked node takes `count` members to be up.
pub(crate) async fn all_up(admin: &Caller, count: usize) {
    until(admin, |status| status.members.iter().filter(|member| member.alive).count() == count)
        .await;
}

/// Waits until the status that the asked node gives meets `condition`.
pub(crate) async fn until(admin: &Caller, condition: impl Fn(&ClusterStatus) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = admin.admin(AdminRequest::Status).await;
        if matches!(&answer, Ok(AdminResponse::Status(status)) if condition(status)) {
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        sleep(std::time::Duration::from_millis(20)).await;
    }
}

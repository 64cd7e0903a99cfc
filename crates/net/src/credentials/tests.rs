//! Files that belong together, and those that do not.

use std::path::Path;
use std::time::{Duration, SystemTime};

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;

use super::Credentials;
use crate::authority::{Authority, IssuedCertificate, Subject};

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// Makes the files of a cluster, and those of others to mix them up with.
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        let ours = Authority::create(ClusterId(1)).unwrap();
        let twin = Authority::create(ClusterId(1)).unwrap();
        let theirs = Authority::create(ClusterId(2)).unwrap();
        let node = Subject::node(NodeId(1), "n1");
        files.write("ours.pem", ours.certificate_pem());
        files.write("twin.pem", twin.certificate_pem());
        files.issued("n1", &ours.issue(&node).unwrap());
        files.issued("n2", &ours.issue(&Subject::node(NodeId(2), "n2")).unwrap());
        let day = Duration::from_secs(24 * 3600);
        let (past, future) = (SystemTime::now() - day * 1000, SystemTime::now() + day);
        files.issued("expired", &ours.issue_at(&node, past).unwrap());
        files.issued("early", &ours.issue_at(&node, future).unwrap());
        files.issued("foreign", &theirs.issue(&node).unwrap());
        files.write("text", "not a certificate");
        files.write("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn issued(&self, name: &str, issued: &IssuedCertificate) {
        let folder = self.folder.path();
        issued.save(&folder.join(name), &folder.join(format!("{name}.key"))).unwrap();
    }

    fn load(&self, [authority, certificate, key]: [&str; 3]) -> Result<Credentials, String> {
        let path = |name: &str| Path::join(self.folder.path(), name);
        Credentials::load(path(authority), path(certificate), path(key))
            .map_err(|error| error.to_string())
    }
}

#[test]
fn files_that_belong_together_load() {
    let credentials = Files::new().load(["ours.pem", "n1", "n1.key"]).unwrap();
    assert_eq!(credentials.identity().to_string(), "node n1 (0000000000000001)");
}

#[test]
fn files_that_do_not_belong_together_are_named_with_the_remedy() {
    let files = Files::new();
    for (names, told) in [
        (["absent", "n1", "n1.key"], vec!["can't read", "absent"]),
        (["ours.pem", "absent", "n1.key"], vec!["can't read", "absent"]),
        (["ours.pem", "n1", "absent"], vec!["can't read", "absent"]),
        (["text", "n1", "n1.key"], vec!["text holds no certificate in PEM form"]),
        (["ours.pem", "text", "n1.key"], vec!["text holds no certificate in PEM form"]),
        (["ours.pem", "n1", "text"], vec!["text holds no private key in PEM form"]),
        (["ours.pem", "n1", "n1"], vec!["n1 holds no private key in PEM form"]),
        (["n1", "n1", "n1.key"], vec!["n1 is not the certificate of a cluster's authority"]),
        (
            ["broken", "n1", "n1.key"],
            vec!["broken is not the certificate of a cluster's authority"],
        ),
        (["ours.pem", "broken", "n1.key"], vec!["broken names no node", "cert issue"]),
        (["ours.pem", "ours.pem", "n1.key"], vec!["ours.pem names no node", "cert issue"]),
        (["ours.pem", "n1", "n2.key"], vec!["n2.key does not belong to the certificate in", "n1"]),
        (
            ["ours.pem", "foreign", "foreign.key"],
            vec!["foreign is of cluster 0000000000000002", "of cluster 0000000000000001"],
        ),
        (["twin.pem", "n1", "n1.key"], vec!["n1 was not signed by the authority in", "twin.pem"]),
        (["ours.pem", "expired", "expired.key"], vec!["expired has expired", "clock"]),
        (
            ["ours.pem", "early", "early.key"],
            vec!["early has expired or is not valid yet", "clock"],
        ),
    ] {
        let error = files.load(names).err().unwrap_or_else(|| panic!("{names:?} loaded"));
        for part in told {
            assert!(error.contains(part), "{names:?}: {error:?} lacks {part:?}");
        }
    }
}

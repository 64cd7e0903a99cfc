//! Handshakes at a door: with which certificates, and with files that change meanwhile.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::duplex;
use tokio_rustls::TlsConnector;

use super::{ClientCertificates, DoorFiles, DoorSettings, DoorTls};
use crate::authority::{Authority, IssuedCertificate, Subject};
use crate::credentials::provider;
use crate::{Credentials, Identity, Role};

const NAME: &str = "db.example.org";

/// Folder with a door's files, and the authority that signs them.
struct Fixture {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Self { folder, authority: Authority::create(ClusterId(1)).unwrap() };
        fixture.issue(30);
        fixture
    }

    fn files(&self) -> DoorFiles {
        let file = |name| self.folder.path().join(name);
        DoorFiles { cert: file("cert.pem"), key: file("key.pem") }
    }

    /// Writes another certificate, so that the files differ from those before in their length or number.
    fn issue(&self, days: u32) {
        let DoorFiles { cert, key } = self.files();
        self.authority.issue_for_door(&[NAME.into()], days).unwrap().save(&cert, &key).unwrap();
    }

    fn credentials(&self) -> Credentials {
        let issued = self.authority.issue(&Subject::node(NodeId(1), "n1")).unwrap();
        let IssuedCertificate { certificate_pem, key_pem } = issued;
        Credentials::from_pem(self.authority.certificate_pem(), &certificate_pem, &key_pem).unwrap()
    }

    fn tls(&self, clients: ClientCertificates) -> DoorTls {
        let settings = DoorSettings { files: self.files(), clients, protocols: &[] };
        DoorTls::load(settings, &self.credentials()).unwrap()
    }

    /// Shakes hands as a client that has this certificate, and returns whom the door takes it for.
    async fn shake(
        &self,
        tls: &DoorTls,
        shown: Option<&IssuedCertificate>,
    ) -> std::io::Result<Option<Identity>> {
        let (client, server) = duplex(1 << 16);
        let mut roots = RootCertStore::empty();
        let pem = self.authority.certificate_pem();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some(shown) => {
                let certificate = CertificateDer::from_pem_slice(shown.certificate_pem.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(shown.key_pem.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![certificate.unwrap()], key).unwrap()
            }
        };
        let connector = TlsConnector::from(Arc::new(config));
        let connecting = connector.connect(NAME.try_into().unwrap(), client);
        let (connected, accepted) = tokio::join!(connecting, tls.accept(server));
        let (_stream, identity) = accepted?;
        connected.map(|_| identity)
    }
}

#[tokio::test]
async fn a_client_is_who_its_certificate_says_where_the_door_asks_for_one() {
    let fixture = Fixture::new();
    let shop = fixture.authority.issue(&Subject::client("shop")).unwrap();
    let strange = Authority::create(ClusterId(1)).unwrap().issue(&Subject::admin("a")).unwrap();
    let door = fixture.authority.issue_for_door(&["shop".into()], 1).unwrap();
    for (clients, without) in [
        (ClientCertificates::None, true),
        (ClientCertificates::Accepted, true),
        (ClientCertificates::Required, false),
    ] {
        let tls = fixture.tls(clients);
        let plain = fixture.shake(&tls, None).await;
        assert_eq!(plain.is_ok(), without, "{clients:?}");
        assert!(plain.is_err() || plain.unwrap().is_none());
        if clients == ClientCertificates::None {
            continue;
        }
        let identity = fixture.shake(&tls, Some(&shop)).await.unwrap().unwrap();
        assert_eq!((identity.role, identity.name.as_str()), (Role::Client, "shop"));
        assert!(fixture.shake(&tls, Some(&strange)).await.is_err(), "another authority's");
        assert!(fixture.shake(&tls, Some(&door)).await.is_err(), "a door is nobody");
    }
}

#[tokio::test]
async fn files_that_change_are_taken_over_and_bad_ones_are_not() {
    let fixture = Fixture::new();
    let (tls, credentials) = (fixture.tls(ClientCertificates::None), fixture.credentials());
    let renewed = || tls.renew(&credentials);
    // The first call takes over the credentials, which are other ones than at the beginning.
    assert!(!renewed().unwrap() && !renewed().unwrap());
    let before = tls.ends_s().unwrap();
    fixture.issue(60);
    assert!(!renewed().unwrap(), "it might still be written");
    assert!(renewed().unwrap());
    assert!(tls.ends_s().unwrap() > before);
    fixture.shake(&tls, None).await.unwrap();

    let DoorFiles { cert, key } = fixture.files();
    fs::write(&cert, "nothing").unwrap();
    assert!(!renewed().unwrap());
    assert!(renewed().is_err());
    assert!(!renewed().unwrap(), "it is told once");
    fixture.shake(&tls, None).await.unwrap();
    fs::remove_file(&key).unwrap();
    assert!(!renewed().unwrap());
    assert!(renewed().is_err());
    fixture.shake(&tls, None).await.unwrap();

    fixture.issue(90);
    assert!(!renewed().unwrap() && renewed().unwrap());
    fixture.shake(&tls, None).await.unwrap();
}

#[test]
fn files_that_make_no_certificate_are_found_at_once() {
    let fixture = Fixture::new();
    let refused = |files: DoorFiles| {
        let settings = DoorSettings { files, clients: ClientCertificates::None, protocols: &[] };
        DoorTls::load(settings, &fixture.credentials()).map(drop).unwrap_err().to_string()
    };
    let (right, other) = (fixture.files(), Fixture::new());
    let none = Path::new("/none");
    assert!(refused(DoorFiles { cert: none.into(), ..right.clone() }).contains("/none"));
    assert!(
        refused(DoorFiles { key: right.cert.clone(), ..right.clone() }).contains("private key")
    );
    let mixed = DoorFiles { key: other.files().key, ..right.clone() };
    assert!(refused(mixed).contains("does not belong"));
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(&right.cert, pem).unwrap();
    let said = refused(right.clone());
    assert!(said.contains(right.cert.to_str().unwrap()) && said.contains("certificate"), "{said}");
    let ended = fixture.authority.issue_for_door_at(
        &[NAME.into()],
        1,
        std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 86_400),
    );
    ended.unwrap().save(&right.cert, &right.key).unwrap();
    assert!(refused(right.clone()).contains("has expired"));
    let early = std::time::SystemTime::now() + std::time::Duration::from_secs(10 * 86_400);
    let early = fixture.authority.issue_for_door_at(&[NAME.into()], 1, early);
    early.unwrap().save(&right.cert, &right.key).unwrap();
    assert!(refused(right).contains("not valid yet"));
}

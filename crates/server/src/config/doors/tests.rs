//! Settings of doors, good and bad.

use jedlik_door::Access;
use jedlik_net::ClientCertificates;

use super::Doors;
use crate::config::{InvalidConfig, Settings};

const NODE: &str = r#"
data_dir = "data"
[tls]
ca = "a.pem"
cert = "a.pem"
key = "a.key"
"#;

/// Returns the doors of a configuration with these sections.
fn doors(sections: &str) -> Result<Doors, InvalidConfig> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.pem", "a.key"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let mut settings = Settings::defaults();
    settings.add_text(&folder.path().join("node.toml"), &format!("{NODE}{sections}"));
    settings.check().map(|config| config.doors)
}

const TLS: &str = "tls_cert = \"a.pem\"\ntls_key = \"a.key\"\n";

#[test]
fn a_door_is_open_to_this_machine_alone_unless_more_is_said() {
    let places =
        [("127.0.0.1:1", true), ("[::1]:1", true), ("localhost:1", true), ("10.0.0.1:1", false)];
    for (place, fits) in places {
        for section in ["http", "riak_pb"] {
            let doors = doors(&format!("[{section}]\nlisten = \"{place}\"\n"));
            assert_eq!(doors.is_ok(), fits, "{section} {place}");
        }
    }
    let none = doors("").unwrap();
    assert!(none.http.is_none() && none.riak_pb.is_none());
}

#[test]
fn beyond_this_machine_it_takes_tls_and_clients_that_show_who_they_are() {
    for (options, fits) in [
        (String::new(), false),
        (TLS.into(), false),
        ("access = \"tokens\"\n".into(), false),
        (format!("{TLS}access = \"tokens\"\n"), true),
        (format!("{TLS}tls_clients = \"accepted\"\n"), false),
        (format!("{TLS}tls_clients = \"required\"\n"), true),
        ("insecure_beyond_loopback = true\n".into(), true),
        ("insecure_beyond_loopback = \"true\"\n".into(), true),
        ("insecure_beyond_loopback = false\n".into(), false),
    ] {
        for section in ["http", "riak_pb"] {
            let doors = doors(&format!("[{section}]\nlisten = \"0.0.0.0:1\"\n{options}"));
            assert_eq!(doors.is_ok(), fits, "{section} {options}");
            let Err(mistakes) = doors else { continue };
            let text = mistakes.to_string();
            for words in [".tls_cert", ".access = \"tokens\"", ".insecure_beyond_loopback = true"] {
                assert!(text.contains(&format!("{section}{words}")), "{text}");
            }
        }
    }
}

#[test]
fn only_a_door_that_needs_it_is_called_insecure() {
    for (place, options, insecure) in [
        ("127.0.0.1:1", "", false),
        ("0.0.0.0:1", "", true),
        ("0.0.0.0:1", "access = \"tokens\"\n", true),
    ] {
        let section = format!("listen = \"{place}\"\ninsecure_beyond_loopback = true\n{options}");
        let door = doors(&format!("[http]\n{section}")).unwrap().http.unwrap();
        assert_eq!(door.insecure, insecure, "{place} {options}");
    }
}

#[test]
fn what_belongs_together_is_asked_for_together() {
    let at = "[http]\nlisten = \"127.0.0.1:1\"\n";
    for (options, words) in [
        ("tls_cert = \"a.pem\"\n", "of no use without http.tls_key"),
        ("tls_key = \"a.key\"\n", "of no use without http.tls_cert"),
        ("tls_clients = \"accepted\"\n", "which takes http.tls_cert"),
        ("tls_cert = \"no.pem\"\ntls_key = \"a.key\"\n", "jedlik-admin cert door"),
        ("tls_clients = \"maybe\"\n", "none, accepted or required"),
        ("access = true\n", "open or tokens"),
        ("insecure_beyond_loopback = \"yes\"\n", "true or false"),
    ] {
        let text = doors(&format!("{at}{options}")).unwrap_err().to_string();
        assert!(text.contains(words), "{options}: {text}");
    }
    let door = doors(&format!("{at}{TLS}tls_clients = \"accepted\"\naccess = \"tokens\"\n"));
    let door = door.unwrap().http.unwrap();
    assert_eq!((door.access, door.clients), (Access::Tokens, ClientCertificates::Accepted));
    assert!(door.tls.unwrap().cert.ends_with("a.pem"));
}

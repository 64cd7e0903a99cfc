//! `jedlik-admin cert`: certificates, each with the role and the name of its holder.
//!
//! Invariant: a node's identity is drawn once and outlasts its certificate; an existing certificate is replaced only on
//! request.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use jedlik_client::NodeId;
use jedlik_net::Credentials;
use jedlik_net::authority::{
    Authority, CERTIFICATE_DAYS, CERTIFICATE_FILE, IssuedCertificate, Subject,
};
use serde_json::json;

use crate::exit::Usage;
use crate::output::Output;

const CERT_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Issue a certificate
    ///
    /// Writes ca.pem, cert.pem and key.pem. A new node gets a new identity with its certificate; with --force, a
    /// certificate that replaces one of the same name keeps the identity, which the node's data directory has too.
    #[command(after_help = "\
Examples:
  jedlik-admin cert issue --ca ca --role node --name n1 --out n1/tls
  jedlik-admin cert issue --ca ca --role client --name shop --out shop/tls
  jedlik-admin cert issue --ca ca --role node --name n1 --out n1/tls --force
  jedlik-admin cert issue --ca ca --role node --name n1 --out new/tls --node 0123456789abcdef")]
    Issue(IssueArgs),
    /// Issue a certificate for a door: the place where HTTP or Riak's clients come in
    ///
    /// Writes ca.pem, by which clients check the certificate, cert.pem and key.pem, for http.tls_cert and http.tls_key, or
    /// riak_pb.tls_cert and riak_pb.tls_key. A certificate of another authority, which browsers trust, serves as well.
    #[command(after_help = "\
Examples:
  jedlik-admin cert door --ca ca --name db1.example.org --name 10.0.0.5 --out n1/door
  jedlik-admin cert door --ca ca --name db1.example.org --name 10.0.0.5 --out n1/door --force")]
    Door(DoorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DoorArgs {
    /// The folder of the cluster's authority
    #[arg(long = "ca", value_name = "DIR")]
    authority: PathBuf,
    /// A DNS name or an IP address by which clients reach the node; may be given several times
    #[arg(long = "name", value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The folder for the three files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many days the certificate is valid: 1 to 36500
    #[arg(long, default_value_t = CERTIFICATE_DAYS,
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Replace an existing certificate
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// The folder of the cluster's authority
    #[arg(long = "ca", value_name = "DIR")]
    authority: PathBuf,
    /// The role of the certificate's holder, which decides what it may do
    #[arg(long, value_enum)]
    role: RoleName,
    /// The holder's name: a-z, 0-9 and hyphens
    #[arg(long)]
    name: String,
    /// The folder for the three files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A further DNS name or IP address in the certificate; may be given several times
    #[arg(long, value_name = "NAME")]
    alt_name: Vec<String>,
    /// How many days the certificate is valid: 1 to 36500
    #[arg(long, default_value_t = CERTIFICATE_DAYS,
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// The identity of a node that already has one
    #[arg(long, value_name = "ID", value_parser = node_id)]
    node: Option<NodeId>,
    /// Replace an existing certificate
    #[arg(long)]
    force: bool,
}

/// Role of a certificate's holder, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// A member: serves the cluster's data
    Node,
    /// May read and write data, and change the cluster
    Admin,
    /// May read and write data
    Client,
}

pub(crate) fn run(command: CertCommand, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        CertCommand::Issue(args) => issue(&args, output),
        CertCommand::Door(args) => door(&args, output),
    }
}

fn issue(args: &IssueArgs, output: Output) -> anyhow::Result<ExitCode> {
    let files = Files::of(&args.out, args.force)?;
    let authority = authority(&args.authority)?;
    let subject = subject(args)?;
    let issued = authority
        .issue(&subject)
        .with_context(|| Usage(format!("can't issue a certificate for {:?}", subject.name)))?;
    files.save(&authority, &issued)?;
    let node = subject.node.map(|node| node.to_string());
    let json = json!({
        "cluster": authority.cluster().to_string(),
        "role": subject.role.name(),
        "name": subject.name,
        "node": node,
        "ca": files.ca,
        "cert": files.certificate,
        "key": files.key,
    });
    output.print(&json, || {
        let identity = node.map(|node| format!(" with the identity {node}")).unwrap_or_default();
        format!(
            "Issued a certificate for the {} {}{identity}, valid for {} days: {CERTIFICATE_FILE}, \
             {CERT_FILE} and {KEY_FILE} in {}\n",
            subject.role,
            subject.name,
            subject.valid_days,
            args.out.display()
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn door(args: &DoorArgs, output: Output) -> anyhow::Result<ExitCode> {
    let files = Files::of(&args.out, args.force)?;
    let authority = authority(&args.authority)?;
    let names = args.names.join(", ");
    let issued = authority
        .issue_for_door(&args.names, args.days)
        .with_context(|| Usage(format!("can't issue a certificate for {names}")))?;
    files.save(&authority, &issued)?;
    let json = json!({
        "cluster": authority.cluster().to_string(),
        "names": args.names,
        "ca": files.ca,
        "cert": files.certificate,
        "key": files.key,
    });
    output.print(&json, || {
        format!(
            "Issued a certificate for {names}, valid for {} days: {CERT_FILE} and {KEY_FILE} for the node, and \
             {CERTIFICATE_FILE}, by which clients check it, in {}\n",
            args.days,
            args.out.display()
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn authority(folder: &Path) -> anyhow::Result<Authority> {
    let why = || Usage(format!("can't use the authority in {}", folder.display()));
    Authority::load(folder).with_context(why)
}

/// Files of a certificate that is issued.
struct Files<'a> {
    folder: &'a Path,
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl<'a> Files<'a> {
    /// Returns the files in a folder, where there are none yet or they are to be replaced.
    fn of(folder: &'a Path, force: bool) -> anyhow::Result<Self> {
        let [ca, certificate, key] =
            [CERTIFICATE_FILE, CERT_FILE, KEY_FILE].map(|file| folder.join(file));
        if let Some(there) = [&certificate, &key].into_iter().find(|path| path.exists())
            && !force
        {
            let text = format!("{} is there already; --force replaces it", there.display());
            return Err(Usage(text).into());
        }
        Ok(Self { folder, ca, certificate, key })
    }

    fn save(&self, authority: &Authority, issued: &IssuedCertificate) -> anyhow::Result<()> {
        let unwritable = || Usage(format!("can't write into {}", self.folder.display()));
        fs::create_dir_all(self.folder).with_context(unwritable)?;
        authority.save_certificate(&self.ca).with_context(unwritable)?;
        issued.save(&self.certificate, &self.key).with_context(unwritable)
    }
}

fn subject(args: &IssueArgs) -> anyhow::Result<Subject> {
    if args.node.is_some() && args.role != RoleName::Node {
        return Err(Usage("--node goes with --role node only".into()).into());
    }
    let subject = match args.role {
        RoleName::Node => {
            let node = args.node.map_or_else(|| renewed(args), |node| Ok(Some(node)))?;
            let node = node.map_or_else(|| getrandom::u64().map(NodeId), Ok)?;
            Subject::node(node, &args.name)
        }
        RoleName::Admin => Subject::admin(&args.name),
        RoleName::Client => Subject::client(&args.name),
    };
    Ok(Subject { extra_names: args.alt_name.clone(), valid_days: args.days, ..subject })
}

/// Returns the identity of the node whose certificate is replaced, if there is one.
fn renewed(args: &IssueArgs) -> anyhow::Result<Option<NodeId>> {
    let [ca, certificate, key] =
        [CERTIFICATE_FILE, CERT_FILE, KEY_FILE].map(|file| args.out.join(file));
    if !certificate.exists() {
        return Ok(None);
    }
    let there = certificate.display();
    let held = Credentials::load(ca, &certificate, key).with_context(|| {
        Usage(format!(
            "can't tell whose certificate {there} is: give --node with the identity of the node, or remove it for a \
             new identity"
        ))
    })?;
    let identity = held.identity();
    match identity.node {
        Some(node) if identity.name != args.name => Err(Usage(format!(
            "{there} is of the node {}: give --node {node} if it is to be called {}, or another --out for another node",
            identity.name, args.name
        ))
        .into()),
        node => Ok(node),
    }
}

/// Parses a node's identity: 16 hex digits, as `cluster status` shows it.
pub(crate) fn node_id(text: &str) -> Result<NodeId, String> {
    hex(text).map(NodeId).ok_or_else(|| "a node's identity has 16 hex digits".into())
}

/// Parses exactly 16 hex digits.
pub(crate) fn hex(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use jedlik_client::NodeId;
    use jedlik_net::{Credentials, Role};

    use super::{CertCommand, DoorArgs, IssueArgs, RoleName, hex, run};
    use crate::ca::{self, CaCommand};
    use crate::exit::code;
    use crate::output::Output;

    fn issue(
        folder: &Path,
        role: RoleName,
        change: impl FnOnce(&mut IssueArgs),
    ) -> anyhow::Result<()> {
        let mut args = IssueArgs {
            authority: folder.join("ca"),
            role,
            name: "one".into(),
            out: folder.join("tls"),
            alt_name: Vec::new(),
            days: 30,
            node: None,
            force: false,
        };
        change(&mut args);
        run(CertCommand::Issue(args), Output { json: true }).map(|_| ())
    }

    fn authority() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("ca");
        ca::run(CaCommand::Init { dir }, Output { json: true }).unwrap();
        folder
    }

    #[test]
    fn issued_files_are_credentials_of_the_role() {
        let folder = authority();
        let roles = [
            (RoleName::Node, Role::Node),
            (RoleName::Admin, Role::Admin),
            (RoleName::Client, Role::Client),
        ];
        for (name, role) in roles {
            issue(folder.path(), name, |args| args.force = true).unwrap();
            let tls = folder.path().join("tls");
            let credentials =
                Credentials::load(tls.join("ca.pem"), tls.join("cert.pem"), tls.join("key.pem"));
            let identity = credentials.unwrap().identity().clone();
            assert_eq!((identity.role, identity.name.as_str()), (role, "one"));
            assert_eq!(identity.node.is_some(), role == Role::Node);
        }
    }

    #[test]
    fn a_node_keeps_its_identity_when_told_and_is_not_replaced_unasked() {
        let folder = authority();
        issue(folder.path(), RoleName::Node, |args| args.node = Some(NodeId(7))).unwrap();
        let again = issue(folder.path(), RoleName::Node, |_| {}).unwrap_err();
        assert_eq!(code(&again), 2);
        assert!(again.to_string().contains("--force"));
    }

    #[test]
    fn a_renewed_certificate_is_of_the_same_node_and_never_of_one_with_another_name() {
        let folder = authority();
        let file = |name| folder.path().join("tls").join(name);
        let held = || {
            let held = Credentials::load(file("ca.pem"), file("cert.pem"), file("key.pem"));
            held.unwrap().identity().node.unwrap()
        };
        issue(folder.path(), RoleName::Node, |_| {}).unwrap();
        let (node, before) = (held(), fs::read(file("cert.pem")).unwrap());
        issue(folder.path(), RoleName::Node, |args| args.force = true).unwrap();
        assert_eq!(held(), node);
        assert_ne!(fs::read(file("cert.pem")).unwrap(), before, "it was renewed");

        let other = |args: &mut IssueArgs| {
            (args.force, args.name) = (true, "two".into());
        };
        let refused = issue(folder.path(), RoleName::Node, other).unwrap_err();
        assert_eq!(code(&refused), 2);
        assert!(refused.to_string().contains(&format!("--node {node}")), "{refused}");
        fs::write(file("cert.pem"), "nothing").unwrap();
        let refused = issue(folder.path(), RoleName::Node, |args| args.force = true).unwrap_err();
        assert_eq!(code(&refused), 2);
        assert!(refused.to_string().contains("whose certificate"), "{refused}");
        assert_eq!(fs::read(file("cert.pem")).unwrap(), b"nothing");
    }

    fn door(folder: &Path, names: &[&str], force: bool) -> anyhow::Result<()> {
        let args = DoorArgs {
            authority: folder.join("ca"),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            out: folder.join("door"),
            days: 30,
            force,
        };
        run(CertCommand::Door(args), Output { json: true }).map(|_| ())
    }

    #[test]
    fn a_doors_certificate_opens_nothing_itself_and_is_not_replaced_unasked() {
        let folder = authority();
        door(folder.path(), &["db1.example.org", "10.0.0.5"], false).unwrap();
        let [ca, cert, key] =
            ["ca.pem", "cert.pem", "key.pem"].map(|file| folder.path().join("door").join(file));
        let as_own = Credentials::load(ca, &cert, key).unwrap_err();
        assert!(as_own.to_string().contains("names no node, admin or client"), "{as_own}");
        let before = fs::read(&cert).unwrap();
        assert_eq!(code(&door(folder.path(), &["db1"], false).unwrap_err()), 2);
        door(folder.path(), &["db1"], true).unwrap();
        assert_ne!(fs::read(&cert).unwrap(), before);
        let names = ["a.client.0123456789abcdef.jedlik"];
        let posing = door(folder.path(), &names, true).unwrap_err();
        assert!(format!("{posing:#}").contains("name of a node"), "{posing:#}");
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let folder = authority();
        let cases: [(&str, anyhow::Result<()>); 3] = [
            ("a-z", issue(folder.path(), RoleName::Node, |args| args.name = "No Name".into())),
            (
                "--role node",
                issue(folder.path(), RoleName::Admin, |args| args.node = Some(NodeId(7))),
            ),
            (
                "authority",
                issue(folder.path(), RoleName::Node, |args| args.authority = "no".into()),
            ),
        ];
        for (word, outcome) in cases {
            let error = outcome.unwrap_err();
            assert_eq!(code(&error), 2, "{error:#}");
            assert!(format!("{error:#}").contains(word), "{error:#}");
        }
    }

    #[test]
    fn identities_have_one_spelling() {
        let cases = [
            ("0123456789abcdef", Some(0x0123_4567_89ab_cdef)),
            ("123", None),
            ("0123456789abcdeg", None),
            ("+123456789abcdef", None),
            ("", None),
        ];
        for (text, value) in cases {
            assert_eq!(hex(text), value, "{text}");
        }
    }
}

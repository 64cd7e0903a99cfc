//! `jedlik-admin token`: tokens for clients that come by HTTP, and limits on clients' certificates.
//!
//! Invariant: a secret is drawn here, shown once, and never sent: nodes learn its hash.

use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use jedlik_client::ClientError;
use jedlik_console::rfc3339_ms;
use jedlik_protocol::access::{AccessEntry, Grant, Right, Subject, hash_secret};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::escape::Escaped;
use serde_json::{Value, json};

use crate::clock::now_ms;
use crate::cluster::Cluster;
use crate::connection::ConnectionArgs;
use crate::exit::Usage;
use crate::output::Output;
use crate::table::{Align, Table};

/// Length of a secret.
const SECRET_BYTES: usize = 32;

/// Rights that a token or a certificate gets.
#[derive(Debug, Args)]
pub(crate) struct RightsArgs {
    /// Buckets whose keys may be read: those whose names begin with this; '' for all
    #[arg(long, value_name = "PREFIX")]
    read: Vec<String>,
    /// Buckets whose keys may be written, too
    #[arg(long, value_name = "PREFIX")]
    write: Vec<String>,
    /// Buckets whose properties may be set, too; '' allows changes of the cluster as well
    #[arg(long, value_name = "PREFIX")]
    admin: Vec<String>,
    /// How long the rights last: 90d, 12h; without it they have no end
    #[arg(long, value_name = "TIME", value_parser = jedlik_console::lifetime)]
    expires: Option<Duration>,
}

impl RightsArgs {
    fn grants(&self) -> Result<Vec<Grant>, Usage> {
        let lists =
            [(&self.read, Right::Read), (&self.write, Right::Write), (&self.admin, Right::Admin)];
        let of = |(prefixes, right): (&Vec<String>, Right)| -> Vec<Grant> {
            prefixes.iter().map(|prefix| Grant { prefix: prefix.as_str().into(), right }).collect()
        };
        let mut grants: Vec<Grant> = lists.into_iter().flat_map(of).collect();
        grants.sort();
        grants.dedup();
        if grants.is_empty() {
            let text = "name a right: --read, --write or --admin with a prefix of buckets' names, '' for all";
            return Err(Usage(text.into()));
        }
        Ok(grants)
    }

    fn entry(&self, subject: Subject, secret_hash: [u8; 32]) -> Result<AccessEntry, Usage> {
        let lasts_ms = self.expires.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let expires_at_ms = lasts_ms.map(|lasts_ms| now_ms().saturating_add(lasts_ms));
        let grants = self.grants()?;
        let none = AccessEntry::none(subject);
        let entry = AccessEntry { secret_hash, grants, expires_at_ms, ..none };
        entry.check().map_err(|error| Usage(error.to_string()))?;
        Ok(entry)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, or give one of that name a new secret and other rights
    ///
    /// Prints the token, once: it is not kept anywhere. A client sends it as `Authorization: Bearer TOKEN`, or, where it
    /// knows only names and passwords, the part before the dot as the name and the rest as the password.
    #[command(after_help = "\
Examples:
  jedlik-admin token make shop --write carts --read prices --expires 90d
  jedlik-admin token make backup --read ''")]
    Make {
        name: String,
        #[command(flatten)]
        rights: RightsArgs,
    },
    /// Limit what the clients' certificates of a name may do; without limits they may use all data
    #[command(after_help = "\
Examples:
  jedlik-admin token limit --certificate shop --write carts --read prices")]
    Limit {
        /// Name in the certificates
        #[arg(long, value_name = "NAME")]
        certificate: String,
        #[command(flatten)]
        rights: RightsArgs,
    },
    /// List tokens and limited certificates with their rights
    List,
    /// Take the rights of a token or a certificate back
    #[command(after_help = "\
Within seconds every node refuses it; open connections stay, and their requests are refused. All
certificates of a name lose their rights, those that are issued later too, until `token limit` gives
them others. Nodes do not know which names were issued, so look for mistakes in yours.

Examples:
  jedlik-admin token revoke shop
  jedlik-admin token revoke --certificate shop")]
    Revoke {
        #[arg(required_unless_present = "certificate", conflicts_with = "certificate")]
        name: Option<String>,
        /// Name in the certificates
        #[arg(long, value_name = "NAME")]
        certificate: Option<String>,
    },
}

pub(crate) async fn run(
    connection: &ConnectionArgs,
    command: TokenCommand,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let mut token = None;
    let request = match command {
        TokenCommand::Make { name, rights } => {
            let (text, hash) = draw(&name)?;
            token = Some(text);
            AdminRequest::AccessSet(rights.entry(Subject::Token(name), hash)?)
        }
        TokenCommand::Limit { certificate, rights } => {
            AdminRequest::AccessSet(rights.entry(Subject::Certificate(certificate), [0; 32])?)
        }
        TokenCommand::List => AdminRequest::AccessList,
        TokenCommand::Revoke { name, certificate } => {
            AdminRequest::AccessRevoke(match (name, certificate) {
                (_, Some(name)) => Subject::Certificate(name),
                (Some(name), None) => Subject::Token(name),
                (None, None) => return Err(Usage("name a token, or --certificate".into()).into()),
            })
        }
    };
    match Cluster::connect(connection, None).await?.ask(&request).await? {
        AdminResponse::Access(entries) => {
            let json = entries.iter().map(|entry| to_json(entry, None)).collect();
            output.print(&json, || list_text(&entries))?;
        }
        AdminResponse::AccessEntry(entry) => {
            let json = to_json(&entry, token.as_deref());
            output.print(&json, || entry_text(&entry, token.as_deref()))?;
        }
        _ => return Err(ClientError::Mismatch.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Draws a secret, and returns the token that has it and its hash.
fn draw(name: &str) -> anyhow::Result<(String, [u8; 32])> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    let hash = hash_secret(secret.as_bytes());
    Ok((format!("{name}.{secret}"), hash))
}

fn kind(subject: &Subject) -> &'static str {
    match subject {
        Subject::Token(_) => "token",
        Subject::Certificate(_) => "certificate",
    }
}

fn state(entry: &AccessEntry) -> String {
    match entry.expires_at_ms {
        _ if entry.revoked => "revoked".into(),
        Some(end_ms) if end_ms <= now_ms() => "expired".into(),
        Some(end_ms) => format!("until {}", rfc3339_ms(end_ms)),
        None => "in force".into(),
    }
}

fn rights(entry: &AccessEntry) -> String {
    let grant = |grant: &Grant| match &grant.prefix[..] {
        [] => format!("{} everywhere", grant.right.name()),
        prefix => format!("{} {}*", grant.right.name(), Escaped(prefix)),
    };
    if entry.grants.is_empty() {
        return "no rights".into();
    }
    entry.grants.iter().map(grant).collect::<Vec<String>>().join(", ")
}

fn to_json(entry: &AccessEntry, token: Option<&str>) -> Value {
    let grant = |grant: &Grant| json!({ "prefix": Escaped(&grant.prefix).to_string(), "right": grant.right.name() });
    let mut shown = json!({
        "kind": kind(&entry.subject),
        "name": entry.subject.name(),
        "version": entry.version,
        "grants": entry.grants.iter().map(grant).collect::<Vec<Value>>(),
        "expires_at": entry.expires_at_ms.map(rfc3339_ms),
        "revoked": entry.revoked,
    });
    if let Some(token) = token {
        shown["token"] = token.into();
    }
    shown
}

fn entry_text(entry: &AccessEntry, token: Option<&str>) -> String {
    let (kind, name) = (kind(&entry.subject), entry.subject.name());
    let mut text = format!("{kind} {name}: {}, {}\n", rights(entry), state(entry));
    if let Some(token) = token {
        text += &format!(
            "{token}\nThis is shown once. A client sends it as `Authorization: Bearer TOKEN`.\n"
        );
    }
    text
}

fn list_text(entries: &[AccessEntry]) -> String {
    if entries.is_empty() {
        return "there are no tokens, and no client's certificate is limited\n".into();
    }
    let mut table = Table::new([
        ("kind", Align::Left),
        ("name", Align::Left),
        ("state", Align::Left),
        ("rights", Align::Left),
    ]);
    for entry in entries {
        let (kind, name) = (kind(&entry.subject).into(), entry.subject.name().into());
        table.row([kind, name, state(entry), rights(entry)]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::access::{AccessEntry, Right, Subject, hash_secret};

    use super::{RightsArgs, draw, entry_text, list_text, to_json};

    fn rights(read: &[&str], write: &[&str]) -> RightsArgs {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        RightsArgs { read: owned(read), write: owned(write), admin: Vec::new(), expires: None }
    }

    fn entry(read: &[&str], write: &[&str]) -> AccessEntry {
        rights(read, write).entry(Subject::Token("shop".into()), [1; 32]).unwrap()
    }

    #[test]
    fn a_token_has_its_name_and_the_secret_whose_hash_the_nodes_get() {
        let (token, hash) = draw("shop").unwrap();
        let (name, secret) = token.split_once('.').unwrap();
        assert_eq!((name, hash_secret(secret.as_bytes())), ("shop", hash));
        assert_ne!(draw("shop").unwrap().0, token);
    }

    #[test]
    fn rights_are_those_of_the_flags_and_none_is_refused() {
        let entry = entry(&["", "prices"], &["carts"]);
        assert_eq!(entry.right_to(b"carts/1"), Some(Right::Write));
        assert_eq!(entry.right_to(b"other"), Some(Right::Read));
        assert!(rights(&[], &[]).entry(Subject::Token("shop".into()), [0; 32]).is_err());
        assert!(rights(&["a"], &[]).entry(Subject::Token("a b".into()), [0; 32]).is_err());
    }

    #[test]
    fn what_is_shown_has_the_token_once_and_never_its_hash() {
        let entry = entry(&[""], &["carts"]);
        let (text, list) =
            (entry_text(&entry, Some("shop.x")), list_text(std::slice::from_ref(&entry)));
        assert!(
            text.contains("shop.x") && text.contains("read everywhere, write carts*"),
            "{text}"
        );
        assert!(!list.contains("shop.x") && list.contains("in force"), "{list}");
        assert_eq!(to_json(&entry, Some("shop.x"))["token"], "shop.x");
        assert!(to_json(&entry, None).get("token").is_none());
        let none = AccessEntry::none(Subject::Certificate("shop".into()));
        assert_eq!(entry_text(&none, None), "certificate shop: no rights, in force\n");
    }
}

//! `jedlik-admin ca`: makes the cluster's certificate authority.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use jedlik_net::authority::{Authority, CERTIFICATE_FILE, KEY_FILE};
use jedlik_protocol::ClusterId;
use serde_json::json;

use crate::exit::Usage;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make the authority of a new cluster
    ///
    /// An authority that is there already is never overwritten.
    #[command(after_help = "Example:\n  jedlik-admin ca init --dir ca")]
    Init {
        /// The folder for its certificate and its key
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

pub(crate) fn run(command: CaCommand, output: Output) -> anyhow::Result<ExitCode> {
    let CaCommand::Init { dir } = command;
    let cluster = ClusterId(getrandom::u64()?);
    let authority = Authority::create(cluster)?;
    let why = || Usage(format!("can't make an authority in {}", dir.display()));
    authority.save(&dir).with_context(why)?;
    let (certificate, key) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
    let json = json!({ "cluster": cluster.to_string(), "ca": certificate, "key": key });
    output.print(&json, || {
        let dir = dir.display();
        format!(
            "The authority of cluster {cluster} is in {dir}: {CERTIFICATE_FILE} for everybody, and \
             {KEY_FILE}, which signs certificates; keep it to yourself.\n\
             Next, a certificate for each node, for an admin and for a client:\n  \
             jedlik-admin cert issue --ca {dir} --role node --name n1 --out n1/tls\n  \
             jedlik-admin cert issue --ca {dir} --role admin --name admin --out admin/tls\n  \
             jedlik-admin cert issue --ca {dir} --role client --name client --out client/tls\n"
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::{CaCommand, run};
    use crate::exit::code;
    use crate::output::Output;

    #[test]
    fn an_authority_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("ca");
        let init = || run(CaCommand::Init { dir: dir.clone() }, Output { json: true });
        init().unwrap();
        let before = std::fs::read(dir.join("ca.key")).unwrap();
        let error = init().unwrap_err();
        assert_eq!(code(&error), 2, "{error:#}");
        assert_eq!(std::fs::read(dir.join("ca.key")).unwrap(), before);
    }
}

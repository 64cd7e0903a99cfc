//! `jedlik get`.

use std::path::PathBuf;

use clap::Args;
use jedlik_client::GetOptions;

use crate::connection::{ConnectionArgs, ReadArgs, RequestArgs};
use crate::exit::Exit;
use crate::names::{KeyArgs, absent};
use crate::put::ContextFile;
use crate::{output, shown};

/// Read a key
///
/// A single value is printed as its bytes and nothing else (a terminal gets a line end). Siblings are
/// printed each under a header line. An absent key prints nothing and exits with 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik get carts alice
  jedlik get carts alice --json
  jedlik get photos cat > cat.jpg
  jedlik get carts alice --r all --timeout 500ms --context-out seen")]
pub(crate) struct GetArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Write the context to a file, for the put that follows
    #[arg(long, value_name = "FILE")]
    context_out: Option<PathBuf>,
    /// Print versions and context as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    request: RequestArgs,
}

pub(crate) async fn run(connection: &ConnectionArgs, args: GetArgs) -> anyhow::Result<Exit> {
    let key = args.key.key()?;
    let options = GetOptions {
        n: args.request.n,
        r: args.read.r,
        pr: args.read.pr,
        timeout: args.request.timeout,
    };
    let context_out = ContextFile::open(args.context_out)?;
    let client = connection.connect().await?;
    let answer = client.get(&key, &options).await?;
    if let (Some(file), Some(context)) = (context_out, &answer.context) {
        file.save(context)?;
    }
    let found = shown::values(&answer.versions).next().is_some();
    if args.json {
        output::line(&shown::json(&answer)?)?;
    } else if found {
        shown::print(&answer.versions)?;
        if answer.versions.len() > 1 {
            let count = answer.versions.len();
            let remark = "siblings; a put with the context replaces all of them";
            output::say(&format_args!("jedlik: {count} {remark}"));
        }
        if answer.partial {
            let remark =
                "there are more siblings than one answer carries; put with the context, then";
            output::say(&format_args!("jedlik: {remark} get again"));
        }
    } else {
        output::say(&absent(&key));
    }
    Ok(if found { Exit::Done } else { Exit::Absent })
}

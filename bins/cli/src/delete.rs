//! `jedlik delete`.

use anyhow::Context as _;
use clap::Args;
use jedlik_client::{GetOptions, PutOptions};

use crate::acknowledged;
use crate::connection::{ConnectionArgs, RequestArgs, WriteArgs};
use crate::exit::Exit;
use crate::names::{KeyArgs, absent};
use crate::put::{ContextArgs, DONE};
use crate::{output, shown};

/// Delete a key
///
/// Reads the key and deletes what it saw: all siblings, but nothing that is written meanwhile. With
/// a context it deletes what that context saw, without reading. An absent key exits with 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik delete carts alice
  jedlik delete carts alice --context-in seen")]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    context: ContextArgs,
    /// Write the tombstone without reading: it becomes a sibling of the values, which stay
    #[arg(long, conflicts_with_all = ["context", "context_in"])]
    blind: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    request: RequestArgs,
}

pub(crate) async fn run(connection: &ConnectionArgs, args: DeleteArgs) -> anyhow::Result<Exit> {
    let key = args.key.key()?;
    let (n, timeout) = (args.request.n, args.request.timeout);
    let mut context = args.context.read()?;
    let client = connection.connect().await?;
    if context.is_none() && !args.blind {
        let answer = client.get(&key, &GetOptions { n, timeout, ..GetOptions::default() }).await?;
        if shown::values(&answer.versions).next().is_none() {
            output::say(&absent(&key));
            return Ok(Exit::Absent);
        }
        context = answer.context;
    }
    let (w, pw, dw) = (args.write.w, args.write.pw, args.write.dw);
    let options = PutOptions { context, ttl: None, n, w, pw, dw, timeout };
    let answer = client.delete(&key, &options).await?;
    if args.json {
        output::line(&acknowledged::json(&answer, &client.topology().members)).context(DONE)?;
    }
    Ok(Exit::Done)
}

//! `jedlik delete`: deletes a key by writing a tombstone.

use anyhow::Context as _;
use clap::Args;
use jedlik_client::GetOptions;

use crate::acknowledged;
use crate::connection::{ConnectionArgs, RequestArgs, WriteArgs};
use crate::exit::Exit;
use crate::names::{KeyArgs, absent};
use crate::output;
use crate::put::{ContextArgs, DONE};

/// Delete a key
///
/// Reads the key and deletes what it read: all siblings, but nothing that is written meanwhile. With a context, it
/// deletes what that context covers, without reading. An absent key exits with 1.
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
    let mut context = args.context.read()?;
    let client = connection.connect().await?;
    let bucket = client.bucket(key.bucket());
    if context.is_none() && !args.blind {
        let options = GetOptions::new().n(args.request.n).timeout(args.request.timeout);
        let answer = bucket.get(key.key()).options(&options).await?;
        if answer.is_absent() {
            if args.json {
                output::line(&acknowledged::nothing(answer.context().as_ref()))?;
            } else {
                output::say(&absent(&key));
            }
            return Ok(Exit::Absent);
        }
        context = answer.context();
    }
    let options = args.request.write(&args.write);
    let answer = bucket.delete(key.key()).context(context).options(&options).await?;
    if args.json {
        output::line(&acknowledged::json(&answer, &client.admin().topology().members))
            .context(DONE)?;
    }
    Ok(Exit::Done)
}

//! `jedlik get`: prints a key's value, or its siblings.

use std::path::PathBuf;

use clap::Args;

use crate::connection::{ConnectionArgs, ReadArgs, RequestArgs};
use crate::exit::Exit;
use crate::names::{KeyArgs, absent};
use crate::put::ContextFile;
use crate::{output, shown};

/// Read a key
///
/// A single value is printed as its bytes and nothing else; only on a terminal does a newline follow a value without
/// one. Siblings are each printed under a header line. An absent key prints nothing and exits with 1.
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
    /// Write the context to a file, for a put that follows
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
    let context_out = ContextFile::open(args.context_out)?;
    let client = connection.connect().await?;
    let options = args.request.read(&args.read);
    let get = client.bucket(key.bucket()).get(key.key()).options(&options);
    let answer = get.await?;
    if let (Some(file), Some(context)) = (context_out, answer.context()) {
        file.save(&context)?;
    }
    let found = !answer.is_absent();
    if args.json {
        output::line(&shown::json(&answer)?)?;
    } else if found {
        shown::print(answer.siblings())?;
        let count = answer.siblings().len();
        if count > 1 {
            let remark = "siblings; a put with the context replaces all of them";
            output::say(&format_args!("jedlik: {count} {remark}"));
        }
        if answer.is_partial() {
            let remark =
                "there are more siblings than one answer carries; put with the context, then";
            output::say(&format_args!("jedlik: {remark} get again"));
        }
    } else {
        output::say(&absent(&key));
    }
    Ok(if found { Exit::Done } else { Exit::Absent })
}

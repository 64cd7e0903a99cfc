//! `jedlik put`: writes a value.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jedlik_atomicfile::{AtomicFile, Readers};
use jedlik_client::{Attributes, Context};

use crate::acknowledged;
use crate::connection::{ConnectionArgs, RequestArgs, WriteArgs};
use crate::exit::{Exit, Usage};
use crate::names::KeyArgs;
use crate::{output, parse};

/// Write a value
///
/// Without a context the value becomes a sibling of the stored ones; with the context of a get it replaces what that
/// get returned.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik put carts alice '{\"tea\":1}'
  jedlik put photos cat --file cat.jpg --content-type image/jpeg --meta owner=alice
  jedlik put carts alice '{}' --w 3 --verbose
  date | jedlik put log now -
  jedlik get carts alice --context-out seen && jedlik put carts alice '{}' --context-in seen")]
pub(crate) struct PutArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The value; - reads standard input
    #[arg(allow_negative_numbers = true, conflicts_with = "file")]
    value: Option<OsString>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    carried: CarriedArgs,
    #[command(flatten)]
    context: ContextArgs,
    /// How long until the value expires: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", value_parser = jedlik_console::duration)]
    ttl: Option<Duration>,
    /// Print the new context, as text
    #[arg(long)]
    return_context: bool,
    /// Write the new context to a file
    #[arg(long, value_name = "FILE")]
    context_out: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long, conflicts_with = "return_context")]
    json: bool,
    /// Print on standard error which nodes acknowledged, and which primaries they stand in for
    #[arg(long, short, conflicts_with = "json")]
    verbose: bool,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// Remark that precedes any failure after the write was acknowledged.
pub(crate) const DONE: &str = "the write is acknowledged";

/// Attributes that the value carries beside its bytes.
#[derive(Debug, Args)]
struct CarriedArgs {
    /// The media type of the value, which is kept with it: text/plain; charset=utf-8
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Metadata that is kept with the value; may be given several times
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = parse::pair)]
    metadata: Vec<(String, String)>,
}

impl CarriedArgs {
    fn attributes(&self) -> Attributes {
        let pair = |(name, value): &(String, String)| (name.as_str().into(), value.as_str().into());
        let metadata = self.metadata.iter().map(pair).collect();
        let attributes = Attributes { metadata, ..Attributes::default() };
        match &self.content_type {
            Some(content_type) => attributes.with_content_type(content_type),
            None => attributes,
        }
    }
}

/// Context that a write carries, from either of two flags.
#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    /// The context of the get that this write follows, as text
    #[arg(long, value_name = "TEXT", value_parser = parse::context)]
    context: Option<Context>,
    /// The context from a file that --context-out wrote
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    context_in: Option<PathBuf>,
}

impl ContextArgs {
    /// Returns the context, if one was given.
    pub(crate) fn read(self) -> anyhow::Result<Option<Context>> {
        self.context_in.map_or(Ok(self.context), |path| parse::context_file(&path).map(Some))
    }
}

/// File that a context is written to, as text. A path that can't be written is refused before any request is sent; the
/// file is replaced by the whole context or not at all.
pub(crate) struct ContextFile {
    path: PathBuf,
    file: AtomicFile,
}

impl ContextFile {
    /// Creates the new file beside `path`; `None` if there is no path.
    pub(crate) fn open(path: Option<PathBuf>) -> anyhow::Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let file = AtomicFile::create(&path, Readers::AsBefore)
            .with_context(|| Usage(format!("can't write the context to {}", path.display())))?;
        Ok(Some(Self { path, file }))
    }

    pub(crate) fn save(mut self, context: &Context) -> anyhow::Result<()> {
        let text = parse::context_text(context) + "\n";
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.commit());
        written.with_context(|| format!("the context can't be written to {}", self.path.display()))
    }
}

pub(crate) async fn run(connection: &ConnectionArgs, args: PutArgs) -> anyhow::Result<Exit> {
    let key = args.key.key()?;
    let value = parse::value(args.value, args.file)?;
    let (context, options) = (args.context.read()?, args.request.write(&args.write).ttl(args.ttl));
    let context_out = ContextFile::open(args.context_out)?;
    let client = connection.connect().await?;
    let put = client.bucket(key.bucket()).put(key.key(), value).options(&options);
    let put = put.attributes(&args.carried.attributes());
    let answer = put.context(context).await?;
    let members = client.admin().topology().members;
    if let Some(file) = context_out {
        file.save(&answer.context()).context(DONE)?;
    }
    if args.verbose {
        output::say(&acknowledged::text(&answer, &members));
    }
    if answer.has_many_siblings() {
        let count = answer.siblings();
        let remark = "siblings now; get the key and put with its context";
        output::say(&format_args!("jedlik: {count} {remark}"));
    }
    if args.json {
        output::line(&acknowledged::json(&answer, &members)).context(DONE)?;
    } else if args.return_context {
        output::line(&parse::context_text(&answer.context())).context(DONE)?;
    }
    Ok(Exit::Done)
}

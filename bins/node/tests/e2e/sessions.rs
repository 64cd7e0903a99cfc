//! The sessions on the documentation's pages, typed into a shell against real nodes: a page shows what a reader will
//! see.
//!
//! A page is one session, which consists of these parts in the page's order:
//!
//! | on the page | what is done |
//! |---|---|
//! | a block `console` | each line after `$ ` is a command; the lines below it are what it prints |
//! | a block `toml` that begins with `# PATH` | the file is written |
//! | a comment `<!-- session: COMMAND -->` | the command is run, and readers don't see it |
//!
//! Other blocks are not run: `sh` for commands that need more than this machine, `text` for forms of commands.
//! `SNAPSHOTS=overwrite cargo xtask test sessions::` writes the outputs into the pages.

mod masks;
mod page;
mod session;
mod shell;

use std::fs;
use std::path::{Path, PathBuf};

use snapbox::Assert;
use snapbox::assert::DEFAULT_ACTION_ENV;
use snapbox::data::{Data, DataFormat};

use self::page::{Page, Part};
use self::session::Session;

#[test]
fn the_readme_shows_what_one_sees() {
    check("README.md");
}

#[test]
fn a_cluster_by_hand_is_made_by_what_its_page_says() {
    check("docs/running.md");
}

#[test]
fn what_the_page_for_users_shows_is_what_they_see() {
    check("docs/client-api.md");
}

/// Runs a page's session, and asserts that the page shows its outputs.
fn check(name: &'static str) {
    let path = root().join(name);
    let page = Page::parse(&fs::read_to_string(&path).unwrap());
    let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
    let is_step = |part: &Part| matches!(part, Part::Step { .. });
    assert!(page.parts.iter().any(is_step), "{name} has no session");
    let seen = Session::start(name).play(&page);
    let shown = Data::read_from(&path, Some(DataFormat::Text)).raw();
    Assert::new().action_env(DEFAULT_ACTION_ENV).eq(seen, shown);
}

/// Returns the root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

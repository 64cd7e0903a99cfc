//! A page of Markdown, divided into text and the parts of its session.
//!
//! Invariant: a page whose outputs are unchanged is written as it was read, byte for byte.

use std::iter::Peekable;
use std::str::Lines;

const HIDDEN: (&str, &str) = ("<!-- session: ", " -->");
const PROMPT: &str = "$ ";

/// Page of Markdown, as parts in order.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) parts: Vec<Part>,
}

/// Part of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Line that takes no part in the session.
    Text(String),
    /// File that the page shows, which is to be written.
    File { path: String, text: String },
    /// Command that readers don't see.
    Hidden(String),
    /// Command and its output, which ends with a newline unless it is empty.
    Step { command: String, output: String },
}

impl Page {
    /// Parses a page. A block that looks like a session but would not be run is an error.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(command) = hidden(line) {
                parts.push(Part::Hidden(command.into()));
            } else if line.starts_with("    $ ") {
                return Err(format!("a session in an indented block is not run: `{line}`"));
            } else {
                parts.push(Part::Text(line.into()));
            }
            match line.strip_prefix("```") {
                Some("console") => steps(&mut lines, &mut parts)?,
                Some(_) => other_block(&mut lines, &mut parts)?,
                None => {}
            }
        }
        Ok(Self { parts })
    }
}

impl Part {
    /// Formats the part as the page has it.
    pub(super) fn render(&self) -> String {
        match self {
            Self::Text(line) => format!("{line}\n"),
            Self::File { path, text } => format!("# {path}\n{text}"),
            Self::Hidden(command) => format!("{}{command}{}\n", HIDDEN.0, HIDDEN.1),
            Self::Step { command, output } => format!("{PROMPT}{command}\n{output}"),
        }
    }
}

fn hidden(line: &str) -> Option<&str> {
    line.strip_prefix(HIDDEN.0)?.strip_suffix(HIDDEN.1)
}

/// Parses the commands and outputs of a block, up to its last line.
fn steps(lines: &mut Peekable<Lines>, parts: &mut Vec<Part>) -> Result<(), String> {
    while let Some(line) = lines.next_if(|line| *line != "```") {
        let Some(command) = line.strip_prefix(PROMPT) else {
            return Err(format!("a block of a session begins with a command, not with `{line}`"));
        };
        let mut output = String::new();
        while let Some(line) = lines.next_if(|line| *line != "```" && !line.starts_with(PROMPT)) {
            output.push_str(line);
            output.push('\n');
        }
        parts.push(Part::Step { command: command.into(), output });
    }
    end(lines, parts)
}

/// Parses a block that is no session: a file to be written, if it begins with a path.
fn other_block(lines: &mut Peekable<Lines>, parts: &mut Vec<Part>) -> Result<(), String> {
    let path = lines.next_if(|line| line.starts_with("# ") && line.ends_with(".toml"));
    let mut text = String::new();
    while let Some(line) = lines.next_if(|line| *line != "```") {
        if line.starts_with(PROMPT) {
            return Err(format!("a session in a block that is not `console` is not run: `{line}`"));
        }
        text.push_str(line);
        text.push('\n');
    }
    match path.and_then(|line| line.strip_prefix("# ")) {
        Some(path) => parts.push(Part::File { path: path.into(), text }),
        None => parts.extend(text.lines().map(|line| Part::Text(line.into()))),
    }
    end(lines, parts)
}

fn end(lines: &mut Peekable<Lines>, parts: &mut Vec<Part>) -> Result<(), String> {
    let line = lines.next().ok_or("a block has no end")?;
    parts.push(Part::Text(line.into()));
    Ok(())
}

#[test]
fn a_page_is_cut_into_steps_files_and_text_and_is_written_as_it_was_read() {
    let text = "# Title\n\n<!-- session: true -->\n```console\n$ jedlik get a b\ntea\n\nmilk\n$ exit\n```\n\
                ```toml\n# n1/node.toml\nlisten = \"x\"\n```\n```text\njedlik put\n```\n    indented\n";
    let page = Page::parse(text).unwrap();
    let rendered: String = page.parts.iter().map(Part::render).collect();
    assert_eq!(rendered, text);
    let others: Vec<Part> =
        page.parts.into_iter().filter(|part| !matches!(part, Part::Text(_))).collect();
    let step =
        |command: &str, output: &str| Part::Step { command: command.into(), output: output.into() };
    let file = Part::File { path: "n1/node.toml".into(), text: "listen = \"x\"\n".into() };
    let expected = [
        Part::Hidden("true".into()),
        step("jedlik get a b", "tea\n\nmilk\n"),
        step("exit", ""),
        file,
    ];
    assert_eq!(others, expected);
}

#[test]
fn what_looks_like_a_session_and_would_not_be_run_is_refused() {
    for text in [
        "    $ jedlik get a b\n",
        "```\n$ jedlik get a b\n```\n",
        "```sh\n$ jedlik get a b\n```\n",
        "```console\njedlik get a b\n```\n",
        "```console\n$ jedlik get a b\n",
    ] {
        assert!(Page::parse(text).is_err(), "{text}");
    }
}

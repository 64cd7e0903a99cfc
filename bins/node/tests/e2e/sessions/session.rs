//! A page's session: it runs the commands in order, and makes the page with their outputs.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use jedlik_ports::free_address;
use snapbox::assert::{Action, DEFAULT_ACTION_ENV};

use super::masks::Masks;
use super::page::{Page, Part};
use super::shell::Shell;
use crate::node::LIMIT;
use crate::places::Places;

/// Folder of the clone, as pages show it.
const CLONE: &str = "/home/you/jedlik";
/// Time that a command is repeated once the page is known to differ, or is to be written.
const SETTLED: Duration = Duration::from_secs(15);
/// Words of commands that change nothing; these may be repeated until they print what the page shows.
const ASKS: [&str; 7] = ["get", "keys", "buckets", "explain", "hints", "doctor", "status"];
const CHANGES: [&str; 3] = ["put", "delete", "load"];

/// State of a session between two commands.
pub(super) struct Session {
    /// Path of the page, for messages.
    name: &'static str,
    shell: Shell,
    masks: Masks,
    /// Texts of the page, each with the text of this run in its place.
    pairs: Vec<(String, String)>,
    patience: Duration,
    _places: Places,
}

impl Session {
    /// Starts a shell, without a cluster. No other test has a cluster meanwhile: on a busy machine a client may ask a
    /// second node as well, which would show.
    pub(super) fn start(name: &'static str) -> Self {
        let places = Places::all();
        let shell = Shell::start();
        let mut pairs = vec![(CLONE.to_owned(), shell.root().display().to_string())];
        for number in 1..=3 {
            let address = free_address().unwrap();
            pairs.push((format!("10.0.0.{number}:7400"), address.to_string()));
        }
        let writes = Action::with_env_var(DEFAULT_ACTION_ENV) == Some(Action::Overwrite);
        let patience = if writes { SETTLED } else { LIMIT };
        Self { name, shell, masks: Masks::new(), pairs, patience, _places: places }
    }

    /// Runs the page and returns it with the outputs of this run; outputs that differ only in masked parts stay as they
    /// are.
    pub(super) fn play(mut self, page: &Page) -> String {
        let mut seen = String::new();
        for (index, part) in page.parts.iter().enumerate() {
            match part {
                Part::Text(_) => {}
                Part::File { path, text } => {
                    let path = self.shell.root().join(path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, self.to_run(text)).unwrap();
                }
                Part::Hidden(command) => {
                    let (printed, code) = self.shell.run(&self.to_run(command));
                    assert_eq!(code, 0, "{}: `{command}` ends with {code}:\n{printed}", self.name);
                }
                Part::Step { command, output } => {
                    let may_fail = matches!(
                        page.parts.get(index + 1),
                        Some(Part::Step { command, .. }) if command == "echo $?"
                    );
                    let output = self.step(index, command, output, may_fail);
                    seen += &Part::Step { command: command.clone(), output }.render();
                    continue;
                }
            }
            seen += &part.render();
        }
        seen
    }

    /// Runs a command, and returns the output that the page should show.
    fn step(&mut self, index: usize, command: &str, shown: &str, may_fail: bool) -> String {
        let typed = self.to_run(command);
        let file =
            typed.starts_with("jedlik-node run").then(|| self.shell.start_process(&typed, index));
        let again = file.is_some() || only_asks(&typed);
        let start = Instant::now();
        loop {
            let (printed, code) = match &file {
                Some(file) => (fs::read_to_string(file).unwrap(), 0),
                None => self.shell.run(&typed),
            };
            let seen = self.to_page(&printed);
            // A process that goes on prints in time that it serves.
            let is_early = file.is_some() && printed.is_empty();
            let same = !is_early && self.masks.mask(&seen) == self.masks.mask(shown);
            let ended_well = code == 0 || may_fail;
            if (same && ended_well) || !again || start.elapsed() >= self.patience {
                assert!(ended_well, "{}: `{command}` ends with {code}:\n{printed}", self.name);
                self.pairs.extend(self.masks.pairs(shown, &seen));
                if same {
                    return shown.to_owned();
                }
                self.patience = self.patience.min(SETTLED);
                return self.masks.merge(shown, &self.to_page(&printed));
            }
            thread::park_timeout(Duration::from_millis(200));
        }
    }

    /// Translates a text of the page into that of this run.
    fn to_run(&self, text: &str) -> String {
        self.pairs.iter().fold(text.to_owned(), |text, (page, run)| text.replace(page, run))
    }

    /// Translates a text of this run into that of the page; columns stay where they are.
    fn to_page(&self, text: &str) -> String {
        self.pairs.iter().fold(text.to_owned(), |text, (page, run)| {
            let cell = format!("{page:<width$}  ", width = run.len());
            text.replace(&format!("{run}  "), &cell).replace(run, page)
        })
    }
}

/// Whether a command changes nothing, so that it may be repeated.
fn only_asks(command: &str) -> bool {
    let has = |words: &[&str]| command.split(' ').any(|word| words.contains(&word));
    command.starts_with("jedlik") && has(&ASKS) && !has(&CHANGES)
}

#[test]
fn commands_that_change_something_are_run_once() {
    for command in ["jedlik get carts alice", "jedlik-admin --profile a.toml cluster status"] {
        assert!(only_asks(command), "{command}");
    }
    for command in ["jedlik put carts get tea", "jedlik-admin cluster commit 93a0", "cat status"] {
        assert!(!only_asks(command), "{command}");
    }
}

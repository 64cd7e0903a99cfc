//! What a process has done to the files in a folder, as `strace` recorded it, and what a power cut would leave.
//!
//! Invariant: a file is left with what it had when its last sync began, or with more of what was written since; a name
//! in a folder stands for what it stood for when the folder's last sync began, or for what came since. Each file and
//! each name is left to chance by itself, so whatever the disk wrote first is among the outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Calls that change files or make changes durable, and those that say which file a descriptor stands for.
const CALLS: &str = "trace=open,openat,creat,close,dup,dup2,dup3,fcntl,lseek,write,pwrite64,writev,pwritev,pwritev2,\
    ftruncate,truncate,fallocate,copy_file_range,sendfile,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
    unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,fdatasync,sync_file_range,msync,sync,syncfs";

/// Call of a process that has succeeded, or the beginning of one that makes changes durable.
pub(super) struct Call {
    thread: u32,
    name: String,
    /// Arguments as they were printed; strings are in hexadecimal digits.
    arguments: String,
    /// Returned number; `None` if the call has only begun.
    returned: Option<i64>,
}

/// Runs a program to its end, and returns its calls in their order; `None` if there is no `strace`.
pub(super) fn record(program: &Command, into: &Path) -> Option<Vec<Call>> {
    if !is_here() {
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-xx", "-s", "100000000", "-e", CALLS, "-o"]).arg(into);
    let status = started_by(command, program).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{status}");
    let text = fs::read_to_string(into).unwrap();
    let mut begun = BTreeMap::new();
    Some(text.lines().flat_map(|line| parse(line, &mut begun)).collect())
}

/// Whether there is `strace`; in CI it must be.
pub(super) fn is_here() -> bool {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    assert!(found || env::var_os("CI").is_none(), "there is no strace");
    if !found {
        eprintln!("skipped: there is no strace");
    }
    found
}

/// Returns a command that gives a program to `starter` to be started, with the program's own environment.
pub(super) fn started_by(mut starter: Command, program: &Command) -> Command {
    starter.arg(program.get_program()).args(program.get_args()).stderr(Stdio::null());
    starter.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    starter
}

/// Parses a line: a call, its beginning, its end, or a note of another kind.
fn parse(line: &str, begun: &mut BTreeMap<u32, String>) -> Vec<Call> {
    let (thread, rest) = line.split_once(' ').unwrap();
    let (thread, rest) = (thread.parse().unwrap(), rest.trim_start());
    let of = |call: &str, returned| {
        let (name, arguments) = call.split_once('(').unwrap();
        let arguments = arguments.trim_end().trim_end_matches(')').into();
        Call { thread, name: name.into(), arguments, returned }
    };
    let ends = rest.starts_with("<... ");
    if let Some(first) = rest.strip_suffix("<unfinished ...>") {
        begun.insert(thread, first.into());
        let call = of(first, None);
        return Vec::from_iter(call.counts_from_its_beginning().then_some(call));
    }
    let whole = match rest.split_once("resumed>") {
        Some((_, end)) if ends => begun.remove(&thread).unwrap() + end,
        _ => rest.to_owned(),
    };
    // One that failed has changed nothing.
    let returned = whole.rsplit_once(" = ").and_then(|(call, returned)| {
        let number = returned.split_whitespace().next()?.parse().ok()?;
        (number >= 0).then_some((call, number))
    });
    let Some((call, returned)) = returned else { return Vec::new() };
    let beginning = of(call, None);
    let begins = !ends && beginning.counts_from_its_beginning();
    begins.then_some(beginning).into_iter().chain([of(call, Some(returned))]).collect()
}

impl Call {
    /// Whether other calls may already see the end of the call before it is reported: what a sync has to keep is what
    /// there is when it begins, and the number of a descriptor is free when its closing begins.
    fn counts_from_its_beginning(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync" | "close")
    }

    /// Returns the text that the call has printed, if it is one that prints.
    pub(super) fn printed(&self) -> Option<String> {
        let prints = self.name == "write" && self.number(0) == 1;
        prints.then(|| String::from_utf8(self.strings().concat()).unwrap())
    }

    fn argument(&self, index: usize) -> &str {
        self.arguments.split(", ").nth(index).unwrap().trim()
    }

    fn number(&self, index: usize) -> i64 {
        let argument = self.argument(index);
        argument.parse().unwrap_or_else(|_| panic!("{}({}", self.name, self.arguments))
    }

    fn strings(&self) -> Vec<Vec<u8>> {
        assert!(!self.arguments.contains("\"..."), "a string is cut short");
        let strings = self.arguments.split('"').skip(1).step_by(2);
        strings
            .map(|string| {
                let digits = string.split("\\x").skip(1);
                digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
            })
            .collect()
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.strings().into_iter().map(|bytes| OsString::from_vec(bytes).into()).collect()
    }
}

/// File or folder, as the system shows it and as the disk has it.
#[derive(Clone)]
enum Node {
    File { shown: Vec<u8>, kept: Vec<u8> },
    Folder { shown: BTreeMap<OsString, usize>, kept: BTreeMap<OsString, usize> },
}

/// Descriptor of a process.
#[derive(Clone)]
struct Opened {
    node: usize,
    at: usize,
    appends: bool,
}

/// Files in a folder, and what of them is on the disk.
pub(super) struct Files {
    root: PathBuf,
    nodes: Vec<Node>,
    opened: BTreeMap<i64, Opened>,
    /// Nodes as they were when a thread's sync of one began.
    syncing: BTreeMap<u32, (usize, Node)>,
}

impl Files {
    /// Returns the files of a folder that is empty, and on the disk.
    pub(super) fn of(root: &Path) -> Self {
        let nodes = vec![Node::Folder { shown: BTreeMap::new(), kept: BTreeMap::new() }];
        Self { root: root.into(), nodes, opened: BTreeMap::new(), syncing: BTreeMap::new() }
    }

    /// Returns the node at a path; `None` if the path is elsewhere, or there is none.
    fn find(&self, path: &Path) -> Option<usize> {
        let below = path.strip_prefix(&self.root).ok()?;
        below.iter().try_fold(0, |at, name| match &self.nodes[at] {
            Node::Folder { shown, .. } => shown.get(name).copied(),
            Node::File { .. } => None,
        })
    }

    fn is_here(&self, path: &Path) -> bool {
        path.starts_with(&self.root) && path != self.root
    }

    fn entries(&mut self, path: &Path) -> &mut BTreeMap<OsString, usize> {
        let folder = self.find(path.parent().unwrap()).expect("a folder");
        let Node::Folder { shown, .. } = &mut self.nodes[folder] else { panic!("{path:?}") };
        shown
    }

    fn enter(&mut self, path: &Path, node: usize) {
        let name = path.file_name().unwrap().into();
        self.entries(path).insert(name, node);
    }

    fn make(&mut self, path: &Path, node: Node) -> usize {
        self.nodes.push(node);
        let made = self.nodes.len() - 1;
        self.enter(path, made);
        made
    }

    /// Makes the change of a call. Returns whether a power cut after it may leave something else than one before it.
    pub(super) fn apply(&mut self, call: &Call) -> bool {
        let returned = call.returned.unwrap_or_default();
        match call.name.as_str() {
            "open" | "openat" | "creat" => self.open(call, returned),
            "close" if call.returned.is_none() => drop(self.opened.remove(&call.number(0))),
            "close" => {}
            "dup" | "dup2" | "dup3" | "fcntl" => self.duplicate(call, returned),
            "lseek" => {
                let opened = self.opened.get_mut(&call.number(0));
                opened.into_iter().for_each(|opened| opened.at = returned as usize);
            }
            "write" | "pwrite64" | "writev" => return self.write(call, returned as usize),
            "fsync" | "fdatasync" => return self.sync(call),
            "mkdir" | "mkdirat" => {
                let path = &call.paths()[0];
                if self.is_here(path) {
                    let (shown, kept) = (BTreeMap::new(), BTreeMap::new());
                    self.make(path, Node::Folder { shown, kept });
                }
            }
            "rename" | "renameat" | "renameat2" => {
                let [from, to] = &call.paths()[..] else { panic!("two paths") };
                if self.is_here(from) {
                    let node = self.entries(from).remove(from.file_name().unwrap()).unwrap();
                    self.enter(to, node);
                    return true;
                }
            }
            "unlink" | "unlinkat" => {
                let path = &call.paths()[0];
                if self.is_here(path) {
                    self.entries(path).remove(path.file_name().unwrap()).unwrap();
                    return true;
                }
            }
            other => {
                let descriptor = call.argument(0).parse().ok();
                let touches = call.paths().iter().any(|path| self.is_here(path))
                    || descriptor.is_some_and(|descriptor| self.opened.contains_key(&descriptor));
                assert!(!touches, "{other} is not known here: {}", call.arguments);
            }
        }
        false
    }

    fn open(&mut self, call: &Call, descriptor: i64) {
        let path = &call.paths()[0];
        self.opened.remove(&descriptor);
        if !path.starts_with(&self.root) {
            return;
        }
        let found = self.find(path);
        let node = found
            .unwrap_or_else(|| self.make(path, Node::File { shown: Vec::new(), kept: Vec::new() }));
        if let Node::File { shown, .. } = &mut self.nodes[node]
            && call.arguments.contains("O_TRUNC")
        {
            shown.clear();
        }
        let appends = call.arguments.contains("O_APPEND");
        self.opened.insert(descriptor, Opened { node, at: 0, appends });
    }

    fn duplicate(&mut self, call: &Call, descriptor: i64) {
        if call.name == "fcntl" && !call.arguments.contains("F_DUPFD") {
            return;
        }
        if let Some(opened) = self.opened.get(&call.number(0)).cloned() {
            self.opened.insert(descriptor, opened);
        }
    }

    fn write(&mut self, call: &Call, length: usize) -> bool {
        let Some(opened) = self.opened.get_mut(&call.number(0)) else { return false };
        let Node::File { shown, .. } = &mut self.nodes[opened.node] else { panic!("a folder") };
        let bytes = call.strings().concat();
        let at = match call.name.as_str() {
            "pwrite64" => call.arguments.rsplit(", ").next().unwrap().trim().parse().unwrap(),
            _ if opened.appends => shown.len(),
            _ => opened.at,
        };
        let end = at + length;
        shown.resize(shown.len().max(end), 0);
        shown[at..end].copy_from_slice(&bytes[..length]);
        if call.name != "pwrite64" {
            opened.at = end;
        }
        false
    }

    fn sync(&mut self, call: &Call) -> bool {
        if call.returned.is_none() {
            if let Some(Opened { node, .. }) = self.opened.get(&call.number(0)) {
                self.syncing.insert(call.thread, (*node, self.nodes[*node].clone()));
            }
            return false;
        }
        let Some((node, then)) = self.syncing.remove(&call.thread) else { return false };
        match (&mut self.nodes[node], then) {
            (Node::File { kept, .. }, Node::File { shown, .. }) => *kept = shown,
            (Node::Folder { kept, .. }, Node::Folder { shown, .. }) => *kept = shown,
            _ => panic!("it was of the other kind"),
        }
        true
    }

    /// Writes what a power cut leaves into a folder. `keeps` says by chance of each thing that the disk need not have
    /// whether it has it.
    pub(super) fn leave(&self, into: &Path, keeps: &mut impl FnMut() -> bool) {
        self.leave_node(0, into, keeps);
    }

    fn leave_node(&self, node: usize, into: &Path, keeps: &mut impl FnMut() -> bool) {
        match &self.nodes[node] {
            Node::File { shown, kept } if shown == kept => fs::write(into, kept).unwrap(),
            Node::File { shown, kept } => {
                let later = keeps();
                // Some of it may have been written, and not the rest.
                let length = if later && !keeps() { shown.len() / 2 } else { shown.len() };
                let bytes =
                    if later { &shown[..length.max(kept.len()).min(shown.len())] } else { kept };
                fs::write(into, bytes).unwrap();
            }
            Node::Folder { shown, kept } => {
                fs::create_dir_all(into).unwrap();
                let names: BTreeSet<&OsString> = shown.keys().chain(kept.keys()).collect();
                for name in names {
                    let (new, old) = (shown.get(name), kept.get(name));
                    if let Some(node) = if new != old && keeps() { new } else { old } {
                        self.leave_node(*node, &into.join(name), keeps);
                    }
                }
            }
        }
    }
}
